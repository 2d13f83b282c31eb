"""Search parameters and what they mean on the tables (http://hl7.org/fhir/R4/search.html)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, false, not_, or_, select

from masterkey_fhir.definitions import search_parameters
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.search.dates import bounds, prefixed
from masterkey_fhir.store import schema

r = schema.resource
Condition = ColumnElement[bool]


class SearchError(MasterkeyError):
    """A query that is not offered or not well formed; names the parameter and what is valid."""


def offered(type: str) -> dict[str, str]:
    """The parameters of a resource type that can be searched by: name -> FHIR search type."""
    own = search_parameters(type)
    out = {"_id": "token", "_lastUpdated": "date"}
    return out | {name: _TYPES[name] for name in _TYPES if name in own}


_TYPES = {"identifier": "token", "patient": "reference", "subject": "reference"}


def conditions(type: str, params: list[tuple[str, str]], zone: tzinfo = UTC) -> list[Condition]:
    """One condition per parameter; a repeated parameter is AND, a comma OR.

    Raises SearchError with one Issue for each parameter that is wrong.
    """
    found: list[Condition] = []
    wrong: list[Issue] = []
    for name, value in params:
        try:
            found.append(_condition(type, name, value, zone))
        except SearchError as error:
            wrong.extend(error.issues)
    if wrong:
        raise SearchError(*wrong)
    return found


def _condition(type: str, name: str, value: str, zone: tzinfo) -> Condition:
    plain, _, modifier = name.partition(":")
    valid = offered(type)
    if plain not in valid:
        raise _error("fhir.search-parameter", name, type=type, valid=", ".join(valid))
    if modifier and not (modifier == "Patient" and valid[plain] == "reference"):
        raise _error("fhir.search-modifier", name)
    parts = [p for p in split(value, ",") if p]
    if not parts:
        raise _error("fhir.search-value", name, expected="a value")
    return or_(*(_MEANING[plain](p, name, zone) for p in parts))


def _error(rule: str, name: str, **facts: Any) -> SearchError:
    shown = name if re.fullmatch(r"[\w:.\-]{1,64}", name) else "?"
    return SearchError(issue(rule, Place(), parameter=shown, **facts))


def _id(value: str, _name: str, _zone: tzinfo) -> Condition:
    return r.c.id == unescaped(value)


def _identifier(value: str, name: str, _zone: tzinfo) -> Condition:
    """`value`, `system|value`, `|value` (no system), `system|` (any value)."""
    i = schema.identifier
    parts = split(value, "|")
    if len(parts) > 2 or not any(parts):
        raise _error("fhir.search-value", name, expected="system|value")
    where: list[Condition] = [i.c.site == r.c.site, i.c.type == r.c.type, i.c.key == r.c.key]
    if parts[-1]:
        where.append(i.c.value == unescaped(parts[-1]))
    if len(parts) == 2:
        where.append(_system_is(unescaped(parts[0])))
    return r.c.key.in_(select(i.c.key).where(*where[:2], *where[3:])) if parts[-1] else exists().where(*where)


def _system_is(uri: str) -> Condition:
    column = schema.identifier.c.system
    if not uri:
        return column == 0
    key = select(schema.system.c.key).where(schema.system.c.name == uri).scalar_subquery()
    return column == key


def _patient(value: str, _name: str, _zone: tzinfo) -> Condition:
    """`id` or `Patient/id`; another type is in no patient's record here, so it matches nothing."""
    kind, slash, id_ = unescaped(value).rpartition("/")
    if slash and kind != "Patient":
        return false()
    return r.c.patient == id_


def _last_updated(value: str, name: str, zone: tzinfo) -> Condition:
    prefix, text = prefixed(value.replace(" ", "+"))  # an unencoded plus of an offset arrives as a space
    try:
        start, end = bounds(text, zone)
    except ValueError:
        raise _error(
            "fhir.search-value", name, expected="a date such as ge2026-01-31 or lt2026-01-31T09:00+09:00"
        ) from None
    return _PREFIX[prefix](r.c.updated, start, end)


def _around(u: ColumnElement[int], a: int, b: int) -> Condition:
    """`ap`: overlaps the range widened by a tenth of its distance to now."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    more = abs(now - a) // 10
    return and_(u >= a - more, u < b + more)


Compare = Callable[[ColumnElement[int], int, int], Condition]

# A stored instant is the range [u, u + 1 ms), the value of the search [a, b): http://hl7.org/fhir/R4/search.html#prefix
_PREFIX: dict[str, Compare] = {
    "eq": lambda u, a, b: and_(u >= a, u < b),
    "ne": lambda u, a, b: not_(and_(u >= a, u < b)),
    "gt": lambda u, _a, b: u >= b,
    "sa": lambda u, _a, b: u >= b,
    "lt": lambda u, a, _b: u < a,
    "eb": lambda u, a, _b: u < a,
    "ge": lambda u, a, _b: u >= a,
    "le": lambda u, _a, b: u < b,
    "ap": _around,
}

_MEANING: dict[str, Callable[[str, str, tzinfo], Condition]] = {
    "_id": _id,
    "_lastUpdated": _last_updated,
    "identifier": _identifier,
    "patient": _patient,
    "subject": _patient,
}


def split(value: str, separator: str) -> list[str]:
    """Parts at each separator that no backslash escapes (http://hl7.org/fhir/R4/search.html#escaping)."""
    return list(_split(value, separator))


def _split(value: str, separator: str) -> Iterator[str]:
    part, escaped = "", False
    for char in value:
        if char == separator and not escaped:
            yield part
            part = ""
            continue
        part += char
        escaped = char == "\\" and not escaped
    yield part


def unescaped(value: str) -> str:
    return re.sub(r"\\([,|$\\])", r"\1", value)


def escaped(value: str) -> str:
    return re.sub(r"([,|$\\])", r"\\\1", value)
