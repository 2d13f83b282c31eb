"""Math functions (N1 2.0.0 section 5.7) and boundaries (STU)."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any

from masterkey_fhir.fhirpath import boundary, units
from masterkey_fhir.fhirpath.code import BOOLEAN, DECIMAL, INTEGER
from masterkey_fhir.fhirpath.functions.base import ANY, NUMBER, WHOLE, Function, on_value
from masterkey_fhir.fhirpath.values import Quantity

_DIGITS = 20  # of the results of exp, ln, log, sqrt, power
Number = int | Decimal


def _or_empty(compute: Callable[..., Any]) -> Callable[..., Any]:
    """No number, or one too large: empty (section 5.7: "if the result cannot be represented")."""

    def safe(*given: Any) -> Any:
        try:
            return compute(*given)
        except (DecimalException, OverflowError, ValueError, ZeroDivisionError):
            return None

    return safe


def _short(value: Decimal) -> Decimal:
    """Rounded to the digits that are exact, without an exponent."""
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - _DIGITS + 1)) if value else value
    whole = rounded.to_integral_value()
    return whole if rounded == whole else rounded.normalize()


def _abs(value: Any) -> Any:
    if isinstance(value, Quantity):
        return Quantity(abs(value.value), value.unit, value.calendar)
    return abs(value)


def _round(value: Number, places: int = 0) -> Decimal | None:
    if places < 0:
        return None
    return Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)


def _log(value: Number, base: Number) -> Decimal:
    return _short(Decimal(value).ln() / Decimal(base).ln())


def _power(value: Number, exponent: Number) -> Number | None:
    if isinstance(value, int) and isinstance(exponent, int) and exponent >= 0:
        return int(value**exponent) if value.bit_length() * exponent < 4096 else None
    found = Decimal(value) ** Decimal(exponent)
    return _short(found) if found.is_finite() else None


def _rounding(mode: str) -> Callable[[Number], int]:
    return lambda value: int(Decimal(value).to_integral_value(mode))


def _root(value: Number) -> Decimal:
    return _short(Decimal(value).sqrt())


def _of_numbers(compute: Callable[..., Any], *arguments: tuple[type, ...], gives: str | None) -> Function:
    return on_value(_or_empty(compute), NUMBER, *arguments, gives=gives)


def _comparable(a: Any, b: Any) -> bool:
    return isinstance(a, Quantity) and isinstance(b, Quantity) and units.comparable(a, b)


FUNCTIONS: dict[str, Function] = {
    "abs": on_value(_abs, (*NUMBER, Quantity), gives=None),
    "ceiling": _of_numbers(_rounding(ROUND_CEILING), gives=INTEGER),
    "exp": _of_numbers(lambda v: _short(Decimal(v).exp()), gives=DECIMAL),
    "floor": _of_numbers(_rounding(ROUND_FLOOR), gives=INTEGER),
    "ln": _of_numbers(lambda v: _short(Decimal(v).ln()) if v > 0 else None, gives=DECIMAL),
    "log": _of_numbers(_log, NUMBER, gives=DECIMAL),
    "power": _of_numbers(_power, NUMBER, gives=None),
    "round": on_value(_or_empty(_round), NUMBER, WHOLE, gives=DECIMAL, optional=1),
    "sqrt": _of_numbers(_root, gives=DECIMAL),
    "truncate": _of_numbers(math.trunc, gives=INTEGER),
    "precision": on_value(boundary.precision, ANY, gives=INTEGER),
    "lowBoundary": on_value(
        lambda v, digits=None: boundary.boundary(v, digits, False), ANY, WHOLE, gives=None, optional=1
    ),
    "highBoundary": on_value(
        lambda v, digits=None: boundary.boundary(v, digits, True), ANY, WHOLE, gives=None, optional=1
    ),
    "comparable": on_value(_comparable, ANY, ANY, gives=BOOLEAN),
}
