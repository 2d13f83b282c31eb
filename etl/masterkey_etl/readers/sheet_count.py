"""The independent count of a workbook: other parsers than the reader's.

XLSX: expat on the sheets' XML (the reader takes rows apart by an expression), texts by number from a list.
XLS: calamine (the reader uses xlrd). HTML: an expression over tags (the reader uses html.parser).
Shared with the reader: what a table is (sheet_layout.py), the bounds, the opening of a zip. Cells are counted before
anything is laid out, so a cell that the layout lost is a difference too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO
from xml.parsers import expat

from masterkey_etl.header import header_key
from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers.sheet_book import OLE, book_form
from masterkey_etl.readers.sheet_layout import Headers, Layout, Line, lay_out
from masterkey_etl.readers.sheet_scratch import seekable
from masterkey_etl.readers.sheet_zip import ContainerError
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_fhir.issue import Place, issue

Merges = dict[tuple[int, int], tuple[int, int]]
_WHOLE = 300_000
_USUAL = ("n", "s")
_ESCAPE = re.compile("_x([0-9A-Fa-f]{4})_")


class Counted:
    """One sheet: its lines, how many cells of it are not blank, its merged cells near the top."""

    def __init__(self, lines: Iterator[Line] | Sequence[Line], merged: Merges) -> None:
        self.cells, self.merged = 0, merged
        self._lines = lines

    def __iter__(self) -> Iterator[Line]:
        for number, texts in self._lines:
            self.cells += len(texts) - texts.count("")
            yield number, texts


def count_book(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """Rows below the headers of the model's tables, columns of them all, and cells anywhere else.

    Raises ContainerError (etl.workbook-damaged) where this parser finds what the reader's let pass.
    """
    try:
        return _count(stream, model)
    except (expat.ExpatError, ValueError, LookupError):
        raise _damaged() from None


def _damaged() -> ContainerError:
    return ContainerError(issue("etl.workbook-damaged", Place(), problem="two parsers do not agree on it"))


def _count(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    headers = Headers([model, *(m for m in known_models() if m.kind in ("delimited", "sheet") and m.id != model.id)])
    rows = surplus = 0
    names: set[tuple[str, int]] = set()
    for sheet in _sheets(stream, headers):
        layout = lay_out(sheet, headers, sheet.merged)
        rows += sum(table.rows for table in layout.tables)
        names |= _columns(layout)
        surplus += sheet.cells - layout.inside - layout.header_cells
    return IndependentCount(rows, len(names), surplus)


def _columns(layout: Layout) -> set[tuple[str, int]]:
    """A column of several tables is one; the second of one name is another."""
    found = set()
    for table in layout.tables:
        keys = [header_key(name) for name in table.names]
        found |= {(key, keys[:i].count(key)) for i, key in enumerate(keys)}
    return found


def _sheets(stream: BinaryIO, headers: Headers) -> Iterator[Counted]:
    copy = seekable(stream)
    try:
        head = copy.read(4096)
        copy.seek(0)
        if head.startswith(OLE):
            yield from _old(copy.read())
        elif book_form(head) == "html":
            yield from _pages(copy.read())
        else:
            yield from _new(copy, headers)
    finally:
        if copy is not stream:
            copy.close()


# -- XLSX --------------------------------------------------------------------------------------------


def _new(stream: BinaryIO, headers: Headers) -> Iterator[Counted]:
    from masterkey_etl.readers.sheet_xlsx import Package, workbook_part

    package = Package.open(stream, Place())
    workbook = workbook_part(package)
    related = package.related(workbook)
    texts = next((_texts(package, name, headers) for kind, name in related.values() if kind == "sharedStrings"), [])
    for e in package.elements(workbook, "sheet"):
        kind, name = related.get(e.get("id", ""), ("", ""))
        if kind == "worksheet":
            merged = (
                _merged(package.elements(name, "mergeCell")) if headers.depth > 1 else {}
            )  # else no header is merged over rows
            yield Counted(_xml_lines(package, name, texts), merged)


def _texts(package: Any, name: str, headers: Headers) -> list[str]:
    """The shared strings: every `t` that is no phonetic reading, joined per `si`.

    Beyond the first _WHOLE of them only what may stand in a header is kept whole: the layout needs no more.
    """
    out: list[str] = []
    state = {"t": False, "rPh": False}
    parts: list[str] = []

    def start(tag: str, _: object) -> None:
        local = tag.rpartition(":")[2]
        if local in state:
            state[local] = True

    def end(tag: str) -> None:
        local = tag.rpartition(":")[2]
        if local in state:
            state[local] = False
        elif local == "si":
            text = _clean("".join(parts))
            out.append(text if len(out) < _WHOLE or headers.may_begin((text,)) else text[:1])
            parts.clear()

    def data(text: str) -> None:
        if state["t"] and not state["rPh"]:
            parts.append(text)

    with package.part(name) as stream:
        _expat(start, end, data).ParseFile(stream)
    return out


def _expat(start: Any, end: Any, data: Any) -> Any:
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, data
    return parser


class _Cells:
    """What expat's calls gather of one sheet: `done` rows. Few calls do anything: there are five for each cell."""

    def __init__(self, texts: list[str]) -> None:
        self.texts, self.done = texts, list[Line]()
        self.number, self.digits = 0, 1
        self.row: list[str] = []
        self.parts: list[str] = []  # expat adds all character data of a cell
        self.formula = self.value = False
        self.aloud = 0
        self._places: dict[str, int] = {}

    def handlers(self, prefix: str) -> tuple[Callable[[str, dict[str, str]], None], Callable[[str], None]]:
        cell, value, attributes = prefix + "c", prefix + "v", dict[str, str]()
        others = {prefix + n: n for n in ("row", "f", "rPh")}
        parts, places, texts = self.parts, self._places, self.texts

        def start(tag: str, found: dict[str, str]) -> None:
            nonlocal attributes
            if tag == cell:
                attributes = found
                self.formula = False
                parts.clear()
            elif tag == value:
                self.value = True
            elif tag in others:
                self.start(others[tag], found)

        def end(tag: str) -> None:
            if tag == cell:
                type_ = attributes.get("t", "n")
                if len(parts) == 1 and type_ in _USUAL and not self.formula:
                    column = places.get(attributes.get("r", "")[: -self.digits], -1)
                    row = self.row
                    if column == len(row):
                        row.append(parts[0] if type_ == "n" else texts[int(parts[0])])
                        return
                if parts or self.formula:
                    self.end_cell(attributes)
                elif "r" not in attributes:
                    self.row.append("")
            elif tag in others:
                self.end(others[tag])

        return start, end

    def start(self, name: str, found: dict[str, str]) -> None:
        if name == "row":
            stated = found.get("r", "")
            self.number = int(stated) if stated.isdecimal() else self.number + 1
            self.digits = len(str(self.number))
            self.row = []
        elif name == "f":
            self.formula, self.value = True, False
        else:
            self.aloud = len(self.parts)

    def end(self, name: str) -> None:
        if name == "row":
            self.parts.clear()
            if any(self.row):
                self.done.append((self.number, _until_last(self.row)))
        elif name == "f":
            self.parts.clear()
        else:  # a phonetic reading is no part of the text
            del self.parts[self.aloud :]

    def end_cell(self, attributes: dict[str, str]) -> None:
        type_ = attributes.get("t", "n")
        if self.formula and type_ == "str" and self.value and not self.parts:
            text = ""
        else:
            text = _seen(type_, "".join(self.parts), self.texts, self.formula)
        row = self.row
        if "r" in attributes:
            letters = attributes["r"][: -self.digits]
            column = self._places[letters] if letters in self._places else self._place(letters)
            if column < len(row):
                raise ValueError("a cell stands before the one that comes before it")
            while len(row) < column:
                row.append("")
        row.append(text)

    def _place(self, letters: str) -> int:
        place = self._places[letters] = _place(letters.rstrip("0123456789"))
        return place


def _xml_lines(package: Any, name: str, texts: list[str]) -> Iterator[Line]:
    """The rows of a sheet as texts; only whether a text is blank, its first character and headers matter."""
    cells = _Cells(texts)
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def root(tag: str, _: object) -> None:
        prefix, colon, _local = tag.rpartition(":")
        parser.StartElementHandler, parser.EndElementHandler = cells.handlers(prefix + colon)
        parser.CharacterDataHandler = cells.parts.append

    parser.StartElementHandler = root
    with package.part(name) as stream:
        while block := stream.read(1 << 16):
            parser.Parse(block, False)
            yield from cells.done
            cells.done.clear()
        parser.Parse(b"", True)
        yield from cells.done


def _seen(type_: str, text: str, texts: list[str], formula: bool) -> str:
    """What a cell shows, as far as the count needs it; a formula that shows nothing is counted all the same."""
    if type_ == "n" and text:
        return text.strip() or "\0" * formula
    if type_ == "s":
        return texts[int(text)] if text.strip() else ""
    if type_ in ("str", "inlineStr"):
        return _clean(text) if text or not formula else "\0"
    if type_ == "b":
        return "TRUE" if text.strip() in ("1", "true") else "FALSE" if text.strip() else "\0" * formula
    return text.strip() if type_ == "d" and text.strip() else "\0" if formula or text.strip() else ""


def _clean(text: str) -> str:
    return _ESCAPE.sub(lambda m: chr(int(m[1], 16)), text).strip() if "_x" in text else text.strip()


def _place(letters: str) -> int:
    n = 0
    for letter in letters:
        n = n * 26 + int(letter, 36) - 9
    return n - 1


def _merged(elements: list[dict[str, str]]) -> Merges:
    """Cells of merged ranges, as long as they are small: headers are."""
    found: Merges = {}
    for e in elements[:10_000]:
        ends = re.fullmatch(r"([A-Z]+)([0-9]+):([A-Z]+)([0-9]+)", e.get("ref", ""))
        if ends:
            _add(found, (int(ends[2]), _place(ends[1])), (int(ends[4]), _place(ends[3])))
    return found


def _add(found: Merges, first: tuple[int, int], last: tuple[int, int]) -> None:
    inside = [(r, c) for r in range(first[0], last[0] + 1) for c in range(first[1], last[1] + 1)][:10_000]
    found.update({cell: first for cell in inside if cell != first})


# -- XLS ---------------------------------------------------------------------------------------------


def _old(data: bytes) -> Iterator[Counted]:
    from io import BytesIO

    from python_calamine import CalamineError, CalamineWorkbook

    try:
        book = CalamineWorkbook.from_filelike(BytesIO(data))
    except CalamineError:
        raise _damaged() from None
    for name in book.sheet_names:
        sheet = book.get_sheet_by_name(name)
        merged: Merges = {}
        for first, last in (sheet.merged_cell_ranges or [])[:10_000]:
            _add(merged, (first[0] + 1, first[1]), (last[0] + 1, last[1]))
        rows = ([_shown(v) for v in row] for row in sheet.to_python(skip_empty_area=False))
        yield Counted(((n, _until_last(row)) for n, row in enumerate(rows, 1) if any(row)), merged)


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value).strip()


def _until_last(texts: list[str]) -> list[str]:
    while texts and not texts[-1]:
        texts.pop()
    return texts


# -- HTML --------------------------------------------------------------------------------------------

_CELL = re.compile(r"<t[dh]\b([^>]*)>(.*?)(?=<t[dh]\b|</t[dh]\b|</tr\b|\Z)", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<(/?)(table|tr|td|th|script|style)\b([^>]*)>|<!--.*?-->|<[^>]*>", re.IGNORECASE | re.DOTALL)


def _pages(data: bytes) -> Iterator[Counted]:
    """Tables by their tags alone; a table inside a cell is not told from its surroundings."""
    from masterkey_etl.readers.sheet_html import page_encoding

    page = data.decode(page_encoding(data), "replace")
    page = re.sub(r"<(script|style)\b.*?</\1\s*>", "", page, flags=re.IGNORECASE | re.DOTALL)
    for table in re.split(r"<table\b", page, flags=re.IGNORECASE)[1:]:
        table = re.split(r"</table\b", table, flags=re.IGNORECASE)[0]
        yield Counted(_html_lines(re.split(r"<tr\b", table, flags=re.IGNORECASE)[1:]), {})


def _html_lines(rows: list[str]) -> Iterator[Line]:
    taken: dict[int, int] = {}
    for number, row in enumerate(rows, 1):
        texts: dict[int, str] = {}
        column = 0
        for cell in _CELL.findall(row):
            while taken.get(column, 0) >= number:
                column += 1
            wide, tall = (_spanned(cell[0], name) for name in ("colspan", "rowspan"))
            if tall > 1:
                taken.update(dict.fromkeys(range(column, column + wide), number + tall - 1))
            texts[column] = html.unescape(_TAG.sub("", cell[1])).replace("\xa0", " ").strip()
            column += wide
        if any(texts.values()):
            yield number, _until_last([texts.get(i, "") for i in range(max(texts) + 1)])


def _spanned(attributes: str, name: str) -> int:
    found = re.search(rf"\b{name}\s*=\s*[\"']?([0-9]{{1,4}})", attributes, re.IGNORECASE)
    return min(max(int(found[1]), 1), 1000) if found else 1
