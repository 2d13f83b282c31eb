"""Functions whose argument runs once per item: where, select, all, exists, repeat, aggregate, sort, iif."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any

from masterkey_fhir.fhirpath.code import (
    BOOLEAN,
    EMPTY,
    NOTHING,
    Code,
    Env,
    Many,
    One,
    dynamic,
    one_value,
    plural,
    same_type,
    single,
    truth,
)
from masterkey_fhir.fhirpath.equality import NotComparableError, order
from masterkey_fhir.fhirpath.errors import execution
from masterkey_fhir.fhirpath.functions.base import Function
from masterkey_fhir.fhirpath.functions.collections import exists
from masterkey_fhir.fhirpath.items import Item, to_system
from masterkey_fhir.fhirpath.operators import described, identity, wrong
from masterkey_fhir.fhirpath.paths import children_of
from masterkey_fhir.fhirpath.scope import Invocation, Scope
from masterkey_fhir.fhirpath.tree import Unary


def _where(call: Invocation) -> Code:
    of = call.of
    if of.is_empty:
        return EMPTY
    test, many = truth(call.each(0, of.type), call.at), of.many
    if call.uses(0, "index"):
        return plural(of.type, _where_counted(many, test), ordered=of.ordered)
    if of.one is not None:
        return single(of.type, _where_one(of.one, test))
    return plural(of.type, lambda this, env: [i for i in many(this, env) if test(i, env)], ordered=of.ordered)


def _where_one(get: One, test: One) -> One:
    def one(this: Item, env: Env) -> Item:
        item = get(this, env)
        return item if item is not None and test(item, env) else None

    return one


def _where_counted(many: Many, test: One) -> Many:
    def some(this: Item, env: Env) -> list[Item]:
        before, out = env.index, []
        for n, item in enumerate(many(this, env)):
            env.index = n
            if test(item, env):
                out.append(item)
        env.index = before
        return out

    return some


def _exists(call: Invocation) -> Code:
    if not call.size:
        return single(BOOLEAN, exists(call.of))
    if call.of.is_empty:
        return single(BOOLEAN, lambda this, env: False)
    if call.uses(0, "index"):
        return single(BOOLEAN, exists(_where(call)))
    test, many = truth(call.each(0, call.of.type), call.at), call.of.many
    return single(BOOLEAN, lambda this, env: any(test(i, env) for i in many(this, env)))


def _all(call: Invocation) -> Code:
    if call.of.is_empty:
        return single(BOOLEAN, lambda this, env: True)
    test, many = truth(call.each(0, call.of.type), call.at), call.of.many
    if call.uses(0, "index"):
        return single(BOOLEAN, _all_counted(many, test))
    return single(BOOLEAN, lambda this, env: all(test(i, env) for i in many(this, env)))


def _all_counted(many: Many, test: One) -> One:
    kept = _where_counted(many, test)
    return lambda this, env: len(kept(this, env)) == len(many(this, env))


def _select(call: Invocation) -> Code:
    of = call.of
    if of.is_empty:
        return EMPTY
    body, many = call.each(0, of.type), of.many
    if call.uses(0, "index"):
        return plural(body.type, _select_counted(many, body.many), ordered=of.ordered)
    if of.one is not None and body.one is not None:
        return single(body.type, _select_one(of.one, body.one))
    each = body.many
    return plural(
        body.type,
        lambda this, env: [v for i in many(this, env) for v in each(i, env)],
        ordered=of.ordered and body.ordered,
    )


def _select_one(get: One, project: One) -> One:
    def one(this: Item, env: Env) -> Item:
        item = get(this, env)
        return None if item is None else project(item, env)

    return one


def _select_counted(many: Many, each: Many) -> Many:
    def some(this: Item, env: Env) -> list[Item]:
        before, out = env.index, []
        for n, item in enumerate(many(this, env)):
            env.index = n
            out.extend(each(item, env))
        env.index = before
        return out

    return some


# -- repeat (5.2.3), children, descendants (5.8)


def _repeat(call: Invocation) -> Code:
    if call.of.is_empty:
        return EMPTY
    first = call.each(0, call.of.type)
    again = call.each(0, first.type)
    if first.type is not None and again.type == first.type:
        return plural(first.type, _repeated(call.of.many, first.many, again.many, first.type))
    step = dynamic(call.each(0, None)).many
    return plural(None, _repeated(dynamic(call.of).many, step, step, None))


def _repeated(start: Many, first: Many, again: Many, kind: str | None) -> Many:
    """Items not met before are asked in turn, until none is new."""
    convert = to_system(kind)

    def some(this: Item, env: Env) -> list[Item]:
        met: dict[Any, Item] = {}
        waiting = [v for i in start(this, env) for v in first(i, env)]
        while waiting:
            new = []
            for item in waiting:
                known = identity(item, convert)
                if known not in met:
                    met[known] = item
                    new.append(item)
            waiting = [v for i in new for v in again(i, env)]
        return list(met.values())

    return some


def _children(call: Invocation) -> Code:
    many = dynamic(call.of).many
    return plural(None, lambda this, env: [c for i in many(this, env) for c in children_of(i)], ordered=False)


def _descendants(call: Invocation) -> Code:
    many = dynamic(call.of).many

    def all_below(this: Item, env: Env) -> list[Item]:
        out: list[Item] = []
        waiting = many(this, env)
        while waiting:
            waiting = [c for i in waiting for c in children_of(i)]
            out.extend(waiting)
        return out

    return plural(None, all_below, ordered=False)


# -- aggregate (7.1), sort (STU), iif (5.5.1), trace (5.9.1)


def _aggregate(call: Invocation) -> Code:
    body = dynamic(call.each(0, call.of.type)).many
    start = dynamic(call.arg(1)).many if call.size > 1 else (lambda this, env: NOTHING)
    many = call.of.many

    def total(this: Item, env: Env) -> list[Item]:
        before = env.total
        found = start(this, env)
        for n, item in enumerate(many(this, env)):
            env.index = n
            env.total = found
            found = body(item, env)
        env.total = before
        return found

    return plural(None, total)


_Row = tuple[list[Any], Item]  # sort keys, item


def _sort(call: Invocation) -> Code:
    """Keys compare as `<` does; a key with a minus descends; without a key value an item comes first."""
    kind, many, at = call.of.type, call.of.many, call.at
    keys: list[tuple[One, int]] = [_sort_key(call, i) for i in range(call.size)]
    if not keys:
        convert = to_system(kind)
        keys = [((lambda item, env: convert(item)) if convert else (lambda item, env: item), 1)]

    directions = [direction for _, direction in keys]

    def before(a: _Row, b: _Row) -> int:
        return _before(a[0], b[0], directions, at)

    def ordered(this: Item, env: Env) -> list[Item]:
        rows: list[_Row] = [([get(i, env) for get, _ in keys], i) for i in many(this, env)]
        return [item for _, item in sorted(rows, key=cmp_to_key(before))]

    return plural(kind, ordered)


def _sort_key(call: Invocation, index: int) -> tuple[One, int]:
    node = call.node.args[index]
    direction = 1
    if isinstance(node, Unary) and node.op == "-":
        node, direction = node.operand, -1
    return one_value(call.compiler.compile(node, Scope(call.of.type)), call.at), direction


def _before(a: list[Any], b: list[Any], directions: list[int], at: int) -> int:
    for x, y, direction in zip(a, b, directions, strict=True):
        if x is None or y is None:
            found: int | None = (x is not None) - (y is not None)
        else:
            try:
                found = (order(x, y) or 0) * direction
            except NotComparableError:
                raise wrong(at, "sort", x, y) from None
        if found:
            return found
    return 0


def _iif(call: Invocation) -> Code:
    """Only the branch that is taken runs; `$this` inside is the input, when there is one."""
    scope, get_this = call.scope, None
    if call.node.of is not None:
        scope, get_this = Scope(call.of.type, maybe_empty=True), _single_input(call)
    branches = [call.compiler.compile(arg, scope) for arg in call.node.args]
    other = branches[2] if len(branches) > 2 else EMPTY
    test = _criterion(branches[0], call.at)
    kind, a, b = same_type(branches[1], other)
    if a.one is not None and b.one is not None:
        return single(kind, _either(test, a.one, b.one, get_this))
    return plural(kind, _either(test, a.many, b.many, get_this))


def _single_input(call: Invocation) -> One:
    many, at = call.of.many, call.at

    def one(this: Item, env: Env) -> Item:
        items = many(this, env)
        if len(items) > 1:
            raise execution(at, f"iif() takes one item, there are {len(items)}")
        return items[0] if items else None

    return one


def _criterion(code: Code, at: int) -> One:
    get = one_value(code, at)

    def test(this: Item, env: Env) -> bool | None:
        found = get(this, env)
        if found is not None and found.__class__ is not bool:
            raise execution(at, f"the condition of iif() is a boolean, not {described(found)}")
        return found

    return test


def _either(test: One, a: Any, b: Any, get_this: One | None) -> Any:
    if get_this is None:
        return lambda this, env: a(this, env) if test(this, env) else b(this, env)

    def chosen(this: Item, env: Env) -> Any:
        inner = get_this(this, env)
        return a(inner, env) if test(inner, env) else b(inner, env)

    return chosen


FUNCTIONS: dict[str, Function] = {
    "where": Function(_where, 1, 1),
    "exists": Function(_exists, 0, 1),
    "all": Function(_all, 1, 1),
    "select": Function(_select, 1, 1),
    "repeat": Function(_repeat, 1, 1),
    "children": Function(_children),
    "descendants": Function(_descendants),
    "aggregate": Function(_aggregate, 1, 2),
    "sort": Function(_sort, 0, 9),
    "iif": Function(_iif, 2, 3),
    "trace": Function(lambda call: call.of, 1, 2),  # 5.9.1: the log is the caller's, the value passes through
}
