"""Formats of primitives: against the calendar, against the published patterns, and in linear time."""

from __future__ import annotations

import calendar
import re
import time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.check.findings import passes
from masterkey_fhir.check.primitives import FORMS, MOST_REMEMBERED, PATTERNS, Remembered, primitive
from masterkey_fhir.definitions import types

PRIMITIVES = [t.name for t in types().values() if t.kind == "primitive-type"]
# Exponential on hostile input, or about JSON tokens and not about text.
NOT_RUN = {"base64Binary", "markdown", "boolean", "decimal", "integer", "unsignedInt", "positiveInt"}


def ok(name: str, value: Any) -> bool:
    return passes(primitive(name).ok, value)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_every_primitive_of_r4_has_a_checker_and_a_hint(name: str) -> None:
    check = primitive(name)
    assert not passes(check.ok, {})
    assert name in FORMS or name == "boolean"


def test_every_day_of_the_calendar_and_no_other() -> None:
    is_date = re.compile(PATTERNS["date"]).fullmatch
    for year in (1, 4, 99, 100, 400, 1900, 1999, 2000, 2023, 2024, 2100, 9999):
        for month in range(14):
            last = calendar.monthrange(year, month)[1] if 1 <= month <= 12 else 0
            for day in range(33):
                written = f"{year:04}-{month:02}-{day:02}"
                assert (is_date(written) is not None) == (1 <= day <= last), written
                assert (ok("instant", written + "T00:00:00Z")) == (1 <= day <= last), written


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - NOT_RUN - {"xhtml", "string"}))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_we_take_the_published_pattern_takes_too(name: str, data: st.DataObject) -> None:
    pattern = types()[name].pattern
    assert pattern is not None
    value = data.draw(st.from_regex(PATTERNS[name], fullmatch=True))
    assert re.fullmatch(pattern, value, re.ASCII)


@pytest.mark.parametrize("name", ["date", "dateTime", "instant", "time", "id", "oid", "uuid"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_what_the_published_pattern_takes_we_refuse_only_for_the_calendar(name: str, data: st.DataObject) -> None:
    pattern = types()[name].pattern
    assert pattern is not None
    value = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    (found, *_) = [*primitive(name).findings(value), None]
    assert found is None or found.rule == "fhir.date"


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_text_is_what_the_published_pattern_takes_and_has_something_to_see(value: str) -> None:
    published = re.fullmatch(types()["string"].pattern or "", value, re.ASCII)
    control = re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", value)
    assert ok("string", value) == (published is not None and control is None and bool(value.strip()))


CASES: list[tuple[str, Any, bool]] = [
    ("string", "山田\u3000太郎", True),
    ("string", "a\u00a0b", True),
    ("string", "\u3000", False),
    ("string", "a\x0b", False),
    ("string", "x" * 1024 * 1024, True),
    ("string", "x" * (1024 * 1024 + 1), False),
    ("code", "a b", True),
    ("code", "a  b", False),
    ("code", " a", False),
    ("code", "血", True),
    ("uri", "urn:oid:1.2", True),
    ("uri", "a\tb", False),
    ("id", "a-B.9", True),
    ("id", "", False),
    ("dateTime", "2024-05", True),
    ("dateTime", "2024-05-01T10:00:00-00:00", True),
    ("dateTime", "2024-05-01T", False),
    ("dateTime", "2024-05-01t10:00:00z", False),
    ("time", "23:59:60", True),
    ("time", "24:00:00", False),
    ("oid", "urn:oid:2.16.840", True),
    ("oid", "urn:oid:3.16", False),
    ("decimal", Decimal("0.010"), True),
    ("decimal", 7, True),
    ("decimal", 0.5, True),
    ("decimal", float("inf"), False),
    ("decimal", Decimal("NaN"), False),
    ("decimal", True, False),
    ("integer", Decimal("1.0"), False),
    ("integer", -(2**31), True),
    ("integer", 2**31 - 1, True),
    ("integer", 2**31, False),
    ("positiveInt", 0, False),
    ("unsignedInt", 0, True),
    ("boolean", False, True),
    ("boolean", 0, False),
    ("base64Binary", "QUJD", True),
    ("base64Binary", "QU JD\r\nQQ==", True),
    ("base64Binary", "QUJ=D", False),
    ("base64Binary", "=", False),
    ("base64Binary", " ", False),
    ("base64Binary", 5, False),
    ("uuid", "urn:uuid:4F5E0A3C-8F0B-4C57-9D0C-3B5A1F1F2A11", False),
    ("xhtml", "<div/>", True),
]


@pytest.mark.parametrize("row", CASES, ids=lambda row: f"{row[0]} {str(row[1])[:20]!a}")
def test_case(row: tuple[str, Any, bool]) -> None:
    name, value, valid = row
    assert ok(name, value) == valid
    assert (list(primitive(name).findings(value)) == []) == valid


def test_what_is_remembered_is_bounded_and_only_what_passed() -> None:
    seen = Remembered(re.compile(PATTERNS["uri"]).fullmatch)
    for number in range(MOST_REMEMBERED + 10):
        assert seen[f"http://example.org/{number}"]
    assert len(seen) == MOST_REMEMBERED
    fresh = Remembered(re.compile(PATTERNS["uri"]).fullmatch)
    assert not fresh["a b"]
    assert fresh["urn:uuid:4f5e0a3c-8f0b-4c57-9d0c-3b5a1f1f2a11"]
    assert fresh["http://x/" + "y" * 300]
    assert not fresh


HOSTILE = {
    "base64Binary": "QUJD\n" * 20_000 + "!",
    "markdown": " a" * 100_000 + "\x01",
    "string": " " * 200_000 + "\x01",
    "code": "a " * 100_000 + " ",
    "oid": "urn:oid:1" + ".1" * 100_000 + ".",
    "uri": "a" * 200_000 + " ",
    "dateTime": "2024-05-01T10:00:00." + "9" * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_linear_on_hostile_text(name: str) -> None:
    start = time.process_time()
    assert not ok(name, HOSTILE[name])
    assert time.process_time() - start < 2  # an exponential pattern would need years
