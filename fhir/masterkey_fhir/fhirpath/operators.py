"""Operators. FHIRPath N1 2.0.0, section 6."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

from masterkey_fhir.fhirpath import arithmetic
from masterkey_fhir.fhirpath.arithmetic import WrongTypesError
from masterkey_fhir.fhirpath.code import (
    BOOLEAN,
    EMPTY,
    NOTHING,
    STRING,
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
from masterkey_fhir.fhirpath.equality import (
    NotComparableError,
    all_equal,
    all_equivalent,
    as_written,
    equal,
    equivalent,
    key,
    keys,
    order,
    share_units,
)
from masterkey_fhir.fhirpath.errors import FhirPathError, execution
from masterkey_fhir.fhirpath.items import Convert, Item, Typed, system_name, system_of, to_system


def binary(op: str, left: Code, right: Code, at: int) -> Code:
    return _OPERATORS[op](left, right, at)


def described(value: Any) -> str:
    """A type for a message, never the value."""
    return system_name(value) or "an object"


def wrong(at: int, op: str, a: Any, b: Any) -> FhirPathError:
    return execution(at, f"'{op}' has no meaning for {described(a)} and {described(b)}")


# -- equality


def _is_text(code: Code) -> bool:
    """Items are strings, or primitives around one."""
    return system_of(code.type) == "String"


def _equals(left: Code, right: Code, at: int) -> Code:
    if left.is_empty or right.is_empty:
        return EMPTY
    if left.one is None or right.one is None:
        return single(BOOLEAN, _lists_equal(values(left), values(right)))
    if _is_text(left) and right.literal.__class__ is str:
        return single(BOOLEAN, _is_literal(left.one, right.literal))
    get_left, get_right = one_value(left, at), one_value(right, at)

    def one(this: Item, env: Env) -> bool | None:
        a = get_left(this, env)
        if a is None:
            return None
        b = get_right(this, env)
        return None if b is None else equal(a, b)

    return single(BOOLEAN, one)


def _is_literal(get: One, text: str) -> One:
    def one(this: Item, env: Env) -> bool | None:
        found = get(this, env)
        if found.__class__ is str:
            return bool(found == text)
        return None if found is None or found.value is None else bool(found.value == text)

    return one


def _lists_equal(left: Many, right: Many) -> One:
    def one(this: Item, env: Env) -> bool | None:
        a, b = left(this, env), right(this, env)
        return all_equal(a, b) if a and b else None

    return one


def _differs(left: Code, right: Code, at: int) -> Code:
    code = _equals(left, right, at)
    return EMPTY if code.is_empty else _negation(code)


def _negation(code: Code) -> Code:
    assert code.one is not None
    get = code.one

    def one(this: Item, env: Env) -> bool | None:
        found = get(this, env)
        return None if found is None else not found

    return single(BOOLEAN, one)


def _is_equivalent(left: Code, right: Code, at: int) -> Code:
    get_left, get_right = values(left), values(right)

    def one(this: Item, env: Env) -> bool:
        a, b = get_left(this, env), get_right(this, env)
        if len(a) == 1 and len(b) == 1:
            return equivalent(a[0], b[0])
        return all_equivalent(a, b)

    return single(BOOLEAN, one)


def _not_equivalent(left: Code, right: Code, at: int) -> Code:
    return _negation(_is_equivalent(left, right, at))


# -- comparison


def _compares(op: str, test: Callable[[int], bool]) -> Callable[[Code, Code, int], Code]:
    def build(left: Code, right: Code, at: int) -> Code:
        get_left, get_right = one_value(left, at), one_value(right, at)

        def one(this: Item, env: Env) -> bool | None:
            a, b = get_left(this, env), get_right(this, env)
            if a is None or b is None:
                return None
            try:
                found = order(a, b)
            except NotComparableError:
                raise wrong(at, op, a, b) from None
            return None if found is None else test(found)

        return single(BOOLEAN, one)

    return build


# -- logic with three values (section 6.5)


def _and(left: Code, right: Code, at: int) -> Code:
    get_left, get_right = truth(left, at), truth(right, at)

    def one(this: Item, env: Env) -> bool | None:
        a = get_left(this, env)
        if a is False:
            return False
        b = get_right(this, env)
        return b if a else (False if b is False else None)

    return single(BOOLEAN, one)


def _or(left: Code, right: Code, at: int) -> Code:
    get_left, get_right = truth(left, at), truth(right, at)

    def one(this: Item, env: Env) -> bool | None:
        a = get_left(this, env)
        if a:
            return True
        b = get_right(this, env)
        return b if a is False else (b or None)

    return single(BOOLEAN, one)


def _xor(left: Code, right: Code, at: int) -> Code:
    get_left, get_right = truth(left, at), truth(right, at)

    def one(this: Item, env: Env) -> bool | None:
        a, b = get_left(this, env), get_right(this, env)
        return None if a is None or b is None else a is not b

    return single(BOOLEAN, one)


def _implies(left: Code, right: Code, at: int) -> Code:
    get_left, get_right = truth(left, at), truth(right, at)

    def one(this: Item, env: Env) -> bool | None:
        a = get_left(this, env)
        if a is False:
            return True
        b = get_right(this, env)
        return b if a else (b or None)

    return single(BOOLEAN, one)


# -- arithmetic and strings


def _arithmetic(op: str, compute: Callable[[Any, Any], Any]) -> Callable[[Code, Code, int], Code]:
    def build(left: Code, right: Code, at: int) -> Code:
        get_left, get_right = one_value(left, at), one_value(right, at)

        def one(this: Item, env: Env) -> Any:
            a, b = get_left(this, env), get_right(this, env)
            if a is None or b is None:
                return None
            try:
                return compute(a, b)
            except WrongTypesError:
                raise wrong(at, op, a, b) from None
            except ArithmeticError:
                return None  # too large to be a number: empty (section 6.6)

        return single(None, one)

    return build


def _concatenate(left: Code, right: Code, at: int) -> Code:
    """`&`: empty counts as the empty string (section 6.6.2)."""
    get_left, get_right = one_value(left, at), one_value(right, at)

    def one(this: Item, env: Env) -> str:
        a, b = get_left(this, env), get_right(this, env)
        a, b = "" if a is None else a, "" if b is None else b
        if a.__class__ is not str or b.__class__ is not str:
            raise wrong(at, "&", a, b)
        return str(a) + str(b)

    return single(STRING, one)


# -- collections (section 6.4 and |)


def _in(left: Code, right: Code, at: int) -> Code:
    get, collection = one_value(left, at), values(right)

    def one(this: Item, env: Env) -> bool | None:
        item = get(this, env)
        return None if item is None else key(item) in keys(collection(this, env))

    return single(BOOLEAN, one)


def _contains(left: Code, right: Code, at: int) -> Code:
    return _in(right, left, at)


def union(left: Code, right: Code, at: int) -> Code:
    """Each value once, in the order met (sections 5.1.1 and 6.5... `|`)."""
    kind, a, b = same_type(left, right)
    if a.is_empty or b.is_empty:
        return distinct(b if a.is_empty else a)
    return distinct(plural(kind, _two(a.one, b.one) if a.one and b.one else _both(a.many, b.many)))


def _two(get_a: One, get_b: One) -> Many:
    def many(this: Item, env: Env) -> list[Item]:
        x, y = get_a(this, env), get_b(this, env)
        if x is None:
            return NOTHING if y is None else [y]
        return [x] if y is None else [x, y]

    return many


def _both(get_a: Many, get_b: Many) -> Many:
    def many(this: Item, env: Env) -> list[Item]:
        xs, ys = get_a(this, env), get_b(this, env)
        return [*xs, *ys] if xs and ys else xs or ys

    return many


def identity(item: Item, convert: Convert | None) -> Hashable:
    """Items with one identity are equal; a primitive without a value is what its extensions are."""
    value = convert(item) if convert else item
    return key(item.extra if value is None and item.__class__ is Typed else value)


def distinct(of: Code) -> Code:
    if of.one is not None:
        return of
    many, convert = of.many, to_system(of.type)

    def unique(this: Item, env: Env) -> list[Item]:
        items = many(this, env)
        if len(items) < 2:
            return items
        found = [convert(i) for i in items] if convert else items
        name = as_written if share_units(found) else key
        kept: dict[Hashable, Item] = {}
        for item, value in zip(items, found, strict=True):
            kept.setdefault(key(item.extra) if value is None else name(value), item)
        return list(kept.values()) if len(kept) < len(items) else items

    return plural(of.type, unique, ordered=of.ordered)


_OPERATORS: dict[str, Callable[[Code, Code, int], Code]] = {
    "=": _equals,
    "!=": _differs,
    "~": _is_equivalent,
    "!~": _not_equivalent,
    "<": _compares("<", lambda o: o < 0),
    "<=": _compares("<=", lambda o: o <= 0),
    ">": _compares(">", lambda o: o > 0),
    ">=": _compares(">=", lambda o: o >= 0),
    "and": _and,
    "or": _or,
    "xor": _xor,
    "implies": _implies,
    "+": _arithmetic("+", arithmetic.add),
    "-": _arithmetic("-", arithmetic.subtract),
    "*": _arithmetic("*", arithmetic.multiply),
    "/": _arithmetic("/", arithmetic.divide),
    "div": _arithmetic("div", arithmetic.div),
    "mod": _arithmetic("mod", arithmetic.mod),
    "&": _concatenate,
    "in": _in,
    "contains": _contains,
    "|": union,
}
