"""UCUM through pint and ucumvert, loaded when two different units first meet (about 1.5 s, once)."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

from masterkey_fhir.fhirpath.values import CALENDAR, Quantity, ucum_unit

Dimension = tuple[tuple[str, str], ...]


@lru_cache(maxsize=4096)
def base(unit: str) -> tuple[Decimal, Dimension] | None:
    """Factor to base units and dimension; None when UCUM has no such unit, or it is no ratio scale (Cel)."""
    if unit in ("1", ""):
        return Decimal(1), ()
    if unit in CALENDAR:  # calendar year and month compare only with themselves
        return Decimal(1), ((unit, "1"),)
    return _of_library(unit)


def _of_library(unit: str) -> tuple[Decimal, Dimension] | None:
    registry, not_units = _registry()
    try:
        in_base = registry.from_ucum(unit).to_base_units()
        if registry.Quantity(0, in_base.units) != registry.from_ucum(unit).to_base_units() * 0:
            return None
        doubled = (registry.from_ucum(unit) * 2).to_base_units()
    except not_units:
        return None
    factor = Decimal(repr(float(in_base.magnitude)))
    if abs(float(doubled.magnitude) - 2 * float(factor)) > abs(float(factor)) * 1e-9:
        return None  # an offset scale
    return factor, tuple(sorted((str(k), str(v)) for k, v in in_base.dimensionality.items()))


@cache
def _registry() -> tuple[Any, tuple[type[Exception], ...]]:
    import pint
    from lark.exceptions import LarkError
    from ucumvert import PintUcumRegistry
    from ucumvert.parser import InvalidUcumError

    return PintUcumRegistry(), (LarkError, InvalidUcumError, pint.PintError, ValueError)


def comparable(a: Quantity, b: Quantity) -> bool:
    return same_scale(a, b) is not None


def same_scale(a: Quantity, b: Quantity) -> tuple[Decimal, Decimal] | None:
    """Both values in one unit; None when the units measure different things or are not known."""
    unit_a, unit_b = ucum_unit(a), ucum_unit(b)
    if unit_a == unit_b:
        return a.value, b.value
    base_a, base_b = base(unit_a), base(unit_b)
    if base_a is None or base_b is None or base_a[1] != base_b[1]:
        return None
    # to the scale of a: keeps the digits of a's value
    return a.value, trim(b.value * base_b[0] / base_a[0])


def trim(value: Decimal) -> Decimal:
    """15 significant digits (what the library's floating point factors are good for), no zeros at the end."""
    short = value.quantize(Decimal(1).scaleb(value.adjusted() - 14)) if value else Decimal(0)
    whole = short.to_integral_value()
    return whole.quantize(Decimal(1)) if short == whole else short.normalize()


def product(a: Quantity, b: Quantity) -> Quantity:
    return Quantity(a.value * b.value, _times(ucum_unit(a), ucum_unit(b)))


def ratio(a: Quantity, b: Quantity) -> Quantity:
    """Raises decimal.DivisionByZero for a zero divisor."""
    unit_a, unit_b = ucum_unit(a), ucum_unit(b)
    if unit_a == unit_b:
        return Quantity(a.value / b.value, "1")
    return Quantity(a.value / b.value, unit_a if unit_b == "1" else f"{unit_a}/({unit_b})")


def _times(a: str, b: str) -> str:
    if "1" in (a, b):
        return b if a == "1" else a
    return f"({a}).({b})"
