"""Drafts: what is sure is mapped, the rest is a gap that `map check` names and `load` refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from masterkey_api import cli
from masterkey_etl import loading, template
from masterkey_etl.inspect import Drafted, DraftError, draft, inspect
from masterkey_etl.source_model import SourceModel

SITE = "th_ramathibodi"
HEADER = "เลขผู้ป่วย;ชื่อ;เพศ;เพศ (label);วันเกิด;体重(kg);Q7;診断日"
Draft = Callable[..., Drafted]


def rows(n: int = 60, sexes: tuple[str, str] = ("男", "女"), number: int = 0) -> list[str]:
    def one(i: int) -> str:
        sex = i % 2
        born = f"{1 + i % 28:02d}/{1 + i % 12:02d}/{2470 + i}"
        seen = f"{1 + i % 9}/{1 + i % 7}/2020"
        return f"{i:06d};นาย ก{i};{sex + number};{sexes[sex]};{born};{40 + i}.5;{'abc'[i % 3]};{seen}"

    return [HEADER, *(one(i) for i in range(n))]


@pytest.fixture
def drafted(tmp_path: Path) -> Draft:
    def run(lines: list[str]) -> Drafted:
        (tmp_path / "first.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        return draft(inspect(tmp_path / "first.csv")[0], SITE, tmp_path / "ws" / "mappings", by="Dr. A")

    return run


def test_what_is_sure_is_mapped_and_the_rest_is_a_gap(drafted: Draft, tmp_path: Path) -> None:
    found = drafted(rows())
    assert set(found.mapped) == {"Patient.id: patient_id", "Patient.birthDate: birth_date", "Patient.gender: sex"}
    assert set(found.gaps) == {"name", "weight", "q7", "diagnosis_date"}
    model = SourceModel.load(found.source, tmp_path / "ws" / "mappings")
    assert model.key == ("patient_id",) and model.column("birth_date").calendar == "buddhist"
    assert model.column("name").personal == model.column("patient_id").personal == "identifier"
    assert model.column("diagnosis_date").type == "text" and model.column("diagnosis_date").personal == "free_text"
    assert "Dr. A" in (tmp_path / "ws/mappings/CHANGES.csv").read_text(encoding="utf-8")


def test_map_check_names_each_gap_and_load_refuses_them(
    drafted: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading.pipeline, "project", lambda stored: stored)  # the CDM has its own tests
    monkeypatch.setattr(loading.pipeline, "assess", lambda stored: None)
    found = drafted(rows())
    told = template.check([found.map], data=tmp_path / "ws")
    assert [(i.rule, i.place.field) for i in told] == [("etl.map-gap", g) for g in found.gaps]
    assert all(i.is_error for i in told)
    report = loading.load(tmp_path / "ws", [tmp_path / "first.csv"], site=SITE)
    assert report.exit_code == 2 and not report.stored
    text = found.map.read_text(encoding="utf-8")
    found.map.write_text(text.replace('reason: "? ', 'reason: "not carried yet: '), encoding="utf-8")
    assert template.check([found.map], data=tmp_path / "ws") == []
    report = loading.load(tmp_path / "ws", [tmp_path / "first.csv"], site=SITE)
    assert report.stored and report.stored[0].counts["created"] == 60 and report.exit_code < 2


@pytest.mark.parametrize("sexes", [("M", "F"), ("x", "y")])
def test_codes_without_reviewed_words_are_a_gap(drafted: Draft, sexes: tuple[str, str]) -> None:
    assert "sex" in drafted(rows(sexes=sexes)).gaps


def test_numbers_mean_what_their_labels_say(drafted: Draft) -> None:
    found = drafted(rows(sexes=("女", "男"), number=1))  # 1 is a woman here: the number alone would say a man
    assert "sex.label().translate('sex')" in found.map.read_text(encoding="utf-8")


def test_without_a_sure_key_the_map_has_a_gap_there(drafted: Draft, tmp_path: Path) -> None:
    found = drafted([line if i else line.replace("เลขผู้ป่วย", "Q1") for i, line in enumerate(rows())])
    assert not found.mapped
    (told,) = [i for i in template.check([found.map], data=tmp_path / "ws") if i.rule != "etl.map-gap"]
    assert told.rule == "etl.map-expression"


def test_unknown_texts_are_not_copied_into_a_draft(drafted: Draft) -> None:
    found = drafted([line.replace(";a;", ";Kowalski;") for line in rows()])
    assert "Kowalski" not in found.model.read_text(encoding="utf-8") + found.map.read_text(encoding="utf-8")


def test_columns_without_a_name_of_their_own_are_said(drafted: Draft, tmp_path: Path) -> None:
    found = drafted([line.replace("Q7", "") if not i else line for i, line in enumerate(rows())])
    assert "has no header of its own" in found.model.read_text(encoding="utf-8")
    assert len(SourceModel.load(found.source, tmp_path / "ws" / "mappings").columns) == 7


def test_rows_of_one_patient_become_parts(drafted: Draft, tmp_path: Path) -> None:
    lines = ["患者番号,性別,薬剤", *(f"P{i // 2},{'男女'[i // 2 % 2]},D{i}" for i in range(40))]
    found = drafted(lines)
    model = SourceModel.load(found.source, tmp_path / "ws" / "mappings")
    assert dict(model.groups) == {"parts": ("column_3",)} and "Patient.gender: sex" in found.mapped


def test_a_draft_never_overwrites_and_is_not_made_for_a_known_file(
    drafted: Draft, tmp_path: Path, repository_root: Path
) -> None:
    drafted(rows())
    with pytest.raises(DraftError, match="never overwritten"):
        drafted(rows())
    known = repository_root / "mappings/cases/jp_ncch/sarcoma_three_lines/ccat_case.csv"
    with pytest.raises(DraftError, match="fits this file wholly"):
        draft(inspect(known)[0], "jp_ncch", tmp_path / "other")


def test_a_file_without_header_or_columns_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASTERKEY_DATA", str(tmp_path / "ws"))
    (tmp_path / "a.csv").write_text("1,2020-01-02\n2,2020-01-03\n")
    (tmp_path / "b.txt").write_text("MSH|^~\\&|A|B|C|D|20240101||ORU^R01|1|P|2.5\r")
    for name, told in (("a.csv", "no row of this file"), ("b.txt", "HL7 v2 has no columns")):
        assert cli.main(["inspect", str(tmp_path / name), "--draft", "--site", SITE]) == 2
        assert told in capsys.readouterr().err
    assert cli.main(["inspect", str(tmp_path / "a.csv"), "--draft"]) == 2
