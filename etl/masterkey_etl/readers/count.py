"""The independent count: what the csv module alone finds in a file.

Shares no code with the reader but its limits and the spelling of headers; a difference between the two is a
loss that nobody noticed.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any, BinaryIO

from masterkey_etl.header import header_key
from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers import limits
from masterkey_etl.source_model import SourceModel

_BLANK = ("\n", "\r\n", "\r")


def count_delimited(stream: BinaryIO, model: SourceModel, encoding: str | None = None) -> IndependentCount:
    """Count rows below the header, columns of the header, and fields beyond it. Memory is one row."""
    csv.field_size_limit(2 * limits.LINE * limits.ROW_LINES)
    buffered: io.BufferedReader[Any] = io.BufferedReader(stream, 1 << 20)
    name = encoding or _guess(buffered, model)
    text = io.TextIOWrapper(buffered, name, errors="replace", newline="")
    widths = _split(_bounded(text), model.delimiter)
    first = list(islice(widths, limits.HEADER_ROWS))
    header = _header(first, model)
    columns = len(first[header]) if first else 0
    rows = surplus = 0
    for fields in chain(first[header + 1 :], widths):
        rows, surplus = rows + 1, surplus + max(0, len(fields) - columns)
    text.detach()  # the stream stays the caller's
    buffered.detach()
    return IndependentCount(rows, columns, surplus)


def _guess(stream: io.BufferedReader[Any], model: SourceModel) -> str:
    """The encoding a byte order mark names, else the declared one that shows most of the model's headers."""
    start = stream.peek(1 << 16)
    for mark, name in ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if start.startswith(mark):
            return name
    wanted = [header_key(c.header) for c in model.columns]

    def shown(name: str) -> int:
        text = header_key(start.decode(name, "replace"))
        return sum(key in text for key in wanted)

    return max(model.encoding, key=shown)


def _header(rows: list[list[str]], model: SourceModel) -> int:
    """Index of the first row that shows at least half of the model's headers, else 0."""
    wanted = {header_key(h): c.id for c in model.columns for h in (c.header, *c.aliases)}
    for i, fields in enumerate(rows):
        shown = {wanted.get(header_key(f)) for f in fields if "\ufffd" not in f}  # a damaged name is no name
        if 2 * len(shown - {None}) >= len(model.columns):
            return i
    return 0


def _split(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    """Rows by csv.reader in strict mode; where a quote spoils a row, its first line counts as one row."""
    source = iter(lines)
    waiting: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while len(taken) < limits.ROW_LINES:
            line = waiting.popleft() if waiting else next(source, "")
            if not line:
                return
            taken.append(line)
            yield line

    while waiting or (line := next(source, "")):
        if not waiting:
            if line in _BLANK:
                continue
            waiting.append(line)
        taken.clear()
        reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        try:
            fields = next(reader, [])
        except csv.Error:
            fields = next(csv.reader(taken[:1], delimiter=delimiter), [])
            waiting.extendleft(reversed(taken[1:]))
        if fields:
            yield fields


def _bounded(text: io.TextIOWrapper) -> Iterator[str]:
    """Physical lines; what exceeds the limit is dropped up to the next line end."""
    while line := text.readline(limits.LINE):
        yield line
        while len(line) == limits.LINE and line[-1] not in "\r\n":
            line = text.readline(limits.LINE)
