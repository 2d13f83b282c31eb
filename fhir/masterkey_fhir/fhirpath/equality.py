"""`=`, `~`, `<` on System values. FHIRPath N1 2.0.0, sections 6.1 and 6.2."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from masterkey_fhir.fhirpath import units
from masterkey_fhir.fhirpath.values import Quantity, Temporal, Time, at_utc, compare, ucum_unit

_NUMBERS = (int, Decimal)


class NotComparableError(Exception):
    """The two have no common order: a type error, told by the operator that knows its position."""


def is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and value.__class__ is not bool


def equal(a: Any, b: Any) -> bool | None:
    """Section 6.1.1. None when precision or units leave it open."""
    if a.__class__ is b.__class__ and a.__class__ in (str, int, bool, Decimal):
        return bool(a == b)
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return _same_time(a, b)
    if isinstance(a, Quantity) or isinstance(b, Quantity):
        return _same_quantity(a, b)
    if a.__class__ is dict and b.__class__ is dict:
        return bool(key(a) == key(b))
    return is_number(a) and is_number(b) and bool(a == b)


def _same_time(a: Temporal, b: Temporal) -> bool | None:
    if isinstance(a, Time) != isinstance(b, Time):
        return False
    order = compare(a, b)
    return None if order is None else order == 0


def as_quantity(value: Any) -> Quantity | None:
    """Section 5.5: an integer or decimal is implicitly a quantity of unit `1`."""
    if isinstance(value, Quantity):
        return value
    return Quantity(Decimal(value), "1") if is_number(value) else None


def _same_quantity(a: Any, b: Any) -> bool | None:
    qa, qb = as_quantity(a), as_quantity(b)
    if qa is None or qb is None:
        return False
    pair = units.same_scale(qa, qb)
    if pair is None:
        return None if _calendar_against_definite(qa, qb) else False
    return pair[0] == pair[1]


def _calendar_against_definite(a: Quantity, b: Quantity) -> bool:
    """`1 year = 1 'a'` is empty: a calendar year has no fixed length."""
    return a.calendar != b.calendar


def equivalent(a: Any, b: Any) -> bool:
    """Section 6.1.2: strings without case and spacing, decimals to the coarser precision."""
    if isinstance(a, str) and isinstance(b, str):
        return " ".join(a.split()).casefold() == " ".join(b.split()).casefold()
    if is_number(a) and is_number(b):
        return _about(Decimal(a), Decimal(b))
    if isinstance(a, Temporal) and isinstance(b, Temporal):
        return isinstance(a, Time) == isinstance(b, Time) and compare(a, b) == 0
    if isinstance(a, Quantity) or isinstance(b, Quantity):
        return _about_quantity(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_members_equivalent(a[k], b[k]) for k in a)
    return a.__class__ is b.__class__ and bool(a == b)


def _members_equivalent(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return all_equivalent(a, b)
    return equivalent(a, b)


def _about(a: Decimal, b: Decimal) -> bool:
    places = min(_places(a), _places(b))
    unit = Decimal(1).scaleb(-places)
    return a.quantize(unit, ROUND_HALF_UP) == b.quantize(unit, ROUND_HALF_UP)


def _places(value: Decimal) -> int:
    exponent = value.as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _about_quantity(a: Any, b: Any) -> bool:
    qa, qb = as_quantity(a), as_quantity(b)
    pair = units.same_scale(qa, qb) if qa and qb else None
    return pair is not None and _about(*pair)


def all_equal(a: Sequence[Any], b: Sequence[Any]) -> bool | None:
    """Collections: same length, same order, pairwise equal."""
    if len(a) != len(b):
        return False
    results = [equal(x, y) for x, y in zip(a, b, strict=True)]
    if False in results:
        return False
    return None if None in results else True


def all_equivalent(a: Sequence[Any], b: Sequence[Any]) -> bool:
    """Collections: same length, pairwise equivalent in any order."""
    if len(a) != len(b):
        return False
    left = list(b)
    for x in a:
        found = next((i for i, y in enumerate(left) if equivalent(x, y)), None)
        if found is None:
            return False
        del left[found]
    return True


def order(a: Any, b: Any) -> int | None:
    """-1, 0, 1; None when undecided. Raises NotComparableError for two types without a common order."""
    if (a.__class__ is str and b.__class__ is str) or (is_number(a) and is_number(b)):
        return int(a > b) - int(a < b)
    if isinstance(a, Temporal) and isinstance(b, Temporal) and isinstance(a, Time) == isinstance(b, Time):
        return compare(a, b)
    qa, qb = as_quantity(a), as_quantity(b)
    if qa is None or qb is None:
        raise NotComparableError
    pair = units.same_scale(qa, qb)
    return None if pair is None else int(pair[0] > pair[1]) - int(pair[0] < pair[1])


# -- sets of items: distinct, union, intersect, exclude, subsetOf, in


def key(value: Any) -> Hashable:
    """Two values have one key exactly when `=` is true for them."""
    kind = value.__class__
    if kind is str:
        return value  # type: ignore[no-any-return]
    if kind is bool or value is None:
        return (kind, value)
    if kind is dict:
        return frozenset((k, key(v)) for k, v in value.items())
    if kind is list:
        return tuple(key(v) for v in value)
    if kind is Quantity:
        return _quantity_key(value)
    return _time_key(value) if isinstance(value, Temporal) else (float, value)


def _quantity_key(q: Quantity) -> Hashable:
    found = units.base(ucum_unit(q))
    if found is None:
        return (Quantity, q.value, q.unit)
    return (Quantity, units.trim(q.value * found[0]), found[1])


def _time_key(t: Temporal) -> Hashable:
    return (isinstance(t, Time), at_utc(t).parts if t.zone else t.parts, t.zone is None)


def as_written(value: Any) -> Hashable:
    """As `key`, without asking UCUM: for values that share their units."""
    return (Quantity, value.value, value.unit) if value.__class__ is Quantity else key(value)


def share_units(values: Iterable[Any]) -> bool:
    return len({v.unit for v in values if v.__class__ is Quantity}) < 2


def keys(values: Iterable[Any]) -> set[Hashable]:
    return {key(v) for v in values}
