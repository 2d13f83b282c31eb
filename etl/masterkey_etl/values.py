"""Pure functions that turn the text of a cell into what FHIR wants. Cached; nothing here raises on bad input.

A converter returns `(value, problem)`: exactly one of them is None. Problems are the short words of PROBLEMS;
the reader turns them into Issues and refuses the cell, so a map sees only texts that convert.

Dates keep the precision they were given (http://hl7.org/fhir/R4/datatypes.html#date): `2019/11` -> `2019-11`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import date as _date
from datetime import datetime as _datetime
from datetime import time as _time
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

PROBLEMS = {
    "not-a-date": "is not a date in any declared format",
    "impossible": "is not a day of the calendar",
    "buddhist": "looks like a Buddhist year read as CE",
    "ce": "looks like a CE year read as Buddhist",
    "future": "lies in the future",
    "early": "lies before 1850",
    "era": "names a day outside of its Japanese era",
    "not-an-integer": "is not a whole number",
    "not-a-number": "is not a number",
    "range": "is outside of the declared range",
    "not-a-flag": "is neither yes nor no",
}

BUDDHIST_OFFSET = 543  # Thai solar calendar: BE = CE + 543 (since 1941, when its year moved to 1 January)
EARLIEST = 1850  # nobody in a registry was born before
DEFAULT_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y.%m.%d", "%Y年%m月%d日")

Converted = tuple[str | None, str | None]


@lru_cache(maxsize=65536)
def nfkc(text: str) -> str:
    """Labels mix full- and half-width forms: compare and show them in NFKC, without outer spaces."""
    return unicodedata.normalize("NFKC", text).strip()


def this_year() -> int:
    return _date.today().year


# -- dates -------------------------------------------------------------------------------------------


def date(text: str, formats: Sequence[str] = (), calendar: str = "ce", year_limit: int | None = None) -> Converted:
    """A FHIR date (`YYYY`, `YYYY-MM` or `YYYY-MM-DD`) or the problem.

    `formats` are tried in order, each also without its last parts; months and days `00` or `99` mean unknown
    and shorten the date. `calendar` is ce, buddhist or japanese (era names, letters, ligatures; CE years are
    accepted too). Years after `year_limit` (default: next year) are refused, as Buddhist when that fits.
    A time behind the date is left out: see `moment`.
    """
    return _date_cached(text, tuple(formats) or DEFAULT_FORMATS, calendar, year_limit or this_year() + 1)


@lru_cache(maxsize=65536)
def _date_cached(text: str, formats: tuple[str, ...], calendar: str, year_limit: int) -> Converted:
    parts = _parts(text, formats, calendar)
    if parts is None:
        return None, "not-a-date"
    year, problem = _year(parts.get("Y", ""), parts.get("era"), calendar, year_limit)
    if year is None:
        return None, problem
    return _calendar_day(year, parts.get("m"), parts.get("d"), parts.get("era"))


def moment(
    text: str,
    formats: Sequence[str] = (),
    calendar: str = "ce",
    zone: str = "UTC",
    year_limit: int | None = None,
) -> Converted:
    """A FHIR dateTime: like `date`, and with the time and the offset of `zone` when a time is given."""
    day, problem = date(text, formats, calendar, year_limit)
    if day is None or len(day) < 10:
        return day, problem
    parts = _parts(text, tuple(formats) or DEFAULT_FORMATS, calendar)
    if not parts or parts.get("H") is None:
        return day, None
    try:
        clock = _time(int(parts["H"] or 0), int(parts.get("M") or 0), int(parts.get("S") or 0))
    except ValueError:
        return None, "impossible"
    return _datetime.combine(_date.fromisoformat(day), clock, ZoneInfo(zone)).isoformat(), None


def year(text: str) -> int | None:
    """The year of a FHIR date text."""
    return int(text[:4]) if text[:4].isdigit() else None


def _parts(text: str, formats: tuple[str, ...], calendar: str) -> dict[str, str | None] | None:
    """The named parts of the first format that fits the whole text."""
    clean = nfkc(text)
    for pattern in _patterns(formats, calendar):
        if found := pattern.fullmatch(clean):
            return found.groupdict()
    return None


_ERA_PREFIX = r"(?P<era>令和|平成|昭和|大正|明治|令|平|昭|大|明|[RHSTMrhstm])\s*"
_YEAR = r"(?P<Y>[0-9]{4})"
_YEAR_OF_ERA = r"(?P<Y>[0-9]{1,2}|元)"


@lru_cache(maxsize=512)
def _patterns(formats: tuple[str, ...], calendar: str) -> tuple[re.Pattern[str], ...]:
    out = [re.compile(_pattern(f, _YEAR)) for f in formats]
    if calendar == "japanese":
        separators = ("%Y年%m月%d日", "%Y.%m.%d", "%Y/%m/%d", "%Y-%m-%d")
        out += [re.compile(_ERA_PREFIX + _pattern(f, _YEAR_OF_ERA)) for f in (*separators, *formats)]
        out += [re.compile(_ERA_PREFIX + "(?P<Y>[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2})")]
    return tuple(out)


def _pattern(format_: str, year_pattern: str) -> str:
    """A regular expression for a format in which everything behind the year may be missing.

    `%Y/%m/%d`: the text before a part belongs to it (`2019/11`).
    `%Y年%m月%d日`: the unit behind it does (`2019年11月`).
    """
    format_ = unicodedata.normalize("NFKC", format_)
    packed = "%Y%m" in format_ or "%m%d" in format_  # no separators: parts need their full width
    digits = "[0-9]{2}" if packed else "[0-9]{1,2}"
    parts = {"Y": year_pattern, **{n: f"(?P<{n}>{digits})" for n in "mdHMS"}}
    pieces = re.findall(r"%.[^%]*" if "年" in format_ else r"[^%]*%.", format_)
    required = next(i for i, piece in enumerate(pieces) if "%Y" in piece)
    head = "".join(_piece(piece, parts) for piece in pieces[: required + 1])
    tail = [f"(?:{_piece(piece, parts)}" for piece in pieces[required + 1 :]]
    return head + "".join(tail) + ")?" * len(tail)


def _piece(piece: str, parts: Mapping[str, str]) -> str:
    """One part of a date with the text that belongs to it."""
    before, directive, after = re.fullmatch(r"([^%]*)%(.)([^%]*)", piece).groups()  # type: ignore[union-attr]
    return _literal(before) + parts[directive] + _literal(after)


def _literal(text: str) -> str:
    return re.escape(text).replace(r"\ ", r"\s+")


# https://docs.oracle.com/en/java/javase/17/docs/api/java.base/java/time/chrono/JapaneseEra.html
# First days of the eras; the Gregorian calendar was adopted on 1873-01-01 (Meiji 6), earlier days are lunar.
_ERAS = (
    ("明治", "M", 1868, _date(1873, 1, 1), _date(1912, 7, 29)),
    ("大正", "T", 1912, _date(1912, 7, 30), _date(1926, 12, 24)),
    ("昭和", "S", 1926, _date(1926, 12, 25), _date(1989, 1, 7)),
    ("平成", "H", 1989, _date(1989, 1, 8), _date(2019, 4, 30)),
    ("令和", "R", 2019, _date(2019, 5, 1), _date(9999, 12, 31)),
)


def _era(name: str) -> tuple[str, str, int, _date, _date]:
    return next(e for e in _ERAS if name.upper() == e[1] or e[0].startswith(name))


def _year(text: str | None, era: str | None, calendar: str, year_limit: int) -> tuple[int | None, str | None]:
    """The CE year, or the problem with it."""
    if not text:
        return None, "not-a-date"
    if era:
        number = 1 if text == "元" else int(text)
        return (_era(era)[2] + number - 1, None) if number else (None, "impossible")
    number = int(text)
    if number in (0, 9999):
        return None, "not-a-date"
    return _plain_year(number, calendar, year_limit)


def _plain_year(number: int, calendar: str, year_limit: int) -> tuple[int | None, str | None]:
    if calendar == "buddhist":
        found = number - BUDDHIST_OFFSET
        if EARLIEST <= found <= year_limit:
            return found, None
        return None, "ce" if EARLIEST <= number <= year_limit else "future" if found > year_limit else "early"
    if number > year_limit:
        return None, "buddhist" if EARLIEST <= number - BUDDHIST_OFFSET <= year_limit else "future"
    return (number, None) if number >= EARLIEST else (None, "early")


_UNKNOWN_PARTS = ("00", "0", "99")


def _calendar_day(year_: int, month: str | None, day: str | None, era: str | None) -> Converted:
    """The date at the precision that is known. An unknown month makes the day unknown."""
    if month is None or month in _UNKNOWN_PARTS:
        return _within_era(f"{year_:04d}", year_, 1, 1, year_, 12, 31, era)
    if not 1 <= int(month) <= 12:
        return None, "impossible"
    if day is None or day in _UNKNOWN_PARTS:
        last = _days_in_month(year_, int(month))
        return _within_era(f"{year_:04d}-{int(month):02d}", year_, int(month), 1, year_, int(month), last, era)
    if not 1 <= int(day) <= _days_in_month(year_, int(month)):
        return None, "impossible"
    text = f"{year_:04d}-{int(month):02d}-{int(day):02d}"
    return _within_era(text, year_, int(month), int(day), year_, int(month), int(day), era)


def _days_in_month(year_: int, month: int) -> int:
    following = _date(year_ + month // 12, month % 12 + 1, 1)
    return (following - _date(year_, month, 1)).days


def _within_era(text: str, y1: int, m1: int, d1: int, y2: int, m2: int, d2: int, era: str | None) -> Converted:
    """Refuse what lies wholly outside of the era it names (Showa 64 February, Heisei 31 May)."""
    if era:
        _, _, _, first, last = _era(era)
        if _date(y2, m2, d2) < first or _date(y1, m1, d1) > last:
            return None, "era"
    return text, None


# -- numbers, flags ----------------------------------------------------------------------------------

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")


@lru_cache(maxsize=65536)
def _digits(text: str) -> str:
    """Half-width digits and signs, without outer spaces and with thousands commas removed."""
    clean = nfkc(text).replace("\u2212", "-")
    return clean.replace(",", "") if _GROUPED.fullmatch(clean) else clean


@lru_cache(maxsize=65536)
def integer(text: str, minimum: float | None = None, maximum: float | None = None) -> tuple[int | None, str | None]:
    """A whole number; full-width digits are read, `3.0` and `1.23E+15` are refused."""
    clean = _digits(text)
    if not _INTEGER.fullmatch(clean):
        return None, "not-an-integer"
    number = int(clean)
    return (number, None) if _inside(number, minimum, maximum) else (None, "range")


@lru_cache(maxsize=65536)
def decimal(text: str, minimum: float | None = None, maximum: float | None = None) -> tuple[Decimal | None, str | None]:
    """A decimal with its digits kept (`1.0` stays `1.0`)."""
    clean = _digits(text)
    if not _DECIMAL.fullmatch(clean):
        return None, "not-a-number"
    number = Decimal(clean)
    return (number, None) if _inside(number, minimum, maximum) else (None, "range")


def _inside(number: int | Decimal, minimum: float | None, maximum: float | None) -> bool:
    return (minimum is None or number >= Decimal(str(minimum))) and (maximum is None or number <= Decimal(str(maximum)))


_FLAGS = {
    **dict.fromkeys(("1", "true", "yes", "y", "t", "あり", "有", "はい"), True),
    **dict.fromkeys(("0", "false", "no", "n", "f", "なし", "無", "いいえ"), False),
}


def flag(text: str) -> tuple[bool | None, str | None]:
    """Yes or no as exports write it."""
    found = _FLAGS.get(nfkc(text).casefold())
    return (found, None) if found is not None else (None, "not-a-flag")
