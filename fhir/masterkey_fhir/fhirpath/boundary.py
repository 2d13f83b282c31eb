"""`lowBoundary`, `highBoundary`, `precision`: what a value of limited precision can stand for.

http://hl7.org/fhirpath/ section 5.6 (STU), with the number of digits counted as there: a year has 4, a
dateTime with milliseconds 17; for decimals the digits after the point.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

from masterkey_fhir.fhirpath.equality import is_number
from masterkey_fhir.fhirpath.values import Date, DateTime, Part, Quantity, Temporal, Time, days_in

_WIDE = Context(prec=60)
_MOST = 31  # digits after the point; more are refused by empty, as in the published tests
_LOW_ZONE, _HIGH_ZONE = 14 * 60, -12 * 60  # the earliest and the latest zone on earth
_DIGITS = (4, 6, 8, 10, 12, 14, 17)
_CLOCK_DIGITS = (2, 4, 6, 9)


def precision(value: Any) -> int | None:
    if isinstance(value, Temporal):
        return value.digits
    if isinstance(value, Quantity):
        value = value.value
    return _places(Decimal(value)) if is_number(value) else None


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def boundary(value: Any, digits: int | None, high: bool) -> Any:
    """The least or greatest value; None when it has none of that precision."""
    if is_number(value):
        return _of_decimal(Decimal(value), 8 if digits is None else digits, high)
    if isinstance(value, Quantity):
        found = _of_decimal(value.value, 8 if digits is None else digits, high)
        return None if found is None else Quantity(found, value.unit, value.calendar)
    if isinstance(value, Time):
        return _of_time(value, 9 if digits is None else digits, high)
    if isinstance(value, Temporal):
        default = 8 if isinstance(value, Date) else 17
        return _of_date(value, default if digits is None else digits, high)
    return None


def _of_decimal(value: Decimal, digits: int, high: bool) -> Decimal | None:
    """Half a unit of the last digit, then cut to `digits`.

    The published tests cut towards zero when the boundary lies nearer to zero than the value, and round half
    up when it lies farther.
    """
    if not 0 <= digits <= _MOST:
        return None
    half = Decimal(5).scaleb(-_places(value) - 1, _WIDE)
    edge = _WIDE.add(value, half if high else -half)
    farther = high != value.is_signed()
    return edge.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP if farther else ROUND_DOWN, _WIDE)


def _of_date(value: Temporal, digits: int, high: bool) -> Temporal | None:
    if digits not in _DIGITS:
        return None
    parts = _filled(value.parts, high)
    size = _DIGITS.index(digits) + 1
    kept = (*parts[:5], _second(value.parts, high)) if size == 7 else (*parts[:5], int(parts[5]))[:size]
    kind = Date if isinstance(value, Date) and size <= 3 else type(value)
    if size <= 3:
        return kind(kept)
    zone = value.zone if value.zone is not None else (_HIGH_ZONE if high else _LOW_ZONE)
    return DateTime(kept, zone)


def _filled(parts: tuple[Part, ...], high: bool) -> tuple[Part, ...]:
    if not high:
        return (*parts, *(1, 1, 1, 0, 0, 0)[len(parts) :])
    year, month = int(parts[0]), int(parts[1]) if len(parts) > 1 else 12
    return (*parts, *(year, month, days_in(year, month), 23, 59, 59)[len(parts) :])


def _second(parts: tuple[Part, ...], high: bool) -> Decimal:
    """Three digits of milliseconds, those given kept."""
    if len(parts) < 6:
        return Decimal("59.999") if high else Decimal("0.000")
    given = Decimal(parts[5])
    places = _places(given)
    edge = given + (Decimal(1).scaleb(-places) - Decimal("0.001") if high and places < 3 else 0)
    return edge.quantize(Decimal("0.001"), ROUND_DOWN)


def _of_time(value: Time, digits: int, high: bool) -> Time | None:
    if digits not in _CLOCK_DIGITS:
        return None
    parts = (*value.parts, *((23, 59, 59) if high else (0, 0, 0))[len(value.parts) :])
    size = _CLOCK_DIGITS.index(digits) + 1
    if size < 4:
        return Time((*parts[:2], int(parts[2]))[:size])
    return Time((*parts[:2], _second((1, 1, 1, *value.parts), high)))
