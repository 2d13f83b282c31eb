"""Does a map fit FHIR R4? Element names, array-ness and types, from the compiled definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from masterkey_fhir.definitions import Element, TypeDef, type_def, types, value_set_codes

_TEXT_TYPES = frozenset(("string", "markdown", "code", "id", "uri", "url", "canonical", "oid", "uuid", "base64Binary"))
_DATE_TYPES = frozenset(("date", "dateTime"))
_TIME_TYPES = frozenset(("date", "dateTime", "instant", "time"))
_WHOLE_TYPES = frozenset(("integer", "positiveInt", "unsignedInt", "decimal"))
_QUANTITIES = frozenset(("Quantity", "Age", "Duration", "Count", "Distance"))

# What an expression of a type may fill (http://hl7.org/fhir/R4/datatypes.html).
FILLS: Mapping[str, frozenset[str]] = {
    "string": _TEXT_TYPES | _TIME_TYPES,
    "date": _DATE_TYPES,
    "integer": _WHOLE_TYPES,
    "decimal": frozenset(("decimal",)),
    "boolean": frozenset(("boolean",)),
    "Coding": frozenset(("Coding",)),
    "CodeableConcept": frozenset(("CodeableConcept",)),
    "Quantity": _QUANTITIES,
    "Reference": frozenset(("Reference",)),
}


@dataclass(frozen=True, slots=True)
class Slot:
    """One JSON member of a type: the element behind it and the FHIR type of its value."""

    element: Element
    type: str

    @property
    def is_list(self) -> bool:
        return self.element.is_list


@cache
def slots(type_name: str) -> Mapping[str, Slot]:
    """JSON member name -> slot; `_birthDate` for the extensions of a primitive (http://hl7.org/fhir/R4/json.html)."""
    out: dict[str, Slot] = {}
    for element in type_def(type_name).elements.values():
        for name, kind in element.json_names().items():
            out[name] = Slot(element, kind)
            if is_primitive(kind):
                out[f"_{name}"] = Slot(element, "Element")
    return out


def is_primitive(type_name: str) -> bool:
    found: TypeDef | None = types().get(type_name)
    return found is not None and found.kind == "primitive-type"


def literal_problem(value: str | int | Decimal | bool, slot: Slot) -> tuple[str, str] | None:
    """What is wrong with a literal in a slot, and what would be right; None = nothing."""
    if slot.type not in _accepts(value):
        return f"{_said(value)} can't stand where {slot.type} is expected", slot.type
    if isinstance(value, str):
        return _bad_text(value, slot) or _bad_code(value, slot.element)
    return None


def _accepts(value: str | int | Decimal | bool) -> frozenset[str]:
    if isinstance(value, bool):
        return FILLS["boolean"]
    if isinstance(value, str):
        return FILLS["string"]
    return FILLS["integer"] if isinstance(value, int) else FILLS["decimal"]


def _said(value: str | int | Decimal | bool) -> str:
    if isinstance(value, bool):
        return "true/false"
    return "a text" if isinstance(value, str) else "a number (quote it to make it a text)"


def _bad_text(value: str, slot: Slot) -> tuple[str, str] | None:
    pattern = type_def(slot.type).pattern
    if pattern and not re.fullmatch(pattern, value):
        return f"'{value}' is not a {slot.type}", f"a {slot.type}"
    return None


def _bad_code(value: str, element: Element) -> tuple[str, str] | None:
    """A literal code outside a required binding is a mistake of the map (http://hl7.org/fhir/R4/terminologies.html#required)."""
    if element.binding is None or element.binding[0] != "required" or "code" not in element.types:
        return None
    codes = value_set_codes(element.binding[1])
    if codes is None or any(code == value for _, code in codes):
        return None
    return f"'{value}' is not a code of {element.binding[1]}", ", ".join(sorted(c for _, c in codes)[:12])
