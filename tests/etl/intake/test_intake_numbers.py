"""Numbers, flags and labels."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl import values

WIDE = str.maketrans("0123456789.-", "０１２３４５６７８９．－")


@given(st.integers(-(10**17), 10**17), st.booleans())
def test_whole_numbers_round_trip(number, wide):
    text = str(number).translate(WIDE) if wide else str(number)
    assert values.integer(text) == (number, None)


@given(st.decimals(-(10**9), 10**9, places=4), st.booleans())
def test_decimals_keep_their_digits(number, wide):
    text = f"{number:f}".translate(WIDE) if wide else f"{number:f}"
    found, problem = values.decimal(text)
    assert problem is None
    assert str(found) == str(Decimal(f"{number:f}"))


@pytest.mark.parametrize("text", ["", "x", "3.0", "1e3", "1.23E+15", "1,23", "12 3", "--1", "九", "१२"])
def test_what_is_no_whole_number(text):
    assert values.integer(text) == (None, "not-an-integer")


@pytest.mark.parametrize("text", ["", "x", "1e3", "1.2.3", "1,23", "NaN", "Infinity", "६.1"])
def test_what_is_no_number(text):
    assert values.decimal(text) == (None, "not-a-number")


def test_thousands_are_read_and_ranges_kept():
    assert values.integer("1,234,567") == (1234567, None)
    assert values.decimal("0.1", 0.1, 0.3) == (Decimal("0.1"), None)
    assert values.decimal("0.30001", 0, 0.3) == (None, "range")
    assert values.integer("121", 0, 120) == (None, "range")


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("なし", False), (" YES ", True), ("０", False)])
def test_flags(text, expected):
    assert values.flag(text) == (expected, None)


def test_no_flag():
    assert values.flag("maybe") == (None, "not-a-flag")


def test_labels_are_compared_in_nfkc():
    assert values.nfkc("１次治療 ") == values.nfkc("1次治療")
