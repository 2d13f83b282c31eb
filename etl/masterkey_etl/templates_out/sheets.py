"""A filled registry workbook as one CSV per sheet, each a delivery of its own: `registry.xlsx!line`.

Which part a sheet is, its first row decides; sheets that are none (guide, code lists) are left out. Rows keep their
numbers, so that an Issue names the row the site sees.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.header import header_key
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.recognise import ENOUGH, is_office, recognise_header
from masterkey_etl.readers.sheet_book import book_form, head_of, open_book
from masterkey_etl.readers.sheet_scratch import seekable
from masterkey_etl.readers.sheet_tape import Sheet
from masterkey_etl.readers.sheet_zip import ContainerError
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_etl.templates_out.form import form
from masterkey_etl.templates_out.shipped import WORKBOOK
from masterkey_fhir.issue import Place

_LOOKED_AT = 3  # rows of each sheet that tell whether it is a registry workbook
_UNREADABLE = {"e": "#ERROR", "u": "#FORMULA", "x": "#DIGITS"}  # what no column accepts: told by the reader


Parts = list[tuple[str, bytes]]


def split(stream: BinaryIO, head: bytes, scratch: Path | None) -> tuple[Parts | None, BinaryIO]:
    """The sheets of a registry workbook, None for any other file; and the stream from its beginning.

    A stream that can't seek is copied into scratch when it may be a workbook.
    """
    if not is_office(head):
        return None, stream
    copy = seekable(stream, scratch)
    book = _Held(copy, scratch)
    parts = list(members(book)) if is_registry_workbook(book) else None
    copy.seek(0)
    return parts, copy


@dataclass(frozen=True)
class _Held:
    """A stream that is read several times and stays open."""

    stream: BinaryIO
    scratch: Path | None

    def open(self) -> BinaryIO:
        self.stream.seek(0)
        return io.BufferedReader(_Lent(self.stream))

    def pseudonym(self, *key: str) -> str:
        return ""  # no record is named while a workbook is split


class _Lent(io.RawIOBase):
    """Closing it leaves the stream open."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def is_registry_workbook(source: Readable) -> bool:
    """Is this a workbook with a sheet of the template? One that can't be opened is not: its reader says why."""
    if not book_form(head_of(source)):
        return False
    try:
        return any(True for _ in _parts(source, _LOOKED_AT))
    except ContainerError:
        return False


def members(source: Readable) -> Iterator[tuple[str, bytes]]:
    """(part, CSV) of each sheet that holds rows, in the order of the form: patients first.

    Raises ContainerError when the workbook can't be opened.
    """
    found = dict(_parts(source))
    for model in _models():
        if len(rows := found.get(model.revision, [])) > 1:
            yield model.revision, _csv(rows)


def _models() -> list[SourceModel]:
    """The sheets' models in the order of the form."""
    order = [p.name for p in form().parts]
    models = [m for m in known_models() if m.format == WORKBOOK]
    return sorted(models, key=lambda m: order.index(m.revision))


def _parts(source: Readable, rows: int = 0) -> Iterator[tuple[str, list[list[str]]]]:
    """Of each sheet of the template: its part and its rows; `rows`: only so many of each sheet."""
    models = _models()
    with closing(open_book(source, Place(), rows=rows)) as book:
        for sheet in book.sheets:
            first = next(sheet.rows.rows(), None)
            fits = recognise_header([t for t in first.texts() if t], models) if first and first.number == 1 else []
            if fits and fits[0].score >= ENOUGH:
                yield fits[0].model.partition("/")[2], _rows(sheet)


def _rows(sheet: Sheet) -> list[list[str]]:
    """The rows from the first to the last that is not blank, each at its place."""
    out: list[list[str]] = []
    for row in sheet.rows.rows():
        out += [[] for _ in range(row.number - 1 - len(out))]
        values, kinds = row.span(0, row.columns[-1] if row.columns else len(row.values) - 1)
        out.append([_UNREADABLE.get(k.lower(), v) for v, k in zip(values, kinds, strict=True)])
    while out and not any(out[-1]):
        out.pop()
    return out


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    """All rows in the width of the header; one that goes on behind it stays longer, so that the reader tells it."""
    width = max(n for n, text in enumerate(rows[0], 1) if header_key(text))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for cells in rows:
        end = max((n for n, text in enumerate(cells, 1) if text), default=0)
        writer.writerow([*cells[: max(width, end)], *[""] * (width - len(cells))])
    return out.getvalue().encode("utf-8", "replace")


__all__ = ["is_registry_workbook", "members", "split"]
