"""Cells as people keep them: what each becomes, and what is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl.comments import Comment
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format

from masterkey_etl.readers.sheet_numbers import day, moment, number, shows
from masterkey_etl.source_model import SourceModel

Reader = Callable[..., Any]
GOOD = ["a1", 1, 61, datetime(2019, 11, 1), 50.5, True, "well"]


def test_a_plain_row_is_read_whole(read_rows: Reader) -> None:
    got = read_rows(GOOD)
    assert got.values == [["a1", "1", "61", "2019/11/01", "50.5", "TRUE", "well"]]
    assert got.numbers == [2]
    assert got.rules == ["etl.sheet-number-as-text"]
    assert got.only("etl.sheet-number-as-text").place.field == "sex"


def test_numbers_typed_as_text_and_texts_typed_as_numbers(read_rows: Reader) -> None:
    got = read_rows(["a1", 1.0, "６１", "2019/11/1", "50.50", "yes", 7.0], ["a2", "2", 62.0, None, None, None, None])
    assert got.values[0] == ["a1", "1", "６１", "2019/11/1", "50.50", "yes", "7"]
    assert got.values[1][:3] == ["a2", "2", "62"]
    assert sorted((i.rule, i.place.field) for i in got.issues) == [
        ("etl.sheet-date-as-text", "seen"),
        ("etl.sheet-number-as-text", "memo"),
        ("etl.sheet-number-as-text", "sex"),
        ("etl.sheet-text-as-number", "age"),
        ("etl.sheet-text-as-number", "weight"),
    ]


def test_formulas_give_their_kept_value_and_none_is_told(
    save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str], patched: Any, sheet_part: str
) -> None:
    book = openpyxl.Workbook()
    book.active.append(header)
    book.active.append(["a1", "1", "=60+1", None, "=1/3", None, '="x"'])
    data = patched(save(book), sheet_part, r"(<f>60\+1</f>)<v ?/?>(?:</v>)?", r"\1<v>61</v>")
    got = run_bytes(data, clinic)
    assert got.values == [["a1", "1", "61", "", "", "", ""]]
    assert got.rules.count("etl.value-uncached") == 2
    assert got.only("etl.sheet-results").place.field == "age"
    assert got.n("rejected", "weight") == got.n("rejected", "memo") == 1


@pytest.mark.parametrize("error", ["#N/A", "#REF!", "#DIV/0!"])
def test_error_cells_are_rejected(read_rows: Reader, error: str) -> None:
    got = read_rows(["a1", "1", error, None, None, None, None])
    found = got.only("etl.value-error")
    assert (found.place.row, found.place.field) == (2, "age")
    assert got.n("rejected", "age") == 1
    assert got.column("age") == [""]


def test_an_error_in_the_key_keeps_the_row_out(read_rows: Reader) -> None:
    got = read_rows(["#N/A", "1", 60, None, None, None, None], GOOD)
    assert got.column("pid") == ["a1"]
    assert "etl.record-key-missing" in got.rules


def test_dates_as_serials_and_in_both_systems(save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str]):
    for epoch, serial in ((openpyxl.utils.datetime.WINDOWS_EPOCH, 43770), (openpyxl.utils.datetime.MAC_EPOCH, 42308)):
        book = openpyxl.Workbook()
        book.epoch = epoch
        book.active.append(header)
        book.active.append(["a1", "1", 1, serial, None, None, None])
        book.active.append(["a2", "1", 1, datetime(2019, 11, 1), None, None, None])
        got = run_bytes(save(book), clinic)
        assert got.column("seen") == ["2019/11/01", "2019/11/01"]
        assert got.only("etl.sheet-serial").facts["count"] == 1
        assert ("etl.sheet-1904" in got.rules) == (serial == 42308)


def test_a_small_number_in_a_date_column_is_no_day(read_rows: Reader) -> None:
    got = read_rows(["a1", "1", 61, 61, None, None, None])
    assert got.column("seen") == [""]
    assert got.n("rejected", "seen") == 1


def test_a_month_stays_a_month_and_a_time_is_left_out(read_rows: Reader) -> None:
    def change(sheet: Any) -> None:
        sheet["D2"].number_format = "yyyy/mm"

    got = read_rows(GOOD, ["a2", "1", 1, datetime(2020, 1, 2, 13, 30), None, None, None], change=change)
    assert got.column("seen") == ["2019/11/00", "2020/01/02"]
    assert got.only("etl.sheet-clock").facts["count"] == 1


def test_a_date_in_a_buddhist_column(model_text: str, read_rows: Reader) -> None:
    model = SourceModel.parse(model_text.replace('"%Y/%m/%d"]', '"%d/%m/%Y"], calendar: buddhist'))
    got = read_rows(GOOD, ["a2", "1", 1, "01/11/2562", None, None, None], model=model)
    assert got.column("seen") == ["01/11/2562", "01/11/2562"]


def test_a_buddhist_year_typed_as_a_date_is_refused(read_rows: Reader) -> None:
    got = read_rows(["a1", "1", 1, datetime(2562, 11, 1), None, None, None])
    assert got.column("seen") == [""]
    assert "etl.buddhist-year" in got.rules


def test_what_a_spreadsheet_made_a_date_is_no_code(read_rows: Reader) -> None:
    got = read_rows(["a1", datetime(2024, 3, 1), 1, None, None, None, datetime(2024, 9, 2)])
    assert got.only("etl.value-date").place.field == "sex"
    assert got.column("memo") == ["2024-09-02"]
    assert got.only("etl.sheet-date-in-text").place.field == "memo"


def test_ids_that_lost_digits_are_rejected(read_rows: Reader) -> None:
    got = read_rows(
        ["1.23E+15", "1", 1, None, None, None, None],
        [1234567890123450000, "1", 1, None, None, None, None],
        [1234567890123456, "1", 1, None, None, None, None],
        ["a1", "1", 1, None, None, None, "3.1E+12"],
    )
    assert got.column("pid") == ["1234567890123456", "a1"]  # 16 digits that a double holds, and do not end in 0
    assert {"etl.value-exponent", "etl.value-digits"} <= set(got.rules)
    assert got.column("memo") == ["", ""]


def test_blanks_full_width_digits_rich_and_inline_texts(read_rows: Reader) -> None:
    got = read_rows(["a1 ", "　1", " 61　", None, None, None, "\u00a0well "])
    assert got.values == [["a1", "1", "61", "", "", "", "well"]]
    assert sorted(i.place.field for i in got.issues if i.rule == "etl.sheet-blanks") == ["age", "memo", "pid", "sex"]


def test_phonetic_readings_are_no_part_of_a_text(
    save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str], patched: Any, sheet_part: str, excel: Any
) -> None:
    book = openpyxl.Workbook()
    book.active.append(header)
    book.active.append(["a1", "1", 1, None, None, None, "QQQ"])
    runs = "<r><t>東</t></r><r><t xml:space='preserve'>京_x000A_A&amp;B</t></r>"
    rich = f"{runs}<rPh sb='0' eb='1'><t>トウ</t></rPh>"
    inline = patched(save(book), sheet_part, "<is><t>QQQ</t></is>", f"<is>{rich}</is>")
    assert run_bytes(inline, clinic).column("memo") == ["東京\nA&B"]
    assert run_bytes(excel(inline), clinic).column("memo") == ["東京\nA&B"]


def test_booleans_are_words(read_rows: Reader) -> None:
    got = read_rows(["a1", True, 1, None, None, False, True])
    assert (got.column("sex"), got.column("alive"), got.column("memo")) == (["TRUE"], ["FALSE"], ["TRUE"])
    assert sorted(i.place.field for i in got.issues if i.rule == "etl.sheet-boolean") == ["memo", "sex"]


def test_hidden_rows_columns_sheets_and_comments_are_reported(
    save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str]
) -> None:
    book = openpyxl.Workbook()
    for row in (header, GOOD, ["a2", *GOOD[1:]]):
        book.active.append(row)
    book.active.row_dimensions[3].hidden = True
    book.active.column_dimensions["C"].hidden = True
    book.active["A2"].comment = Comment("asked twice", "nurse")
    secret = book.create_sheet("more")
    for row in (header, ["a3", *GOOD[1:]]):
        secret.append(row)
    secret.sheet_state = "veryHidden"
    got = run_bytes(save(book), clinic)
    assert got.column("pid") == ["a1", "a2", "a3"]
    assert got.numbers == [2, 3, 20000002]
    for rule in ("etl.sheet-hidden-rows", "etl.sheet-hidden-columns", "etl.sheet-comments", "etl.sheet-numbered"):
        assert got.only(rule).severity == "information"
    assert got.only("etl.sheet-hidden").facts == {"sheet": 2, "cells": 14}


def test_no_text_of_a_cell_is_in_a_message(read_rows: Reader) -> None:
    secret = "Yamada Hanako 0901234567"
    got = read_rows([secret, secret, secret, secret, secret, secret, secret], [None, None, secret, None, None, None, 1])
    assert got.issues
    assert not [i for i in got.issues if "Yamada" in str(i) or "0901234567" in str(i)]


# -- numbers and formats ------------------------------------------------------------------------------


@given(st.integers(-(10**15) + 1, 10**15 - 1))
def test_whole_numbers_keep_their_digits(n: int) -> None:
    assert number(str(n)) == (str(n), "n")
    assert number(repr(float(n))) == (str(n), "n")


@given(st.decimals(-1000, 1000, places=6, allow_nan=False))
def test_decimals_come_without_exponent(value: Any) -> None:
    text, kind = number(repr(float(value)))
    assert kind == "n"
    assert "e" not in text.lower()
    assert float(text) == float(value)


@pytest.mark.parametrize(("text", "kind"), [("NaN", "e"), ("1_0", "e"), ("", "e"), ("1E+999", "x"), ("1e15", "x")])
def test_what_is_no_number(text: str, kind: str) -> None:
    assert number(text)[1] == kind


@pytest.mark.parametrize(
    ("serial", "iso"),
    [(1, "1900-01-01"), (59, "1900-02-28"), (60, "1900-02-29"), (61, "1900-03-01"), (2958465, "9999-12-31")],
)
def test_the_leap_year_that_never_was(serial: int, iso: str) -> None:
    assert day(serial) == iso
    assert day(0) is day(2958466) is day(-1) is None


@given(st.datetimes(datetime(1900, 3, 1), datetime(9999, 12, 31)))
def test_serials_agree_with_openpyxl(when: datetime) -> None:
    when = when.replace(microsecond=0)
    for epoch, mac in ((openpyxl.utils.datetime.WINDOWS_EPOCH, False), (openpyxl.utils.datetime.MAC_EPOCH, True)):
        if mac and when.year < 1904:
            continue
        serial = openpyxl.utils.datetime.to_excel(when, epoch)
        iso = when.isoformat().removesuffix("T00:00:00")
        assert moment(repr(serial), "d", mac) == (iso, "d")


def test_builtin_formats_agree_with_openpyxl() -> None:
    for id_, code in BUILTIN_FORMATS.items():
        assert (shows(id_) != "n") == is_date_format(code), (id_, code)
        assert shows(id_) == shows(1000, code) or code == "General", (id_, code)


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ('ggge"年"m"月"d"日"', "d"),
        ("[$-411]ge.m.d;@", "d"),
        ('yyyy"年"m"月"', "m"),
        ("mmm-yy", "m"),
        ("yyyy", "y"),
        ("[h]:mm:ss", "t"),
        ("h:mm AM/PM", "t"),
        ("0.00E+00", "n"),
        ('0.0" mg/dL"', "n"),
        ("[Red]#,##0", "n"),
        ("[$-107041E]d mmm yyyy", "d"),
    ],
)
def test_what_a_format_shows(code: str, what: str) -> None:
    assert shows(164, code) == what
