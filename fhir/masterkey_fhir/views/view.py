"""A ViewDefinition, checked and ready to run on the FHIRPath closures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from masterkey_fhir.definitions import resource_types
from masterkey_fhir.fhirpath.code import BOOLEAN, Env, One, one_value
from masterkey_fhir.fhirpath.errors import FhirPathError
from masterkey_fhir.fhirpath.expression import SHAPE_ERRORS
from masterkey_fhir.fhirpath.items import Typed, is_primitive
from masterkey_fhir.fhirpath.services import Services
from masterkey_fhir.issue import Place, issue
from masterkey_fhir.views.constants import constants_of
from masterkey_fhir.views.select import Column, Rows, Select
from masterkey_fhir.views.source import Source, ViewError

_NONE: Mapping[str, Any] = MappingProxyType({})
__all__ = ["Column", "View", "ViewError"]


@dataclass(frozen=True, slots=True)
class View:
    """`rows` gives tuples in the order of `columns`."""

    resource: str
    columns: tuple[Column, ...]
    name: str
    _where: tuple[tuple[str, One], ...]
    _rows: Rows
    _constants: Mapping[str, Any]

    @classmethod
    def load(cls, view: Any) -> View:
        """Raises ViewError with every mistake found, each at its place in the ViewDefinition."""
        source = Source(view if isinstance(view, dict) else {})
        kind = _resource(source)
        constants = constants_of(source)
        where = _where(source, kind)
        select = Select.of_view(source, kind)
        if source.issues or select is None:
            raise ViewError(*source.issues)
        name = source.view.get("name")
        return cls(kind, select.columns, str(name or ""), where, select.rows, constants)

    def rows(
        self,
        resource: dict[str, Any],
        constants: Mapping[str, Any] = _NONE,
        services: Services | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of one resource; none when it is of another type or `where` is not true.

        Values: bool, int, Decimal, str, None; JSON objects for complex types; lists where `collection`.
        Raises ViewError when the resource breaks a promise of the view (several values in one cell).
        """
        if resource.get("resourceType") != self.resource:
            return iter(())
        return iter(self._of(resource, constants, services or Services()))

    def _of(self, resource: dict[str, Any], constants: Mapping[str, Any], services: Services) -> list[tuple[Any, ...]]:
        root = Typed(resource, self.resource)
        known = {**self._constants, **constants} if constants else self._constants
        env = Env(root, root, root, known, services)
        env.row = 0
        try:
            return self._rows(resource, env) if self._keeps(resource, env) else []
        except FhirPathError as error:
            raise ViewError(*error.issues) from error
        except SHAPE_ERRORS as error:
            raise ViewError(issue("fhir.view-shape", Place(), kind=error.__class__.__name__)) from error

    def _keeps(self, resource: dict[str, Any], env: Env) -> bool:
        for place, test in self._where:
            found = test(resource, env)
            if found is not None and found.__class__ is not bool:
                raise ViewError(issue("fhir.view-where", Place(expression=place)))
            if not found:
                return False
        return True


def _resource(source: Source) -> str:
    kind = source.view.get("resource")
    if isinstance(kind, str) and kind in resource_types():
        return kind
    source.wrong("fhir.view-resource", "resource")
    return ""


def _where(source: Source, kind: str) -> tuple[tuple[str, One], ...]:
    out = []
    for place, entry in source.objects(source.view, "where", ""):
        code = source.path(entry, "path", place, kind)
        if code is None:
            continue
        static = code.type
        if static not in (None, BOOLEAN, "boolean") and (is_primitive(static) or static in _NEVER_BOOLEAN):
            source.wrong("fhir.view-where", f"{place}.path")
        out.append((f"ViewDefinition.{place}.path", one_value(code, 0)))
    return tuple(out)


_NEVER_BOOLEAN = ("System.String", "System.Integer", "System.Decimal", "System.Date", "System.DateTime")
