"""A corrected delivery reaches FHIR history and the CDM: what it no longer says is gone, what it says again is back."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from masterkey_etl import assessment, loading
from masterkey_etl.data import folder
from masterkey_fhir.store import Repository


@pytest.fixture
def export(tmp_path: Path) -> Path:
    target = tmp_path / "jp_ncch"
    target.mkdir()
    source = folder("mappings") / "cases" / "jp_ncch" / "sarcoma_three_lines" / "ccat_case.csv"
    (target / "ccat_case.csv").write_bytes(source.read_bytes())
    return target / "ccat_case.csv"


def regimens(data: Path) -> list[str]:
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        rows = cdm.execute("SELECT episode_source_value FROM episode WHERE episode_number > 0 ORDER BY episode_number")
        return [r[0] for r in rows.fetchall()]


def without_second_row(export: Path) -> None:
    with export.open(encoding="utf-8-sig", newline="") as file:
        header, first, *_ = list(csv.reader(file))
    with export.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([header, first])


def test_a_line_taken_out_leaves_the_cdm_and_comes_back_with_the_old_file(tmp_path: Path, export: Path) -> None:
    data, whole = tmp_path / "ws", export.read_bytes()
    first = loading.load(data, [export])
    before = regimens(data)
    assert len(before) == 3

    without_second_row(export)
    second = loading.load(data, [export])
    fewer = regimens(data)
    assert set(fewer) < set(before) and second.stored[0].counts["deleted"] > 0

    repository = Repository.open(f"sqlite:///{data / 'repository.db'}")
    gone = next(s for s in repository.changes(0, 1000) if s.deleted and s.type == "Procedure")
    history = repository.history("jp_ncch", "Procedure", gone.id)
    assert [h.deleted for h in history] == [True, False], "newest first; the old version stays in the history"
    repository.close()

    export.write_bytes(whole)
    third = loading.load(data, [export])
    assert regimens(data) == before
    assert [s.submission for r in (first, second, third) for s in r.stored] == [1, 2, 3], "A, B, A is three"


def test_an_impossible_date_in_a_correction_is_told_and_the_diagnosis_stays(tmp_path: Path, export: Path) -> None:
    data = tmp_path / "ws"
    loading.load(data, [export])
    repository = Repository.open(f"sqlite:///{data / 'repository.db'}")
    counts = repository.counts("jp_ncch")
    text = export.read_text(encoding="utf-8-sig").replace("2021/2/10", "2021/2/31")
    export.write_text(text, encoding="utf-8-sig")
    report = loading.load(data, [export])
    assert any(i.place.field == "diagnosis_date" for i in report.issues)
    assert repository.counts("jp_ncch")["Condition"] == counts["Condition"]
    repository.close()
