"""From the tree to closures: one method per kind of node, types known as early as possible."""

from __future__ import annotations

from typing import Any

from masterkey_fhir.definitions import ancestors, types
from masterkey_fhir.fhirpath.arithmetic import WrongTypesError, negated
from masterkey_fhir.fhirpath.code import (
    EMPTY,
    INTEGER,
    NOTHING,
    Code,
    Env,
    constant,
    one_value,
    plural,
    single,
)
from masterkey_fhir.fhirpath.errors import execution, semantic
from masterkey_fhir.fhirpath.functions import FUNCTIONS
from masterkey_fhir.fhirpath.functions.collections import index
from masterkey_fhir.fhirpath.functions.reflection import as_type, is_type, wanted
from masterkey_fhir.fhirpath.items import Item, from_json
from masterkey_fhir.fhirpath.operators import binary, described
from masterkey_fhir.fhirpath.paths import member
from masterkey_fhir.fhirpath.scope import Invocation, Scope
from masterkey_fhir.fhirpath.tree import (
    Binary,
    Call,
    Constant,
    Empty,
    Index,
    Literal,
    Member,
    Name,
    Node,
    QuantityLiteral,
    TemporalLiteral,
    TypeTest,
    Unary,
    Variable,
)
from masterkey_fhir.fhirpath.values import Date, DateTime, Temporal, Time, quantity

_TEMPORAL: dict[str, type[Temporal]] = {"date": Date, "dateTime": DateTime, "time": Time}
# http://hl7.org/fhir/R4/fhirpath.html#variables and N1 section 8.1
_FIXED = {"ucum": "http://unitsofmeasure.org", "sct": "http://snomed.info/sct", "loinc": "http://loinc.org"}
_BY_PREFIX = {"vs-": "http://hl7.org/fhir/ValueSet/", "ext-": "http://hl7.org/fhir/StructureDefinition/"}
_INSTANCES = {"resource": "resource", "rootResource": "root", "context": "context"}


class Compiler:
    """`strict`: a name that the type does not have is an error, not empty."""

    strict: bool

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def compile(self, node: Node, scope: Scope) -> Code:
        match node:
            case Member(at, of, name):
                return member(self.compile(of, scope), name, at, self.strict)
            case Call():
                return self.call(node, scope)
            case Name(at, name):
                return self.name(name, scope, at)
            case Binary(at, op, left, right):
                return binary(op, self.compile(left, scope), self.compile(right, scope), at)
            case Literal(_, value):
                return constant(_literal_type(value), value)
            case Index(at, of, position):
                return index(self.compile(of, scope), self.compile(position, scope), at)
            case TypeTest(at, op, operand, namespace, name):
                return self.type_test(op, self.compile(operand, scope), namespace, name, at)
            case Unary(at, op, operand):
                return _signed(op, self.compile(operand, scope), at)
            case Variable(_, name):
                return _variable(name, scope)
            case Constant(at, name):
                return _constant(name, at)
            case Empty():
                return EMPTY
            case QuantityLiteral(_, value, unit, calendar):
                return constant("System.Quantity", quantity(value, unit, calendar))
            case TemporalLiteral(at, kind, text):
                return _temporal(kind, text, at)
        raise AssertionError(f"no rule for {node.__class__.__name__}")

    def name(self, name: str, scope: Scope, at: int) -> Code:
        """A member of `$this`; at the start of a path also the type of `$this` (N1 section 3.1... paths)."""
        kind = scope.this_type
        if kind is None or not name[:1].isupper():
            return member(scope.this(), name, at, self.strict)
        if kind in types() and name in ancestors(kind):
            return scope.this()
        if self.strict:
            raise semantic(at, f"the input is {kind}, not {name}")
        return EMPTY

    def call(self, node: Call, scope: Scope) -> Code:
        function = FUNCTIONS.get(node.name)
        if function is None:
            raise semantic(node.at, f"there is no function {node.name}()")
        if not function.least <= len(node.args) <= function.most:
            raise semantic(node.at, f"{node.name}() takes {_count(function.least, function.most)}")
        of = scope.this() if node.of is None else self.compile(node.of, scope)
        return function.build(Invocation(self, node, of, scope))

    def type_test(self, op: str, of: Code, namespace: str, name: str, at: int) -> Code:
        spec = wanted(namespace, name, at)
        return is_type(of, spec, at) if op == "is" else as_type(of, spec, self.strict, at)


def _count(least: int, most: int) -> str:
    number = str(least) if least == most else f"{least} to {most}"
    return f"{number} argument{'' if number == '1' else 's'}"


def _literal_type(value: Any) -> str:
    kinds = {bool: "Boolean", str: "String", int: "Integer"}
    return f"System.{kinds.get(value.__class__, 'Decimal')}"


def _temporal(kind: str, text: str, at: int) -> Code:
    value = _TEMPORAL[kind].parse(text)
    if value is None:
        raise semantic(at, "this day or time does not exist")
    return constant(f"System.{value.NAME}", value)


def _signed(op: str, of: Code, at: int) -> Code:
    get = one_value(of, at)

    def one(this: Item, env: Env) -> Any:
        value = get(this, env)
        if value is None:
            return None
        try:
            opposite = negated(value)
        except WrongTypesError:
            raise execution(at, f"'{op}' has no meaning for {described(value)}") from None
        return opposite if op == "-" else value

    if of.literal is not None and not of.is_empty and of.type != "System.String":
        return constant(of.type, one(None, None))  # type: ignore[arg-type]  # a literal reads neither
    return single(of.type if of.type in ("System.Integer", "System.Decimal") else None, one)


def _variable(name: str, scope: Scope) -> Code:
    if name == "this":
        return scope.this()
    if name == "index":
        return single(INTEGER, lambda this, env: env.index)
    return plural(None, lambda this, env: env.total)


def _constant(name: str, at: int) -> Code:
    if name in _FIXED:
        return constant("System.String", _FIXED[name])
    if name in _INSTANCES:
        slot = _INSTANCES[name]
        return single(None, lambda this, env: getattr(env, slot))
    if name == "rowIndex":
        return single(INTEGER, lambda this, env: env.row)
    for prefix, base in _BY_PREFIX.items():
        if name.startswith(prefix):
            return constant("System.String", base + name.removeprefix(prefix))
    return plural(None, _given(name, at))


def is_standard(name: str) -> bool:
    """Whether `%name` means something without being given (%rowIndex: in views)."""
    return name in _FIXED or name in _INSTANCES or name == "rowIndex" or name.startswith(tuple(_BY_PREFIX))


def _given(name: str, at: int) -> Any:
    def many(this: Item, env: Env) -> list[Item]:
        if name not in env.constants:
            raise execution(at, f"the constant %{name} is not defined")
        value = env.constants[name]
        if value is None:
            return NOTHING
        return [from_json(v) for v in (value if value.__class__ is list else [value])]

    return many
