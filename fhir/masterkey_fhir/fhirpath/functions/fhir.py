"""What FHIR adds to FHIRPath (http://hl7.org/fhir/R4/fhirpath.html#functions), and the two reference keys of
SQL on FHIR v2 (getResourceKey, getReferenceKey)."""

from __future__ import annotations

import re
from typing import Any

from masterkey_fhir.definitions import resource_types
from masterkey_fhir.fhirpath.code import (
    BOOLEAN,
    EMPTY,
    NOTHING,
    STRING,
    Code,
    Env,
    dynamic,
    one_value,
    plural,
    single,
    values,
)
from masterkey_fhir.fhirpath.errors import execution
from masterkey_fhir.fhirpath.functions.base import Function
from masterkey_fhir.fhirpath.functions.reflection import specifier
from masterkey_fhir.fhirpath.html import html_problem
from masterkey_fhir.fhirpath.items import Item, Typed, is_primitive, plain
from masterkey_fhir.fhirpath.paths import member
from masterkey_fhir.fhirpath.scope import Invocation

_REFERENCE = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")
_RELATIVE = re.compile(r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?")


def _extension(call: Invocation) -> Code:
    """`extension(url)` = `extension.where(url = ...)`, the same for primitives."""
    many = member(call.of, "extension", call.at, False).many
    get_url = one_value(call.arg(0), call.at)

    def some(this: Item, env: Env) -> list[Item]:
        found = many(this, env)
        if not found:
            return NOTHING
        url = get_url(this, env)
        return [e for e in found if plain(e).get("url") == url]

    kind = member(call.of, "extension", call.at, False).type
    return plural(kind, some)


def _has_extension(call: Invocation) -> Code:
    """Not on the R4 page of functions, but R4's search parameter QuestionnaireResponse item-subject uses it."""
    many = _extension(call).many
    return single(BOOLEAN, lambda this, env: bool(many(this, env)))


def _has_value(call: Invocation) -> Code:
    """One primitive that has a value, not only extensions."""
    many, static = call.of.many, call.of.type

    def one(this: Item, env: Env) -> bool:
        items = many(this, env)
        return len(items) == 1 and _value_of(items[0], static) is not None

    return single(BOOLEAN, one)


def _value_of(item: Item, static: str | None) -> Any:
    if item.__class__ is Typed:
        return item.value if is_primitive(item.type) or item.type is None else None
    return item if static is None or static.startswith("System.") or is_primitive(static) else None


def _get_value(call: Invocation) -> Code:
    many, static = call.of.many, call.of.type

    def one(this: Item, env: Env) -> Any:
        items = many(this, env)
        return _value_of(items[0], static) if len(items) == 1 else None

    return single(None, one)


# -- references


def _resolve(call: Invocation) -> Code:
    """The resource by the resolver, or by its type alone when none knows it: enough for `is`."""
    if call.of.one is not None:
        get = call.of.one

        def one(this: Item, env: Env) -> Item:
            item = get(this, env)
            return None if item is None else _resolved(plain(item), env)

        return single(None, one)
    many = call.of.many
    return plural(
        None,
        lambda this, env: [r for i in many(this, env) if (r := _resolved(plain(i), env)) is not None],
    )


def _resolved(item: Any, env: Env) -> Item:
    text = item.get("reference") if item.__class__ is dict else item
    if text.__class__ is str and text.startswith("#"):
        return _contained(text[1:], env)
    resolver = env.services.resolver
    resource = resolver.resolve(text) if resolver is not None and text.__class__ is str else None
    if resource is not None:
        return Typed(resource, resource.get("resourceType"))
    return _known_by_type(item, text)


def _contained(wanted_id: str, env: Env) -> Item:
    root = plain(env.root) or {}
    if not wanted_id:
        return Typed(root, root.get("resourceType"))
    found = next((r for r in root.get("contained", ()) if r.get("id") == wanted_id), None)
    return None if found is None else Typed(found, found.get("resourceType"))


def _known_by_type(item: Any, text: Any) -> Item:
    """http://hl7.org/fhir/R4/references.html#literal: the type stands in the URL, or in Reference.type."""
    match = _REFERENCE.fullmatch(text) if text.__class__ is str else None
    if match is not None and match["type"] in resource_types():
        return Typed({"resourceType": match["type"], "id": match["id"]}, match["type"])
    kind = item.get("type") if item.__class__ is dict else None
    return Typed({"resourceType": kind}, kind) if kind in resource_types() else None


def _resource_key(call: Invocation) -> Code:
    many = dynamic(call.of).many

    def one(this: Item, env: Env) -> str | None:
        items = many(this, env)
        return plain(items[0]).get("id") if items else None

    return single(STRING, one)


def _reference_key(call: Invocation) -> Code:
    """Of a relative reference its id; a type argument keeps references to that type only."""
    many = call.of.many
    kind = specifier(call.node.args[0]).fhir if call.size else None

    def some(this: Item, env: Env) -> list[Item]:
        matches = (_RELATIVE.fullmatch(plain(i).get("reference") or "") for i in many(this, env))
        return [m["id"] for m in matches if m is not None and kind in (None, m["type"])]

    if call.of.one is None:
        return plural(STRING, some)
    return single(STRING, lambda this, env: next(iter(some(this, env)), None))


# -- terminology, profiles, narrative


def _member_of(call: Invocation) -> Code:
    """A code, Coding or CodeableConcept; empty when no terminology knows the value set."""
    many, get_url = call.of.many, one_value(call.arg(0), call.at)

    def one(this: Item, env: Env) -> bool | None:
        items, url, terminology = many(this, env), get_url(this, env), env.services.terminology
        if not items or url is None or terminology is None:
            return None
        answers = [terminology.member_of(url, system, code) for system, code in _codings(plain(items[0]))]
        return True if True in answers else None if None in answers else False

    return single(BOOLEAN, one)


def _codings(value: Any) -> list[tuple[str | None, str]]:
    if value.__class__ is str:
        return [(None, value)]
    codings = value.get("coding", [value])
    return [(c.get("system"), c["code"]) for c in codings if "code" in c]


def _conforms_to(call: Invocation) -> Code:
    many, get_url, at = call.of.many, one_value(call.arg(0), call.at), call.at
    base = "http://hl7.org/fhir/StructureDefinition/"

    def one(this: Item, env: Env) -> bool | None:
        items, url = many(this, env), get_url(this, env)
        if not items or url is None:
            return None
        resource = plain(items[0])
        profiles = env.services.profiles
        known = profiles.conforms_to(resource, url) if profiles is not None else None
        if known is None and url.removeprefix(base) in resource_types():
            known = resource.get("resourceType") == url.removeprefix(base)
        if known is None:
            raise execution(at, "the profile that conformsTo() names is not known")
        return known

    return single(BOOLEAN, one)


def _html_checks(call: Invocation) -> Code:
    """txt-1, txt-2 of Narrative (http://hl7.org/fhir/R4/narrative.html)."""
    if call.of.is_empty:
        return EMPTY
    get = values(call.of)
    return single(BOOLEAN, lambda this, env: all(html_problem(t) is None for t in get(this, env)))


FUNCTIONS: dict[str, Function] = {
    "extension": Function(_extension, 1, 1),
    "hasExtension": Function(_has_extension, 1, 1),
    "hasValue": Function(_has_value),
    "getValue": Function(_get_value),
    "resolve": Function(_resolve),
    "memberOf": Function(_member_of, 1, 1),
    "conformsTo": Function(_conforms_to, 1, 1),
    "htmlChecks": Function(_html_checks, 0, 0),
    "htmlchecks": Function(_html_checks, 0, 0),
    "getResourceKey": Function(_resource_key),
    "getReferenceKey": Function(_reference_key, 0, 1),
}
