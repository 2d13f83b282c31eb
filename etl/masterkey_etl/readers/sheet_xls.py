"""XLS (BIFF, [MS-XLS]) by xlrd, sheet by sheet onto tapes. Such a file holds at most 65,536 x 256 cells a sheet."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.readers import limits
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.readers.sheet_numbers import Cell, moment, number, shows
from masterkey_etl.readers.sheet_strings import cleaned
from masterkey_etl.readers.sheet_tape import Book, Sheet, Tape, dense
from masterkey_etl.readers.sheet_zip import ContainerError
from masterkey_fhir.issue import Place, issue

_STATES = {0: "visible", 1: "hidden", 2: "veryHidden"}
_FORMULA, _BOUNDSHEET, _BOF = 0x0006, 0x0085, 0x0809  # [MS-XLS] 2.4.127, 2.4.28, 2.4.21
_OTHERS = (("WordDocument", "a Word document"), ("PowerPoint Document", "a PowerPoint presentation"))
_BROKEN = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    NameError,
    NotImplementedError,
    EOFError,
    MemoryError,
    struct.error,
)  # what xlrd raises on files that were changed


def parse_xls(stream: BinaryIO, place: Place, scratch: Path | None) -> Book:
    """A workbook from a stream. Raises ContainerError: etl.workbook-damaged, -encrypted, -other, -large."""
    import xlrd

    data = bounded(stream, place)
    refuse_other(data, place)
    broken = (*_BROKEN, xlrd.XLRDError, xlrd.compdoc.CompDocError)
    try:
        found = xlrd.open_workbook(file_contents=data, formatting_info=True, on_demand=True, logfile=StringIO())
        formulas = _formulas(data)
        book = Book("xls", macros=_named(data, "_VBA_PROJECT_CUR"), epoch_1904=found.datemode == 1)
        for n in range(found.nsheets):
            book.sheets.append(_sheet(found, n, Tape(scratch), formulas.get(n, set())))
            found.unload_sheet(n)
    except broken as error:
        if "encrypted" in str(error).casefold():
            raise ContainerError(issue("etl.workbook-encrypted", place)) from None
        raise ContainerError(issue("etl.workbook-damaged", place, problem="bytes changed, or it ends early")) from None
    return book


def bounded(stream: BinaryIO, place: Place) -> bytes:
    data = stream.read(limits.XLS_BYTES + 1)
    if len(data) > limits.XLS_BYTES:
        raise ContainerError(issue("etl.workbook-large", place, limit=limits.XLS_BYTES >> 20))
    return data


def refuse_other(data: bytes, place: Place) -> None:
    """An OLE2 file may be anything of that age, or an encrypted XLSX ([MS-OFFCRYPTO] 2.3.4.4)."""
    if _named(data, "EncryptedPackage"):
        raise ContainerError(issue("etl.workbook-encrypted", place))
    for stream_name, what in _OTHERS:
        if _named(data, stream_name) and not _named(data, "Workbook"):
            raise ContainerError(issue("etl.workbook-other", place, what=what))


def _named(data: bytes, stream_name: str) -> bool:
    return stream_name.encode("utf-16-le") in data


def _sheet(book: Any, n: int, tape: Tape, formulas: set[tuple[int, int]]) -> Sheet:
    found = book.sheet_by_index(n)
    sheet = Sheet(n + 1, found.name, _STATES.get(found.visibility, "hidden"), tape)
    sheet.comments = len(found.cell_note_map)
    sheet.merges = [(a + 1, c, b, d - 1) for a, b, c, d in found.merged_cells]
    hidden = {c for c, info in found.colinfo_map.items() if info.hidden}
    seen: set[int] = set()
    for r in range(found.nrows):
        cells = list(_cells(book, found, r, formulas))
        if not cells:
            continue
        columns, values, kinds = (list(part) for part in zip(*cells, strict=True))
        tape.add(dense(r + 1, columns, values, kinds))
        sheet.cells += len(columns)
        sheet.hidden_rows += r in found.rowinfo_map and bool(found.rowinfo_map[r].hidden)
        seen.update(hidden.intersection(columns))
    sheet.hidden_columns = len(seen)
    return sheet


def _cells(book: Any, sheet: Any, row: int, formulas: set[tuple[int, int]]) -> Iterator[tuple[int, str, str]]:
    """(column, text, kind) of the cells that are not blank."""
    types, values, formats = sheet.row_types(row), sheet.row_values(row), sheet._cell_xf_indexes[row]
    for column, type_ in enumerate(types):
        if type_ in (0, 6):
            continue
        text, kind = _cell(book, type_, values[column], formats[column])
        if kind != " ":
            yield column, text, kind.upper() if (row, column) in formulas else kind


def _cell(book: Any, type_: int, value: Any, style: int) -> Cell:
    """xlrd's types: 1 text, 2 number, 3 date, 4 boolean, 5 error."""
    if type_ == 1:
        return cleaned(value)
    if type_ == 4:
        return "TRUE" if value else "FALSE", "b"
    if type_ == 5:
        return REFUSED, "e"
    key = book.xf_list[style].format_key
    shown = shows(key, book.format_map[key].format_str if key in book.format_map else "")
    text = repr(value)
    return number(text) if shown == "n" else moment(text, shown, book.datemode == 1)


def _formulas(data: bytes) -> dict[int, set[tuple[int, int]]]:
    """Where formulas stand, by sheet: xlrd gives their values only, so the records are looked through once."""
    from xlrd.compdoc import CompDoc

    memory, base, size = CompDoc(data, logfile=StringIO()).locate_named_stream("Workbook")
    starts: list[int] = []
    found: dict[int, set[tuple[int, int]]] = {}
    at, sheet, records = base, -1, 0
    while memory is not None and at + 4 <= base + size:
        kind, length = struct.unpack_from("<HH", memory, at)
        if kind == _BOUNDSHEET:
            starts.append(struct.unpack_from("<L", memory, at + 4)[0])
        elif kind == _BOF and at - base in starts:
            sheet = starts.index(at - base)
        elif kind == _FORMULA and length >= 4:
            found.setdefault(sheet, set()).add(struct.unpack_from("<HH", memory, at + 4))
        at, records = at + 4 + length, records + 1
    return found
