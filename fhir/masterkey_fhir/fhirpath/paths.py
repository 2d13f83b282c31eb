"""Steps along elements: from items of a known type to their members, as fast as a dictionary look-up.

Names follow FHIR's JSON form (http://hl7.org/fhir/R4/json.html) and the R4 rules for choice elements
(http://hl7.org/fhir/R4/fhirpath.html#polymorphism).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from masterkey_fhir.definitions import Element, types
from masterkey_fhir.fhirpath.code import (
    EMPTY,
    NOTHING,
    Choices,
    Code,
    Env,
    One,
    dynamic,
    plural,
    single,
    this_code,
)
from masterkey_fhir.fhirpath.errors import semantic
from masterkey_fhir.fhirpath.fused import Step, function
from masterkey_fhir.fhirpath.items import Item, Typed, TypeInfo, is_primitive

Get = Callable[[Any], Any]  # one item or None
GetAll = Callable[[Any], list[Any]]


def member(of: Code, name: str, at: int, strict: bool) -> Code:
    """`of.name`. Raises FhirPathError in strict mode when the type has no such element."""
    if of.is_empty:
        return EMPTY
    if of.choice is not None:
        return _of_choice(of, name, at, strict)
    if of.type is None:
        return _dynamic_member(of, name)
    if of.type.startswith("System."):
        return _of_system(of, name, at, strict)
    element = _element(of.type, name)
    if element is None:
        if strict:
            raise semantic(at, f"{of.type} has no element '{name}'{_alternatives(of.type)}")
        return EMPTY
    return _step(of, element)


@cache
def _element(type_name: str, name: str) -> Element | None:
    elements = types()[type_name].elements
    return elements.get(name) or elements.get(f"{name}[x]")


def _alternatives(type_name: str) -> str:
    names = ", ".join(n.removesuffix("[x]") for n in types()[type_name].elements)
    return f"; it has {names}" if names else ""


def _of_system(of: Code, name: str, at: int, strict: bool) -> Code:
    if of.type == "System.TypeInfo" and name in ("name", "namespace"):
        return _map(of, "System.String", lambda info: getattr(info, name))
    if strict:
        raise semantic(at, f"{of.type} has no element '{name}'")
    return EMPTY


# -- one element of one static type


def _step(of: Code, element: Element) -> Code:
    if element.is_choice:
        return _choice(of, element.json_names())
    kind, name = element.types[0], element.name
    if is_primitive(of.type):
        return _of_primitive(of, kind, name)
    if kind == "Resource":
        return _lift(of, None, *_resource_getters(name, element.is_list))
    return _plain_step(of, Step(name, kind, element.is_list, is_primitive(kind)))


def _plain_step(of: Code, step: Step) -> Code:
    """Steps in a row are run as one, from `$this` or from whatever else they start at."""
    base = of.base if of.steps else None if of.is_this else of
    steps = (*of.steps, step)
    code = _run(base, function(steps), step.kind, any(s.is_list for s in steps))
    code.steps, code.base = steps, base
    return code


def first_of(of: Code) -> Code | None:
    """`first()` of plain steps stops at the first item; None when `of` is something else."""
    if not of.steps or (of.base is not None and of.base.one is None):
        return None
    return _run(of.base, function(of.steps, first=True), of.type, False)


def _run(base: Code | None, path: Callable[[Any, Any], Any], kind: str | None, gives_list: bool) -> Code:
    if base is None:
        return plural(kind, path) if gives_list else single(kind, path)
    if base.one is not None:
        return _from_one(base.one, path, kind, gives_list)
    many = base.many
    if gives_list:
        return plural(kind, lambda this, env: [v for o in many(this, env) for v in path(o, env)], ordered=base.ordered)
    return plural(
        kind,
        lambda this, env: [v for o in many(this, env) if (v := path(o, env)) is not None],
        ordered=base.ordered,
    )


def _from_one(inner: One, path: Callable[[Any, Any], Any], kind: str | None, gives_list: bool) -> Code:
    nothing = NOTHING if gives_list else None

    def run(this: Item, env: Env) -> Any:
        owner = inner(this, env)
        return nothing if owner is None else path(owner, env)

    return plural(kind, run) if gives_list else single(kind, run)


def _resource_getters(name: str, is_list: bool) -> tuple[Get | None, GetAll | None]:
    """A resource inside a resource tells its own type."""

    def wrap(found: Any) -> Any:
        return None if found is None else Typed(found, found.get("resourceType"))

    if not is_list:
        return (lambda owner: wrap(owner.get(name))), None
    return None, lambda owner: [wrap(r) for r in owner.get(name, ()) if r is not None]


def _of_primitive(of: Code, kind: str, name: str) -> Code:
    """`id` and `extension` of a primitive live in its sibling."""
    if name == "extension":
        return _lift(of, kind, None, lambda item: _extra(item).get("extension", NOTHING))
    return _lift(of, kind, lambda item: _extra(item).get(name), None)


def _extra(item: Item) -> dict[str, Any]:
    return (item.extra or {}) if item.__class__ is Typed else {}


def _lift(of: Code, kind: str | None, get: Get | None, get_all: GetAll | None) -> Code:
    """A getter of one owner, over the owners that `of` gives."""
    if get is not None:
        return _map(of, kind, get)
    assert get_all is not None
    if of.is_this:
        return plural(kind, lambda this, env: get_all(this))
    if of.one is not None:
        inner = of.one

        def from_one(this: Item, env: Env) -> list[Item]:
            owner = inner(this, env)
            return NOTHING if owner is None else get_all(owner)

        return plural(kind, from_one)
    many = of.many
    return plural(kind, lambda this, env: [v for o in many(this, env) for v in get_all(o)], ordered=of.ordered)


def _map(of: Code, kind: str | None, get: Get) -> Code:
    if of.is_this:
        return single(kind, lambda this, env: get(this))
    if of.one is not None:
        inner = of.one

        def one(this: Item, env: Env) -> Item:
            owner = inner(this, env)
            return None if owner is None else get(owner)

        return single(kind, one)
    many = of.many
    return plural(kind, lambda this, env: [v for o in many(this, env) if (v := get(o)) is not None], ordered=of.ordered)


# -- choice elements


def _choice(of: Code, choices: Choices) -> Code:
    code = _map(of, None, _choice_getter(choices))
    code.choice = (of, choices)
    return code


def _choice_getter(choices: Choices) -> Get:
    siblings = {f"_{name}": name for name, kind in choices.items() if is_primitive(kind)}
    known = dict(choices) | {sibling: choices[name] for sibling, name in siblings.items()}

    def get(owner: Any) -> Any:
        for name in owner:
            if name in known:
                base = siblings.get(name, name)
                return Typed(owner.get(base), known[name], owner.get("_" + base))
        return None

    return get


def narrowed(of: Code, wanted: Callable[[str], bool]) -> Code | None:
    """A choice element that can be one type only after `ofType`, `as`: a plain step; EMPTY when none is left.

    None when several types are left.
    """
    if of.choice is None:
        return None
    owner, choices = of.choice
    left = {name: kind for name, kind in choices.items() if wanted(kind)}
    if not left:
        return EMPTY
    if len(left) > 1:
        return _choice(owner, left)
    [(name, kind)] = left.items()
    return _plain_step(owner, Step(name, kind, False, is_primitive(kind)))


def _of_choice(of: Code, name: str, at: int, strict: bool) -> Code:
    """Only the types of the choice that have the member matter."""
    assert of.choice is not None
    left = narrowed(of, lambda kind: _element(kind, name) is not None and (name != "extension"))
    if left is None or left.is_empty:
        if strict and name not in ("id", "extension"):
            kinds = ", ".join(of.choice[1].values())
            raise semantic(at, f"none of {kinds} has an element '{name}'")
        return _dynamic_member(of, name)
    return _dynamic_member(left, name) if left.type is None else member(left, name, at, strict)


# -- items that carry their type


def _dynamic_member(of: Code, name: str) -> Code:
    step = dynamic_step(name)
    return _lift(of, None, None, step)


@cache
def dynamic_step(name: str) -> GetAll:
    """From an item of any type to its members of that name."""
    by_type: dict[str, Callable[[Any], list[Any]]] = {}

    def step(item: Item) -> list[Item]:
        if item.__class__ is not Typed:
            return [getattr(item, name)] if item.__class__ is TypeInfo and name in ("name", "namespace") else NOTHING
        kind = item.type
        if kind is None or kind not in types():
            return _of_json(item.value, name)
        get = by_type.get(kind)
        if get is None:
            get = by_type[kind] = _dynamic_getter(kind, name)
        return get(item)

    return step


def _dynamic_getter(kind: str, name: str) -> Callable[[Any], list[Any]]:
    code = dynamic(member(this_code(kind), name, 0, False))
    many: Callable[[Any, Any], list[Any]] = code.many
    if is_primitive(kind):
        return lambda item: many(item, None)
    return lambda item: many(item.value, None)


def _of_json(value: Any, name: str) -> list[Item]:
    """JSON that is no FHIR: its own names."""
    if value.__class__ is not dict:
        return NOTHING
    found = value.get(name)
    return [
        Typed(v, v.get("resourceType")) if v.__class__ is dict else v
        for v in (found if found.__class__ is list else [found])
        if v is not None
    ]


# -- children() (section 5.9.1 ... of N1: children, descendants)


@cache
def _child_getters(kind: str) -> dict[str, GetAll]:
    """JSON member -> step, choice members and `_siblings` included."""
    out: dict[str, GetAll] = {}
    for element in types()[kind].elements.values():
        step = dynamic_step(element.name.removesuffix("[x]"))
        for name in element.json_names():
            out[name] = step
            out["_" + name] = step
    return out


def children_of(item: Item) -> list[Item]:
    """All child items, in the order of the document."""
    if item.__class__ is not Typed:
        return NOTHING
    if is_primitive(item.type):
        return [c for name in ("id", "extension") for c in dynamic_step(name)(item)]
    if item.type not in types():
        return [c for name in item.value if name != "resourceType" for c in _of_json(item.value, name)]
    getters = _child_getters(item.type)
    steps = dict.fromkeys(getters[name] for name in item.value if name in getters)
    return [child for step in steps for child in step(item)]
