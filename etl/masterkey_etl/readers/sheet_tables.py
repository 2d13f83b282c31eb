"""Tables in whatever they come: text, JSON rows, a workbook. The content decides; no file name is looked at.

An .xls that is really HTML, or text with other delimiters than the source model's, is read and told.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.header import header_key, header_keys
from masterkey_etl.ledger import IndependentCount, Ledger
from masterkey_etl.readers import flat_json, limits
from masterkey_etl.readers.delimited import Readable, Reading
from masterkey_etl.readers.recognise import ENOUGH, Recognition, best, recognise_header
from masterkey_etl.readers.rows import Rows
from masterkey_etl.readers.sheet_book import book_form, head_of, open_book, part_of
from masterkey_etl.readers.sheet_count import count_book
from masterkey_etl.readers.sheet_layout import Headers
from masterkey_etl.readers.sheet_reading import SheetReading
from masterkey_etl.readers.sheet_tape import Book, Sheet, TapeRow
from masterkey_etl.readers.text import marked
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_fhir.issue import Issue, Place

DELIMITERS = (",", "\t", ";", "|")
TABLES = ("delimited", "sheet")
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars"}
_LOOKED_AT = 200  # rows of a sheet in which a header is looked for
_HEAD = 1 << 16


def read(
    source: Readable,
    model: SourceModel,
    ledger: Ledger,
    tell: Callable[[Issue], None] | None = None,
    *,
    year_limit: int | None = None,
) -> Reading:
    """A table in any form. Raises ContainerError when a workbook can't be opened."""
    if book_form(head_of(source)):
        return SheetReading(source, model, ledger, tell, year_limit=year_limit)
    if flat_json.is_rows(source):
        return flat_json.read(source, model, ledger, tell, year_limit=year_limit)
    delimiter = _delimiter_of(_text_head(source), model)
    reading = Reading(source, with_delimiter(model, delimiter), ledger, tell, year_limit=year_limit)
    if delimiter != model.delimiter:
        reading.notes.tell("etl.sheet-text", found=_said(delimiter), expected=_said(model.delimiter))
    return reading


def as_written(source: Readable, model: SourceModel) -> bool:
    """Is it text, parted as the model says? Else its rows are found through `read` alone."""
    head = _text_head(source)
    return not (book_form(head) or flat_json.is_rows(source)) and _delimiter_of(head, model) == model.delimiter


def count(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """What other parsers find in the same bytes."""
    buffered: io.BufferedReader[Any] = io.BufferedReader(stream, _HEAD)
    try:
        head = buffered.peek(_HEAD)[:_HEAD]
        if book_form(head):
            return count_book(buffered, model)
        return flat_json.count(buffered, with_delimiter(model, _delimiter_of(head, model)))
    finally:
        if not buffered.closed:
            buffered.detach()  # the stream stays the caller's


def recognitions(source: Readable, overlay: Path | None = None) -> list[Recognition]:
    """How well each source model of a table fits, best first."""
    if book_form(head_of(source)):
        models = [m for m in known_models(overlay) if m.kind in TABLES]
        with closing(open_book(source, Place(), rows=_LOOKED_AT)) as book:
            return of_book(book, [m for m in models if m.format == part_of(source)] or models)
    found = flat_json.recognitions(source, overlay)
    if (found and found[0].score >= ENOUGH) or flat_json.is_rows(source):
        return found
    models = [m for m in known_models(overlay) if m.kind in TABLES]
    return best([*found, *_otherwise_parted(source, models)])


def parts_of(source: Readable, overlay: Path | None = None) -> list[str]:
    """The formats whose tables stand in a workbook, when they are several: each is read as a delivery of its own."""
    models = [m for m in known_models(overlay) if m.kind in TABLES]
    best_at: dict[tuple[int, int, int], Recognition] = {}  # sheet, row, first column of a header -> what it fits best
    with closing(open_book(source, Place(), rows=_LOOKED_AT)) as book:
        for sheet in book.sheets:
            for row, at, found in _headers(sheet, models):
                place = (sheet.number, row, at)
                if place not in best_at or found.score > best_at[place].score:
                    best_at[place] = found
    fitting = {r.model.partition("/")[0] for r in best_at.values() if r.score >= ENOUGH}
    return sorted(fitting) if len(fitting) > 1 else []


def _headers(sheet: Sheet, models: Sequence[SourceModel]) -> Iterator[tuple[int, int, Recognition]]:
    """(row, first column, fit) of each header in the first rows of a sheet, for each model."""
    headers = Headers(models)
    rows = list(islice(sheet.rows.rows(), _LOOKED_AT))
    for n, row in enumerate(rows):
        if headers.may_begin(row.texts()):
            for model in models:
                yield from _fits(rows[n : n + headers.depth], model)


def of_book(book: Book, models: Sequence[SourceModel]) -> list[Recognition]:
    """How well the tables of a workbook fit these models."""
    headers = Headers(models)
    found: list[Recognition] = []
    for sheet in book.sheets:
        rows = list(islice(sheet.rows.rows(), _LOOKED_AT))
        for n, row in enumerate(rows):
            if headers.may_begin(row.texts()):
                found += _of_row(rows[n : n + headers.depth], headers, models)
    return best(found)


def _of_row(rows: Sequence[TapeRow], headers: Headers, models: Sequence[SourceModel]) -> Iterator[Recognition]:
    """Of a header that begins in the first of these rows; a row that is no whole header gives the nearest fit."""
    for model in models:
        yield from (found for _, _, found in _fits(rows, model))
    yield from recognise_header([t for t in rows[0].texts() if t], models)


def _fits(rows: Sequence[TapeRow], model: SourceModel) -> Iterator[tuple[int, int, Recognition]]:
    """The headers of one model that begin in the first of these rows."""
    keys = header_keys(model)
    for table in Headers([model]).tables([(r.number, r.texts()) for r in rows], {}):
        here = {keys[k] for k in map(header_key, table.names) if k in keys}
        yield table.header, table.first, Recognition(model.id, len(here), len(model.columns), len(table.names))


def with_delimiter(model: SourceModel, delimiter: str) -> SourceModel:
    return model if delimiter == model.delimiter else model.model_copy(update={"delimiter": delimiter})


def _text_head(source: Readable) -> bytes:
    with source.open() as stream:
        return stream.read(_HEAD)


def _delimiter_of(head: bytes, model: SourceModel) -> str:
    """The model's own, unless the first lines show its header only when parted otherwise."""
    keys = header_keys(model)
    for encoding in (*marked(head[:4]), *model.encoding):
        lines = head.decode(encoding, "replace").splitlines()[: limits.HEADER_ROWS]
        for delimiter in dict.fromkeys((model.delimiter, *DELIMITERS)):
            for line in lines:
                names = {header_key(part.strip('"')) for part in line[: 1 << 20].split(delimiter)}
                if 2 * len({keys[n] for n in names if n in keys}) >= len(model.columns) > 1:
                    return delimiter
    return model.delimiter


def _otherwise_parted(source: Readable, models: Sequence[SourceModel]) -> Iterator[Recognition]:
    mark = marked(head_of(source)[:4])
    for encoding in dict.fromkeys((*mark, *(e for m in models for e in m.encoding))):
        for delimiter in DELIMITERS:
            with closing(Rows(source.open(), encoding, delimiter)) as rows:
                headers = [row.fields for row in islice(rows, limits.HEADER_ROWS)]
            asked = [m for m in models if encoding in (*mark, *m.encoding)]
            for header in headers:
                yield from recognise_header(header, asked)


def _said(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


__all__ = ["DELIMITERS", "TABLES", "as_written", "count", "of_book", "parts_of", "read", "recognitions"]
