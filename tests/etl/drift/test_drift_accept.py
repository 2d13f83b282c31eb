"""Accepted drift: a new revision in the overlay, dated, by whom; the delivery arrives with it, the old file too."""

from __future__ import annotations

import csv
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from masterkey_api import cli
from masterkey_etl.source_model import SourceModel

Rows = list[list[str]]
HEAD = "Patient ID,性別,性別名称,Birth date,Age,Weight (kg),Stage,Remark,Ward code"


def change(rows: Rows, column: int, to: Callable[[str, int], str], header: str = "") -> Rows:
    head = [*rows[0][:column], header or rows[0][column], *rows[0][column + 1 :]]
    return [head, *([*r[:column], to(r[column], i), *r[column + 1 :]] for i, r in enumerate(rows[1:]))]


def same(text: str, _: int) -> str:
    return text


def model(ward: Any) -> SourceModel:
    return SourceModel.load("ward/1", ward.data / "mappings")


def lines(report: Any, column: str) -> dict[str, int]:
    return {r.status: r.n for r in report.stored[0].ledger if r.column == column}


def test_a_renamed_column_gets_an_alias_and_its_values_arrive(ward: Any, rows: Callable[..., Rows]) -> None:
    renamed = change(rows(), 5, same, "Body weight (kg)")
    assert ward.send(renamed).exit_code == 2
    report = ward.send(renamed, by="Dr. A")
    assert lines(report, "weight") == {"mapped": 40} and report.exit_code == 0
    assert model(ward).column("weight").aliases == ("Body weight (kg)",)
    assert [i.rule for i in report.issues if i.rule != "etl.text-masked"] == ["etl.drift-accepted"]
    assert ward.send(renamed + rows(41)[41:]).drift == []
    assert ward.send([*rows(), rows(42)[42]]).stored, "the old spelling is known still"


def test_the_revision_says_when_by_whom_what_and_keeps_the_one_before(ward: Any, rows: Callable[..., Rows]) -> None:
    place = ward.data / "mappings" / "sources" / "ward"
    before = (place / "1.yaml").read_text(encoding="utf-8")
    ward.send(change(rows(), 4, same, "Age (years)"), by="Dr. A\n- x: y")
    after = (place / "1.yaml").read_text(encoding="utf-8")
    first, second = after.splitlines()[:2]
    assert (
        f"Revision of {date.today().isoformat()} by Dr. A" in first
        and "renamed, Age -> Age (years) (column 5)" in second
    )
    assert "# the patient" in after and "# the tumour" in after, "comments and other lines stay"
    assert [p.read_text(encoding="utf-8") for p in (place / "history").glob("1.*.yaml")] == [before]
    log = (ward.data / "mappings" / "CHANGES.csv").read_text(encoding="utf-8").splitlines()
    (row,) = csv.DictReader(log)
    assert row["by"].startswith("Dr. A") and row["from"] != row["to"] and "renamed" in row["what"]


def test_dates_of_another_order_and_calendar_are_read_as_accepted(ward: Any, rows: Callable[..., Rows]) -> None:
    def thai(text: str, _: int) -> str:
        year, month, day = text.split("-")
        return f"{day}/{month}/{int(year) + 543}"

    report = ward.send(change(rows(), 3, thai), by="B")
    born = model(ward).column("born")
    assert (born.formats, born.calendar) == (("%d/%m/%Y", "%Y-%m-%d"), "buddhist")
    assert lines(report, "born") == {"mapped": 40}
    assert report.stored[0].counts["unchanged"] == 80, "the same dates as before"


@pytest.mark.parametrize("agree", [True, False])
def test_an_open_order_is_that_of_the_other_dates(empty_ward: Any, rows: Callable[..., Rows], agree: bool) -> None:
    place = empty_ward.data / "mappings/sources/ward/1.yaml"
    text = place.read_text(encoding="utf-8")
    wide = text.replace("Ward code, type: text}", 'Ward code, type: date, formats: ["%Y-%m-%d"]}')
    place.write_text(wide, encoding="utf-8")
    early = change(rows(), 3, lambda t, i: f"1950-0{1 + i % 7}-0{1 + i % 9}")
    empty_ward.send(change(early, 8, lambda t, i: f"2020-05-{10 + i % 19}"))
    later = change(rows(), 3, lambda t, i: f"0{1 + i % 9}/0{1 + i % 7}/1950")
    told = (lambda t, i: f"{10 + i % 19}/05/2020") if agree else (lambda t, i: f"{10 + i % 3}/05/2020")
    report = empty_ward.send(change(later, 8, told), by="B")
    if agree:
        assert lines(report, "born") == {"mapped": 40}
        assert report.stored[0].counts["unchanged"] == 80, "the same dates as before"
    else:
        assert not report.stored and "etl.drift-unsayable" in {i.rule for i in report.issues}


def test_what_no_revision_can_say_is_not_accepted(ward: Any, rows: Callable[..., Rows]) -> None:
    """An order that stays open, a column in parts: its values would be lost, and with them people."""
    open_order = change(rows(), 3, lambda t, i: f"0{1 + i % 9}/0{1 + i % 7}/1950")
    report = ward.send(open_order, by="B")
    assert report.exit_code == 2 and not report.stored
    assert [(i.rule, i.place.field) for i in report.issues] == [("etl.drift-unsayable", "born")]
    assert model(ward).column("born").formats == ("%Y-%m-%d",)
    table = rows()
    parts = [[*r[:3], *(("y", "m", "d") if n == 0 else r[3].split("-")), *r[4:]] for n, r in enumerate(table)]
    report = ward.send(parts, by="B")
    assert not report.stored and {i.rule for i in report.issues} & {"etl.drift-unsayable"}
    assert ward.send(table).stored[0].counts["unchanged"] == 80


def test_a_code_enters_the_list_and_is_unmapped(ward: Any, rows: Callable[..., Rows]) -> None:
    table = rows()
    for row in table[5:8]:
        row[1:3] = ["9", "不明"]
    report = ward.send(table, by="B")
    assert dict(model(ward).column("sex").codes) == {"1": "男", "2": "女", "9": "不明"}
    assert report.stored and not [i for i in report.issues if i.rule == "etl.code-undeclared"]


def test_a_name_never_enters_a_list(ward: Any, rows: Callable[..., Rows]) -> None:
    table = rows()
    for row in table[5:8]:
        row[1:3] = ["9", "Kowalski"]
    ward.send(table, by="B")
    kept = "".join(p.read_text(encoding="utf-8") for p in (ward.data / "mappings").rglob("*.*") if p.is_file())
    kept += "".join(p.read_text(encoding="utf-8") for p in (ward.data / "baselines").rglob("*.json"))
    assert "Kowalski" not in kept and "9" not in model(ward).column("sex").codes


def test_words_for_nothing_types_and_missing_columns(ward: Any, rows: Callable[..., Rows]) -> None:
    tokens = change(rows(), 4, lambda t, i: "n/a" if i % 9 == 0 else t)
    assert lines(ward.send(tokens, by="B"), "age") == {"mapped": 35, "absent": 5}
    assert set(model(ward).nulls[model(ward).index["age"]]) == {"", "NA", "n/a"}
    missing = [[*r[:6], *r[7:]] for r in rows()]
    assert ward.send(missing).exit_code == 2
    assert ward.send(missing, by="B").stored
    assert model(ward).column("stage").optional


def test_several_changes_at_once_and_nothing_without_acceptance(ward: Any, rows: Callable[..., Rows]) -> None:
    table = change(change(rows(), 5, same, "Body weight (kg)"), 4, same, "Age in years")
    before = (ward.data / "mappings/sources/ward/1.yaml").read_bytes()
    refused = ward.send(table)
    assert len(refused.drift[0][1]) == 2 and (ward.data / "mappings/sources/ward/1.yaml").read_bytes() == before
    assert not (ward.data / "mappings" / "CHANGES.csv").exists()
    report = ward.send(table, by="B")
    assert lines(report, "age") == lines(report, "weight") == {"mapped": 40}


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_the_command_line_shows_both_sides_and_accepts(
    ward: Any, rows: Callable[..., Rows], encoded: Any, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    path = ward.folder / "ward.csv"
    path.write_bytes(encoded(change(rows(), 5, same, "Body weight (kg)")))
    call = ["load", str(path), "--site", "my_nci", "--data", str(ward.data), *words]
    assert cli.main(call) == 2
    told = capsys.readouterr().out
    assert "Weight (kg)" in told and "weight (▢) (column 6)" in told and "renamed" in told
    inspected = ["inspect", str(path), "--against", "my_nci", "--data", str(ward.data), *words]
    assert cli.main(inspected) == 2
    assert "renamed" in capsys.readouterr().out
    assert cli.main([*call, "--accept-drift", "--by", "Dr. A"]) == 0
    assert cli.main(inspected) == 0
