"""From a view's plain values to what a CDM field takes: dates, numbers, texts of a width."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?:T.*)?")


class Day(NamedTuple):
    """A CDM date, and whether month or day had to be completed."""

    text: str
    partial: bool


@lru_cache(maxsize=65536)
def day(text: str, last: bool) -> Day | None:
    """The local wall date of a FHIR date or dateTime, `YYYY-MM-DD`; None when it is none.

    A missing day or month becomes the first of the span, or the last where `last`: the CDM has no partial
    dates (for deaths the convention is the last day, https://ohdsi.github.io/Themis/tag_death_date.html).
    """
    match = _DATE.fullmatch(text)
    if not match:
        return None
    year, month, number = match[1], match[2], match[3]
    month = month or ("12" if last else "01")
    if not 1 <= int(month) <= 12 or year == "0000":
        return None
    length = monthrange(int(year), int(month))[1]
    if number:
        return Day(f"{year}-{month}-{number}", False) if 1 <= int(number) <= length else None
    return Day(f"{year}-{month}-{length if last else 1:02d}", True)


def instant(text: str) -> str | None:
    """The local wall time of a FHIR dateTime, `YYYY-MM-DD HH:MM:SS`; None when it states no time."""
    if len(text) < 19 or text[10] != "T":
        return None
    try:
        return datetime.fromisoformat(text[:19]).isoformat(" ")
    except ValueError:
        return None


def whole(value: Any) -> int | None:
    """A 32-bit integer; None when the value is none."""
    try:
        found = int(value)
    except (TypeError, ValueError):
        return None
    return found if abs(found) < 2**31 else None


def number(value: Any) -> float | None:
    """A 64-bit number; the digits as sent stay in FHIR."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


@lru_cache(maxsize=65536)
def reference(text: str) -> tuple[str, str] | None:
    """(type, id) of a literal reference, relative or absolute, with or without a version; else None."""
    parts = text.split("/_history/")[0].split("/")
    return (parts[-2], parts[-1]) if len(parts) >= 2 and parts[-1] else None
