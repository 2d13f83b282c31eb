"""The real C-CAT export (68 kinds of dirt and all): recognised, read whole, balanced, its dirt found and counted."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from masterkey_etl.readers import LocalFile, recognise, recognise_header
from masterkey_etl.source_model import SourceModel

pytestmark = pytest.mark.shared
CASE, REPORT = "sample_clinical.csv", "sample_report.csv"


@pytest.fixture(scope="module")
def folder(shared: Path) -> Path:
    return shared / "data" / "genomics" / "ccat_export"


@pytest.fixture(scope="module")
def case(folder: Path, run_bytes: Callable):
    return run_bytes((folder / CASE).read_bytes(), SourceModel.load("ccat_case/2020_04"))


@pytest.fixture(scope="module")
def report(folder: Path, run_bytes: Callable):
    return run_bytes((folder / REPORT).read_bytes(), SourceModel.load("ccat_report/2020_04"))


def cells(path: Path) -> list[list[str]]:
    return list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))


@pytest.mark.parametrize(("file", "model"), [(CASE, "ccat_case/2020_04"), (REPORT, "ccat_report/2020_04")])
def test_recognised_by_content(folder: Path, file: str, model: str):
    assert recognise(LocalFile(folder / file)).id == model
    best, *others = recognise_header(cells(folder / file)[0])
    assert (best.model, best.score) == (model, 1.0)
    assert all(r.score < 0.5 for r in others)


def test_every_value_is_in_the_ledger(case, report, folder: Path):
    for got, file, rows, columns in ((case, CASE, 69, 369), (report, REPORT, 191, 64)):
        table = cells(folder / file)
        assert (len(table) - 1, len(table[0])) == (rows, columns)
        assert got.reading.counts.values == rows * columns
        assert Counter(r.column for r in got.rows).keys() == {c.id for c in got.reading.model.columns}
        per_column = Counter()
        for r in got.rows:
            per_column[r.column] += r.n
        assert set(per_column.values()) == {rows}


def test_66_patients_in_each(case, report):
    assert len(case.records) == len(report.records) == 66
    assert case.reading.counts.refused == report.reading.counts.refused == 0


def test_absent_cells_equal_those_of_the_file(case, report, folder: Path):
    for got, file in ((case, CASE), (report, REPORT)):
        table = cells(folder / file)
        found = Counter(dict.fromkeys(("NA", "empty"), 0))
        for r in got.rows:
            found[r.reason] += r.n * (r.status == "absent")
        values = Counter(v for row in table[1:] for v in row)
        assert (found["NA"], found["empty"]) == (values["NA"], values[""])
        assert found["NA"] and found["empty"]


def test_disagreeing_pairs_are_counted(case):
    found = Counter(i.place.field for i in case.issues if i.rule == "etl.code-label-disagree")
    assert (found["outcome"], found["sex"]) == (19, 1)
    for column, n in found.items():
        c = case.reading.model.column(column)
        loser = column if c.winner == "label" else c.label
        assert case.cells(loser, "rejected") >= n


def test_one_code_stands_beside_three_responses(case, folder: Path):
    table = cells(folder / CASE)
    column = case.reading.model.index["before_response"]
    labels = Counter(row[column + 1] for row in table[1:] if row[column] == "C18213")
    assert set(labels) == {"SD", "PR", "PD"}
    told = [i for i in case.issues if i.place.field == "before_response" and "disagree" in i.rule]
    assert len(told) == labels["PR"] + labels["PD"]


def test_columns_that_change_between_the_rows_of_a_patient(case, folder: Path):
    changes = {(i.place.field, i.place.row) for i in case.issues if i.rule == "etl.changes-between-rows"}
    assert changes == {("ecog", 5), ("ecog_label", 5)}
    # the sex code of that row changes too, but is already refused: its label contradicts it
    assert ("sex", 5) in {(i.place.field, i.place.row) for i in case.issues if "disagree" in i.rule}


def test_date_styles_are_all_read(case, report):
    for got in (case, report):
        assert not [i for i in got.issues if i.rule in ("etl.value-refused", "etl.buddhist-year")]
    dates = {c.id for c in case.reading.model.columns if c.type == "date"}
    assert {"registered", "updated"} & dates or len(dates) > 10


def test_no_issue_names_a_patient(case, folder: Path):
    ids = {row[2] for row in cells(folder / CASE)[1:]}
    for i in case.issues:
        told = f"{i.record} {dict(i.facts)}".split()
        assert not ids & set(told)
