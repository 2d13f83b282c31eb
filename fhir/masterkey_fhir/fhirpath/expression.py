"""An expression ready to run, specialised for each type of input that it meets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from masterkey_fhir.definitions import types
from masterkey_fhir.fhirpath.code import Code, Env
from masterkey_fhir.fhirpath.compiler import Compiler
from masterkey_fhir.fhirpath.errors import FhirPathError, execution, semantic
from masterkey_fhir.fhirpath.items import Item, Typed, to_dynamic
from masterkey_fhir.fhirpath.parser import parse
from masterkey_fhir.fhirpath.scope import Scope
from masterkey_fhir.fhirpath.services import Services
from masterkey_fhir.fhirpath.tree import Call, Constant, Node, Tree, Variable, children

_NO_CONSTANTS: Mapping[str, Any] = MappingProxyType({})
_NO_SERVICES = Services()
_ASKS = frozenset({"now", "today", "timeOfDay", "resolve", "memberOf", "conformsTo", "aggregate"})
Run = Callable[[Any], list[Any]]


class Expression:
    """A compiled expression. Calling it never changes the resource; one object may serve many threads.

    Raises FhirPathError: when compiled (kind "semantic"), or when called (kind "execution").
    """

    def __init__(self, tree: Tree, type_name: str | None, strict: bool, text: str = "") -> None:
        self.tree = tree
        self.text = text
        self.strict = strict
        self.type_name = type_name
        self._needs_env = _needs_env(tree)
        self._codes: dict[str | None, Code] = {}
        self._runs: dict[str | None, Run] = {}
        if type_name is not None:
            self._code(type_name)

    def __call__(
        self,
        resource: Any,
        *,
        context: Any = None,
        constants: Mapping[str, Any] = _NO_CONSTANTS,
        services: Services | None = None,
    ) -> list[Any]:
        """The resulting values: str, bool, int, Decimal, dict; computed dates as Date, DateTime, Time.

        `context`: the item inside `resource` to start from (of the type the expression was compiled for).
        """
        focus = resource if context is None else context
        kind = self.type_name or (focus.get("resourceType") if focus.__class__ is dict else None)
        if kind in types() and context is None and services is None and not constants:
            return self.bind(str(kind))(resource)
        code = self._codes.get(kind) or self._code(kind)
        env = self._env(resource, focus, kind, constants, services) if self._needs_env else None
        return _plain(self._items(code, _start(focus, kind), env))

    def items(
        self,
        resource: Any,
        *,
        context: Any = None,
        constants: Mapping[str, Any] = _NO_CONSTANTS,
        services: Services | None = None,
    ) -> list[Item]:
        """The results with their types: System values, or Typed for FHIR (a primitive may have no value)."""
        focus = resource if context is None else context
        kind = self.type_name or (focus.get("resourceType") if focus.__class__ is dict else None)
        code = self._code(kind)
        wrap = to_dynamic(code.type)
        env = self._env(resource, focus, kind, constants, services)
        found = self._items(code, _start(focus, kind), env)
        return [wrap(i) for i in found] if wrap else found

    def bind(self, type_name: str) -> Run:
        """The fastest form for many resources of one type, without constants and services."""
        run = self._runs.get(type_name)
        if run is None:
            run = self._runs[type_name] = self._bound(type_name)
        return run

    def is_always_empty(self, type_name: str) -> bool:
        """Whether no resource of the type can give a result."""
        return self._code(type_name).is_empty

    def _bound(self, type_name: str) -> Run:
        code = self._code(type_name)
        if code.is_empty:
            return lambda resource: []
        if self._needs_env:
            return _with_env(code, type_name)
        return _of_one(code.one) if code.one is not None else _of_many(code.many)

    def _code(self, kind: str | None) -> Code:
        code = self._codes.get(kind)
        if code is None:
            code = self._codes[kind] = self._compiled(kind)
        return code

    def _compiled(self, kind: str | None) -> Code:
        if kind is not None and kind not in types():
            kind = None
        try:
            return Compiler(self.strict).compile(self.tree, Scope(kind))
        except RecursionError:
            raise semantic(0, "the expression is nested too deeply") from None

    def _items(self, code: Code, start: Item, env: Env | None) -> list[Item]:
        try:
            return code.many(start, env)  # type: ignore[arg-type]  # None only where nothing reads it
        except SHAPE_ERRORS as error:
            raise _shape(error) from error

    def _env(
        self,
        resource: Any,
        focus: Any,
        kind: str | None,
        constants: Mapping[str, Any],
        services: Services | None,
    ) -> Env:
        whole = _start(resource, resource.get("resourceType")) if resource.__class__ is dict else resource
        root = Typed(whole, resource.get("resourceType")) if whole.__class__ is dict else whole
        context = Typed(focus, kind) if focus.__class__ is dict else focus
        return Env(root, root, context, constants, services or _NO_SERVICES)


# What a step raises on JSON that is not what R4 says: a string where an object must be; a number that no
# arithmetic can hold; objects nested without end.
SHAPE_ERRORS = (AttributeError, TypeError, KeyError, ValueError, ArithmeticError, RecursionError)


def _shape(error: Exception) -> FhirPathError:
    return execution(0, f"the input does not have the JSON shape of R4 ({error.__class__.__name__})")


def _of_one(one: Any) -> Run:
    def run(resource: Any) -> list[Any]:
        try:
            item = one(resource, None)
        except SHAPE_ERRORS as error:
            raise _shape(error) from error
        if item.__class__ is Typed:
            item = item.value
        return [] if item is None else [item]

    return run


def _of_many(many: Any) -> Run:
    def run(resource: Any) -> list[Any]:
        try:
            items = many(resource, None)
        except SHAPE_ERRORS as error:
            raise _shape(error) from error
        return _plain(items) if items else []

    return run


def _with_env(code: Code, kind: str) -> Run:
    many = code.many

    def run(resource: Any) -> list[Any]:
        root = Typed(resource, kind)
        try:
            return _plain(many(resource, Env(root, root, root, _NO_CONSTANTS, _NO_SERVICES)))
        except SHAPE_ERRORS as error:
            raise _shape(error) from error

    return run


def _start(focus: Any, kind: str | None) -> Item:
    """JSON without a FHIR type carries that fact along."""
    return Typed(focus, None) if kind not in types() and focus.__class__ is dict else focus


def _plain(items: list[Item]) -> list[Any]:
    return [v for i in items if (v := i.value if i.__class__ is Typed else i) is not None]


def _needs_env(tree: Node) -> bool:
    match tree:
        case Constant() | Variable(name="index" | "total"):
            return True
        case Call(name=name) if name in _ASKS:
            return True
    return any(_needs_env(child) for child in children(tree))


def compile(text_or_tree: str | Tree, *, type_name: str | None = None, strict: bool = False) -> Expression:
    """A compiled expression, cached.

    `type_name`: the FHIR type of the input ("Patient", "Patient.contact"); without it, the type is the
    resource's own `resourceType`, and mistakes of names show when the first resource comes.
    """
    if isinstance(text_or_tree, str):
        return _of_text(text_or_tree, type_name, strict)
    return Expression(text_or_tree, type_name, strict)


@lru_cache(maxsize=4096)
def _of_text(text: str, type_name: str | None, strict: bool) -> Expression:
    return Expression(parse(text), type_name, strict, text)
