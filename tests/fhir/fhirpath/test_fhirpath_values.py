from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_fhir.fhirpath import Date, DateTime, Quantity, Time, compile
from masterkey_fhir.fhirpath.arithmetic import add, subtract
from masterkey_fhir.fhirpath.boundary import boundary
from masterkey_fhir.fhirpath.values import Temporal, compare

_DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
_FRACTIONS = st.one_of(st.just(""), st.integers(0, 999999).map(lambda n: f".{n:06}"[:5]))
_ZONES = st.one_of(st.just(""), st.just("Z"), st.integers(-12, 14).filter(bool).map(lambda h: f"{h:+03}:00"))


@st.composite
def date_times(draw: st.DrawFn) -> str:
    day, time = draw(_DAYS).isoformat(), draw(st.times()).strftime("%H:%M:%S") + draw(_FRACTIONS)
    size = draw(st.sampled_from([4, 7, 10, 13, 16, 19]))
    if size <= 10:
        return day[:size]
    clock = time if size == 19 else time[: size - 11]
    return f"{day}T{clock}{draw(_ZONES)}"


@given(date_times())
def test_a_date_keeps_the_precision_it_was_given(text: str) -> None:
    assert str(DateTime.parse(text)) == text


@given(_DAYS, st.integers(-40000, 40000))
def test_days_are_those_of_the_calendar(day: date, days: int) -> None:
    moved = add(Date.parse(day.isoformat()), Quantity(Decimal(days), "day", True))
    try:
        assert str(moved) == (day + timedelta(days=days)).isoformat()
    except OverflowError:
        assert moved is None


@given(date_times(), date_times())
def test_comparison_is_antisymmetric(a: str, b: str) -> None:
    x, y = DateTime.parse(a), DateTime.parse(b)
    assert x is not None
    assert y is not None
    forward, back = compare(x, y), compare(y, x)
    assert (forward is None and back is None) or forward == -(back or 0)


@given(date_times())
def test_a_boundary_encloses_the_value(text: str) -> None:
    value = DateTime.parse(text)
    low, high = boundary(value, None, False), boundary(value, None, True)
    order = compare(low, high)
    assert order is None or order <= 0
    assert low.digits == high.digits == 17 or len(value.parts) == 6  # type: ignore[union-attr]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_decimals_keep_their_digits(value: Decimal) -> None:
    text = f"{value:f}"
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    assert compile(f"({sign}{digits}).toString()")({}) == [text]
    observation = {"resourceType": "Observation", "valueQuantity": {"value": value}}
    [found] = compile("value.ofType(Quantity).value")(observation)
    assert str(found) == str(value)


@pytest.mark.parametrize("text", ["2015-02-29", "2015-13", "0000", "2015-1-1", "15", "2015-02-01T25:00", "x"])
def test_no_day_of_the_calendar(text: str) -> None:
    assert DateTime.parse(text) is None


@pytest.mark.parametrize(
    ("a", "b", "order"),
    [
        ("2018-03", "2018-03-01", None),
        ("2018-03", "2018-04-01", -1),
        ("2018-03-01T10:30", "2018-03-01T10:30:00", None),
        ("2018-03-01T10:30:00", "2018-03-01T10:30:00.0", 0),
        ("2018-03-01T10:30:00Z", "2018-03-01T19:30:00+09:00", 0),
        ("2018-03-01T10:30:00Z", "2018-03-01T10:30:00", None),  # whose zone?
        ("2018-03-01T10:30:00Z", "2018-03-05", -1),  # wherever it was
        ("2018-12-31T23:30:00-05:00", "2019-01-01T00:00:00Z", 1),
    ],
)
def test_comparison_is_empty_when_open(a: str, b: str, order: int | None) -> None:
    x, y = DateTime.parse(a), DateTime.parse(b)
    assert x is not None
    assert y is not None
    assert compare(x, y) == order


@pytest.mark.parametrize(
    ("start", "amount", "unit", "end"),
    [
        ("2020-02-29", 1, "year", "2021-02-28"),
        ("2020-01-31", 1, "month", "2020-02-29"),
        ("2019", 18, "month", "2020"),
        ("2019-03", 60, "day", "2019-05"),
        ("2019-03-01", 36, "hour", "2019-03-02"),
        ("2019-03-01T23:59:59.50+09:00", 1, "second", "2019-03-02T00:00:00.50+09:00"),
        ("2019-03-01T10:00:00Z", 1500, "millisecond", "2019-03-01T10:00:01.5Z"),
    ],
)
def test_date_arithmetic(start: str, amount: int, unit: str, end: str) -> None:
    by = Quantity(Decimal(amount), unit, True)
    assert _same(add(DateTime.parse(start), by), end)


def test_there_and_back() -> None:
    day, by = Date.parse("2020-06-15"), Quantity(Decimal(17), "month", True)
    assert _same(subtract(add(day, by), by), "2020-06-15")


def test_a_time_runs_round_the_clock() -> None:
    late = Time.parse("23:30")
    assert _same(add(late, Quantity(Decimal(45), "minute", True)), "00:15")


def _same(value: Temporal | None, text: str) -> bool:
    assert str(value) == text
    return True


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 'mg' = 0.001 'g'", [True]),
        ("1 'mg' = 1 's'", [False]),
        ("1 'mg' < 1 's'", []),
        ("1 year = 1 'a'", []),
        ("7 days = 1 'wk'", [True]),
        ("37 'Cel' < 38 'Cel'", [True]),
        ("37 'Cel' < 300 'K'", []),  # no ratio scale: undecided
        ("1 'unknown-unit' = 1 'unknown-unit'", [True]),
        ("(1 'g' | 1000 'mg' | 2 'g').count()", [2]),
        ("5 'mg' + 1 'g'", ["1005 'mg'"]),
        ("'5.0 mg'.toQuantity()", []),
        ("'5.0 \\'mg\\''.toQuantity('g').value", []),
    ],
)
def test_quantities(expression: str, result: list[object]) -> None:
    found = compile(expression)({})
    assert [str(v) if isinstance(v, Quantity) else v for v in found] == result
