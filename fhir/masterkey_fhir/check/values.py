"""Checkers built from checkers: lists, required bindings, reference targets."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from masterkey_fhir.check.findings import Check, Finding, finding, prefixed
from masterkey_fhir.definitions import resource_types
from masterkey_fhir.json import json_kind

Codes = frozenset[tuple[str, str]]


def many(item: Check, most: int | None = None) -> Check:
    """A JSON array with at least one item, each of them valid (http://hl7.org/fhir/R4/json.html#repeat)."""
    one = item.ok

    def ok(value: Any) -> object:
        return value.__class__ is list and value and all(map(one, value))

    def ok_limited(value: Any) -> object:
        return ok(value) and len(value) <= (most or 0)

    def explain(value: Any) -> Iterator[Finding]:
        if not isinstance(value, list):
            yield _no_array(value)
        elif not value:
            yield finding("fhir.empty", what="array")
        else:
            if most is not None and len(value) > most:
                yield finding("fhir.too-many", max=most, found=len(value))
            for index, element in enumerate(value):
                yield from prefixed(f"[{index}]", item.findings(element))

    return Check(ok if most is None else ok_limited, explain)


def _no_array(value: Any) -> Finding:
    if value is None:
        return finding("fhir.null")
    return finding("fhir.array", found=json_kind(value))


def or_null(item: Check) -> Check:
    """An item of a primitive array whose `_` sibling may stand in for it."""
    return Check(
        lambda value: value is None or item.ok(value),
        lambda value: item.findings(value) if value is not None else iter(()),
    )


def both(first: Check, ok: Callable[[Any], object], explain: Callable[[Any], Iterator[Finding]]) -> Check:
    """A second demand, made only on what passes the first."""
    first_ok = first.ok

    def explained(value: Any) -> Iterator[Finding]:
        before = list(first.findings(value))
        yield from before or explain(value)

    return Check(lambda value: first_ok(value) and ok(value), explained)


# --- required bindings: http://hl7.org/fhir/R4/terminologies.html#required ---

_WORD = re.compile(r"[A-Za-z][A-Za-z-]{0,23}")
_FEW = 12


def bound_code(code: Check, codes: Codes, value_set: str) -> Check:
    """A `code`: its system is implied by the value set."""
    members = frozenset(c for _, c in codes)
    known = sorted(members)

    def explain(value: Any) -> Iterator[Finding]:
        before = list(code.findings(value))
        if before or value in members:
            yield from before
        else:
            yield _refused(value, value_set, known)

    return Check(members.__contains__, explain)


def bound_concept(concept: Check, codes: Codes, value_set: str) -> Check:
    """A CodeableConcept: one coding of the set is enough; only what is decided out is an error."""
    known = sorted({c for _, c in codes})

    def ok(value: dict[str, Any]) -> bool:
        codings = value.get("coding")
        if not codings:  # text alone is no member of the set; an extension may say why there is none
            return "extension" in value
        return any(not is_out(c, codes) for c in codings)

    def explain(value: dict[str, Any]) -> Iterator[Finding]:
        if not ok(value):
            codings = value.get("coding") or [{}]
            yield _refused(codings[0].get("code", ""), value_set, known)

    return both(concept, ok, explain)


def is_out(coding: dict[str, Any], codes: Codes) -> bool:
    """Not (system, code) of the set; open when an extension stands in for one of the two."""
    if "_code" in coding or "_system" in coding:
        return False
    return (coding.get("system"), coding.get("code")) not in codes


def _refused(code: str, value_set: str, known: list[str]) -> Finding:
    shown = f"'{code}'" if _WORD.fullmatch(code) else "the code"
    listed = ", ".join(known) if len(known) <= _FEW else f"{', '.join(known[:_FEW])} …"
    return finding("fhir.code", found=shown, value_set=value_set, allowed=listed)


# --- reference targets: http://hl7.org/fhir/R4/references.html ---

_LITERAL = re.compile(r"(https?://.*/)?([A-Za-z]{1,64})(?:/[A-Za-z0-9\-.]{1,64}(?:/_history/[^/]*)?|\?.*)", re.DOTALL)


def reference(item: Check, targets: frozenset[str]) -> Check:
    """A Reference whose literal or `type` names a resource type that the element allows."""
    allowed = targets or resource_types()
    item_ok = item.ok

    def right(value: dict[str, Any]) -> bool:
        named = target_type(value)
        return named is None or named in allowed

    def ok(value: Any) -> bool:
        if not item_ok(value):
            return False
        literal = value.get("reference")
        return (literal is not None and literal.partition("/")[0] in allowed) or right(value)

    def explain(value: Any) -> Iterator[Finding]:
        before = list(item.findings(value))
        yield from before
        if not before and not right(value):
            yield _wrong_target(value, targets)

    return Check(ok, explain)


def target_type(value: dict[str, Any]) -> str | None:
    """The type a Reference states; None when it states none (urn:uuid, #id, an address elsewhere)."""
    literal = _LITERAL.fullmatch(value.get("reference") or "")
    if literal is None:
        named = value.get("type")
        return named if named in resource_types() else None
    server, name = literal.groups()
    return name if server is None or name in resource_types() else None


def _wrong_target(value: dict[str, Any], targets: frozenset[str]) -> Finding:
    named = target_type(value)
    shown = named if named in resource_types() else "another type"
    where = ".reference" if "reference" in value else ".type"
    return finding(
        "fhir.reference-target",
        where,
        found=str(shown),
        allowed=", ".join(sorted(targets)) or "any R4 resource type",
    )
