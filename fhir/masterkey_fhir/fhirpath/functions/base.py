"""How a function is declared, and the common shape of those that take one value and give one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from masterkey_fhir.fhirpath.code import EMPTY, Code, Env, one_value, single
from masterkey_fhir.fhirpath.errors import execution, semantic
from masterkey_fhir.fhirpath.items import Item, system_of
from masterkey_fhir.fhirpath.operators import described
from masterkey_fhir.fhirpath.scope import Invocation

Build = Callable[[Invocation], Code]
TEXT: tuple[type, ...] = (str,)
WHOLE: tuple[type, ...] = (int,)
NUMBER: tuple[type, ...] = (int, Decimal)
ANY: tuple[type, ...] = (object,)


@dataclass(frozen=True, slots=True)
class Function:
    """`least` to `most` arguments."""

    build: Build
    least: int = 0
    most: int = 0


def on_value(
    compute: Callable[..., Any],
    takes: tuple[type, ...],
    *arguments: tuple[type, ...],
    gives: str | None,
    optional: int = 0,
) -> Function:
    """A function of one System value; empty in, or an empty argument, gives empty."""

    def build(call: Invocation) -> Code:
        return _value_code(call, compute, takes, arguments, gives)

    return Function(build, len(arguments) - optional, len(arguments))


def _value_code(
    call: Invocation,
    compute: Callable[..., Any],
    takes: tuple[type, ...],
    arguments: tuple[tuple[type, ...], ...],
    gives: str | None,
) -> Code:
    if call.of.is_empty:
        return EMPTY
    _check_static(call, takes)
    get = one_value(call.of, call.at)
    given = [one_value(call.arg(i), call.at) for i in range(call.size)]
    name, at = call.node.name, call.at

    def one(this: Item, env: Env) -> Any:
        value = get(this, env)
        if value is None:
            return None
        _require(value, takes, name, at)
        found = [argument(this, env) for argument in given]
        if None in found:
            return None
        for item, kinds in zip(found, arguments, strict=False):
            _require(item, kinds, name, at)
        return compute(value, *found)

    return single(gives, one)


_ACCEPTS = {TEXT: ("String",), WHOLE: ("Integer",), NUMBER: ("Integer", "Decimal")}


def _check_static(call: Invocation, takes: tuple[type, ...]) -> None:
    """Strict: `identifier.startsWith('x')` can never work, whatever the data."""
    accepts, kind = _ACCEPTS.get(takes), system_of(call.of.type)
    if call.compiler.strict and accepts is not None and kind is not None and kind not in accepts:
        raise semantic(call.at, f"{call.node.name}() does not take {call.of.type}")


def _require(value: Any, kinds: tuple[type, ...], name: str, at: int) -> None:
    if not isinstance(value, kinds) or (value.__class__ is bool and kinds in (WHOLE, NUMBER)):
        raise execution(at, f"{name}() does not take {described(value)}")
