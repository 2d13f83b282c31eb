"""Types: `is`, `as`, `ofType`, `type()`. N1 2.0.0 sections 6.3, 5.2.4 and 10 (reflection)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from masterkey_fhir.definitions import types
from masterkey_fhir.fhirpath.code import BOOLEAN, EMPTY, Code, Env, Many, One, one_item, plural, single
from masterkey_fhir.fhirpath.errors import execution, semantic
from masterkey_fhir.fhirpath.functions.base import Function
from masterkey_fhir.fhirpath.items import Item, Typed, is_a, is_primitive, system_name, type_info
from masterkey_fhir.fhirpath.paths import narrowed
from masterkey_fhir.fhirpath.scope import Invocation
from masterkey_fhir.fhirpath.tree import Member, Name, Node

_SYSTEM = frozenset({"Any", "Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity", "Long"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """A type specifier: what it can mean. `Quantity` without a namespace is both FHIR's and System's."""

    fhir: str | None
    system: str | None

    def takes(self, type_name: str) -> bool:
        """A static type, subtypes included."""
        if type_name.startswith("System."):
            return self.system is not None and self.system in ("Any", type_name.removeprefix("System."))
        return self.fhir is not None and is_a(type_name, self.fhir)

    def is_exactly(self, type_name: str) -> bool:
        """For `as` and `ofType`: of a primitive only the type itself (published tests), else subtypes too."""
        return self.fhir == type_name if is_primitive(type_name) else self.takes(type_name)


def wanted(namespace: str, name: str, at: int) -> Wanted:
    """Raises FhirPathError for a type that neither R4 nor System has."""
    fhir = name if namespace in ("", "FHIR") and name in types() else None
    system = name if namespace in ("", "System") and name in _SYSTEM else None
    if fhir is None and system is None and namespace not in ("System", "FHIR"):
        raise semantic(at, f"there is no type '{f'{namespace}.' if namespace else ''}{name}' in R4 or System")
    return Wanted(fhir, system)


def specifier(node: Node) -> Wanted:
    """The argument of `is(...)`, `as(...)`, `ofType(...)`."""
    match node:
        case Name(at, name):
            return wanted("", name, at)
        case Member(at, Name(_, namespace), name):
            return wanted(namespace, name, at)
    raise semantic(node.at, "a type name is needed here")


def lenient(spec: Wanted) -> Wanted:
    """R4's own search parameters write `value.as(DateTime)` for the FHIR type dateTime."""
    if spec.fhir is not None or spec.system is None:
        return spec
    fhir = spec.system[0].lower() + spec.system[1:]
    return Wanted(fhir if is_primitive(fhir) else None, spec.system)


def _runtime(test: Callable[[str], bool]) -> Callable[[Item], bool]:
    """For items that carry their type."""

    def check(item: Item) -> bool:
        name = item.type if item.__class__ is Typed else f"System.{system_name(item)}"
        return name is not None and test(name)

    return check


# -- is


def is_type(of: Code, spec: Wanted, at: int) -> Code:
    if of.is_empty:
        return EMPTY
    get = one_item(of, at)
    if of.type is None:
        return single(BOOLEAN, _test(get, _runtime(spec.takes)))
    known = spec.takes(of.type)
    return single(BOOLEAN, _test(get, lambda item: known))


def _test(get: One, check: Callable[[Item], bool]) -> One:
    def one(this: Item, env: Env) -> bool | None:
        item = get(this, env)
        return None if item is None else check(item)

    return one


# -- as, ofType


def of_type(of: Code, spec: Wanted) -> Code:
    if of.is_empty:
        return EMPTY
    if (left := narrowed(of, spec.is_exactly)) is not None:
        return left
    if of.type is not None:
        return of if spec.is_exactly(of.type) else EMPTY
    check = _runtime(spec.is_exactly)
    if of.one is not None:
        return single(None, _kept(of.one, check))
    return plural(None, _those(of.many, check), ordered=of.ordered)


def _kept(get: One, check: Callable[[Item], bool]) -> One:
    def one(this: Item, env: Env) -> Item:
        item = get(this, env)
        return item if item is not None and check(item) else None

    return one


def _those(many: Many, check: Callable[[Item], bool]) -> Many:
    return lambda this, env: [i for i in many(this, env) if check(i)]


def as_type(of: Code, spec: Wanted, strict: bool, at: int) -> Code:
    """R4 writes `as` on lists (dom-3, search parameters); strict mode holds it to one item (6.3.3)."""
    code = of_type(of, spec if strict else lenient(spec))
    if not strict or of.one is not None:
        return code
    many = of.many
    kept = code.many

    def some(this: Item, env: Env) -> list[Item]:
        if (n := len(many(this, env))) > 1:
            raise execution(at, f"'as' takes one item, there are {n}")
        return kept(this, env)

    return plural(code.type, some)


def _type(call: Invocation) -> Code:
    many, static = call.of.many, call.of.type
    return plural("System.TypeInfo", lambda this, env: [type_info(i, static) for i in many(this, env)])


FUNCTIONS: dict[str, Function] = {
    "is": Function(lambda call: is_type(call.of, specifier(call.node.args[0]), call.at), 1, 1),
    "as": Function(lambda call: as_type(call.of, specifier(call.node.args[0]), call.compiler.strict, call.at), 1, 1),
    "ofType": Function(lambda call: of_type(call.of, specifier(call.node.args[0])), 1, 1),
    "type": Function(_type),
}
