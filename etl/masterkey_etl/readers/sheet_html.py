"""HTML tables that hospitals' systems name .xls: each table is a sheet, its cells are texts."""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import BinaryIO

from masterkey_etl.readers.sheet_strings import cleaned
from masterkey_etl.readers.sheet_tape import Book, Sheet, Tape, dense
from masterkey_etl.readers.sheet_xls import bounded
from masterkey_etl.readers.text import marked
from masterkey_fhir.issue import Place

_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([A-Za-z0-9_-]{2,40})", re.IGNORECASE)
_LAST_COLUMN = 16_384
_BLOCKS = frozenset(("p", "div", "li", "br"))


def parse_html(stream: BinaryIO, place: Place, scratch: Path | None) -> Book:
    """The tables of a page. Raises ContainerError (etl.workbook-large)."""
    data = bounded(stream, place)
    parser = _Tables(scratch)
    parser.feed(data.decode(page_encoding(data), "replace"))
    parser.close()
    parser.end()
    return parser.book


def page_encoding(data: bytes) -> str:
    """A byte order mark, the page's own statement, UTF-8 when it decodes, else cp932."""
    stated = _CHARSET.search(data[:4096])
    for name in (*marked(data[:4]), *([stated[1].decode()] if stated else [])):
        try:
            return codecs.lookup(name).name
        except LookupError:
            continue
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "cp932"
    return "utf-8"


class _Tables(HTMLParser):
    """Rows and cells; end tags may be missing, a table inside a cell is a table of its own."""

    def __init__(self, scratch: Path | None) -> None:
        super().__init__(convert_charrefs=True)
        self.book, self._scratch = Book("html"), scratch
        self._stack: list[_Table] = []
        self._hushed = 0  # inside script or style

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            sheet = Sheet(len(self.book.sheets) + 1, "", rows=Tape(self._scratch))
            self.book.sheets.append(sheet)
            self._stack.append(_Table(sheet))
        elif tag in ("script", "style"):
            self._hushed += 1
        elif self._stack:
            self._inside(self._stack[-1], tag, dict(attrs))

    def _inside(self, table: _Table, tag: str, attributes: dict[str, str | None]) -> None:
        if tag == "tr":
            table.end_row()
            table.number += 1
        elif tag in ("td", "th"):
            table.end_cell()
            table.begin_cell(_span(attributes.get("colspan")), _span(attributes.get("rowspan")))
        elif tag in _BLOCKS and table.text:
            table.text.append("\n" if tag == "br" else " ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hushed = max(0, self._hushed - 1)
        elif tag == "table" and self._stack:
            self._stack.pop().end_row()
        elif self._stack and tag in ("td", "th"):
            self._stack[-1].end_cell()
        elif self._stack and tag == "tr":
            self._stack[-1].end_row()

    def handle_data(self, data: str) -> None:
        if self._stack and not self._hushed and self._stack[-1].open:
            self._stack[-1].text.append(data)

    def end(self) -> None:
        """Whatever was left open."""
        while self._stack:
            self._stack.pop().end_row()


class _Table:
    def __init__(self, sheet: Sheet) -> None:
        self.sheet, self.number, self.open = sheet, 0, False
        self.text: list[str] = []
        self._next, self._column = 0, 0
        self._columns: list[int] = []
        self._values: list[str] = []
        self._kinds: list[str] = []
        self._taken: dict[int, int] = {}  # column -> last row that a cell from above takes

    def begin_cell(self, wide: int, tall: int) -> None:
        while self._taken.get(self._next, 0) >= max(self.number, 1):
            self._next += 1
        self._column, self.open = self._next, True
        self._next = min(self._next + wide, _LAST_COLUMN)
        self.number = max(self.number, 1)
        if tall > 1:
            last = self.number + tall - 1
            self._taken.update(dict.fromkeys(range(self._column, self._next), last))
        if tall > 1 or wide > 1:
            self.sheet.merges.append((self.number, self._column, self.number + tall - 1, self._next - 1))

    def end_cell(self) -> None:
        if not self.open:
            return
        text, kind = cleaned(" ".join("".join(self.text).replace("\xa0", " ").split(" ")))
        self.open = False
        self.text.clear()
        if kind != " " and self._column < _LAST_COLUMN:
            self._columns.append(self._column)
            self._values.append(text)
            self._kinds.append("s" if kind == "w" else kind)

    def end_row(self) -> None:
        self.end_cell()
        if self._columns:
            self.sheet.rows.add(dense(self.number, self._columns, self._values, self._kinds))
            self.sheet.cells += len(self._columns)
        self._columns, self._values, self._kinds, self._next = [], [], [], 0


def _span(text: str | None) -> int:
    """colspan, rowspan: HTML 4.9.11 allows 1 to 1000."""
    return min(max(int(text), 1), 1000) if text and text.isascii() and text.isdigit() else 1
