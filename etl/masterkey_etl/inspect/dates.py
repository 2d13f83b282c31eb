"""What dates a column writes: formats, calendars, the order of day and month. Conversion itself is `values.date`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from masterkey_etl import values
from masterkey_etl.values import nfkc

_PARTS = re.compile(r"([0-9]{1,4})([-/.])([0-9]{1,2})(?:\2([0-9]{1,4}))?(T|\s+)?([0-9]{1,2}:[0-9]{2}(:[0-9]{2})?)?.*")
_CLOCK = re.compile(r"(T|\s+)([0-9]{1,2}):([0-9]{2})(:[0-9]{2})?")
_KANJI = re.compile(r"[0-9]{4}年[0-9]{1,2}月(?:[0-9]{1,2}日)?")
_PACKED = re.compile(r"[0-9]{8}|[0-9]{12}")
_ERA = re.compile(r"(?:令和|平成|昭和|大正|明治|[令平昭大明RHSTM])\s*(?:[0-9]{1,2}|元)(?:年|[./-]).*", re.IGNORECASE)
_ERA_PACKED = re.compile(r"[RHSTM][0-9]{6}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class DateReading:
    """One way to read a text as a date. `format` as source models write it; calendar ce, buddhist or japanese."""

    format: str
    calendar: str


@lru_cache(maxsize=65536)
def readings(text: str) -> frozenset[DateReading]:
    """Every way to read a text as a date; several when the order of day and month is open."""
    clean = nfkc(text)
    return frozenset(r for r in _candidates(clean) if _converts(clean, r))


def _candidates(clean: str) -> Iterator[DateReading]:
    if _ERA.fullmatch(clean) or _ERA_PACKED.fullmatch(clean):
        yield DateReading("", "japanese")
    formats: list[str] = []
    if _KANJI.fullmatch(clean):
        formats = ["%Y年%m月%d日"]
    elif _PACKED.fullmatch(clean):
        formats = ["%Y%m%d" if len(clean) == 8 else "%Y%m%d%H%M"]
    elif found := _PARTS.fullmatch(clean):
        formats = list(_separated(found, clean))
    for f in formats:
        yield DateReading(f, "ce")
        yield DateReading(f, "buddhist")


def _separated(found: re.Match[str], clean: str) -> Iterator[str]:
    first, mark, _, last = found[1], found[2], found[3], found[4]
    clock = _clock(clean)
    if len(first) == 4:
        yield f"%Y{mark}%m{mark}%d{clock}"
    elif last is not None and len(last) == 4:
        yield f"%d{mark}%m{mark}%Y{clock}"
        yield f"%m{mark}%d{mark}%Y{clock}"


def _clock(clean: str) -> str:
    found = _CLOCK.search(clean)
    if not found:
        return ""
    return ("T" if found[1] == "T" else " ") + "%H:%M" + (":%S" if found[4] else "")


def _converts(clean: str, reading: DateReading) -> bool:
    formats = (reading.format,) if reading.format else ()
    return values.date(clean, formats, reading.calendar)[1] is None


TWO_DIGIT = re.compile(r"[0-9]{1,2}([-/.])[0-9]{1,2}\1[0-9]{2}")
_MANY = 6  # ways to write a date that one column is credited with


@dataclass(slots=True)
class Dates:
    """Counts over one column. `orders`: values that read with the day first, the month first, and both ways."""

    n: int = 0
    formats: Counter[DateReading] = field(default_factory=Counter)
    orders: Counter[str] = field(default_factory=Counter)
    two_digit: int = 0

    def add(self, text: str, n: int) -> None:
        found = readings(text)
        if found:
            self.n += n
            self.formats.update(dict.fromkeys(found, n))
            first = {r.format[:2] for r in found} & {"%d", "%m"}
            self.orders["".join(sorted(first))] += n
        elif TWO_DIGIT.fullmatch(text):
            self.two_digit += n

    def verdict(self) -> DateVerdict | None:
        """What the column writes, when it writes dates; None when it has none."""
        return DateVerdict(self._open_order(), tuple(self._cover()), self.n) if self.n else None

    def _cover(self) -> Iterator[DateReading]:
        """The fewest ways that read the dates, commonest first."""
        covered, left = 0, dict(self.formats)
        for _ in range(_MANY):
            if covered >= self.n or not left:
                return
            best = max(left, key=lambda r: (left[r], not r.format.startswith("%m"), r.format))
            covered += left.pop(best)
            yield best

    def _open_order(self) -> bool:
        """Day and month can't be told apart, or both orders are in use."""
        day, month = self.orders["%d"], self.orders["%m"]
        return bool(day and month) or bool(self.orders["%d%m"] and not day and not month)


@dataclass(frozen=True, slots=True)
class DateVerdict:
    """`open_order`: day and month can't be told apart. `readings` together cover the dates, commonest first."""

    open_order: bool
    readings: tuple[DateReading, ...]
    n: int

    @property
    def calendars(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.calendar for r in self.readings))

    @property
    def calendar(self) -> str:
        """One calendar, or "" when two that exclude each other are mixed (japanese reads CE years too)."""
        seen = set(self.calendars)
        if "buddhist" in seen:
            return "buddhist" if seen == {"buddhist"} else ""
        return "japanese" if "japanese" in seen else "ce"

    @property
    def formats(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(r.format for r in self.readings if r.format))

    @property
    def sure(self) -> bool:
        return not self.open_order and bool(self.calendar)
