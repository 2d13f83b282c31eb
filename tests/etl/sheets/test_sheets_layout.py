"""Where tables stand on sheets: titles, gaps, several tables, merged and repeated headers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openpyxl
import pytest

from masterkey_etl.source_model import SourceModel

Reader = Callable[..., Any]


def row(pid: str) -> list[Any]:
    return [pid, "1", 61, "2019/11/1", 50.5, "yes", "well"]


@pytest.fixture
def read_grid(save: Any, run_bytes: Reader, clinic: SourceModel) -> Reader:
    """Rows from the first one on; an empty list is a blank row."""

    def reader(*rows: list[Any], model: SourceModel | None = None, change: Any = None) -> Any:
        book = openpyxl.Workbook()
        for n, cells in enumerate(rows, 1):
            for i, cell in enumerate(cells, 1):
                book.active.cell(n, i, cell)
        if change:
            change(book.active)
        return run_bytes(save(book), model or clinic)

    return reader


def test_titles_above_and_notes_below_are_outside(read_grid: Reader, header: list[str]) -> None:
    got = read_grid(["Patients 2024"], [], header, row("a1"), row("a2"), [], ["* drugs as stated by the ward"])
    assert got.column("pid") == ["a1", "a2"]
    assert got.numbers == [4, 5]
    assert [i.facts["at"] for i in got.issues if i.rule == "etl.sheet-outside"] == ["A1", "A7"]
    assert got.n("rejected", "(beside the tables)") == 2


def test_blank_rows_inside_a_table_are_passed_over(read_grid: Reader, header: list[str]) -> None:
    got = read_grid(header, row("a1"), [], [], row("a2"), row("a3"))
    assert got.column("pid") == ["a1", "a2", "a3"]
    assert got.only("etl.blank-lines").facts["rows"] == 2


def test_another_table_below_gives_no_records(read_grid: Reader, header: list[str]) -> None:
    below = [["Drug", "Ward", "Count"], ["imatinib", "B2", 3], ["sunitinib", "B2", 1]]
    got = read_grid(header, row("a1"), row("a2"), [], *below)
    assert got.column("pid") == ["a1", "a2"]
    assert got.n("rejected", "(beside the tables)") == 9
    assert got.only("etl.sheet-outside").facts == {"sheet": 1, "cells": 9, "at": "A5", "model": ""}


def test_tables_below_and_beside_are_all_read(read_grid: Reader, header: list[str]) -> None:
    both = [*header, None, *header]
    got = read_grid(
        both, [*row("a1"), None, *row("b1")], [*row("a2")], [], ["second ward"], header[::-1], row("a9")[::-1]
    )
    assert sorted(got.column("pid")) == ["a1", "a2", "a9", "b1"]
    assert got.column("memo") == ["well"] * 4
    assert got.n("rejected", "(beside the tables)") == 1


def test_tables_with_different_columns_are_one_delivery(read_grid: Reader, header: list[str]) -> None:
    got = read_grid(header[:5], row("a1")[:5], [], [*header[:4], "Ward", "Memo"], [*row("a2")[:4], "B2", "ill"])
    assert got.values == [
        ["a1", "1", "61", "2019/11/1", "50.5", "", ""],
        ["a2", "1", "61", "2019/11/1", "", "", "ill"],
    ]
    assert got.only("etl.column-new").facts["position"] == 6
    assert got.n("absent", "memo") == 1
    assert got.n("rejected") == 2  # the column Ward, in both rows


def test_the_header_again_is_no_row(read_grid: Reader, header: list[str]) -> None:
    got = read_grid(header, row("a1"), header, row("a2"), [], header, row("a3"))
    assert got.column("pid") == ["a1", "a2", "a3"]
    assert got.rules.count("etl.header-repeated") == 2
    assert got.reading.counts.refused == 2


def test_a_merged_id_counts_for_all_its_rows(read_grid: Reader, header: list[str]) -> None:
    got = read_grid(header, row("a1"), [None, *row("")[1:]], row("a2"), change=lambda s: s.merge_cells("A2:A3"))
    assert [r.rows for r in got.records] == [(2, 3), (4,)]
    assert got.only("etl.sheet-merged-cells").facts["count"] == 1


def test_a_header_that_starts_further_in(read_grid: Reader, header: list[str]) -> None:
    got = read_grid([], [None, None, *header], [None, None, *row("a1")], [None, "x", *row("a2"), "beyond"])
    assert got.column("pid") == ["a1", "a2"]
    assert got.n("rejected", "(beside the tables)") == 2


def test_a_header_with_a_blank_name(read_grid: Reader, header: list[str]) -> None:
    got = read_grid([*header[:3], None, *header[3:]], [*row("a1")[:3], "?", *row("a1")[3:]])
    assert got.values == [["a1", "1", "61", "2019/11/1", "50.5", "yes", "well"]]
    assert got.n("rejected") == 1


TWO_ROWS = """
format: tiered
revision: "1"
title: a header of two rows
citation: made for these tests
kind: sheet
sheet: {header_rows: 2}
record: case
key: [pid]
columns:
  - {id: pid, header: Patient ID, type: text}
  - {id: before_size, header: Before / Size, type: decimal}
  - {id: before_date, header: Before / Date, type: date, formats: ["%Y-%m-%d"]}
  - {id: after_size, header: After / Size, type: decimal}
  - {id: outcome, header: Outcome, type: text}
"""


@pytest.mark.parametrize("merged", [True, False])
def test_headers_of_two_rows(read_grid: Reader, merged: bool) -> None:
    def change(sheet: Any) -> None:
        if merged:
            for cells in ("A2:A3", "B2:C2", "E2:E3"):
                sheet.merge_cells(cells)

    model = SourceModel.parse(TWO_ROWS)
    upper, lower = ["Patient ID", "Before", None, "After", "Outcome"], [None, "Size", "Date", "Size", None]
    got = read_grid(["title"], upper, lower, ["a1", 1.5, "2020-01-01", 2, "SD"], model=model, change=change)
    assert got.values == [["a1", "1.5", "2020-01-01", "2", "SD"]]
    assert got.numbers == [4]
    got = read_grid(upper, lower, ["a1", 1, None, 2, "SD"], upper, lower, ["a2", 1, None, 2, "SD"], model=model)
    assert got.column("pid") == ["a1", "a2"]
    assert got.rules.count("etl.header-repeated") == 2


def test_a_table_of_another_model_is_named(read_grid: Reader, header: list[str]) -> None:
    from masterkey_etl.source_model import known_models

    other = next(m for m in known_models() if m.kind == "delimited")
    names = [c.header for c in other.columns]
    got = read_grid(header, row("a1"), [], names, ["x"] * len(names))
    assert got.column("pid") == ["a1"]
    assert got.only("etl.sheet-other-table").facts["model"] == other.id
    assert got.n("rejected", "(beside the tables)") == 2 * len(names)


def test_no_table_at_all(read_grid: Reader) -> None:
    got = read_grid(["hello"], ["world", 1, 2])
    assert got.records == []
    assert got.only("etl.sheet-no-table").severity == "fatal"
    assert got.n("rejected") == 4


def test_an_empty_workbook_and_only_a_header(read_grid: Reader, header: list[str]) -> None:
    assert "etl.empty-file" in read_grid([]).rules
    assert "etl.only-header" in read_grid(header).rules
