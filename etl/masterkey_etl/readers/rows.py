"""Lines to rows of fields, tolerantly: what is broken is told, the rest arrives."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import Any, BinaryIO

from masterkey_etl.readers import limits
from masterkey_etl.readers.text import REPLACEMENT, Lines, RunawayError

REFUSED = "\0"  # stands for a value that was refused while splitting: no real value can hold it


@dataclass(slots=True)
class Row:
    """One row as split. `number` counts like a spreadsheet (first row of the file = 1, blank rows count too).

    `broken`: why the row as a whole can't be trusted (`quote`, `line`). `values`: refused values as
    (file column, problem), their text replaced by REFUSED; problems are `nul`, `bytes`, `long`. `unended`:
    the row has no line end, so it is the last of the file.
    """

    number: int
    fields: list[str]
    broken: str = ""
    values: tuple[tuple[int, str], ...] = ()
    unended: bool = False


@dataclass(slots=True)
class Chunk:
    """Neighbouring rows without anything unusual; the first has this number."""

    first: int
    rows: list[list[str]]


class Rows(Iterator[Row]):
    """The rows of a delimited text; blank lines are counted in `blank` and passed over.

    A block of lines without anything unusual is split at once by csv.reader; any other goes line by line.
    """

    def __init__(self, stream: BinaryIO, encoding: str, delimiter: str) -> None:
        csv.field_size_limit(2 * limits.LINE * limits.ROW_LINES)
        self.lines = Lines(stream, encoding)
        self.delimiter = delimiter
        self.number = self.blank = 0
        self._ready: Iterator[list[str]] = iter(())
        self._reader = self._new_reader()

    def close(self) -> None:
        """Close the stream."""
        self.lines.close()

    def __next__(self) -> Row:
        while True:
            fields = next(self._ready, None)
            if fields is None and (block := self._next_block()) is not None:
                self._ready = iter(block)
            elif fields is None:
                return self._next_slowly()
            elif self._counts(fields):
                return Row(self.number, fields)

    def chunks(self) -> Iterator[Chunk | Row]:
        """The rows, many at once where nothing is unusual."""
        while True:
            block = list(self._ready) or self._next_block()
            if block is None:
                try:
                    yield self._next_slowly()
                except StopIteration:
                    return
            elif [] in block:
                yield from (Row(self.number, fields) for fields in block if self._counts(fields))
            else:
                yield Chunk(self.number + 1, block)
                self.number += len(block)

    def picked(self, places: Sequence[int]) -> Iterator[tuple[str, ...]]:
        """Only the fields at these places, of the rows that have them: for a first pass over keys."""
        last, get = max(places) + 1, getter(places)
        while True:
            lines = [] if self.lines.waiting else self.lines.block()
            rows: Iterable[list[str]] = self._ready
            if lines and '"' not in (text := "".join(lines)) and "\0" not in text:
                rows = chain(rows, (line.rstrip("\r\n").split(self.delimiter, last) for line in lines))
            elif lines or self.lines.waiting:
                self.lines.hand_back(lines)
                rows = chain(rows, self._all_waiting())
            yield from (get(fields) for fields in rows if len(fields) >= last)
            if not lines and not self.lines.waiting:
                return

    def _all_waiting(self) -> Iterator[list[str]]:
        """Rows until no line is waiting."""
        while self.lines.waiting:
            try:
                yield self._next_slowly().fields
            except StopIteration:
                return

    def _counts(self, fields: list[str]) -> bool:
        """Count a row; False when it is blank."""
        self.number += 1
        self.blank += not fields
        return bool(fields)

    def _next_block(self) -> list[list[str]] | None:
        """The next rows, split at once; None when it has to go line by line."""
        if self.lines.waiting:
            return None
        lines = self.lines.block()
        rows = self._split(lines) if lines and _is_plain(lines) else None
        if rows is None:
            self.lines.hand_back(lines)
        return rows

    def _split(self, block: list[str]) -> list[list[str]] | None:
        """A block of which every line is a row; None when it is not."""
        try:
            rows = list(csv.reader(block, delimiter=self.delimiter, strict=True))
        except csv.Error:
            return None
        return rows if len(rows) == len(block) else None

    def _next_slowly(self) -> Row:
        while True:
            self.lines.new_row()
            try:
                fields = next(self._reader)
            except (csv.Error, RunawayError):
                self.number += 1
                return self._recover()
            if self._counts(fields):
                return self._inspect(fields) if self.lines.suspect else Row(self.number, fields)

    def _new_reader(self) -> Iterator[list[str]]:
        return csv.reader(self.lines, delimiter=self.delimiter, strict=True)

    def _recover(self) -> Row:
        """A quote that isn't closed or isn't doubled: only the first line of this row is spoilt."""
        first = self.lines.give_back()
        self._reader = self._new_reader()
        row = self._inspect(next(csv.reader([first], delimiter=self.delimiter), []))
        row.broken = "quote"
        return row

    def _inspect(self, fields: list[str]) -> Row:
        refused = []
        for i, value in enumerate(fields):
            if problem := _problem(value):
                fields[i] = REFUSED
                refused.append((i, problem))
        unended = self.lines.taken[-1][-1] not in "\r\n"
        return Row(self.number, fields, "line" if self.lines.cut else "", tuple(refused), unended)


def _is_plain(block: list[str]) -> bool:
    """No NUL, no undecodable byte, no very long line, every line ended."""
    if block[-1][-1] not in "\r\n" or max(map(len, block)) > limits.FIELD:
        return False
    text = "".join(block)
    return "\0" not in text and REPLACEMENT not in text


def _problem(value: str) -> str:
    if len(value) > limits.FIELD:
        return "long"
    if "\0" in value:
        return "nul"
    return "bytes" if REPLACEMENT in value else ""


def getter(positions: Sequence[int]) -> Callable[[Sequence[str]], tuple[str, ...]]:
    """The values at these positions as a tuple (itemgetter gives a bare value for one)."""
    if len(positions) == 1:
        one = positions[0]
        return lambda values: (values[one],)
    get: Callable[[Any], Any] = itemgetter(*positions) if positions else lambda _: ()
    return get
