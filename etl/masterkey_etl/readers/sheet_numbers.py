"""Numbers of a spreadsheet as text: without exponent, at the precision it keeps (15 digits); serial days as dates.

A spreadsheet stores a date as a day number and shows it by its format: ECMA-376 part 1, 18.8.30 and 18.17.4.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache

from masterkey_etl.readers.rows import REFUSED

Cell = tuple[str, str]  # text, kind (sheet_tape.TapeRow)
NO_NUMBER: Cell = (REFUSED, "e")
LOST_DIGITS: Cell = (REFUSED, "x")
EXACT = 2**53  # whole numbers up to here are themselves in a double
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]{1,3})?")
_PLAIN = re.compile(r"0|-?[1-9][0-9]{0,14}")

# -- formats -----------------------------------------------------------------------------------------

# What the formats without text show, 18.8.30; 27 to 36 and 50 to 58 are those of Japan, China, Korea, Thailand.
_DAY_FORMATS = {14, 15, 16, 22, 27, 28, 29, 30, 31, 35, 36, 50, 51, 53, 54, 56, 57, 58}
_MONTH_FORMATS = {17, 34, 52, 55}
_TIME_FORMATS = {18, 19, 20, 21, 32, 33, 45, 46, 47}
_NOT_SHOWN = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?![hms]+\])[^\]]*\]', re.IGNORECASE)
_ELAPSED = re.compile(r"\[[hms]+\]", re.IGNORECASE)


@lru_cache(maxsize=4096)
def shows(format_id: int, code: str = "") -> str:
    """What a number format shows: d a day, m a month, y a year, t a time of day, n a number."""
    if not code:
        if format_id in _DAY_FORMATS:
            return "d"
        return "m" if format_id in _MONTH_FORMATS else "t" if format_id in _TIME_FORMATS else "n"
    text = _NOT_SHOWN.sub("", code.split(";")[0]).casefold().replace("general", "").replace("am/pm", "h")
    if _ELAPSED.search(text):
        return "t"
    if "d" in text or "aaa" in text:
        return "d"
    year = "y" in text or "b" in text or "e" in re.sub("e[+-]", "", text) or "g" in text
    if year:
        return "m" if "m" in text else "y"
    return "t" if "h" in text or "s" in text or "m" in text else "n"


# -- numbers -----------------------------------------------------------------------------------------


def number(text: str) -> Cell:
    """A stored number as its shortest text; kind x when digits were lost, e when it is none."""
    if _PLAIN.fullmatch(text):
        return text, "n"
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return NO_NUMBER
    value = float(text)
    if abs(value) >= 1e15:
        return _large(text, value)
    if value.is_integer():
        return str(int(value)), "n"
    return format(Decimal(f"{value:.15g}"), "f"), "n"


def _large(text: str, value: float) -> Cell:
    """Beyond 15 digits a spreadsheet writes zeros: only digits that do not end so are what was meant."""
    digits = text.removesuffix(".0").lstrip("+-")
    exact = digits.isascii() and digits.isdigit() and abs(value) <= EXACT and not digits.endswith("0")
    return (text.removesuffix(".0"), "n") if exact else LOST_DIGITS


# -- dates -------------------------------------------------------------------------------------------

_FIRST_1904 = date(1904, 1, 1)
_FIRST_1900 = date(1899, 12, 31)
_LAST = 2_958_465  # 9999-12-31 in the 1900 system


def day(serial: float, epoch_1904: bool = False) -> str | None:
    """The ISO day of a serial number; None when it is not one.

    1900 system: day 60 is 1900-02-29, which never was (kept from Lotus 1-2-3); 1904 system: day 0 is 1904-01-01.
    """
    n = int(serial // 1)
    if epoch_1904:
        return (_FIRST_1904 + timedelta(n)).isoformat() if 0 <= n <= _LAST - 1462 else None
    if not 1 <= n <= _LAST:
        return None
    if n == 60:
        return "1900-02-29"
    return (_FIRST_1900 + timedelta(n if n < 60 else n - 1)).isoformat()


def moment(text: str, shown: str, epoch_1904: bool = False) -> Cell:
    """A number whose format shows a date or a time (`shown` of `shows`), as ISO text; no date: a number."""
    if not _NUMBER.fullmatch(text.strip()):
        return NO_NUMBER
    serial = float(text)
    found = day(serial, epoch_1904)
    clock = _clock(serial)
    if shown == "t" and (found is None or serial < 1 or serial.is_integer()):
        return clock or "00:00:00", "t"
    if found is None:
        return number(text)
    if shown in "my":
        return found[: 7 if shown == "m" else 4], shown
    return (f"{found}T{clock}" if clock else found), "d"


def _clock(serial: float) -> str:
    """The time of day in seconds; "" at midnight."""
    seconds = round((serial % 1) * 86400)
    if not 0 < seconds < 86400:
        return ""
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?Z?)?")


def iso(text: str) -> Cell:
    """A cell that states its date in ISO 8601 (18.18.11, type d)."""
    clean = text.strip()
    if not _ISO.fullmatch(clean):
        return NO_NUMBER
    day_, _, clock = clean.partition("T")
    clock = clock[:8]
    return (f"{day_}T{clock}" if clock.strip("0:") else day_), "d"
