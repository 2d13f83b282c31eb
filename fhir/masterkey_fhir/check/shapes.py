"""What the keys of an object alone decide: unknown and missing elements, doubled choices, arrays in pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from masterkey_fhir.check.findings import Finding, finding
from masterkey_fhir.check.members import members
from masterkey_fhir.definitions import Element, TypeDef, types

_NAMEABLE = re.compile(r"_?[A-Za-z]{1,40}")
_FEW = 12


class ShapeRules:
    """The rules of one type about its members' names. A shape is the tuple of keys, in order."""

    def __init__(self, definition: TypeDef, *, may_be_id_only: bool = False) -> None:
        self.definition = definition
        self.may_be_id_only = may_be_id_only or definition.kind == "resource"
        self.members = members(definition)
        self.required = [e for e in definition.elements.values() if e.min > 0]
        self.choices = [e for e in definition.elements.values() if e.is_choice]

    def paired(self, keys: tuple[Any, ...]) -> list[str]:
        """Primitive arrays that stand beside their `_` array, item by item."""
        return [k for k in keys if k in self.members and self.members[k].element.is_list and "_" + k in keys]

    def findings(self, keys: tuple[Any, ...]) -> Iterator[Finding]:
        yield from self._unknown(keys)
        yield from self._missing(keys)
        yield from self._doubled(keys)
        if keys == ("id",) and not self.may_be_id_only:  # ele-1: a value or children
            yield finding("fhir.empty", what="object")

    def _unknown(self, keys: tuple[Any, ...]) -> Iterator[Finding]:
        for number, key in enumerate(keys, 1):
            member = self.members.get(key)
            if member is None:
                yield self._no_member(str(key), number)
            elif member.element.max == 0:
                yield finding("fhir.too-many", member.path, max=0, found=1)

    def _no_member(self, key: str, number: int) -> Finding:
        choice = next((e for e in self.choices if _is_type_of(e, key.removeprefix("_"))), None)
        if choice is not None:
            allowed = ", ".join(choice.types) if len(choice.types) <= _FEW else "see the standard"
            stem = choice.name.removesuffix("[x]")
            return finding("fhir.choice-type", "." + stem, name=stem, found=key, allowed=allowed)
        named = _NAMEABLE.fullmatch(key) is not None
        near = get_close_matches(key, [*self.members, *self.definition.elements], n=1, cutoff=0.5)
        return finding(
            "fhir.unknown-element",
            f".{key}" if named and not key.startswith("_") else "",
            name=key if named else f"member {number}",
            type=self.definition.name,
            near=near[0] if near else "(none)",
        )

    def _missing(self, keys: tuple[Any, ...]) -> Iterator[Finding]:
        present = {m.element.name for k in keys if (m := self.members.get(k))}
        for element in self.required:
            if element.name not in present:
                name = element.name.removesuffix("[x]")
                yield finding("fhir.required", "." + name, name=name, type=self.definition.name)

    def _doubled(self, keys: tuple[Any, ...]) -> Iterator[Finding]:
        for element in self.choices:
            typed = [n for n in element.json_names() if n in keys or "_" + n in keys]
            if len(typed) > 1:
                stem = element.name.removesuffix("[x]")
                yield finding("fhir.choice", "." + stem, name=stem, found=", ".join(typed))


def _is_type_of(choice: Element, key: str) -> bool:
    """`valueFoo` with Foo a type of R4, though not one of this choice."""
    rest = key.removeprefix(choice.name.removesuffix("[x]"))
    return rest != key and (rest in types() or rest[:1].lower() + rest[1:] in types())
