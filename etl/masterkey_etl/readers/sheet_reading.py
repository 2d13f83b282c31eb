"""Read a workbook as `Reading` reads text: its tables that fit the source model are the rows, all else is told."""

from __future__ import annotations

from collections.abc import Iterator

from masterkey_etl.header import HeaderMatch
from masterkey_etl.readers.delimited import Reading
from masterkey_etl.readers.rows import Row
from masterkey_etl.readers.sheet_book import open_book, part_of
from masterkey_etl.readers.sheet_layout import OTHER
from masterkey_etl.readers.sheet_rows import Laid, SheetRows, find_tables
from masterkey_etl.readers.text import Encoding
from masterkey_etl.record import Record
from masterkey_etl.source_model import known_models

BESIDE = "(beside the tables)"
PART = "it belongs to a table that is read as a delivery of its own"


class SheetReading(Reading):
    """One pass over a workbook (XLSX, XLSM, XLS, or an HTML table under such a name).

    Raises ContainerError (etl.workbook-…, etl.container-…) at once when it can't be opened.
    """

    def __iter__(self) -> Iterator[Record]:
        try:
            yield from super().__iter__()
        finally:
            self._tables.book.close()

    def _encoding(self) -> Encoding:
        """Open the workbook and find its tables; what stands beside them is told and entered as rejected."""
        book = open_book(self._source, self.notes.place)
        others = [m for m in known_models() if m.kind in ("delimited", "sheet")]
        self._tables = find_tables(book, self.model, others)
        self._tell_book()
        for laid in self._tables.laid:
            self._tell_sheet(laid)
        return Encoding(book.form, True)

    @property
    def _is_part(self) -> bool:
        """The workbook holds tables of several formats, and this delivery is about those of one."""
        return part_of(self._source) == self.model.format

    def _rows(self) -> SheetRows:
        return SheetRows(self._tables, self.model, self.notes, self._year_limit)

    def _find_header(self) -> tuple[HeaderMatch, int, list[Row]]:
        if not self._tables.tables and any(laid.sheet.cells for laid in self._tables.laid):
            self.notes.tell("etl.sheet-no-table", model=self.model.id)
            match = HeaderMatch((None,) * len(self.model.columns), (), 0, ())
            self.ledger.file_columns = frozenset()
            return match, 0, []
        return super()._find_header()

    # -- what is told -----------------------------------------------------------------------------------

    def _tell_book(self) -> None:
        book = self._tables.book
        if book.macros:
            self.notes.tell("etl.sheet-macros")
        if book.epoch_1904:
            self.notes.tell("etl.sheet-1904")
        if book.form == "html":
            self.notes.tell("etl.sheet-html")

    def _tell_sheet(self, laid: Laid) -> None:
        sheet = laid.sheet
        if laid.offset:
            self.notes.tell("etl.sheet-numbered", sheet=sheet.number, first=laid.offset + 1)
        if sheet.state != "visible" and sheet.cells:
            self.notes.tell("etl.sheet-hidden", sheet=sheet.number, cells=sheet.cells)
        for rule, n in (
            ("etl.sheet-hidden-rows", sheet.hidden_rows),
            ("etl.sheet-hidden-columns", sheet.hidden_columns),
            ("etl.sheet-comments", sheet.comments),
        ):
            if n:
                self.notes.tell(rule, sheet=sheet.number, count=n)
        for reason, n in laid.layout.outside.items():
            apart = reason == OTHER and self._is_part
            self.ledger.leaves.stray(BESIDE, "set_aside" if apart else "rejected", PART if apart else reason, n)
        self._tell_blocks(laid)

    def _tell_blocks(self, laid: Laid) -> None:
        for block in laid.layout.blocks:
            at = f"{column_letters(block.column)}{block.row}"
            rule = "etl.sheet-outside"
            if block.model:
                rule = "etl.sheet-other-part" if self._is_part else "etl.sheet-other-table"
            facts: dict[str, str | int] = {"sheet": laid.sheet.number, "cells": block.cells, "at": at}
            self.notes.tell(rule, laid.offset + block.row, "", **facts, model=block.model)


def column_letters(column: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    letters, n = "", column + 1
    while n:
        n, rest = divmod(n - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


__all__ = ["BESIDE", "SheetReading", "column_letters"]
