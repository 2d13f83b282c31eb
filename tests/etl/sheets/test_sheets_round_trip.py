"""Random tables: from XLSX and XLS they give the Records that the same table gives as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
import xlwt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_etl.readers import limits, sheet_scratch
from masterkey_etl.source_model import SourceModel

Reader = Callable[..., Any]
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), max_size=12).filter(
    lambda t: t == t.strip() and "_x" not in t and not t.startswith("=") and "\ufffe" not in t and "\uffff" not in t
)
_ROW = st.tuples(
    st.integers(1, 9).map(lambda n: f"p{n}"),
    st.sampled_from([None, "1", "2", "7"]),
    st.one_of(st.none(), st.integers(0, 120)),
    st.one_of(st.none(), st.dates(date(1927, 6, 1), date(2024, 12, 31))),
    st.one_of(st.none(), st.integers(1, 9999).map(lambda n: n / 8)),
    st.sampled_from([None, "yes", "no"]),
    st.one_of(st.none(), _TEXT),
)
_TABLE = st.lists(_ROW, min_size=1, max_size=12)
_SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_csv(header: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"{c:%Y/%m/%d}" if isinstance(c, date) else "" if c is None else _text(c) for c in row])
    return out.getvalue().encode()


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def as_xlsx(header: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    book = openpyxl.Workbook()
    for row in (header, *rows):
        book.active.append([datetime(c.year, c.month, c.day) if isinstance(c, date) else c for c in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def as_xls(header: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    book = xlwt.Workbook()
    sheet, dated = book.add_sheet("s"), xlwt.easyxf(num_format_str="yyyy/mm/dd")
    for r, row in enumerate((header, *rows)):
        for c, cell in enumerate(row):
            if isinstance(cell, date):
                sheet.write(r, c, datetime(cell.year, cell.month, cell.day), dated)
            elif cell is not None:
                sheet.write(r, c, cell)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def same(one: Any, other: Any) -> bool:
    """Equal Records, rows, and ledger."""
    of_one, of_other = (sorted((r.column, r.status, r.n) for r in x.rows) for x in (one, other))
    return (one.values, one.numbers, of_one) == (other.values, other.numbers, of_other)


@_SETTINGS
@given(rows=_TABLE)
def test_xlsx_gives_what_csv_gives(
    rows: list[Any], run_bytes: Reader, clinic: SourceModel, header: list[str], excel: Any
) -> None:
    data = as_xlsx(header, rows)
    expected = run_bytes(as_csv(header, rows), clinic)
    assert same(run_bytes(data, clinic), expected)
    assert same(run_bytes(excel(data), clinic), expected)


@_SETTINGS
@given(rows=_TABLE)
def test_xls_gives_what_csv_gives(rows: list[Any], run_bytes: Reader, clinic: SourceModel, header: list[str]) -> None:
    assert same(run_bytes(as_xls(header, rows), clinic), run_bytes(as_csv(header, rows), clinic))


@pytest.mark.parametrize("cells", [0, 50])
def test_a_sheet_that_does_not_fit_in_memory(
    run_bytes: Reader, clinic: SourceModel, header: list[str], excel: Any, monkeypatch: Any, tmp_path: Any, cells: int
) -> None:
    rows = [(f"p{n % 97}", "1", n % 99, date(2020, 1, 1 + n % 28), n / 8, "yes", f"memo {n}") for n in range(1300)]
    data, expected = excel(as_xlsx(header, rows)), run_bytes(as_csv(header, rows), clinic)
    monkeypatch.setattr(limits, "SHEET_CELLS", cells)
    monkeypatch.setattr(limits, "STRINGS", cells)
    monkeypatch.setattr(sheet_scratch.Blocks.__init__, "__defaults__", (cells,))
    assert same(run_bytes(data, clinic, tmp_path), expected)
    assert list(tmp_path.iterdir()) == []


def test_rows_written_in_another_way_are_read_the_same(
    run_bytes: Reader, clinic: SourceModel, header: list[str], patched: Any, sheet_part: str
) -> None:
    """A prefix, references left out, comments between cells, CDATA: what expat takes and the expression does not."""
    rows = [("p1", "1", 5, None, 1.5, "yes", "a<b"), ("p2", None, 6, None, None, None, "x")]
    data = as_xlsx(header, rows)
    expected = run_bytes(data, clinic)
    prefixed = patched(data, sheet_part, r"<(/?)([a-zA-Z])", r"<\1x:\2")
    prefixed = patched(prefixed, sheet_part, r"xmlns=", "xmlns:x=")
    assert same(run_bytes(prefixed, clinic), expected)
    assert same(run_bytes(patched(data, sheet_part, r"</c><c ", "</c><!-- <c> --><c "), clinic), expected)
    assert same(run_bytes(patched(data, sheet_part, "a&lt;b", "<![CDATA[a<b]]>"), clinic), expected)
    assert same(run_bytes(patched(data, sheet_part, r'<row r="[0-9]+"', "<row"), clinic), expected)
