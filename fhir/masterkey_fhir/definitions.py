"""The types of FHIR R4 4.0.1 as values: what elements a type has, how often, of what type, bound to what.

Read from the compiled tables in `fhir/definitions/r4` (made by `fhir/definitions/compile.py` from
hl7.fhir.r4.core 4.0.1). Everything is cached and must be treated as read-only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson

from masterkey_fhir.data import folder

VERSION = "4.0.1"


@dataclass(frozen=True, slots=True)
class Constraint:
    """An invariant. Its key is no identity: `inv-1` has five meanings in core."""

    key: str
    severity: str  # "error" | "warning"
    expression: str  # FHIRPath


@dataclass(frozen=True, slots=True)
class Element:
    """One element of a type (http://hl7.org/fhir/R4/elementdefinition.html)."""

    name: str  # "status", "value[x]"
    types: tuple[str, ...]  # type codes; a backbone's type is its path, contentReference already resolved
    min: int
    max: int | None  # None = *
    is_list: bool  # a JSON array, by base.max
    targets: tuple[str, ...] = ()  # target types of Reference and canonical; () = any
    binding: tuple[str, str] | None = None  # (strength, value set url without version)
    ceiling: str | None = None  # elementdefinition-maxValueSet: a required upper bound
    profiles: tuple[str, ...] = ()  # type.profile: in base R4 only SimpleQuantity
    constraints: tuple[Constraint, ...] = ()  # own ones, without those of the element's type
    is_summary: bool = False
    is_modifier: bool = False

    @property
    def is_choice(self) -> bool:
        return self.name.endswith("[x]")

    def json_names(self) -> dict[str, str]:
        """JSON member name -> type: {"valueQuantity": "Quantity", ...} (http://hl7.org/fhir/R4/json.html)."""
        if not self.is_choice:
            return {self.name: self.types[0]}
        stem = self.name.removesuffix("[x]")
        return {stem + t[0].upper() + t[1:]: t for t in self.types}


@dataclass(frozen=True, slots=True)
class TypeDef:
    """A resource, datatype, primitive or backbone ("Observation.component") with all its elements."""

    name: str
    kind: str  # "resource" | "complex-type" | "primitive-type" | "backbone"
    base: str | None
    abstract: bool
    elements: Mapping[str, Element]  # inherited ones included, in order; a choice once, as "value[x]"
    pattern: str | None = None  # regex of a primitive, to be used with full match
    system: str | None = None  # FHIRPath system type of a primitive: "String", "Decimal", ...
    constraints: tuple[Constraint, ...] = field(default=())  # inherited ones first


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """http://hl7.org/fhir/R4/searchparameter.html; the expression is narrowed to the asked type."""

    code: str
    type: str  # number | date | string | token | reference | composite | quantity | uri | special
    url: str
    expression: str  # FHIRPath; "" when the standard gives none (_text, _content, _filter, _query)
    targets: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()  # composite: (code of the part, FHIRPath below the expression)


@cache
def types() -> Mapping[str, TypeDef]:
    """All types and backbones of R4 4.0.1 by name."""
    table = _table("types")
    pool = [Constraint(*entry) for entry in table["constraints"]]
    out: dict[str, TypeDef] = {}
    for name in table["types"]:
        _build(name, table["types"], pool, out)
    return out


def type_def(name: str) -> TypeDef:
    """Raises KeyError for a name that R4 4.0.1 does not have."""
    return types()[name]


@cache
def resource_types() -> frozenset[str]:
    """Names of the resource types an instance can have."""
    return frozenset(t.name for t in types().values() if t.kind == "resource" and not t.abstract)


def ancestors(name: str) -> Iterable[str]:
    """The type itself and its bases, nearest first: Patient, DomainResource, Resource."""
    current: str | None = name
    while current is not None:
        yield current
        current = types()[current].base


@cache
def json_members(name: str) -> Mapping[str, tuple[str, str]]:
    """JSON name -> (element name, type): `valueQuantity` -> ("value", "Quantity"); {} for an unknown type."""
    elements = types()[name].elements.values() if name in types() else ()
    return {j: (e.name.removesuffix("[x]"), t) for e in elements for j, t in e.json_names().items()}


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """Search parameters of a type by code, those of Resource and DomainResource included."""
    table = _table("search")["parameters"]
    out: dict[str, SearchParameter] = {}
    for name in reversed(list(ancestors(resource_type))):
        out |= {code: _parameter(code, entry) for code, entry in table.get(name, {}).items()}
    return out


@cache
def compartment(code: str) -> Mapping[str, tuple[str, ...]]:
    """Resource type -> search parameters that put it into the compartment `code` ("Patient").

    http://hl7.org/fhir/R4/compartmentdefinition.html
    """
    return {t: tuple(params) for t, params in _table("search")["compartments"][code].items()}


@cache
def value_set_codes(url: str) -> frozenset[tuple[str, str]] | None:
    """All (system, code) of a value set; None when R4 core alone does not expand it completely."""
    table = _table("valuesets")
    entry = table["valuesets"].get(url.partition("|")[0])
    if entry is None:
        return None
    systems = table["systems"]
    return frozenset(
        (system, code) for system, codes in entry.items() for code in (systems[system] if codes is True else codes)
    )


@cache
def _table(name: str) -> Any:
    return orjson.loads((folder("definitions") / "r4" / f"{name}.json").read_bytes())


def _build(name: str, table: Mapping[str, Any], pool: list[Constraint], out: dict[str, TypeDef]) -> TypeDef:
    if name in out:
        return out[name]
    entry = table[name]
    base = _build(entry["base"], table, pool, out) if "base" in entry else None
    own = tuple(pool[i] for i in entry.get("constraints", ()))
    out[name] = TypeDef(
        name=name,
        kind=entry["kind"],
        base=base.name if base else None,
        abstract=entry.get("abstract", False),
        elements=_elements(entry.get("elements", ()), base, pool),
        pattern=entry.get("pattern"),
        system=entry.get("system"),
        constraints=(base.constraints if base else ()) + own,
    )
    return out[name]


def _elements(entries: Iterable[Any], base: TypeDef | None, pool: list[Constraint]) -> dict[str, Element]:
    """A bare name stands for the base's element of that name."""
    inherited: Mapping[str, Element] = base.elements if base else {}
    found = [inherited[e] if isinstance(e, str) else _element(e, pool) for e in entries]
    return {e.name: e for e in found}


def _element(entry: Mapping[str, Any], pool: list[Constraint]) -> Element:
    binding = entry.get("binding")
    return Element(
        name=entry["name"],
        types=tuple(entry.get("types", ())),
        min=entry.get("min", 0),
        max=entry.get("max", 1),
        is_list=entry.get("list", False),
        targets=tuple(entry.get("targets", ())),
        binding=(binding[0], binding[1]) if binding else None,
        ceiling=entry.get("ceiling"),
        profiles=tuple(entry.get("profiles", ())),
        constraints=tuple(pool[i] for i in entry.get("constraints", ())),
        is_summary=entry.get("summary", False),
        is_modifier=entry.get("modifier", False),
    )


def _parameter(code: str, entry: Mapping[str, Any]) -> SearchParameter:
    return SearchParameter(
        code=code,
        type=entry["type"],
        url=entry["url"],
        expression=entry.get("expression", ""),
        targets=tuple(entry.get("targets", ())),
        components=tuple((c[0], c[1]) for c in entry.get("components", ())),
    )
