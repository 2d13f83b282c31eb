"""Cells of a sheet as the texts that their columns expect; what a spreadsheet did to them is told.

A column is looked at only where kinds of cells stand in it that its type does not expect.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from masterkey_etl import values
from masterkey_etl.readers.cells import check_of
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.readers.sheet_numbers import day
from masterkey_etl.source_model import Column, SourceModel

Refused = dict[int, list[tuple[int, str]]]  # row of the block -> (place in the row, problem)
_TEXTS = ("text", "code", "label")
_NUMBERS = ("integer", "decimal")
_EXPECTED = {
    **dict.fromkeys(_TEXTS, frozenset("s ")),
    **dict.fromkeys(_NUMBERS, frozenset("n ")),
    "flag": frozenset("bsn "),
    "date": frozenset(" "),
}
_PROBLEMS = {"e": "error", "u": "uncached", "x": "digits", "l": "long", "z": "nul", "q": "bytes"}
_EXPONENT = re.compile(r"[+-]?[0-9](?:\.[0-9]+)?E\+[0-9]{1,3}")
_FIRST_SERIAL = 10_000  # 1927: a smaller number in a date column may be an age, a year
_CLOCK = re.compile("%[HMS]")


class SheetCells:
    """Turns blocks of rows; `tell` says once per column what was met. `places` of a row: columns of the model."""

    def __init__(self, model: SourceModel, places: Sequence[int | None], year_limit: int, epoch_1904: bool) -> None:
        self._columns = [None if p is None else model.columns[p] for p in places]
        self._nulls = [frozenset[str]() if p is None else model.nulls[p] for p in places]
        self._met: Counter[tuple[str, int]] = Counter()
        self._dates = [
            _Dates(c, year_limit, epoch_1904) if c is not None and c.type == "date" else None for c in self._columns
        ]

    def clean(self, rows: list[list[str]], kinds: Sequence[str], only: Sequence[int] | None = None) -> Refused:
        """Change the rows in place; each has one kind per place. What is refused has REFUSED as its text.

        `only`: the places that matter.
        """
        refused: Refused = {}
        width, letters = len(self._columns), "".join(kinds)
        for place in range(width) if only is None else only:
            column = self._columns[place]
            here = letters[place::width]
            found = set(here)
            if column is None:
                self._unknown(place, rows, here, found)
                continue
            if not found <= _EXPECTED[column.type]:
                self._column(place, column, rows, here, refused)
            if column.type in _TEXTS and "s" in found:
                self._exponents(place, rows, refused)
        return refused

    def tell(self, notes: Notes) -> None:
        """What was met, once per column; null tokens that are texts are nothing unusual."""
        for (rule, place), n in sorted(self._met.items()):
            column = self._columns[place]
            notes.tell(rule, field=column.id if column else "", count=n)
        self._met.clear()

    def _unknown(self, place: int, rows: list[list[str]], here: str, found: set[str]) -> None:
        """A column that no model knows is kept out whole: its cells need no look."""
        if found & _PROBLEMS.keys():
            for row in rows:
                row[place] = "" if row[place] == REFUSED else row[place]

    def _column(self, place: int, column: Column, rows: list[list[str]], here: str, refused: Refused) -> None:
        for n, kind in enumerate(here):
            if kind == " ":
                continue
            lower = kind.lower()
            if lower != kind:
                self._met["etl.sheet-results", place] += 1
            problem = _PROBLEMS.get(lower) or self._fitted(place, column, rows[n], lower)
            if problem:
                rows[n][place] = REFUSED
                refused.setdefault(n, []).append((place, problem))

    def _fitted(self, place: int, column: Column, row: list[str], kind: str) -> str:
        """Make one cell fit its column; the problem when it does not."""
        if kind == "w":
            self._met["etl.sheet-blanks", place] += 1
        if row[place] in self._nulls[place]:
            return ""
        dates = self._dates[place]
        if dates is not None:
            return self._date(place, dates, row, kind)
        if kind in "dmy":
            if column.type != "text":
                return "date"
            self._met["etl.sheet-date-in-text", place] += 1
        elif kind == "n" and column.type in _TEXTS:
            self._met["etl.sheet-number-as-text", place] += 1
        elif kind in "sw" and column.type in _NUMBERS:
            self._met["etl.sheet-text-as-number", place] += 1
        elif kind == "b" and column.type != "flag":
            self._met["etl.sheet-boolean", place] += 1
        return ""

    def _date(self, place: int, dates: _Dates, row: list[str], kind: str) -> str:
        if kind in "dmy":
            if dates.without_clock(row[place]):
                self._met["etl.sheet-clock", place] += 1
            row[place] = dates.of_day(row[place])
        elif kind == "n" and (found := dates.of_serial(row[place])):
            self._met["etl.sheet-serial", place] += 1
            row[place] = found
        elif kind in "sw":
            self._met["etl.sheet-date-as-text", place] += 1
        return ""

    def _exponents(self, place: int, rows: list[list[str]], refused: Refused) -> None:
        """Long numbers that a spreadsheet cut to the form 1.23E+15 before they were stored as text."""
        if not any("E+" in row[place] for row in rows):
            return
        for n, row in enumerate(rows):
            if _EXPONENT.fullmatch(row[place]):
                row[place] = REFUSED
                refused.setdefault(n, []).append((place, "exponent"))


class _Dates:
    """Days as the texts that a date column's own formats read."""

    def __init__(self, column: Column, year_limit: int, epoch_1904: bool) -> None:
        self._format = (column.formats or values.DEFAULT_FORMATS)[0]
        self._has_clock = _CLOCK.search(self._format) is not None
        self._buddhist = column.calendar == "buddhist"
        self._check: Callable[[str], str | None] | None = check_of(column, year_limit)
        self._epoch, self._year_limit = epoch_1904, year_limit
        self._known: dict[str, str] = {}
        self._serials: dict[str, str] = {}

    def without_clock(self, iso: str) -> bool:
        """Is there a time of day that the column's format has no place for?"""
        return "T" in iso and not self._has_clock

    def of_day(self, iso: str) -> str:
        """`2019-11-01`, `2019-11` or `2019`, with a time perhaps; unknown parts are written 00."""
        found = self._known.get(iso)
        if found is None:
            found = self._known[iso] = self._written(iso)
        return found

    def _written(self, iso: str) -> str:
        day_, _, clock = iso.partition("T")
        year, month, day_of_month = (*day_.split("-"), "00", "00")[:3]
        if self._buddhist and int(year) + values.BUDDHIST_OFFSET <= self._year_limit + values.BUDDHIST_OFFSET:
            year = str(int(year) + values.BUDDHIST_OFFSET)
        hour, minute, second = (clock or "00:00:00").split(":")
        parts = {"%Y": year, "%m": month, "%d": day_of_month, "%H": hour, "%M": minute, "%S": second}
        return re.sub("%.", lambda found: parts[found[0]], self._format)

    def of_serial(self, text: str) -> str:
        """A bare number as the day it counts; "" when the column's own formats read it, or when it is no day."""
        found = self._serials.get(text)
        if found is None:
            found = self._serials[text] = self._counted(text)
        return found

    def _counted(self, text: str) -> str:
        if self._check is None or self._check(text) is None:
            return ""
        serial = float(text)
        iso = day(serial, self._epoch) if serial >= _FIRST_SERIAL else None
        return self.of_day(iso) if iso is not None and int(iso[:4]) <= self._year_limit else ""


__all__ = ["Refused", "SheetCells"]
