"""A filled registry workbook as one CSV per sheet, each a delivery of its own.

Which part a sheet is, its first row decides; sheets that are none (guide, code lists) are left out. Rows keep their
numbers, so that an Issue names the row the site sees.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, BinaryIO

from masterkey_etl.readers.recognise import ENOUGH, recognise_header
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_etl.templates_out.shipped import WORKBOOK

ZIP = b"PK\x03\x04"


def is_registry_workbook(stream: BinaryIO) -> bool:
    """Is this an XLSX in which a sheet of the registry workbook stands? Anything else, damaged files too, is not."""
    if stream.read(4) != ZIP:
        return False
    stream.seek(0)
    return any(True for _ in _parts(stream))


def members(stream: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """(part, CSV) of each sheet that holds rows, in the order of the form: patients first."""
    found = {name: list(rows) for name, rows in _parts(stream)}
    for model in _models():
        rows = found.get(model.revision, [])
        if any(any(cells) for cells in rows[1:]):
            yield model.revision, _csv(rows)


def _models() -> list[SourceModel]:
    """The sheets' models in the order of the form."""
    from masterkey_etl.templates_out.form import form

    order = [p.name for p in form().parts]
    models = [m for m in known_models() if m.format == WORKBOOK]
    return sorted(models, key=lambda m: order.index(m.revision))


def _parts(stream: BinaryIO) -> Iterator[tuple[str, Iterator[list[str]]]]:
    import zipfile
    from xml.parsers.expat import ExpatError

    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    broken = (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError, EOFError, ExpatError)
    try:
        book = load_workbook(stream, read_only=True, data_only=True)
    except broken:
        return  # no workbook that can be opened: the readers of workbooks say what is wrong with it
    models = _models()
    try:
        for sheet in book.worksheets:
            rows = _rows(sheet)
            first = next(rows, [])
            fits = recognise_header([c for c in first if c], models)
            if fits and fits[0].score >= ENOUGH:
                yield fits[0].model.partition("/")[2], _again(first, rows)
    finally:
        book.close()


def _again(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _rows(sheet: Any) -> Iterator[list[str]]:
    for cells in sheet.iter_rows(values_only=True):
        yield [text_of(value) for value in cells]


def text_of(value: Any) -> str:
    """A cell as the text a person would type."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")
    return str(value)


def _csv(rows: list[list[str]]) -> bytes:
    """All rows in the width of the header; blank rows keep their place as long as they stand between others."""
    width = max((n for n, text in enumerate(rows[0], 1) if text), default=0)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for cells in _without_blank_end(rows):
        writer.writerow(_fitted(cells, width))
    return out.getvalue().encode("utf-8", "replace")


def _without_blank_end(rows: list[list[str]]) -> list[list[str]]:
    last = max(n for n, cells in enumerate(rows) if any(cells))
    return rows[: last + 1]


def _fitted(cells: list[str], width: int) -> list[str]:
    """A row that goes on behind the header stays longer, so that the reader refuses and tells it."""
    end = max((n for n, text in enumerate(cells, 1) if text), default=0)
    return [*cells[: max(width, end)], *[""] * (width - len(cells))]


__all__ = ["is_registry_workbook", "members", "text_of"]
