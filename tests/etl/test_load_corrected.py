"""A corrected delivery reaches FHIR history and the CDM: what it no longer says is gone, what it says again is back."""

from __future__ import annotations

import csv
from collections.abc import Callable
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


def drugs(data: Path) -> int:
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        return len(cdm.execute("SELECT drug_exposure_id FROM drug_exposure").fetchall())


def cut_row(table: list[list[str]]) -> None:
    del table[2][50:]


def rename_drugs(table: list[list[str]]) -> None:
    table[0] = [h.replace("薬剤名", "くすり").replace("レジメン名称", "れじめん") for h in table[0]]


def nul_in_a_drug(table: list[list[str]]) -> None:
    place = next(i for i, h in enumerate(table[0]) if "薬剤名.入力一般名" in h)
    table[1][place] = "\0" + table[1][place]


@pytest.mark.parametrize("damage", [cut_row, rename_drugs, nul_in_a_drug])
def test_a_damaged_delivery_takes_nothing_away(
    tmp_path: Path, export: Path, damage: Callable[[list[list[str]]], None]
) -> None:
    data = tmp_path / "ws"
    loading.load(data, [export])
    before = drugs(data)
    with export.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    damage(table)
    with export.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)
    report = loading.load(data, [export])
    assert all("deleted" not in s.counts for s in report.stored)
    assert drugs(data) >= before
    told = {i.rule for i in report.issues}
    stopped = {"etl.drift-renamed", "etl.drift-column-missing"}  # a mapped column is gone: not even stored
    assert damage is nul_in_a_drug or told & (stopped if damage is rename_drugs else {"etl.not-withdrawn"})


def test_a_patient_who_is_absent_stays_and_is_told(tmp_path: Path, export: Path) -> None:
    data = tmp_path / "ws"
    loading.load(data, [export])
    export.write_text(export.read_text(encoding="utf-8-sig").replace("CASE0001", "CASE0002"), encoding="utf-8-sig")
    report = loading.load(data, [export])
    (told,) = [i for i in report.issues if i.rule == "etl.record-absent"]
    assert told.count == 1
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        assert len(cdm.execute("SELECT person_id FROM person").fetchall()) == 2


def test_lost_keys_are_told_and_nobody_becomes_a_stranger(tmp_path: Path, export: Path) -> None:
    data = tmp_path / "ws"
    loading.load(data, [export])
    (data / "keys.json").unlink()
    report = loading.load(data, [export])
    assert report.exit_code == 2 and [i.rule for i in report.issues] == ["etl.keys-missing"]
    assert not (data / "keys.json").exists()


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00bad"])
def test_a_broken_concept_table_stops_the_load_and_is_named(tmp_path: Path, export: Path, content: bytes) -> None:
    data = tmp_path / "ws"
    loading.load(data, [export.parent / "none.csv"])
    (data / "mappings" / "concepts").mkdir(parents=True)
    (data / "mappings" / "concepts" / "oncotree.csv").write_bytes(content)
    report = loading.load(data, [export])
    assert report.exit_code == 2
    assert any("concepts/oncotree.csv" in str(i) for i in report.issues)


def test_a_name_in_the_code_of_an_adverse_event_is_not_kept(tmp_path: Path, export: Path) -> None:
    data = tmp_path / "ws"
    with export.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    for place, header in enumerate(table[0]):
        if "CTCAEv5.0コード" in header or "CTCAEv5.0名称英語" in header:
            table[1][place] = "山田花子"
    with export.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)
    loading.load(data, [export])
    repository = Repository.open(f"sqlite:///{data / 'repository.db'}")
    kept = [s for kind in repository.counts() for s in repository.of_type("jp_ncch", kind)]
    repository.close()
    assert kept and not any("山田花子".encode() in s.text for s in kept)


def test_an_undeclared_label_in_two_lines_is_unmapped_twice_and_the_file_goes_in(tmp_path: Path, export: Path) -> None:
    with export.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    code = next(i for i, h in enumerate(table[0]) if h.endswith("EP前レジメン情報.最良総合効果"))
    for row in table[1:]:
        row[code : code + 2] = ["NA", "NC"]
    with export.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)
    (stored,) = loading.load(tmp_path / "ws", [export]).stored
    lines = {(r.column, r.status): r.n for r in stored.ledger if r.column.startswith("before_response")}
    assert lines == {("before_response", "absent"): 2, ("before_response_label", "unmapped"): 2}


def explained(tmp_path: Path, export: Path) -> Path:
    from masterkey_etl.workspace import Workspace

    data = tmp_path / "ws"
    Workspace.open(data, create=True, role="site")
    loading.load(data, [export])
    return data


def test_explain_of_the_second_line_shows_the_second_row(tmp_path: Path, export: Path) -> None:
    from masterkey_etl.explain import explain

    data = explained(tmp_path, export)
    with export.open(encoding="utf-8-sig", newline="") as file:
        header, *rows = list(csv.reader(file))
    regimen = next(i for i, h in enumerate(header) if h.endswith("EP前レジメン情報.化学療法レジメン名称"))
    assert len({r[regimen] for r in rows}) > 1
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        (key,) = cdm.execute("SELECT episode_id FROM episode WHERE episode_number = 2").fetchall()[0]
    (resource,) = explain(data, f"episode:{key}").became
    assert ", row 3 (" in resource.facts["file"]
    cells = {c: v for o in resource.origins for c, v in zip(o.columns, o.cells, strict=True)}
    assert cells["before_regimen"] == rows[1][regimen]


def test_a_row_forward_shows_what_it_made_and_what_its_record_made(tmp_path: Path, export: Path) -> None:
    from masterkey_etl.explain import explain

    data = explained(tmp_path, export)
    blocks = {n: {(t.what, t.facts["block"]) for t in explain(data, f"{export.name}:{n}").became} for n in (2, 3)}
    lines = {n: {name for name, block in found if block == "line_before"} for n, found in blocks.items()}
    assert all(len(names) == 1 for names in lines.values()) and lines[2] != lines[3]
    shared = {block for _, block in blocks[2] & blocks[3]}
    assert "patient" in shared
    assert not shared & {"line_before", "drug_before", "response_before", "progression_before", "stop_event_before"}


def test_a_row_that_contradicts_the_first_fills_no_blank(tmp_path: Path, export: Path) -> None:
    """Row 2 alive with a date last seen, row 3 dead with a date of death: no death date beside 'alive'."""
    with export.open(encoding="utf-8-sig", newline="") as file:
        table = list(csv.reader(file))
    places = {h.rpartition("症例.転帰情報.")[2]: i for i, h in enumerate(table[0]) if "症例.転帰情報." in h}
    alive = {
        "転帰": "C37987",
        "転帰.名称.": "生存",
        "最終生存確認日": "2022/1/15",
        "死亡日": "NA",
        "死因": "NA",
        "死因.名称.": "NA",
    }
    dead = {"転帰": "C28554", "転帰.名称.": "死亡", "最終生存確認日": "NA", "死亡日": "2021/4/15"}
    for row, outcome in ((table[1], alive), (table[2], dead)):
        for name, value in outcome.items():
            row[places[name]] = value
    with export.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows(table)
    report = loading.load(tmp_path / "ws", [export])
    changed = {i.place.field for i in report.issues if i.rule == "etl.changes-between-rows"}
    assert {"outcome_label", "death_date"} <= changed
    with duckdb.connect(str(assessment.published_cdm(tmp_path / "ws")), read_only=True) as cdm:
        assert cdm.execute("SELECT * FROM death").fetchall() == []
