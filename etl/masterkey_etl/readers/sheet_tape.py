"""What a parser of workbooks gives: sheets, and the rows of each on a tape that is read several times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import orjson

from masterkey_etl.readers import limits
from masterkey_etl.readers.sheet_scratch import Blocks

Merge = tuple[int, int, int, int]  # first row, first column, last row, last column
BLANK = " "


class TapeRow(NamedTuple):
    """The cells of a row that are not blank, by column (0-based) when `columns` says so, else from column 0 on.

    `kinds` has one letter per value: s text, w text that had outer blanks, n number, x number with lost digits,
    d date, m month, y year, t time, b boolean, e error, u formula without a value, l z q texts that can't be kept
    (sheet_strings.Text), blank nothing; a capital is
    the result of a formula. Dates are ISO text, numbers have no exponent; e, u and x have REFUSED as their text.
    """

    number: int
    values: list[str]
    kinds: str
    columns: list[int] | None = None

    def span(self, first: int, last: int) -> tuple[list[str], str]:
        """The cells from column `first` to `last`, blanks included."""
        width = last - first + 1
        if self.columns is None:
            values, kinds = self.values[first : last + 1], self.kinds[first : last + 1]
            missing = width - len(values)
            return (values + [""] * missing, kinds + BLANK * missing) if missing else (values, kinds)
        wide, letters = [""] * width, [BLANK] * width
        for column, value, kind in zip(self.columns, self.values, self.kinds, strict=True):
            if first <= column <= last:
                wide[column - first], letters[column - first] = value, kind
        return wide, "".join(letters)

    def texts(self) -> list[str]:
        """The texts from column 0 on; "" is blank."""
        return self.values if self.columns is None else self.span(0, self.columns[-1])[0]


class Tape:
    """Rows in order: in memory up to limits.SHEET_CELLS cells, then in scratch."""

    def __init__(self, folder: Path | None) -> None:
        self._held: list[TapeRow] = []
        self._cells = 0
        self._waiting: list[TapeRow] = []
        self._blocks = Blocks(folder, memory=0)

    def add(self, row: TapeRow) -> None:
        if self._cells < limits.SHEET_CELLS:
            self._held.append(row)
            self._cells += len(row.values)
            return
        self._waiting.append(row)
        if len(self._waiting) >= limits.BATCH or len(row.values) > limits.BATCH:
            self._flush()

    def rows(self, first: int = 1) -> Iterator[TapeRow]:
        """All rows from number `first` on."""
        self._flush()
        yield from (row for row in self._held if row.number >= first)
        for n in range(len(self._blocks)):
            rows = orjson.loads(self._blocks.get(n))
            yield from (TapeRow(*row) for row in rows if row[0] >= first)

    def close(self) -> None:
        self._held.clear()
        self._blocks.close()

    def _flush(self) -> None:
        if self._waiting:
            self._blocks.add(orjson.dumps([tuple(row) for row in self._waiting]))
            self._waiting = []


@dataclass(slots=True)
class Sheet:
    """One sheet: `number` from 1, `cells` that are not blank, what is hidden (rows and columns with content)."""

    number: int
    name: str
    state: str = "visible"
    rows: Tape = field(default_factory=lambda: Tape(None))
    cells: int = 0
    comments: int = 0
    hidden_rows: int = 0
    hidden_columns: int = 0
    merges: list[Merge] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    """A workbook as parsed. `form`: xlsx, xls, html. `facts`: what else stands in it, for Issues."""

    form: str
    sheets: list[Sheet] = field(default_factory=list)
    macros: bool = False
    epoch_1904: bool = False

    def close(self) -> None:
        for sheet in self.sheets:
            sheet.rows.close()


def dense(number: int, columns: list[int], values: list[str], kinds: list[str]) -> TapeRow:
    """A tape row; with gaps filled when that costs little."""
    width = columns[-1] + 1
    if width == len(columns):
        return TapeRow(number, values, "".join(kinds))
    if width > 2 * len(columns) + 64:
        return TapeRow(number, values, "".join(kinds), columns)
    wide, letters = [""] * width, [BLANK] * width
    for column, value, kind in zip(columns, values, kinds, strict=True):
        wide[column], letters[column] = value, kind
    return TapeRow(number, wide, "".join(letters))
