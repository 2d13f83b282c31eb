"""XLSX and XLSM (ECMA-376): the package, then each sheet's XML by expat onto its tape. Macros are never looked at.

Memory is that of the tapes and the shared strings, both bounded (limits.SHEET_CELLS, limits.STRINGS).
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from operator import ge
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat
from xml.sax.saxutils import unescape as _unescape

from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.readers.sheet_numbers import NO_NUMBER, Cell, iso, moment, number, shows
from masterkey_etl.readers.sheet_strings import Strings, cleaned, fed, feed, parse, read_strings
from masterkey_etl.readers.sheet_tape import Book, Sheet, Tape, TapeRow, dense
from masterkey_etl.readers.sheet_zip import Budget, ContainerError, open_member, open_zip
from masterkey_fhir.issue import Place, issue

DAMAGED = "etl.workbook-damaged"
_WORKBOOK = re.compile(r"(?:.*/)?workbook\.xml")
_REF = re.compile(r"([A-Za-z]{1,3})([0-9]{1,7})")
_LAST_COLUMN, _LAST_ROW = 16_384, 1_048_576
_COUNTED = list(range(_LAST_COLUMN))
_READ, _HEAD = 1 << 16, 1 << 20
_ROWS, _ROWS_END, _ROW_END = b"<sheetData>", b"</sheetData>", b"</row>"
_UTF8 = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml(?:(?!encoding)[^>])*(?:encoding=[\"']utf-?8[\"'][^>]*)?>|<worksheet)",
    re.IGNORECASE,
)
_ROW = re.compile(r'\s*<row r="([0-9]{1,7})"([^<>]*)(?<!/)>')
_CELL = re.compile(
    r'<c r="([A-Z]{1,3})[0-9]{1,7}"((?: s="[0-9]{1,6}")?(?: t="[a-zA-Z]{1,9}")?(?:/>|>'
    r"(?:<f(?: [^<>]*)?(?:/>|>[^<]*</f>))?"
    r"(?:<v>[^<]*</v>|<is><t(?: [^<>]*)?>[^<]*</t></is>)?</c>))"
)
_REST = re.compile(
    r'(?: s="([0-9]+)")?(?: t="([a-zA-Z]+)")?(?:/>|>(<f(?: [^<>]*)?(?:/>|>[^<]*</f>))?'
    r"(?:<v>([^<]*)</v>|<is><t(?: [^<>]*)?>([^<]*)</t></is>)?</c>)"
)
_NOTHING: Cell = ("", " ")
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # https://www.w3.org/TR/xml/#charsets
_STRANGE = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_REMEMBERED = 100_000  # numbers whose text is remembered, per kind of format


@dataclass
class Package:
    """The parts of one workbook, opened by name."""

    archive: zipfile.ZipFile
    place: Place
    budget: Budget

    @classmethod
    def open(cls, stream: BinaryIO, place: Place) -> Package:
        """From a seekable stream. Raises ContainerError: etl.workbook-damaged, etl.container-bomb."""
        return cls(open_zip(stream, place, DAMAGED), place, Budget(place))

    @cached_property
    def _names(self) -> dict[str, str]:
        """Names of parts are compared without case (ECMA-376 part 2, 9.1.1.1)."""
        return {name.casefold().replace("\\", "/"): name for name in self.archive.namelist()}

    def has(self, name: str) -> bool:
        return name.casefold() in self._names

    def part(self, name: str) -> BinaryIO:
        if not self.has(name):
            raise damaged(self.place, "a part of it is missing")
        info = self.archive.getinfo(self._names[name.casefold()])
        return open_member(self.archive, info, self.budget, DAMAGED)

    def parse(self, name: str, prepare: Callable[[Any, str], None]) -> None:
        """A part through expat. Raises ContainerError (etl.workbook-damaged) when it is not well-formed."""
        with self.part(name) as stream:
            try:
                feed(stream, prepare)
            except expat.ExpatError as error:
                raise damaged(self.place, _xml_problem(error)) from None

    def related(self, name: str) -> dict[str, tuple[str, str]]:
        """The relationships of a part: id -> (last word of its type, part)."""
        folder, base = posixpath.split(name)
        rels = posixpath.join(folder, "_rels", f"{base}.rels")
        found: dict[str, tuple[str, str]] = {}
        if self.has(rels):
            elements = self.elements(rels, "Relationship")
            for a in elements:
                target = posixpath.normpath(posixpath.join(folder, a.get("Target", "")))
                found[a.get("Id", "")] = a.get("Type", "").rpartition("/")[2], target.lstrip("/")
        return found

    def elements(self, name: str, *wanted: str) -> list[dict[str, str]]:
        """The attributes of the elements of these local names, in order, with their name under `""`."""
        found: list[dict[str, str]] = []

        def start(tag: str, attributes: dict[str, str]) -> None:
            local = tag.rpartition(":")[2]
            if local in wanted:
                found.append({k.rpartition(":")[2]: v for k, v in attributes.items()} | {"": local})

        self.parse(name, lambda parser, _: setattr(parser, "StartElementHandler", start))
        return found


def damaged(place: Place, problem: str) -> ContainerError:
    return ContainerError(issue(DAMAGED, place, problem=problem))


def _xml_problem(error: Exception) -> str:
    return "a document type declaration" if "declaration" in str(error) else "XML that is not well-formed"


def parse_xlsx(stream: BinaryIO, place: Place, scratch: Path | None, rows: int = 0) -> Book:
    """A workbook from a seekable stream, of each sheet the first `rows` (0: all); close the Book.

    Raises ContainerError: etl.workbook-damaged, etl.container-bomb.
    """
    package = Package.open(stream, place)
    workbook = workbook_part(package)
    related = package.related(workbook)
    parts = dict(related.values())
    book = Book("xlsx", macros="vbaProject" in parts)
    listed = package.elements(workbook, "sheet", "workbookPr")
    book.epoch_1904 = any(e.get("date1904") in ("1", "true") for e in listed)
    styles = Styles.read(package, parts.get("styles"), book.epoch_1904)
    strings = Strings(scratch)
    try:
        if "sharedStrings" in parts:
            with package.part(parts["sharedStrings"]) as stream:
                _strings(stream, strings, place)
        for n, e in enumerate((e for e in listed if e[""] == "sheet"), 1):
            kind, name = related.get(e.get("id", ""), ("", ""))
            if kind == "worksheet":  # chart sheets and dialogs have no cells
                sheet = Sheet(n, e.get("name", ""), e.get("state", "visible"), Tape(scratch))
                book.sheets.append(sheet)
                _SheetParser(sheet, strings, styles, place, rows or _LAST_ROW).parse(package, name)
    finally:
        strings.close()
    return book


def workbook_part(package: Package) -> str:
    """The part that lists the sheets: the package says which, else it has its usual name."""
    for kind, name in package.related("").values():
        if kind == "officeDocument":
            return name
    usual = next((n for n in package.archive.namelist() if _WORKBOOK.fullmatch(n)), None)
    if usual is None:
        raise damaged(package.place, "it lists no sheets")
    return usual


def _strings(stream: BinaryIO, strings: Strings, place: Place) -> None:
    try:
        read_strings(stream, strings)
    except expat.ExpatError as error:
        raise damaged(place, _xml_problem(error)) from None


@dataclass
class Styles:
    """What the number format of each cell style shows, and the texts of numbers seen before."""

    shown: list[str] = field(default_factory=list)
    epoch_1904: bool = False
    _seen: dict[str, dict[str, Cell]] = field(default_factory=lambda: {k: {} for k in "dmytn"})

    @classmethod
    def read(cls, package: Package, name: str | None, epoch_1904: bool) -> Styles:
        if name is None:
            return cls([], epoch_1904)
        found = package.elements(name, "numFmt", "cellXfs", "cellStyleXfs", "xf", "dxfs")
        codes = {e.get("numFmtId"): e.get("formatCode", "") for e in found if e[""] == "numFmt"}
        shown, inside = [], False
        for e in found:
            if e[""] == "xf" and inside:
                id_ = e.get("numFmtId", "0")
                shown.append(shows(int(id_) if id_.isdecimal() else 0, codes.get(id_, "")))
            elif e[""] != "numFmt":
                inside = e[""] == "cellXfs"
        return cls(shown, epoch_1904)

    def cell(self, text: str, style: str | None) -> Cell:
        """A stored number as text, by the style of its cell."""
        shown = self.of(style) if style else "n"
        seen = self._seen[shown]
        if text not in seen:
            if len(seen) > _REMEMBERED:
                seen.clear()
            seen[text] = number(text) if shown == "n" else moment(text, shown, self.epoch_1904)
        return seen[text]

    def of(self, style: str) -> str:
        place = int(style) if style.isdecimal() else -1
        return self.shown[place] if 0 <= place < len(self.shown) else "n"


class _EnoughError(Exception):
    """The rows that were asked for are on the tape."""


class _SheetParser:
    """One sheet's XML onto its tape (18.3.1: sheetData, row, c; then mergeCells, legacy comments by relationship).

    Rows written the usual way are taken apart by one expression, which costs a third of expat's calls; any other
    row, and all around the rows, goes to expat.
    """

    def __init__(self, sheet: Sheet, strings: Strings, styles: Styles, place: Place, last: int = _LAST_ROW) -> None:
        self._last = last
        self.sheet, self._strings, self._styles, self._place = sheet, strings, styles, place
        self._letters: dict[str, int] = {}
        self._hidden: list[tuple[int, int]] = []  # columns
        self._in_hidden: set[int] = set()
        self._number = 0
        self._row_hidden = False
        self._row_text = ""
        self._columns: list[int] = []
        self._values: list[str] = []
        self._kinds: list[str] = []
        self._seen: dict[str, Cell] = {}

    def parse(self, package: Package, name: str) -> None:
        with package.part(name) as stream:
            try:
                self._parse(stream)
            except _EnoughError:
                return
            except (expat.ExpatError, UnicodeDecodeError) as error:
                raise damaged(self._place, _xml_problem(error)) from None
        self.sheet.hidden_columns = len(self._in_hidden)
        for kind, part in package.related(name).values():
            if kind in ("comments", "threadedComment") and package.has(part):
                local = "comment" if kind == "comments" else "threadedComment"
                self.sheet.comments += len(package.elements(part, local))

    def _parse(self, stream: BinaryIO) -> None:
        parser, head, rest = fed(self._handlers), b"", b""
        while len(head) < _HEAD and (data := stream.read(_READ)):
            head += data
            if _ROWS in head:
                head, _, rest = head.partition(_ROWS)
                head += _ROWS
                break
        parse(parser, head)
        if head.endswith(_ROWS) and _UTF8.match(head):
            rest = self._fast_rows(parser, rest, stream)
        parse(parser, rest)
        while data := stream.read(_READ):
            parse(parser, data)
        parse(parser, b"", True)

    # -- rows as programs write them ------------------------------------------------------------------

    def _fast_rows(self, parser: Any, rest: bytes, stream: BinaryIO) -> bytes:
        """The rows up to the end of sheetData; the bytes that follow."""
        while _ROWS_END not in rest and self._number < self._last:
            whole, ended, rest = rest.rpartition(_ROW_END)
            if ended:
                self._pieces(parser, whole)
            data = stream.read(_READ)
            if not data or len(rest) > _HEAD * 16:
                return rest + data
            rest += data
        if self._number >= self._last:
            raise _EnoughError
        rows, end, rest = rest.partition(_ROWS_END)
        whole, ended, left = rows.rpartition(_ROW_END)
        if ended:
            self._pieces(parser, whole)
        return left + end + rest

    def _pieces(self, parser: Any, rows: bytes) -> None:
        text = rows.decode("utf-8")
        usual = _NO_XML.search(text) is None
        for piece in text.split("</row>"):
            if not (usual and self._fast_row(piece)):
                parser.Parse(piece.encode() + _ROW_END, False)

    def _fast_row(self, piece: str) -> bool:
        """Take one row (without its end tag); False when anything in it is unusual."""
        start = _ROW.match(piece)
        if start is None:
            return False
        body = piece[start.end() :]
        found = _CELL.findall(body)
        if len(found) != body.count("<c ") or _tags(body) != body.count("<"):
            return False
        if "&" in body and _STRANGE.search(body):
            return False
        self._start_row({"r": start[1], "hidden": "1" if 'hidden="1"' in start[2] else ""})
        seen, letters = self._seen.get, self._letters
        cells = [seen(rest) or self._remember(rest) for _, rest in found]
        try:
            columns = [letters[name] for name, _ in found]
        except KeyError:
            columns = [self._column(name) for name, _ in found]
        self._filled_row(columns, cells)
        return True

    def _filled_row(self, columns: list[int], cells: list[Cell]) -> None:
        """Cells with their columns, blank ones among them, as a row."""
        kinds = "".join([cell[1] for cell in cells])
        if columns == _COUNTED[: len(columns)] and not kinds.endswith(" "):
            self._check_order(columns)
            self._put(TapeRow(self._number, [cell[0] for cell in cells], kinds), columns, len(kinds) - kinds.count(" "))
            return
        for column, (text, kind) in zip(columns, cells, strict=True):
            if kind != " ":
                self._columns.append(column)
                self._values.append(text)
                self._kinds.append(kind)
        self._end_row()

    def _remember(self, rest: str) -> Cell:
        """What stands behind the reference of a cell, as text and kind."""
        if len(self._seen) > _REMEMBERED:
            self._seen.clear()
        found = _REST.fullmatch(rest)
        assert found is not None  # _CELL matched it
        style, type_, formula, value, inline = found.groups("")
        text = unescape(value or inline) if "&" in rest else value or inline
        cell = _NOTHING
        if formula:
            cell = self._result(type_, style, text, found[4] is not None)
        elif text:
            cell = self._plain(type_, style, text)
        self._seen[rest] = cell
        return cell

    def _handlers(self, parser: Any, prefix: str) -> None:
        cell, row, value, formula, text, phonetic = (prefix + n for n in ("c", "row", "v", "f", "t", "rPh"))
        others = {row: self._start_row, prefix + "mergeCell": self._merge, prefix + "col": self._column_width}
        parts: list[str] = []
        attributes: dict[str, str] = {}
        taking = has_formula = has_value = aloud = False

        def start(name: str, found: dict[str, str]) -> None:
            nonlocal attributes, taking, has_formula, has_value, aloud
            if name == cell:
                attributes = found
                has_formula = has_value = False
                parts.clear()
            elif name == value:
                taking = has_value = True
            elif name == text:
                taking = not aloud
            elif name == formula:
                has_formula = True
            elif name == phonetic:
                aloud = True
            elif name in others:
                others[name](found)

        def end(name: str) -> None:
            nonlocal taking, aloud
            if name in (value, text):
                taking = False
            elif name == cell:
                self._cell(attributes, "".join(parts), has_formula, has_value)
            elif name == row:
                self._end_row()
            elif name == phonetic:
                aloud = False

        def characters(data: str) -> None:
            if taking:
                parts.append(data)

        parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters

    # -- rows -----------------------------------------------------------------------------------------

    def _start_row(self, found: dict[str, str]) -> None:
        stated = found.get("r", "")
        number = int(stated) if stated.isdecimal() else self._number + 1
        if not self._number < number <= _LAST_ROW:
            raise damaged(self._place, f"the rows of sheet {self.sheet.number} are out of order")
        self._number, self._at = number, -1
        self._row_text = str(number)
        self._row_hidden = found.get("hidden") in ("1", "true")

    def _end_row(self) -> None:
        if not self._columns:
            return
        self._check_order(self._columns)
        self._put(dense(self._number, self._columns, self._values, self._kinds), self._columns, len(self._columns))
        self._columns, self._values, self._kinds = [], [], []

    def _check_order(self, columns: list[int]) -> None:
        if columns[-1] >= _LAST_COLUMN or any(map(ge, columns, columns[1:])):
            raise damaged(self._place, f"the cells of sheet {self.sheet.number} are out of order")

    def _put(self, row: TapeRow, columns: list[int], cells: int) -> None:
        self.sheet.rows.add(row)
        self.sheet.cells += cells
        self.sheet.hidden_rows += self._row_hidden
        if self._hidden:
            self._in_hidden |= {c for c in columns if any(a <= c <= b for a, b in self._hidden)}

    # -- cells ----------------------------------------------------------------------------------------

    def _cell(self, attributes: dict[str, str], text: str, formula: bool, has_value: bool) -> None:
        column = self._column(attributes.get("r"))
        type_, style = attributes.get("t", ""), attributes.get("s", "")
        if formula:
            value, kind = self._result(type_, style, text, has_value)
        elif text:
            value, kind = self._plain(type_, style, text)
        else:
            return
        if kind != " ":
            self._columns.append(column)
            self._values.append(value)
            self._kinds.append(kind)

    def _result(self, type_: str, style: str, text: str, has_value: bool) -> Cell:
        """The value that was kept beside a formula; u when none was (an empty text is one)."""
        if not text:
            return ("", " ") if type_ == "str" and has_value else (REFUSED, "u")
        value, kind = self._plain(type_, style, text)
        return value, kind.upper()

    def _plain(self, type_: str, style: str, text: str) -> Cell:
        """18.18.11 ST_CellType: s shared text, inlineStr and str text, b, e, d ISO date, n number."""
        if type_ in ("", "n"):
            return self._styles.cell(text, style)
        if type_ == "s":
            return self._shared(text)
        if type_ in ("inlineStr", "str"):
            return cleaned(text)
        if type_ == "b":
            return ("TRUE" if text.strip() in ("1", "true") else "FALSE"), "b"
        return iso(text) if type_ == "d" else NO_NUMBER

    def _shared(self, text: str) -> Cell:
        try:
            return self._strings[int(text)]
        except (ValueError, IndexError):
            raise damaged(self._place, f"a cell of sheet {self.sheet.number} names a text that is not there") from None

    def _column(self, ref: str | None) -> int:
        """0-based, of a reference such as AB12; without one, the cell after the last."""
        if ref is None:
            self._at += 1
            return self._at
        letters = ref.removesuffix(self._row_text)
        found = self._letters.get(letters)
        if found is None:
            found = self._letters[letters] = self._new_letters(letters)
        self._at = found
        return found

    def _new_letters(self, letters: str) -> int:
        if not (letters.isascii() and letters.isalpha() and len(letters) <= 3):
            raise damaged(self._place, f"a cell of sheet {self.sheet.number} stands nowhere")
        return column_number(letters)

    # -- what is beside the cells -----------------------------------------------------------------------

    def _merge(self, found: dict[str, str]) -> None:
        ends = [_REF.fullmatch(part) for part in found.get("ref", "").split(":")]
        if len(ends) == 2 and ends[0] and ends[1]:
            (a, b), (c, d) = ends[0].groups(), ends[1].groups()
            self.sheet.merges.append((int(b), column_number(a), int(d), column_number(c)))

    def _column_width(self, found: dict[str, str]) -> None:
        if found.get("hidden") in ("1", "true"):
            first, last = found.get("min", ""), found.get("max", "")
            if first.isdecimal() and last.isdecimal():
                self._hidden.append((int(first) - 1, min(int(last), _LAST_COLUMN) - 1))


def unescape(text: str) -> str:
    """The five entities of XML, and characters by number."""
    text = re.sub("&#(x?)([0-9A-Fa-f]+);", lambda m: chr(min(int(m[2], 16 if m[1] else 10), 0x10FFFF)), text)
    return _unescape(text, {"&quot;": '"', "&apos;": "'"})


def _tags(body: str) -> int:
    """How many tags a row has that _CELL knows: one more means that something else stands in it."""
    n = 2 * body.count("<c ") - body.count("/>") + 2 * body.count("<v>")
    if "<f" in body:
        n += 2 * (body.count("<f>") + body.count("<f "))
    return n + 4 * body.count("<is>") if "<is>" in body else n


def column_number(letters: str) -> int:
    """A -> 0, Z -> 25, AA -> 26."""
    n = 0
    for letter in letters.upper():
        n = 26 * n + ord(letter) - 64
    return n - 1
