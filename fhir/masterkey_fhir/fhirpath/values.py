"""Dates and times with the precision they were given, and quantities.

FHIRPath N1 2.0.0, sections 4.1 (literals), 6.1 and 6.2 (equality, comparison) and 6.7 (date arithmetic).
A partial date stays partial; a comparison that its precision or its zone can't decide is None.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Self

Part = int | Decimal

_ZONE = r"(?P<zone>Z|[+-]\d\d:\d\d)?"
_CLOCK = r"(?P<hour>\d\d)(?::(?P<minute>\d\d)(?::(?P<second>\d\d(?:\.\d+)?))?)?"
_DAY = r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d))?)?"
_DATE = re.compile(_DAY, re.ASCII)
_DATE_TIME = re.compile(rf"{_DAY}(?:T(?:{_CLOCK}{_ZONE})?)?", re.ASCII)
_TIME = re.compile(_CLOCK, re.ASCII)
_MONTH_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_FARTHEST = timedelta(hours=14)  # zones run from -12:00 to +14:00
_LENGTH = (
    timedelta(days=366),
    timedelta(days=31),
    timedelta(days=1),
    timedelta(hours=1),
    timedelta(minutes=1),
)


@dataclass(frozen=True, slots=True)
class Temporal(ABC):
    """`parts` are as many as were given: year, month, day, hour, minute, second (for a Time from hour on).

    A second with a fraction is a Decimal, its digits kept. `zone` is an offset in minutes; None = not given.
    """

    parts: tuple[Part, ...]
    zone: int | None = None

    NAME: ClassVar[str] = ""
    FIRST: ClassVar[int] = 0  # 0 = the first part is a year, 3 = an hour

    def __str__(self) -> str:
        return _text(self.parts, self.FIRST) + _zone_text(self.zone)

    @classmethod
    @abstractmethod
    def parse(cls, text: str) -> Self | None:
        """None when the text is none of this kind."""

    @property
    def digits(self) -> int:
        """The precision as N1 counts it: 4 for a year, 17 for a dateTime with milliseconds."""
        return sum(c.isdigit() for c in _text(self.parts, self.FIRST))


@dataclass(frozen=True, slots=True)
class Date(Temporal):
    NAME: ClassVar[str] = "Date"

    @classmethod
    def parse(cls, text: str) -> Date | None:
        """None when the text is no date or no day of the calendar."""
        return _date(text)


@dataclass(frozen=True, slots=True)
class DateTime(Temporal):
    NAME: ClassVar[str] = "DateTime"

    @classmethod
    def parse(cls, text: str) -> DateTime | None:
        return _date_time(text)


@dataclass(frozen=True, slots=True)
class Time(Temporal):
    NAME: ClassVar[str] = "Time"
    FIRST: ClassVar[int] = 3

    @classmethod
    def parse(cls, text: str) -> Time | None:
        return _time(text)


@lru_cache(maxsize=8192)
def _date(text: str) -> Date | None:
    found = _DATE.fullmatch(text)
    parts = _parts(found) if found else None
    return Date(parts) if parts else None


@lru_cache(maxsize=8192)
def _date_time(text: str) -> DateTime | None:
    found = _DATE_TIME.fullmatch(text)
    parts = _parts(found) if found else None
    return DateTime(parts, _zone(found["zone"])) if found and parts else None


@lru_cache(maxsize=1024)
def _time(text: str) -> Time | None:
    found = _TIME.fullmatch(text)
    parts = _parts(found) if found else None
    return Time(parts) if parts else None


def _parts(found: re.Match[str]) -> tuple[Part, ...] | None:
    groups = {name: text for name, text in found.groupdict().items() if text is not None and name != "zone"}
    parts = {name: Decimal(text) if "." in text else int(text) for name, text in groups.items()}
    return tuple(parts.values()) if _possible(parts) else None


def _possible(p: dict[str, Part]) -> bool:
    """A day of the calendar, a time of the clock (60 seconds: a leap second, as FHIR's dateTime allows)."""
    year, month, day = int(p.get("year", 4)), int(p.get("month", 1)), int(p.get("day", 1))
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= days_in(year, month):
        return False
    return p.get("hour", 0) < 24 and p.get("minute", 0) < 60 and p.get("second", 0) < 61


def days_in(year: int, month: int) -> int:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 28 if month == 2 and not leap else _MONTH_DAYS[month - 1]


def _zone(text: str | None) -> int | None:
    if text is None:
        return None
    if text == "Z":
        return 0
    minutes = int(text[1:3]) * 60 + int(text[4:6])
    return -minutes if text[0] == "-" else minutes


def _zone_text(zone: int | None) -> str:
    if zone is None:
        return ""
    if zone == 0:
        return "Z"
    return f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02}:{abs(zone) % 60:02}"


_MARKS = ("", "-", "-", "T", ":", ":")
_WIDTHS = (4, 2, 2, 2, 2, 2)


def _text(parts: tuple[Part, ...], first: int) -> str:
    out = "".join(
        mark + _padded(part, width) for mark, width, part in zip(_MARKS[first:], _WIDTHS[first:], parts, strict=False)
    )
    return out.removeprefix("T") if first else out


def _padded(part: Part, width: int) -> str:
    if isinstance(part, int):
        return f"{part:0{width}}"
    whole, _, fraction = f"{part:f}".partition(".")
    return f"{int(whole):0{width}}.{fraction}"


# -- comparison (sections 6.1.1, 6.2)


def compare(a: Temporal, b: Temporal) -> int | None:
    """-1, 0, 1; None when precision or zone leave it open. Dates compare with dateTimes, not with times."""
    if a.zone == b.zone:
        return _by_parts(a.parts, b.parts)
    if a.zone is not None and b.zone is not None:
        return _by_parts(at_utc(a).parts, at_utc(b).parts)
    return _apart(a, b)


def _by_parts(a: tuple[Part, ...], b: tuple[Part, ...]) -> int | None:
    for x, y in zip(a, b, strict=False):
        if x != y:
            return -1 if x < y else 1
    return 0 if len(a) == len(b) else None


def at_utc(t: Temporal) -> Temporal:
    try:
        return shifted(t, timedelta(minutes=-(t.zone or 0)))
    except OverflowError:  # in the first or last hours of the calendar: the wall clock must do
        return t


def shifted(t: Temporal, by: timedelta) -> Temporal:
    """Moves the clock; keeps precision and the digits of the second's fraction.

    Raises OverflowError outside the years 1 to 9999.
    """
    size = len(t.parts)
    second = t.parts[5] if size > 5 else 0
    moved = _start(t.parts) + by
    fields: tuple[Part, ...] = (moved.year, moved.month, moved.day, moved.hour, moved.minute)
    return type(t)((*fields, second)[:size], t.zone)


def _start(parts: tuple[Part, ...]) -> datetime:
    """The first minute of it."""
    year, month, day, hour, minute = (*parts, *(1, 1, 1, 0, 0)[len(parts) :])[:5]
    return datetime(int(year), int(month), int(day), int(hour), int(minute))


def _apart(a: Temporal, b: Temporal) -> int | None:
    """One has a zone, the other none: decided only when no zone on earth could change the order."""
    low_a, high_a = _span(a)
    low_b, high_b = _span(b)
    if high_a < low_b:
        return -1
    return 1 if low_a > high_b else None


def _span(t: Temporal) -> tuple[datetime, datetime]:
    low = _start(t.parts)
    high = _moved(low, _LENGTH[min(len(t.parts), 5) - 1])
    if t.zone is not None:
        by = timedelta(minutes=t.zone)
        return _moved(low, -by), _moved(high, -by)
    return _moved(low, -_FARTHEST), _moved(high, _FARTHEST)


def _moved(when: datetime, by: timedelta) -> datetime:
    """Stays inside the years 1 to 9999."""
    try:
        return when + by
    except OverflowError:
        return datetime.min if by < timedelta(0) else datetime.max


# -- quantities


@dataclass(frozen=True, slots=True)
class Quantity:
    """`unit` is a UCUM code, or a calendar word in the singular when `calendar` (section 4.1.8)."""

    value: Decimal
    unit: str
    calendar: bool = False

    def __str__(self) -> str:
        number = f"{self.value:f}"
        if not self.calendar:
            return f"{number} '{self.unit}'"
        return f"{number} {self.unit}" if self.value == 1 else f"{number} {self.unit}s"


CALENDAR = ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
# From week down a calendar duration equals the UCUM unit; year and month do not (section 6.1.1, Quantity).
_DEFINITE = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
_QUANTITY = re.compile(r"(?P<value>[+-]?\d+(?:\.\d+)?)\s*(?:'(?P<unit>[^']+)'|(?P<word>[a-z]+))?", re.ASCII)


def calendar_word(text: str) -> str | None:
    """`days` -> `day`; None when it is no calendar unit."""
    word = text.removesuffix("s")
    return word if word in CALENDAR else None


def quantity(value: Decimal, unit: str, calendar: bool) -> Quantity:
    word = calendar_word(unit)
    return Quantity(value, word, True) if word and calendar else Quantity(value, unit)


def parse_quantity(text: str) -> Quantity | None:
    """Section 5.5, toQuantity: `4 days`, `5.5 'mg'`, a bare number is of unit `1`."""
    found = _QUANTITY.fullmatch(text)
    if found is None:
        return None
    value, word = Decimal(found["value"]), found["word"]
    if word is None:
        return Quantity(value, found["unit"] or "1")
    singular = calendar_word(word)
    return Quantity(value, singular, True) if singular else None


def ucum_unit(q: Quantity) -> str:
    """The UCUM code of the unit; a calendar year or month has none and keeps its word."""
    return _DEFINITE.get(q.unit, q.unit) if q.calendar else q.unit
