"""Reading a ViewDefinition: every mistake is an Issue at its place, and reading goes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from masterkey_fhir.fhirpath.code import Code
from masterkey_fhir.fhirpath.compiler import Compiler, is_standard
from masterkey_fhir.fhirpath.errors import FhirPathError
from masterkey_fhir.fhirpath.parser import parse
from masterkey_fhir.fhirpath.scope import Scope
from masterkey_fhir.fhirpath.tree import Constant, Node, children
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue


class ViewError(MasterkeyError):
    """A ViewDefinition that can't be used, or a resource that breaks what it promises."""


class Source:
    def __init__(self, view: dict[str, Any]) -> None:
        self.view = view
        self.issues: list[Issue] = []
        self.constants = frozenset(_names(view.get("constant")))

    def wrong(self, rule: str, place: str, **facts: Any) -> None:
        self.issues.append(issue(rule, Place(expression=f"ViewDefinition.{place}"), **facts))

    def objects(self, owner: dict[str, Any], name: str, place: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entries of a list of objects with their places; what is none is an Issue."""
        found = owner.get(name, [])
        here = f"{place}.{name}" if place else name
        if not isinstance(found, list):
            self.wrong("fhir.view-structure", here, expected="a list")
            return
        for n, entry in enumerate(found):
            if isinstance(entry, dict):
                yield f"{here}[{n}]", entry
            else:
                self.wrong("fhir.view-structure", f"{here}[{n}]", expected="an object")

    def path(self, owner: dict[str, Any], name: str, place: str, kind: str | None) -> Code | None:
        """The compiled expression under `name`, for items of the type; None after an Issue."""
        text = owner.get(name)
        if not isinstance(text, str):
            self.wrong("fhir.view-structure", f"{place}.{name}", expected="a FHIRPath expression")
            return None
        return self.expression(text, f"{place}.{name}", kind)

    def expression(self, text: str, place: str, kind: str | None, strict: bool = True) -> Code | None:
        """`strict`: an element that the type does not have is an Issue, not a column of NULLs."""
        try:
            tree = parse(text)
            if not self._knows_constants(tree, place):
                return None
            return Compiler(strict).compile(tree, Scope(kind or None))
        except FhirPathError as error:
            self.issues += [i.at(expression=f"ViewDefinition.{place}") for i in error.issues]
            return None

    def _knows_constants(self, tree: Node, place: str) -> bool:
        unknown = [n for n in _constants(tree) if n not in self.constants and not is_standard(n)]
        for name in unknown:
            self.wrong("fhir.view-constant", place, name=name)
        return not unknown


def _names(constants: Any) -> Iterator[str]:
    """Of the constants that have some value; which value is judged where they are read."""
    for entry in constants if isinstance(constants, list) else ():
        if isinstance(entry, dict) and len(entry) > 1 and isinstance(entry.get("name"), str):
            yield entry["name"]


def _constants(tree: Node) -> Iterator[str]:
    if isinstance(tree, Constant):
        yield tree.name
    for child in children(tree):
        yield from _constants(child)
