"""Dates of a search as ranges by their precision (http://hl7.org/fhir/R4/search.html#date)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")

_DATE = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?P<fraction>\.\d+)?)?(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def prefixed(text: str) -> tuple[str, str]:
    """(prefix, rest); `eq` where none is written."""
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


def bounds(text: str, zone: tzinfo) -> tuple[int, int]:
    """[start, end) in milliseconds since 1970. Without zone the value is read in `zone` (rule R15).

    Raises ValueError when it is no date of FHIR's form, or none of the calendar.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError("not a date")
    p = found.groupdict()
    numbers = [int(p[name] or low) for name, low in _PARTS]
    start = datetime(*numbers, tzinfo=_zone(p["zone"], zone))  # type: ignore[misc,arg-type]
    if p["fraction"]:
        return _fraction(start, p["fraction"])
    return _ms(start), _ms(_next(start, p))


_PARTS = (("year", 1), ("month", 1), ("day", 1), ("hour", 0), ("minute", 0), ("second", 0))


def _zone(text: str | None, default: tzinfo) -> tzinfo:
    if not text:
        return default
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    offset = timedelta(hours=hours, minutes=minutes)
    if offset > timedelta(hours=14) or minutes > 59:
        raise ValueError("not an offset")
    return _fixed(-offset if text[0] == "-" else offset)


def _fixed(offset: timedelta) -> tzinfo:
    from datetime import timezone

    return timezone(offset)


def _fraction(start: datetime, fraction: str) -> tuple[int, int]:
    """Stored instants have milliseconds: a finer value means the millisecond it lies in."""
    digits = fraction[1:4]
    at = _ms(start) + int(digits.ljust(3, "0"))
    return at, at + int(10 ** (3 - len(digits)))


def _next(start: datetime, parts: dict[str, str | None]) -> datetime:
    """The first instant after the year, month, day, minute or second that `start` begins."""
    if parts["second"]:
        return start + timedelta(seconds=1)
    if parts["hour"]:
        return start + timedelta(minutes=1)
    if parts["day"]:
        return _day_after(start)
    if parts["month"]:
        return start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return start.replace(year=start.year + 1)


def _day_after(start: datetime) -> datetime:
    """The next local midnight, also where the clock changes in between."""
    after = start.date() + timedelta(days=1)
    return start.replace(year=after.year, month=after.month, day=after.day)


def _ms(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)
