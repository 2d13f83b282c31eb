"""What flows between the steps of an expression.

An item is
  a plain Python value      System types: bool, int, Decimal, str, Date, DateTime, Time, Quantity, TypeInfo
  a plain JSON value        FHIR, where the type is known when the expression is compiled
  Typed(value, type, extra) FHIR, where it is not (choice elements, contained resources), and primitives that
                            have an id or extensions (http://hl7.org/fhir/R4/json.html#primitive)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

from masterkey_fhir.definitions import ancestors, types
from masterkey_fhir.fhirpath.values import Date, DateTime, Quantity, Temporal, Time

Item = Any
Convert = Callable[[Item], Any]


class Typed:
    """`type` is a FHIR type, or None for JSON that is no FHIR; `extra` the `_name` sibling of a primitive."""

    __slots__ = ("extra", "type", "value")

    def __init__(self, value: Any, type_name: str | None, extra: dict[str, Any] | None = None) -> None:
        self.value = value
        self.type = type_name
        self.extra = extra


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """What `type()` gives (section 6.3.4... of N1: reflection): SimpleTypeInfo, ClassInfo."""

    namespace: str
    name: str


_SYSTEM: dict[type, str] = {
    bool: "Boolean",
    int: "Integer",
    Decimal: "Decimal",
    float: "Decimal",
    str: "String",
    Date: "Date",
    DateTime: "DateTime",
    Time: "Time",
    Quantity: "Quantity",
    TypeInfo: "TypeInfo",
}
_AS_TEMPORAL: dict[str, type[Temporal]] = {
    "date": Date,
    "dateTime": DateTime,
    "instant": DateTime,
    "time": Time,
}
UCUM = "http://unitsofmeasure.org"
# A UCUM duration in a FHIR Quantity is the calendar one (http://hl7.org/fhir/R4/fhirpath.html#quantity).
_CALENDAR_CODES = {"a": "year", "mo": "month"}


def system_name(value: Any) -> str | None:
    """`System` type of a plain value, None for JSON objects."""
    found = _SYSTEM.get(value.__class__)
    return "Decimal" if found is None and isinstance(value, Decimal) else found


@cache
def is_primitive(type_name: str | None) -> bool:
    found = types().get(type_name or "")
    return found is not None and found.kind == "primitive-type"


@cache
def system_of(type_name: str | None) -> str | None:
    """The System type of items of a static type; "" when they are objects, None when it is not known."""
    if type_name is None:
        return None
    if type_name.startswith("System."):
        return type_name.removeprefix("System.")
    if is_a(type_name, "integer"):  # R4 publishes String for positiveInt and unsignedInt, whose JSON is a number
        return "Integer"
    found = types().get(type_name)
    return None if found is None else found.system or ""


@cache
def is_a(type_name: str, wanted: str) -> bool:
    """Subtypes included: a code is a string, a Patient is a DomainResource."""
    return type_name in types() and wanted in ancestors(type_name)


def plain(item: Item) -> Any:
    return item.value if item.__class__ is Typed else item


@cache
def to_system(type_name: str | None) -> Convert | None:
    """From an item of the static type to the value operators work on; None = it already is.

    Complex types but Quantity stay JSON objects. A primitive without a value becomes None.
    """
    if type_name is None:
        return _dynamic
    if type_name.startswith("System."):
        return None
    if type_name in _AS_TEMPORAL:
        return _temporal(_AS_TEMPORAL[type_name])
    if is_a(type_name, "Quantity"):
        return as_quantity
    if type_name in ("decimal", "integer", "positiveInt", "unsignedInt"):
        return _number
    return plain


def _dynamic(item: Item) -> Any:
    if item.__class__ is not Typed:
        return Decimal(repr(item)) if item.__class__ is float else item
    convert = to_system(item.type) if item.type in types() else plain
    return convert(item) if convert else item.value


def _number(item: Item) -> Any:
    value = item.value if item.__class__ is Typed else item
    return Decimal(repr(value)) if value.__class__ is float else value


def _temporal(kind: type[Temporal]) -> Convert:
    parse = kind.parse

    def convert(item: Item) -> Any:
        """A text that is no such date stays text: it equals itself, and orders with nothing."""
        text = item.value if item.__class__ is Typed else item
        if text.__class__ is not str:
            return text
        found = parse(text)
        return text if found is None else found

    return convert


def as_quantity(item: Item) -> Any:
    """A FHIR Quantity as System.Quantity; the object itself when it has no value or no plain unit."""
    q = item.value if item.__class__ is Typed else item
    value = q.get("value") if q.__class__ is dict else None
    if value is None or value.__class__ is str or "comparator" in q:
        return q
    number = Decimal(repr(value)) if value.__class__ is float else Decimal(value)
    unit = q.get("code") or q.get("unit") or "1"
    if q.get("system") == UCUM and unit in _CALENDAR_CODES:
        return Quantity(number, _CALENDAR_CODES[unit], True)
    return Quantity(number, unit)


def to_dynamic(type_name: str | None) -> Convert | None:
    """From an item of the static type to one that carries its type; None = it already does."""
    if type_name is None or type_name.startswith("System."):
        return None
    return lambda item: item if item.__class__ is Typed else Typed(item, type_name)


def from_json(value: Any) -> Item:
    """An item for a value that comes from outside: a constant, a resolved resource."""
    if value.__class__ is dict:
        return Typed(value, value.get("resourceType"))
    return value


def type_info(item: Item, static: str | None) -> TypeInfo:
    name = item.type if item.__class__ is Typed else static
    if name is None or name.startswith("System."):
        return TypeInfo("System", system_name(item) or "Any")
    return TypeInfo("FHIR", name)
