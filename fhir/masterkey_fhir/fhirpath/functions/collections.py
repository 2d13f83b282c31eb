"""Existence, subsetting, combining: N1 2.0.0 sections 5.1, 5.3, 5.4."""

from __future__ import annotations

from collections.abc import Callable

from masterkey_fhir.fhirpath.code import (
    BOOLEAN,
    INTEGER,
    NOTHING,
    Code,
    Env,
    Many,
    One,
    one_value,
    plural,
    same_type,
    single,
    truth,
    values,
)
from masterkey_fhir.fhirpath.equality import keys
from masterkey_fhir.fhirpath.errors import execution, semantic
from masterkey_fhir.fhirpath.functions.base import Function
from masterkey_fhir.fhirpath.items import Item, to_system
from masterkey_fhir.fhirpath.operators import described, distinct, identity, union
from masterkey_fhir.fhirpath.paths import first_of
from masterkey_fhir.fhirpath.scope import Invocation

# -- existence (5.1)


def exists(of: Code) -> One:
    if of.one is not None:
        get = of.one
        return lambda this, env: get(this, env) is not None
    many = of.many
    return lambda this, env: bool(many(this, env))


def _empty(call: Invocation) -> Code:
    found = exists(call.of)
    return single(BOOLEAN, lambda this, env: not found(this, env))


def _not(call: Invocation) -> Code:
    get = truth(call.of, call.at)

    def one(this: Item, env: Env) -> bool | None:
        found = get(this, env)
        return None if found is None else not found

    return single(BOOLEAN, one)


def _booleans(decide: Callable[[list[bool]], bool]) -> Function:
    """allTrue, anyTrue ...: every item must be a boolean."""

    def build(call: Invocation) -> Code:
        get, name, at = values(call.of), call.node.name, call.at

        def one(this: Item, env: Env) -> bool:
            found = get(this, env)
            for value in found:
                if value.__class__ is not bool:
                    raise execution(at, f"{name}() does not take {described(value)}")
            return decide(found)

        return single(BOOLEAN, one)

    return Function(build)


def _inside(call: Invocation, part: Code, whole: Code) -> Code:
    get_part, get_whole = values(part), values(whole)
    return single(BOOLEAN, lambda this, env: keys(get_part(this, env)) <= keys(get_whole(this, env)))


def _count(call: Invocation) -> Code:
    many = call.of.many
    return single(INTEGER, lambda this, env: len(many(this, env)))


def _is_distinct(call: Invocation) -> Code:
    many, convert = call.of.many, to_system(call.of.type)

    def one(this: Item, env: Env) -> bool:
        items = many(this, env)
        return len({identity(i, convert) for i in items}) == len(items)

    return single(BOOLEAN, one)


# -- subsetting (5.3)


def _ordered(call: Invocation) -> None:
    """Strict: what has no order has no first item (5.3: first, last, tail, skip, take)."""
    if call.compiler.strict and not call.of.ordered:
        raise semantic(call.at, f"{call.node.name}() needs an order, the input has none")


def _first(call: Invocation) -> Code:
    _ordered(call)
    if call.of.one is not None:
        return call.of
    if (fused := first_of(call.of)) is not None:
        return fused
    many = call.of.many

    def one(this: Item, env: Env) -> Item:
        items = many(this, env)
        return items[0] if items else None

    return single(call.of.type, one)


def _last(call: Invocation) -> Code:
    _ordered(call)
    many = call.of.many

    def one(this: Item, env: Env) -> Item:
        items = many(this, env)
        return items[-1] if items else None

    return single(call.of.type, one)


def _single(call: Invocation) -> Code:
    many, at = call.of.many, call.at

    def one(this: Item, env: Env) -> Item:
        items = many(this, env)
        if len(items) > 1:
            raise execution(at, f"single() has {len(items)} items")
        return items[0] if items else None

    return single(call.of.type, one)


def _tail(call: Invocation) -> Code:
    _ordered(call)
    many = call.of.many
    return plural(call.of.type, lambda this, env: many(this, env)[1:])


def _some(cut: Callable[[list[Item], int], list[Item]]) -> Function:
    def build(call: Invocation) -> Code:
        _ordered(call)
        many, get, at = call.of.many, one_value(call.arg(0), call.at), call.at

        def some(this: Item, env: Env) -> list[Item]:
            n = get(this, env)
            if n is not None and n.__class__ is not int:
                raise execution(at, f"{call.node.name}() needs an integer, not {described(n)}")
            return NOTHING if n is None else cut(many(this, env), max(n, 0))

        return plural(call.of.type, some)

    return Function(build, 1, 1)


def index(of: Code, position: Code, at: int) -> Code:
    """`of[position]`; empty when there is no such item."""
    many, get = of.many, one_value(position, at)

    def one(this: Item, env: Env) -> Item:
        n = get(this, env)
        if n is not None and n.__class__ is not int:
            raise execution(at, f"an index is an integer, not {described(n)}")
        items = many(this, env)
        return items[n] if n is not None and 0 <= n < len(items) else None

    return single(of.type, one)


def _filtered(keep_known: bool, once: bool) -> Function:
    """intersect: those that are in the other; exclude: those that are not."""

    def build(call: Invocation) -> Code:
        many, other, convert = call.of.many, values(call.arg(0)), to_system(call.of.type)

        def some(this: Item, env: Env) -> list[Item]:
            known = keys(other(this, env))
            return [i for i in many(this, env) if (identity(i, convert) in known) is keep_known]

        code = plural(call.of.type, some)
        return distinct(code) if once else code

    return Function(build, 1, 1)


# -- combining (5.4)


def _combine(call: Invocation) -> Code:
    kind, a, b = same_type(call.of, call.arg(0))
    return plural(kind, _both(a.many, b.many))


def _both(a: Many, b: Many) -> Many:
    return lambda this, env: [*a(this, env), *b(this, env)]


FUNCTIONS: dict[str, Function] = {
    "empty": Function(_empty),
    "not": Function(_not),
    "allTrue": _booleans(lambda found: all(found)),
    "anyTrue": _booleans(lambda found: any(found)),
    "allFalse": _booleans(lambda found: not any(found)),
    "anyFalse": _booleans(lambda found: not all(found)),
    "subsetOf": Function(lambda call: _inside(call, call.of, call.arg(0)), 1, 1),
    "supersetOf": Function(lambda call: _inside(call, call.arg(0), call.of), 1, 1),
    "count": Function(_count),
    "distinct": Function(lambda call: distinct(call.of)),
    "isDistinct": Function(_is_distinct),
    "first": Function(_first),
    "last": Function(_last),
    "single": Function(_single),
    "tail": Function(_tail),
    "skip": _some(lambda items, n: items[n:]),
    "take": _some(lambda items, n: items[:n]),
    "intersect": _filtered(keep_known=True, once=True),
    "exclude": _filtered(keep_known=False, once=False),
    "union": Function(lambda call: union(call.of, call.arg(0), call.at), 1, 1),
    "combine": Function(_combine, 1, 1),
}
