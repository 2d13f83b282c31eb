"""Rows to CSV, NDJSON or Parquet, one batch in memory at a time."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import IO, Any

from masterkey_fhir import json
from masterkey_fhir.views.select import Column

Row = tuple[Any, ...]
_BATCH = 10_000
_FORMULA = re.compile(r"[=+@\t\r]|-(?![0-9.]+$)")  # a negative number is none


def write(columns: tuple[Column, ...], rows: Iterable[Row], to: str, out: IO[bytes] | Path) -> int:
    """Writes `to` = csv | ndjson | parquet; gives the number of rows. Raises KeyError for another format.

    CSV (RFC 4180, UTF-8): NULL is an empty field, lists and objects are JSON; a text that a spreadsheet would take
    for a formula gets an apostrophe in front. Parquet: decimals as text, so that their digits stay.
    """
    writer = FORMATS[to]
    if isinstance(out, Path):
        with out.open("wb") as file:
            return writer(columns, rows, file)
    return writer(columns, rows, out)


def _csv(columns: tuple[Column, ...], rows: Iterable[Row], out: IO[bytes]) -> int:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow([c.name for c in columns])
    n = 0
    for n, row in enumerate(rows, 1):  # noqa: B007  (the count is the result)
        writer.writerow([_field(v) for v in row])
    text.detach()
    return n


def _field(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        return f"'{value}" if _FORMULA.match(value) else value
    return json.dumps(value).decode() if isinstance(value, dict | list) else value


def _ndjson(columns: tuple[Column, ...], rows: Iterable[Row], out: IO[bytes]) -> int:
    names = [c.name for c in columns]
    n = 0
    for n, row in enumerate(rows, 1):  # noqa: B007
        out.write(json.dumps(dict(zip(names, row, strict=True))) + b"\n")
    return n


def _parquet(columns: tuple[Column, ...], rows: Iterable[Row], out: IO[bytes]) -> int:
    import pyarrow
    from pyarrow import parquet

    schema = pyarrow.schema([(c.name, _arrow_type(c, pyarrow)) for c in columns])
    convert = [_converter(c) for c in columns]
    total = 0
    with parquet.ParquetWriter(out, schema) as writer:
        for batch in _batches(rows):
            arrays = [[f(row[n]) for row in batch] for n, f in enumerate(convert)]
            writer.write_table(pyarrow.table(dict(zip(schema.names, arrays, strict=True)), schema=schema))
            total += len(batch)
    return total


_INTEGERS = ("integer", "positiveInt", "unsignedInt")


def _arrow_type(column: Column, pyarrow: Any) -> Any:
    kind = pyarrow.string()
    if column.type == "boolean":
        kind = pyarrow.bool_()
    elif column.type in _INTEGERS:
        kind = pyarrow.int64()
    return pyarrow.list_(kind) if column.collection else kind


def _converter(column: Column) -> Callable[[Any], Any]:
    if column.type == "boolean" or column.type in _INTEGERS:
        return lambda value: value
    if column.collection:
        return lambda value: None if value is None else [_text(v) for v in value]
    return _text


def _text(value: Any) -> str | None:
    return None if value is None else str(_field(value))


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    stream = iter(rows)
    while batch := list(islice(stream, _BATCH)):
        yield batch


FORMATS: dict[str, Callable[[tuple[Column, ...], Iterable[Row], IO[bytes]], int]] = {
    "csv": _csv,
    "ndjson": _ndjson,
    "parquet": _parquet,
}
