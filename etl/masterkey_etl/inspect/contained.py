"""Files inside files: gzip, zip members, sheets of a workbook."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from masterkey_etl.inspect.inspection import Inspection, inspect_source, profile
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.readers import limits
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.sheet_book import open_book
from masterkey_etl.readers.sheet_tape import Book, Sheet
from masterkey_etl.readers.sheet_zip import ContainerError
from masterkey_fhir.issue import Place

MEMBERS = 50
EXPANDED = 200  # times its packed size a member may grow, beyond the first 64 MB


@dataclass(frozen=True)
class Opened:
    """What a way of opening gives, as something that can be read."""

    how: object
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return cast("BinaryIO", self.how())  # type: ignore[operator]

    def pseudonym(self, *key: str) -> str:
        return f"{hash(key) & 0xFFFFFFFFFFFF:012x}"


def contained(source: Readable, name: str, box: Guess, overlay: Path | None, rows: int) -> list[Inspection]:
    """The container itself, then what could be opened in it."""
    whole = Inspection(name, box, Guess(box.what, box.confidence, box.evidence))
    opener = {"gzip": _gzip, "zip": _zip, "xlsx": _sheets, "xls": _sheets, "html": _sheets}[box.what]
    try:
        return [whole, *opener(source, name, whole, overlay, rows)]
    except ContainerError as error:
        whole.notes += [i.fact() for i in error.issues]
        return [whole]
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        whole.notes.append("it can't be opened: cut off, damaged or under a password")
        return [whole]


def _gzip(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    inner = Opened(lambda: _gunzip(source))
    yield from inspect_source(inner, f"{name}!{name.removesuffix('.gz')}", overlay=overlay, rows=rows)


def _zip(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    with source.open() as stream, zipfile.ZipFile(stream) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
    whole.members = [f"{m.filename} ({m.file_size:,} bytes)" for m in members[:MEMBERS]]
    for m in members[:MEMBERS]:
        if m.file_size > max(64 << 20, EXPANDED * m.compress_size):
            whole.notes.append(f"{m.filename} grows {m.file_size // max(1, m.compress_size)} times: not opened")
        else:
            inner = Opened(lambda m=m: _member(source, m))
            yield from inspect_source(inner, f"{name}!{m.filename}", overlay=overlay, rows=rows)


def _gunzip(source: Readable) -> BinaryIO:
    packed = source.open()
    return _Owning(gzip.GzipFile(fileobj=packed), packed)


def _member(source: Readable, member: zipfile.ZipInfo) -> BinaryIO:
    packed = source.open()
    archive = zipfile.ZipFile(packed)
    return _Owning(archive.open(member), archive, packed)


class _Owning(io.BufferedReader):
    """A stream that closes what it was opened from."""

    def __init__(self, stream: Any, *owners: Any) -> None:
        super().__init__(stream)
        self._owners = owners

    def close(self) -> None:
        super().close()
        for owner in self._owners:
            owner.close()


def _sheets(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    """Each sheet with cells as a table of its own; sheets are named by number, their names may be anything."""
    with closing(open_book(source, Place(file=name), rows=rows + limits.HEADER_ROWS + 1)) as book:
        whole.notes += _of_book(book)
        for sheet in book.sheets:
            if sheet.cells:
                found = Inspection(f"{name}!sheet {sheet.number}", whole.container, whole.kind, sheet=str(sheet.number))
                found.notes += _of_sheet(sheet)
                profile(found, SheetTable(sheet), overlay, rows)
                yield found


def _of_book(book: Book) -> Iterator[str]:
    yield f"{len(book.sheets)} sheets, {sum(s.cells > 0 for s in book.sheets)} of them with cells"
    if book.epoch_1904:
        yield "its dates count from 1904"
    if book.macros:
        yield "it has macros; they are never run"


def _of_sheet(sheet: Sheet) -> Iterator[str]:
    if sheet.state != "visible":
        yield "the sheet is hidden"
    counts = {"hidden rows": sheet.hidden_rows, "hidden columns": sheet.hidden_columns, "comments": sheet.comments}
    yield from (f"{n} {what}" for what, n in {**counts, "merged ranges": len(sheet.merges)}.items() if n)
    kinds = Counter(k for row in islice(sheet.rows.rows(), 1000) for k in row.kinds)
    formulas = sum(n for k, n in kinds.items() if k.isupper())
    for what, n in (
        ("formulas", formulas),
        ("errors", kinds["e"] + kinds["E"]),
        ("dates of the spreadsheet", kinds["d"]),
    ):
        if n:
            yield f"{n} cells of the first 1,000 rows are {what}"
    if kinds["x"]:
        yield f"{kinds['x']} numbers have lost digits in the spreadsheet"


@dataclass(frozen=True)
class SheetTable:
    """The rows of a sheet as texts."""

    sheet: Sheet

    def rows(self) -> Iterator[list[str]]:
        return (texts for row in self.sheet.rows.rows() if any(texts := row.texts()))
