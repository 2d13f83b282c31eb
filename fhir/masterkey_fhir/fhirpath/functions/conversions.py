"""Conversions (N1 2.0.0 section 5.5): `toX()` is empty, `convertsToX()` false, where there is no way."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from masterkey_fhir.fhirpath.code import BOOLEAN
from masterkey_fhir.fhirpath.equality import is_number
from masterkey_fhir.fhirpath.functions.base import ANY, TEXT, Function, on_value
from masterkey_fhir.fhirpath.units import same_scale
from masterkey_fhir.fhirpath.values import (
    Date,
    DateTime,
    Quantity,
    Temporal,
    Time,
    calendar_word,
    parse_quantity,
)

_TRUE = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d{1,400}(?:\.\d{1,400})?", re.ASCII)


def to_boolean(value: Any) -> bool | None:
    if value.__class__ is bool:
        return bool(value)
    text = value.lower() if value.__class__ is str else value
    if is_number(value):
        return {1: True, 0: False}.get(value)
    return True if text in _TRUE else False if text in _FALSE else None


def to_integer(value: Any) -> int | None:
    if isinstance(value, int):
        return int(value)
    return int(value) if value.__class__ is str and _INTEGER.fullmatch(value) else None


def to_decimal(value: Any) -> Decimal | None:
    if isinstance(value, int | Decimal):
        return Decimal(value)
    return Decimal(value) if value.__class__ is str and _DECIMAL.fullmatch(value) else None


def to_text(value: Any) -> str | None:
    """Decimals keep their digits and never show an exponent."""
    if value.__class__ is bool:
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value) if isinstance(value, int | str | Temporal | Quantity) else None


def to_date(value: Any) -> Date | None:
    if isinstance(value, DateTime):
        return Date(value.parts[:3])
    return value if isinstance(value, Date) else Date.parse(value) if value.__class__ is str else None


def to_date_time(value: Any) -> DateTime | None:
    if isinstance(value, Date):
        return DateTime(value.parts)
    return value if isinstance(value, DateTime) else DateTime.parse(value) if value.__class__ is str else None


def to_time(value: Any) -> Time | None:
    if isinstance(value, Time):
        return value
    return Time.parse(value.removeprefix("T")) if value.__class__ is str else None


def to_quantity(value: Any) -> Quantity | None:
    if value.__class__ is bool:
        return Quantity(Decimal("1.0") if value else Decimal("0.0"), "1")
    if is_number(value):
        return Quantity(Decimal(value), "1")
    return value if isinstance(value, Quantity) else parse_quantity(value) if value.__class__ is str else None


def _to_quantity_in(value: Any, unit: str | None = None) -> Quantity | None:
    """`toQuantity('mg')`: converted to that unit."""
    found = to_quantity(value)
    if unit is None or found is None:
        return found
    word = calendar_word(unit)
    target = Quantity(Decimal(1), word or unit, word is not None)
    pair = same_scale(target, found)
    return Quantity(pair[1], target.unit, target.calendar) if pair else None


def _converts(convert: Callable[..., Any]) -> Callable[..., bool]:
    return lambda *given: convert(*given) is not None


_TO: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Boolean": (to_boolean, "System.Boolean"),
    "Integer": (to_integer, "System.Integer"),
    "Decimal": (to_decimal, "System.Decimal"),
    "String": (to_text, "System.String"),
    "Date": (to_date, "System.Date"),
    "DateTime": (to_date_time, "System.DateTime"),
    "Time": (to_time, "System.Time"),
}
FUNCTIONS: dict[str, Function] = {
    **{f"to{name}": on_value(convert, ANY, gives=kind) for name, (convert, kind) in _TO.items()},
    **{f"convertsTo{name}": on_value(_converts(convert), ANY, gives=BOOLEAN) for name, (convert, _) in _TO.items()},
    "toQuantity": on_value(_to_quantity_in, ANY, TEXT, gives="System.Quantity", optional=1),
    "convertsToQuantity": on_value(_converts(_to_quantity_in), ANY, TEXT, gives=BOOLEAN, optional=1),
}
