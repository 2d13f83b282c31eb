"""The real layout, whole: 66 patients from file to FHIR to CDM, every value accounted for.

Independent of the reader: counts come from the csv module alone.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path

import duckdb
import pytest

from masterkey_etl import assessment, loading
from masterkey_etl.data import folder
from masterkey_etl.ledger import balance
from masterkey_fhir.store import Repository

pytestmark = pytest.mark.shared
FILES = ("sample_clinical.csv", "sample_report.csv")


@pytest.fixture(scope="module")
def export(shared: Path) -> Path:
    return shared / "data" / "genomics" / "ccat_export"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def report(data: Path, export: Path) -> loading.LoadReport:
    return loading.load(data, [export / name for name in FILES], site="jp_ncch")


def rows(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_every_value_is_in_the_ledger(report: loading.LoadReport, export: Path) -> None:
    assert [s.file for s in report.stored] == list(FILES)
    for stored in report.stored:
        header, *body = rows(export / stored.file)
        assert stored.rows == len(body)
        assert stored.values == sum(len(r) for r in body) == sum(balance(stored.ledger).values())
        per_column = Counter()
        for line in stored.ledger:
            per_column[line.column] += line.n
        assert set(per_column.values()) == {len(body)} and len(per_column) == len(header)


def test_66_patients_are_66_persons(report: loading.LoadReport, data: Path, export: Path) -> None:
    _header, *body = rows(export / FILES[0])
    patients = {r[2] for r in body}
    assert len(patients) == 66
    repository = Repository.open(f"sqlite:///{data / 'repository.db'}")
    assert repository.counts("jp_ncch")["Patient"] == 66
    repository.close()
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        assert cdm.execute("SELECT count(*), count(DISTINCT person_source_value) FROM person").fetchone() == (66, 66)


def test_deaths_and_sexes_in_the_cdm_are_those_of_the_file(data: Path, export: Path, report: object) -> None:
    """The label wins where code and label disagree (site-formats 5.4): 男 man, 女 woman, 死亡 dead."""
    header, *body = rows(export / FILES[0])
    first = {r[2]: r for r in reversed(body)}
    women = sum(r[header.index("症例.基本情報.性別.名称.")] == "女" for r in first.values())
    died = {r[header.index("症例.転帰情報.死亡日")] for r in body} - {"NA", ""}
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        codes = dict(cdm.execute("SELECT gender_source_value, count(*) FROM person GROUP BY 1").fetchall())
        dates = {d.strftime("%Y/%-m/%-d") for (d,) in cdm.execute("SELECT death_date FROM death").fetchall()}
    assert codes["female"] == women and sum(codes.values()) == 66
    assert dates == died


def test_the_known_dirt_is_found_and_counted(report: loading.LoadReport) -> None:
    """The kinds the manifest of these files lists; numbers counted there on these rows."""
    found = Counter()
    for i in report.issues:
        found[i.rule, i.place.field] += i.count
    assert found["etl.code-label-disagree", "outcome"] == 19
    assert found["etl.code-label-disagree", "sex"] == 1
    assert any(rule == "etl.changes-between-rows" for rule, _ in found)
    assert any(rule == "etl.no-concept" and field == "marker" for rule, field in found)


def test_again_changes_nothing_and_exits_alike(report: loading.LoadReport, data: Path, export: Path) -> None:
    again = loading.load(data, [export / name for name in FILES], site="jp_ncch")
    assert again.exit_code == report.exit_code
    assert all(set(s.counts) == {"unchanged"} and s.repeat for s in again.stored)
    assert [s.submission for s in again.stored] == [s.submission for s in report.stored]


def overlaid_map(data: Path, name: str) -> Path:
    """A copy of the shipped map in the workspace's overlay, to be changed."""
    target = data / "mappings" / "sites" / "jp_ncch" / name
    target.parent.mkdir(parents=True)
    shutil.copy(folder("mappings") / "sites" / "jp_ncch" / name, target)
    return target


def test_a_leaf_deleted_is_a_silent_loss_named_with_its_values(tmp_path: Path, export: Path) -> None:
    loading.load(tmp_path, [export / "nothing.csv"], site="jp_ncch")  # makes the workspace
    map_ = overlaid_map(tmp_path, "case.yaml")
    text = map_.read_text(encoding="utf-8")
    leaf = "    valueQuantity: = smoking_years.quantity('a', 'a')\n"
    assert text.count(leaf) == 1
    map_.write_text(text.replace(leaf, ""), encoding="utf-8")
    report = loading.load(tmp_path, [export / FILES[0]], site="jp_ncch")
    assert report.exit_code == 2 and not report.stored
    lost = [i for i in report.issues if i.rule == "etl.silent-loss"]
    assert any("smoking_years" in str(i) and "69" in str(i) for i in lost), [str(i) for i in report.issues]
    repository = Repository.open(f"sqlite:///{tmp_path / 'repository.db'}")
    assert repository.counts() == {}
    repository.close()


def changed(export: Path, out: Path, change: object) -> Path:
    """A copy of the clinical file with its rows changed by a function."""
    table = rows(export / FILES[0])
    change(table)
    path = out / FILES[0]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)
    return path


def test_a_column_renamed_a_code_new_a_row_broken_are_named_and_the_rest_arrives(tmp_path: Path, export: Path) -> None:
    def spoil(table: list[list[str]]) -> None:
        table[0][39] = "症例.背景情報.PS"
        table[2][3] = "7"
        del table[5][100:]

    report = loading.load(tmp_path / "ws", [changed(export, tmp_path, spoil)], site="jp_ncch")
    said = {i.rule: i for i in report.issues}
    assert report.exit_code in (1, 0) and len(report.stored) == 1
    assert said["etl.row-width"].place.row == 6
    assert any(i.rule in ("etl.column-renamed", "etl.column-missing") and "ecog" in str(i) for i in report.issues)
    assert any(
        i.rule in ("etl.code-undeclared", "etl.code-label-disagree") and i.place.field == "sex" for i in report.issues
    )
    stored = report.stored[0]
    assert stored.rows == 69 and sum(balance(stored.ledger).values()) == stored.values
    repository = Repository.open(f"sqlite:///{tmp_path / 'ws' / 'repository.db'}")
    assert repository.counts("jp_ncch")["Patient"] >= 65
    repository.close()


def test_a_report_before_its_patients_is_held_and_its_blank_cells_count_once(tmp_path: Path, export: Path) -> None:
    report = loading.load(tmp_path, [export / FILES[1]], site="jp_ncch")
    assert not report.refused and "etl.ledger-overdrawn" not in {i.rule for i in report.issues}
    assert sum(r.n for r in report.stored[0].ledger) == 191 * 64
