"""The main road on the same patients in every layout: what was planted is reported at its place, and nothing else is.

The workspace's counts are held to the cohort as it was drawn, before any layout or dirt.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from masterkey_api import cli
from masterkey_etl import assessment, explain, loading
from masterkey_etl.loading import LoadReport
from masterkey_etl.synth import LAYOUTS, synth
from masterkey_etl.synth.cohort import Patient, draw
from masterkey_etl.synth.key import read_key
from masterkey_etl.synth.score import GOAL, Score, compare, judge
from masterkey_etl.synth.tables import sites, tables
from masterkey_fhir.issue import Place, issue

TABLES = ("ccat", "ccat_xlsx", "redcap", "workbook")
# patients in each run of the tests, and in the slow ones: one file per patient costs more
PATIENTS = {"ccat": 100, "ccat_xlsx": 40, "redcap": 100, "workbook": 60, "cats": 20, "foundationone": 20}
SLOW = 200
SEED = 7


def patients(n: int) -> list[Patient]:
    rng = Random(f"{SEED}/patients")
    return [draw(rng, tables()) for _ in range(n)]


class Loaded:
    """One layout, written and loaded into a workspace of its own."""

    def __init__(self, layout: str, n: int, folder: Path) -> None:
        self.layout, self.out, self.data = layout, folder / "cohort", folder / "data"
        self.patients = patients(n)
        synth(self.out, len(self.patients), SEED, layouts=[layout], example=False)
        self.report: LoadReport = loading.load(self.data, [self.out])
        self.score: Score = compare(self.out, self.data)

    def count(self, sql: str) -> int:
        return int(assessment.query(self.data, f"SELECT COUNT(*) AS n FROM {sql}").rows[0][0])


RUNS = [
    *(pytest.param((layout, n), id=layout) for layout, n in PATIENTS.items()),
    *(pytest.param((layout, SLOW), id=f"{layout}-{SLOW}", marks=pytest.mark.slow) for layout in LAYOUTS),
]


@pytest.fixture(scope="module")
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    layout, n = request.param
    yield Loaded(layout, n, tmp_path_factory.mktemp(layout))


of_each = pytest.mark.parametrize("loaded", RUNS, indirect=True)


@of_each
def test_what_was_planted_is_reported_and_nothing_else(loaded: Loaded) -> None:
    total = loaded.score.total
    print("\n".join("  ".join(map(str, row)) for row in loaded.score.table()))
    assert total.planted >= 6 and len(loaded.score.lines) >= 5
    assert total.recall > GOAL, loaded.score.missed
    assert total.precision > GOAL, loaded.score.beyond


@of_each
def test_every_value_is_accounted_for(loaded: Loaded) -> None:
    assert not loaded.report.broken and not loaded.report.refused
    for stored in loaded.report.stored:
        assert sum(row.n for row in stored.ledger) == stored.values
    assert loaded.report.totals()["unmapped"] <= sum(p.cells for p in read_key(loaded.out))


@of_each
def test_the_cdm_holds_the_cohort(loaded: Loaded) -> None:
    """Persons, diagnoses and lines of therapy of the patients drawn; a row that nobody can assign is no line."""
    if loaded.layout not in TABLES:  # of the tested ones; a CATS file names nobody
        tested = sum(not p.failed for p in loaded.patients)
        assert loaded.count("person") == (tested if loaded.layout == "foundationone" else 0)
        return
    lines = sum(len(p.before) + len(p.after) for p in loaded.patients)
    dropped = sum(p.kind == "row-repeated" for p in read_key(loaded.out))  # an instance given twice is one
    assert loaded.count("person") == len(loaded.patients)
    assert loaded.count("condition_occurrence") == len(loaded.patients)
    assert loaded.count("episode WHERE episode_concept_id = 32531") == lines - dropped  # Treatment Regimen
    dead = sum(p.death is not None for p in loaded.patients)
    assert loaded.count("death") == dead


@of_each
def test_a_person_is_explained_back_to_a_row_of_its_file(loaded: Loaded) -> None:
    if loaded.layout == "cats":
        with pytest.raises(Exception, match="person"):
            explain.explain(loaded.data, "person:1")
        return
    told = "\n".join(explain.explain(loaded.data, "person:1").lines())
    files = {s.file for s in loaded.report.stored}
    assert any(file in told for file in files), told


# -- the score itself


def test_the_score_sees_what_is_missing_and_what_is_too_much(tmp_path: Path) -> None:
    synth(tmp_path, 40, SEED, layouts=["redcap"], example=False)
    key = [p for p in read_key(tmp_path) if p.rule]
    names = {(p.site, p.record): p.record for p in key}
    told = [replace(issue(p.rule, Place(p.site, p.name, p.row, p.column)), record=p.record, count=p.cells) for p in key]
    assert judge(key, told, names).good
    short = judge(key, told[1:], names)
    assert short.missed == key[:1] and not short.good
    more = replace(told[0], record="another", rule="etl.value-refused", severity="error")
    much = judge(key, [*told, more], names)
    assert sum(n for *_, n in much.beyond) == 1 and much.total.precision < 1


def test_a_number_of_cells_is_held_to_the_key(tmp_path: Path) -> None:
    synth(tmp_path, 150, SEED, layouts=["redcap"], example=False)
    key = [p for p in read_key(tmp_path) if p.rule == "etl.code-undeclared"]
    one = key[0]
    counted = issue(one.rule, Place(one.site, one.name, one.row, one.column))
    there = sum(p.cells for p in key if p.file == one.file)
    for n, beyond in ((there, 0), (there + 2, 2), (there - 1, 0)):
        score = judge([p for p in key if p.file == one.file], [replace(counted, count=n)], {})
        assert score.total.beyond == beyond and len(score.missed) == max(0, there - n)


# -- writing


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_seed_gives_the_same_bytes_in_every_layout(tmp_path: Path, layout: str) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        synth(tmp_path / name, 12, seed, layouts=[layout], example=False)
    files = {n: {p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in "abc"}
    assert files["a"] == files["b"] and files["a"] != files["c"]
    assert {p.name for p in (tmp_path / "a").iterdir() if p.is_dir()} == {s for s, name in sites() if name == layout}


def test_a_layout_that_is_not_known_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no layout nothing; known are ccat"):
        synth(tmp_path, 3, 1, layouts=["nothing"])


def test_the_command_writes_all_layouts_and_compares(tmp_path: Path) -> None:
    out, data = str(tmp_path / "cohort"), str(tmp_path / "data")
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        assert cli.main(["synth", out, "--patients", "6", "--layout", "all", "--json"]) == 0
        written = Counter(p.layout for p in read_key(Path(out)))
        cli.main(["load", f"{out}/my_kuala_lumpur", "--data", data])
        said.truncate(0), said.seek(0)
        cli.main(["synth", out, "--compare", "--json", "--data", data])
    found = json.loads(said.getvalue())
    assert set(written) <= set(LAYOUTS) and len(written) >= 4
    assert {row["layout"] for row in found["kinds"]} == set(written) and not found["good"]  # five layouts not loaded
