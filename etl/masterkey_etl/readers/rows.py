"""Lines to rows of fields, tolerantly: what is broken is told, the rest arrives."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

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


class Rows(Iterator[Row]):
    """The rows of a delimited text; blank lines are counted in `blank` and passed over."""

    def __init__(self, stream: BinaryIO, encoding: str, delimiter: str) -> None:
        csv.field_size_limit(2 * limits.LINE * limits.ROW_LINES)
        self.lines = Lines(stream, encoding)
        self.delimiter = delimiter
        self.number = self.blank = 0
        self._reader = csv.reader(self.lines, delimiter=delimiter, strict=True)

    def __next__(self) -> Row:
        lines, reader = self.lines, self._reader
        while True:
            lines.new_row()
            try:
                fields = next(reader)
            except (csv.Error, RunawayError):
                self.number += 1
                return self._recover()
            self.number += 1
            if fields:
                return self._inspect(fields) if lines.suspect else Row(self.number, fields)
            self.blank += 1

    def _recover(self) -> Row:
        """A quote that isn't closed or isn't doubled: only the first line of this row is spoilt."""
        first = self.lines.give_back()
        self._reader = csv.reader(self.lines, delimiter=self.delimiter, strict=True)
        fields = next(csv.reader([first], delimiter=self.delimiter), [])
        row = self._inspect(fields)
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


def _problem(value: str) -> str:
    if len(value) > limits.FIELD:
        return "long"
    if "\0" in value:
        return "nul"
    return "bytes" if REPLACEMENT in value else ""
