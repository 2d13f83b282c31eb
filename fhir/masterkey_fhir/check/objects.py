"""Objects: a shape leads to a ready tuple of checkers, one per value.

A *shape* is the tuple of keys of a JSON object, in order. What the keys alone decide (`shapes.py`) is decided when
a shape is first met; afterwards judging an object is one look-up and one call per value. A shape with a fault is
never kept, and only an object with a fault is read a second time, to explain it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from operator import call
from typing import Any

from masterkey_fhir.check import values
from masterkey_fhir.check.findings import Check, Finding, finding, prefixed
from masterkey_fhir.check.grammars import GRAMMARS, follows
from masterkey_fhir.check.members import Member
from masterkey_fhir.check.primitives import primitive
from masterkey_fhir.check.shapes import ShapeRules
from masterkey_fhir.definitions import Element, TypeDef, resource_types, types, value_set_codes
from masterkey_fhir.json import json_kind

MOST_SHAPES = 1000  # per type: a sender has few, an attacker many
_ANYTHING = Check(lambda value: True, lambda value: iter(()))


class ObjectCheck:
    """The checker of one complex type, backbone or resource."""

    def __init__(self, definition: TypeDef, *, may_be_id_only: bool = False) -> None:
        self.rules = ShapeRules(definition, may_be_id_only=may_be_id_only)
        self.shapes: dict[tuple[str, ...], tuple[Any, ...]] = {}
        self.check = Check(self._fast(), self.explain)

    def _fast(self) -> Any:
        shapes, learn = self.shapes, self._learn

        def ok(value: Any) -> bool:
            try:
                return all(map(call, shapes[tuple(value)], value.values()))
            except KeyError:
                return learn(value)
            except (TypeError, AttributeError):  # a checker met another kind of value: explain() will tell
                return False

        return ok

    def _learn(self, value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        keys = tuple(value)
        if not keys or any(self.rules.findings(keys)) or self.rules.paired(keys):
            return False
        checks = tuple(self.check_of(key, keys).ok for key in keys)
        if len(self.shapes) < MOST_SHAPES:
            self.shapes[keys] = checks
        try:
            return all(map(call, checks, value.values()))
        except (TypeError, AttributeError):
            return False

    def explain(self, value: Any) -> Iterator[Finding]:
        """Every finding below this object, its own shape first, then its members in order."""
        if not isinstance(value, dict):
            yield _no_object(value)
        elif not value:
            yield finding("fhir.empty", what="object")
        else:
            keys = tuple(value)
            yield from self.rules.findings(keys)
            for key, item in value.items():
                if member := self.rules.members.get(key):
                    yield from prefixed(member.path, self.check_of(key, keys).findings(item))
            for key in self.rules.paired(keys):
                yield from prefixed(self.rules.members[key].path, _pair_findings(value[key], value["_" + key]))

    def check_of(self, key: str, keys: tuple[str, ...]) -> Check:
        member = self.rules.members[key]
        other = key.removeprefix("_") if member.is_sibling else "_" + key
        return member_check(member, other in keys)


def _no_object(value: Any) -> Finding:
    if value is None:
        return finding("fhir.null")
    if isinstance(value, list):
        return finding("fhir.not-array")
    return finding("fhir.json-type", expected="object", found=json_kind(value))


def _pair_findings(items: Any, siblings: Any) -> Iterator[Finding]:
    """Both arrays have one length, and null stands only where the other side has content."""
    if not (isinstance(items, list) and isinstance(siblings, list)):
        return
    if len(items) != len(siblings):
        yield finding("fhir.sibling-length", values=len(items), siblings=len(siblings))
    for index, (item, sibling) in enumerate(zip(items, siblings, strict=False)):
        if item is None and sibling is None:
            yield finding("fhir.null", f"[{index}]")
        elif item is None and sibling.__class__ is dict and tuple(sibling) == ("id",):  # ele-1
            yield finding("fhir.empty", f"[{index}]", what="object")


# --- the checker of one member ---


@cache
def member_check(member: Member, has_counterpart: bool) -> Check:
    """`has_counterpart`: both `given` and `_given` are there, so each may leave gaps for the other."""
    if not member.type:
        return _ANYTHING
    if member.is_sibling:
        item = beside_a_value() if has_counterpart else object_check("Element")
    else:
        item = value_check(member.element, member.type)
    if not member.element.is_list:
        return item
    return values.many(values.or_null(item) if has_counterpart else item, member.element.max)


def value_check(element: Element, kind: str) -> Check:
    """One value of an element: its type, then what this element demands of it."""
    if types()[kind].kind == "primitive-type":
        base = primitive(kind)
    elif kind == "Quantity" and "SimpleQuantity" in element.profiles:
        base = simple_quantity()
    else:
        base = resource_check() if kind == "Resource" else object_check(kind)
    return _reference(element, kind, _binding(element, kind, base))


def _reference(element: Element, kind: str, base: Check) -> Check:
    return values.reference(base, frozenset(element.targets)) if kind == "Reference" else base


def _binding(element: Element, kind: str, base: Check) -> Check:
    strength, url = element.binding or ("", "")
    required = url if strength == "required" else element.ceiling or ""
    grammar = GRAMMARS.get(required)
    if kind == "code" and grammar:
        return follows(base, grammar)
    codes = value_set_codes(required)
    build = {"code": values.bound_code, "CodeableConcept": values.bound_concept}.get(kind)
    return build(base, codes, required) if codes and build else base


@cache
def object_check(name: str) -> Check:
    return ObjectCheck(types()[name]).check


@cache
def beside_a_value() -> Check:
    """The `_` object of a primitive that has its value: an id alone is enough there."""
    return ObjectCheck(types()["Element"], may_be_id_only=True).check


@cache
def simple_quantity() -> Check:
    """Quantity without comparator (http://hl7.org/fhir/R4/datatypes.html#SimpleQuantity)."""
    quantity = types()["Quantity"]
    comparator = replace(quantity.elements["comparator"], max=0)
    return ObjectCheck(replace(quantity, elements={**quantity.elements, "comparator": comparator})).check


# --- resources: http://hl7.org/fhir/R4/resource.html ---


class _ByType(dict[Any, Any]):
    """resourceType -> fast check; filled when a type is first met."""

    def __missing__(self, name: Any) -> Any:
        if name not in resource_types():
            raise KeyError(name)
        self[name] = object_check(name).ok
        return self[name]


@cache
def resource_check() -> Check:
    """Any resource: at the top, in `contained`, `Bundle.entry.resource`, `Parameters.parameter.resource`."""
    by_type: Mapping[Any, Any] = _ByType()

    def ok(value: Any) -> bool:
        try:
            check = by_type[value["resourceType"]]
        except (KeyError, TypeError):
            return False
        return bool(check(value))

    return Check(ok, _explain_resource)


def _explain_resource(value: Any) -> Iterator[Finding]:
    if not isinstance(value, dict):
        yield _no_object(value)
    elif "resourceType" not in value:
        yield finding("fhir.resource-type-missing")
    elif (name := value["resourceType"]) in _names():
        yield from object_check(name).explain(value)
    else:
        yield finding("fhir.resource-type", near=_near(name))


def _names() -> list[str]:
    return sorted(resource_types())


def _near(name: Any) -> str:
    near = get_close_matches(name, _names(), n=1, cutoff=0.5) if isinstance(name, str) else []
    return near[0] if near else "(none)"
