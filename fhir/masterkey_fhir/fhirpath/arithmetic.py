"""`+ - * / div mod` on System values. FHIRPath N1 2.0.0, sections 6.6 and 6.7 (date arithmetic)."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from masterkey_fhir.fhirpath import units
from masterkey_fhir.fhirpath.equality import as_quantity, is_number
from masterkey_fhir.fhirpath.values import (
    Part,
    Quantity,
    Temporal,
    Time,
    calendar_word,
    days_in,
    shifted,
)


class WrongTypesError(Exception):
    """The operator has no meaning for these two; told by the operator that knows its position."""


def add(a: Any, b: Any) -> Any:
    if a.__class__ is str and b.__class__ is str:
        return a + b
    if is_number(a) and is_number(b):
        return a + b
    if isinstance(a, Temporal) and isinstance(b, Quantity):
        return _move(a, b, 1)
    return _sum(a, b, 1)


def subtract(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return a - b
    if isinstance(a, Temporal) and isinstance(b, Quantity):
        return _move(a, b, -1)
    return _sum(a, b, -1)


def _sum(a: Any, b: Any, sign: int) -> Quantity | None:
    """Quantities: in the unit of the left one; empty when the units differ in kind."""
    qa, qb = as_quantity(a), as_quantity(b)
    if qa is None or qb is None:
        raise WrongTypesError
    pair = units.same_scale(qa, qb)
    return Quantity(pair[0] + sign * pair[1], qa.unit, qa.calendar) if pair else None


def multiply(a: Any, b: Any) -> Any:
    if is_number(a) and is_number(b):
        return a * b
    return units.product(*_quantities(a, b))


def divide(a: Any, b: Any) -> Any:
    """Always a decimal; empty for a zero divisor."""
    if is_number(a) and is_number(b):
        return Decimal(a) / Decimal(b) if b else None
    qa, qb = _quantities(a, b)
    return units.ratio(qa, qb) if qb.value else None


def _quantities(a: Any, b: Any) -> tuple[Quantity, Quantity]:
    qa, qb = as_quantity(a), as_quantity(b)
    if qa is None or qb is None:
        raise WrongTypesError
    return qa, qb


def div(a: Any, b: Any) -> Any:
    """Truncated towards zero."""
    if not (is_number(a) and is_number(b)):
        raise WrongTypesError
    return int(Decimal(a) // Decimal(b)) if b else None


def mod(a: Any, b: Any) -> Any:
    """The sign of the dividend, as truncated division leaves it."""
    if not (is_number(a) and is_number(b)):
        raise WrongTypesError
    if not b:
        return None
    left = Decimal(a) % Decimal(b)
    return int(left) if isinstance(a, int) and isinstance(b, int) else left


# -- dates: section 6.7. The amount is first turned into the finest unit that the date has.

_UCUM_WORDS = {"d": "day", "wk": "week", "h": "hour", "min": "minute", "s": "second", "ms": "millisecond"}
_UNITS = ("year", "month", "day", "hour", "minute", "second")  # by index = position in `parts`
_PER_NEXT = (12, 30, 24, 60, 60)  # a month counts 30 days here (section 6.7.1)


def _move(when: Temporal, by: Quantity, sign: int) -> Temporal | None:
    word = calendar_word(by.unit) or _UCUM_WORDS.get(by.unit)
    if word is None:
        raise WrongTypesError  # 'mo', 'a': a definite duration has no place in a calendar
    amount, unit = _normal(by.value, word)
    if isinstance(when, Time):
        return _move_clock(when, amount * sign, unit)
    finest = len(when.parts) - 1
    while unit > finest:
        unit -= 1
        amount = Decimal(int(amount / _PER_NEXT[unit]))
    return _move_date(when, amount * sign, unit)


def _normal(value: Decimal, word: str) -> tuple[Decimal, int]:
    """Weeks are days, milliseconds are seconds; above seconds the fraction is dropped (section 6.7)."""
    if word == "millisecond":
        return value / 1000, 5
    if word == "second":
        return value, 5
    if word == "week":
        return Decimal(int(value) * 7), 2
    return Decimal(int(value)), _UNITS.index(word)


def _move_date(when: Temporal, amount: Decimal, unit: int) -> Temporal | None:
    if unit <= 1:
        return _move_months(when, int(amount) * (12 if unit == 0 else 1))
    try:
        return _move_seconds(when, amount) if unit == 5 else shifted(when, _delta(amount, unit))
    except OverflowError:
        return None  # outside the years 1 to 9999


def _delta(amount: Decimal, unit: int) -> timedelta:
    return timedelta(**{f"{_UNITS[unit]}s": int(amount)})


def _move_months(when: Temporal, months: int) -> Temporal | None:
    """The last day of the month when it has no such day (section 6.7.1)."""
    year, month, *rest = (*when.parts, 1)[: max(len(when.parts), 2)]
    total = int(year) * 12 + int(month) - 1 + months
    year, month = total // 12, total % 12 + 1
    if not 1 <= year <= 9999:
        return None
    if rest:
        rest[0] = min(int(rest[0]), days_in(year, month))
    return type(when)((year, month, *rest)[: len(when.parts)], when.zone)


def _move_seconds(when: Temporal, amount: Decimal) -> Temporal:
    total = when.parts[5] + amount
    minutes, second = _split(Decimal(total))
    moved = shifted(when, timedelta(minutes=minutes))
    return type(when)((*moved.parts[:5], _like(second, when.parts[5])), when.zone)


def _split(seconds: Decimal) -> tuple[int, Decimal]:
    minutes = int(seconds // 60) - (1 if seconds < 0 and seconds % 60 else 0)
    return minutes, seconds - minutes * 60


def _like(second: Decimal, before: Part) -> Part:
    """Whole seconds stay whole; the digits of a fraction are kept."""
    if isinstance(before, int):
        return int(second) if second == int(second) else second
    exponent = before.as_tuple().exponent
    return second.quantize(before) if isinstance(exponent, int) and second == second.quantize(before) else second


def _move_clock(when: Time, amount: Decimal, unit: int) -> Time:
    """A time runs round the clock."""
    if unit < 3:
        raise WrongTypesError
    have = (*when.parts, 0, 0)[:3]
    total = Decimal(have[0] * 3600 + have[1] * 60 + have[2]) + amount * (3600, 60, 1)[unit - 3]
    total %= 86400
    total += 86400 if total < 0 else 0
    second = _like(total % 60, when.parts[2] if len(when.parts) > 2 else 0)
    parts: tuple[Part, ...] = (int(total // 3600), int(total // 60) % 60, second)
    return Time(parts[: len(when.parts)])


def negated(value: Any) -> Any:
    if is_number(value):
        return -value
    if isinstance(value, Quantity):
        return Quantity(-value.value, value.unit, value.calendar)
    raise WrongTypesError
