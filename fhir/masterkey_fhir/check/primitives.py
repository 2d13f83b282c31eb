"""Primitive types: http://hl7.org/fhir/R4/datatypes.html#primitive.

The published regular expressions are not run as they are: some are exponential (base64Binary, markdown), some
accept 31 February, and their `\\s` means ASCII blanks, while Python's would refuse the ideographic space that
Japanese text is full of. Those written here are linear and are tested against the published ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any

from masterkey_fhir.check.findings import Check, Finding, finding
from masterkey_fhir.json import json_kind

# --- patterns, all used with full match ---

_LEAP = "(?:0[48]|[2468][048]|[13579][26])"
_LEAP_YEAR = f"(?:[0-9][0-9]{_LEAP}|{_LEAP}00)"  # 0000 is no year: `(?!0000)` below
_MONTH_DAY = (
    "(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8])"
)
_YEAR = "(?!0000)[0-9]{4}"
_DAY = f"(?:{_YEAR}-(?:{_MONTH_DAY})|(?!0000){_LEAP_YEAR}-02-29)"
_MONTH = f"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_MOST = 1024 * 1024  # "strings SHALL NOT exceed 1MB (1024*1024 characters)"
# Something visible (Unicode blanks do not count), no control character but tab, line feed, carriage return.
_TEXT = rf"(?=\s*+[^\s])[\t\n\r -\U0010ffff]{{1,{_MOST}}}"
_URI = r"[^\x00-\x20]+"

PATTERNS: dict[str, str] = {
    "date": f"{_DAY}|{_MONTH}",
    "dateTime": f"{_DAY}(?:T{_TIME}{_ZONE})?|{_MONTH}",
    "instant": f"{_DAY}T{_TIME}{_ZONE}",
    "time": _TIME,
    "string": _TEXT,
    "markdown": _TEXT,
    "xhtml": r"(?=\s*+[^\s])[\t\n\r -\U0010ffff]+",
    "code": r"[^\x00-\x20]+(?:[\t\n\r ][^\x00-\x20]+)*+",
    "id": r"[A-Za-z0-9\-.]{1,64}",
    "uri": _URI,
    "url": _URI,
    "canonical": _URI,
    "oid": r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+",
    "uuid": r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
}

# What an Issue says was expected.
FORMS: dict[str, str] = {
    "date": "YYYY, YYYY-MM or YYYY-MM-DD",
    "dateTime": "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz",
    "instant": "YYYY-MM-DDThh:mm:ss+zz:zz",
    "time": "hh:mm:ss",
    "string": "text of at most 1 MB without control characters",
    "markdown": "text of at most 1 MB without control characters",
    "xhtml": "one <div> as text",
    "code": "a word without leading, trailing or double blanks",
    "id": "1 to 64 letters, digits, '-' and '.'",
    "uri": "a URI without blanks",
    "url": "a URL without blanks",
    "canonical": "a URL without blanks",
    "oid": "urn:oid:1.2.3",
    "uuid": "urn:uuid: and 36 lower-case characters",
    "base64Binary": "base64 in groups of four characters",
    "integer": "a whole number",
    "positiveInt": "a whole number",
    "unsignedInt": "a whole number",
    "decimal": "a number",
}

# 32 bits: http://hl7.org/fhir/R4/datatypes.html#integer
RANGES: dict[str, tuple[int, int]] = {
    "integer": (-(2**31), 2**31 - 1),
    "unsignedInt": (0, 2**31 - 1),
    "positiveInt": (1, 2**31 - 1),
}

REMEMBERED = ("uri", "url", "canonical", "code")
MOST_REMEMBERED = 20_000  # per primitive type: a few megabytes at most

_SHAPE_OF_DATE = re.compile(r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?(?:T.*)?", re.DOTALL)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


@cache
def primitive(name: str) -> Check:
    """The checker of a primitive type. Raises KeyError for a name that R4 does not have."""
    if name == "boolean":
        return Check(bool.__instancecheck__, lambda value: _explain_kind(name, "boolean", value))
    if name == "decimal":
        return Check(is_decimal, lambda value: _explain_kind(name, "number", value))
    if name in RANGES:
        return Check(_integer(*RANGES[name]), lambda value: _explain_integer(name, value))
    ok = is_base64 if name == "base64Binary" else re.compile(PATTERNS[name]).fullmatch
    fast = Remembered(ok).__getitem__ if name in REMEMBERED else ok
    return Check(fast, lambda value: _explain_text(name, ok, value))


class Remembered(dict[Any, bool]):
    """Values that passed already: code systems and extension URLs come again and again."""

    def __init__(self, ok: Callable[[Any], object]) -> None:
        self.ok = ok

    def __missing__(self, value: Any) -> bool:
        passed = bool(self.ok(value))
        if passed and len(self) < MOST_REMEMBERED and len(value) < 200 and not value.startswith("urn:uuid:"):
            self[value] = True
        return passed


def is_decimal(value: Any) -> bool:
    if value.__class__ is float:
        return math.isfinite(value)
    return value.__class__ is int or (isinstance(value, Decimal) and value.is_finite())


def is_base64(value: Any) -> bool:
    """Linear: the published pattern takes seconds on 24 groups and one bad character."""
    if not isinstance(value, str):
        return False
    plain = value if value.isalnum() else "".join(value.split())
    return len(plain) % 4 == 0 and _BASE64.fullmatch(plain) is not None


def _integer(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: value.__class__ is int and low <= value <= high


def wrong_kind(expected: str, value: Any) -> Iterator[Finding]:
    """null, or another JSON type than the one due."""
    found = json_kind(value)
    if value is None:
        yield finding("fhir.null")
    elif found == "array":
        yield finding("fhir.not-array")
    elif found != expected:
        yield finding("fhir.json-type", expected=expected, found=found)


def _explain_kind(name: str, expected: str, value: Any) -> Iterator[Finding]:
    yield from wrong_kind(expected, value)
    if json_kind(value) == "number" and expected == "number" and not is_decimal(value):
        yield finding("fhir.primitive", type=name, form=FORMS[name])


def _explain_integer(name: str, value: Any) -> Iterator[Finding]:
    low, high = RANGES[name]
    if json_kind(value) != "number":
        yield from wrong_kind("number", value)
    elif value.__class__ is not int:
        yield finding("fhir.primitive", type=name, form=FORMS[name])
    elif not low <= value <= high:
        yield finding("fhir.integer-range", type=name, low=low, high=high)


def _explain_text(name: str, ok: Callable[[Any], object], value: Any) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield from wrong_kind("string", value)
    elif not value.strip():
        yield finding("fhir.empty", what="string")
    elif not ok(value):
        yield _misshapen(name, value)


def _misshapen(name: str, value: str) -> Finding:
    if name in ("date", "dateTime", "instant") and _SHAPE_OF_DATE.fullmatch(value) and not _is_day(value):
        return finding("fhir.date", type=name)
    return finding("fhir.primitive", type=name, form=FORMS[name])


def _is_day(value: str) -> bool:
    return re.fullmatch(PATTERNS["date"], value[:10].partition("T")[0]) is not None
