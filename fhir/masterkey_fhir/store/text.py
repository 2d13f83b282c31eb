"""The text of a resource: parsed without loss, changed only where it must be, every other byte kept.

The scanner of the standard library (C) gives each value and where it ends, so the place of a member is known
without tokenising the rest.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from json import JSONDecodeError
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any, NoReturn

from masterkey_fhir.json import ExponentDecimal


def _number(text: str) -> Decimal:
    return ExponentDecimal(text) if "e" in text or "E" in text else Decimal(text)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_float=_number, parse_constant=_no_constant)
_scan: Callable[[str, int], tuple[Any, int]] = make_scanner(_DECODER)  # type: ignore[arg-type]
_space = WHITESPACE.match


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an object: the key's quote, the value's first character, the end of the value."""

    start: int
    value: int
    end: int


def skip(text: str, at: int) -> int:
    return int(_space(text, at).end())


def scan_value(text: str, at: int) -> tuple[Any, int]:
    """The value at `at` and its end. Raises ValueError where there is none."""
    try:
        return _scan(text, at)
    except StopIteration as stop:
        raise JSONDecodeError("Expecting value", text, stop.value) from None


def members(text: str, at: int = 0, read: Callable[[str, str, int], int] | None = None) -> dict[str, Member]:
    """The members of the object that begins at `at` ('{'), in order.

    `read(key, text, at) -> end` may read a value itself. Raises ValueError where the text is not JSON; of a
    key that stands twice the last counts: who takes text from outside asks masterkey_fhir.json first.
    """
    out: dict[str, Member] = {}
    at = _expect(text, at, "{")
    if text[at : at + 1] == "}":
        return out
    while True:
        if text[at : at + 1] != '"':
            raise JSONDecodeError("Expecting property name", text, at)
        start = at
        key, at = scan_value(text, at)
        at = value = _expect(text, skip(text, at), ":")
        at = read(key, text, at) if read else scan_value(text, at)[1]
        out[key] = Member(start, value, at)
        at = skip(text, at)
        if text[at : at + 1] == "}":
            return out
        at = _expect(text, at, ",")


def elements(text: str, at: int, read: Callable[[str, int], int]) -> int:
    """Reads the array at `at` with `read(text, at) -> end` per element; the place after it."""
    at = _expect(text, at, "[")
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        at = skip(text, read(text, at))
        if text[at : at + 1] == "]":
            return at + 1
        at = _expect(text, at, ",")


def _expect(text: str, at: int, char: str) -> int:
    if text[at : at + 1] != char:
        raise JSONDecodeError(f"Expecting {char!r}", text, at)
    return skip(text, at + 1)


Edit = tuple[int, int, str]


def edited(text: str, edits: list[Edit]) -> str:
    """`text` with each (start, end, replacement) carried out; edits don't overlap."""
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


# How nearly every resource begins: the type, then perhaps the id. A match spares the scan of the whole text.
_HEAD = re.compile(rb'\s*\{\s*"resourceType"\s*:\s*"[A-Za-z]+"(\s*,\s*"id"\s*:\s*("[A-Za-z0-9\-.]*"))?')
_META = re.compile(rb'\s*,\s*"meta"\s*:\s*\{\s*(?=")')


def with_id(text: bytes, id_: str) -> bytes:
    """The resource with this `id`; where it had none, after `resourceType`."""
    head = _HEAD.match(text)
    if head and head[1]:
        return text[: head.start(2)] + _quoted(id_).encode() + text[head.end(2) :]
    if head and b'"id"' not in text:
        return text[: head.end()] + b',"id":' + _quoted(id_).encode() + text[head.end() :]
    s = text.decode()
    at = members(s)
    if "id" in at:
        return edited(s, [(at["id"].value, at["id"].end, _quoted(id_))]).encode()
    return _insert(s, at, f'"id":{_quoted(id_)}').encode()


def with_meta(text: bytes, version: int, last_updated: str) -> bytes:
    """The resource with `meta.versionId` and `meta.lastUpdated` of this version."""
    ours = f'"versionId":"{version}","lastUpdated":"{last_updated}"'
    head = _HEAD.match(text)
    if head and head[1] and b'"versionId"' not in text and b'"lastUpdated"' not in text:
        meta = _META.match(text, head.end())
        if meta:
            return text[: meta.end()] + ours.encode() + b"," + text[meta.end() :]
        if b'"meta"' not in text:
            return text[: head.end()] + b',"meta":{' + ours.encode() + b"}" + text[head.end() :]
    return _with_meta(text.decode(), ours).encode()


def _with_meta(s: str, ours: str) -> str:
    """The same for a text in any order of its members."""
    at = members(s)
    if "meta" not in at:
        return _insert(s, at, f'"meta":{{{ours}}}')
    inside = at["meta"].value
    if s[inside] != "{":
        return edited(s, [(inside, at["meta"].end, f"{{{ours}}}")])
    s = _without(s, inside, ("versionId", "lastUpdated"))
    comma = "," if s[skip(s, inside + 1)] != "}" else ""
    return edited(s, [(inside + 1, inside + 1, ours + comma)])


def without_version(text: bytes, resource: dict[str, Any]) -> bytes:
    """The text without `meta.versionId` and `meta.lastUpdated`: the server's own, kept in columns."""
    meta = resource.get("meta")
    if not isinstance(meta, dict) or not ("versionId" in meta or "lastUpdated" in meta):
        return text
    s = text.decode()
    at = members(s)
    if meta.keys() <= {"versionId", "lastUpdated"}:
        return _without(s, 0, ("meta",)).encode()
    return _without(s, at["meta"].value, ("versionId", "lastUpdated")).encode()


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _insert(text: str, at: dict[str, Member], member: str) -> str:
    """`member` after id, else after resourceType, else first."""
    before = at.get("id") or at.get("resourceType")
    if before:
        return edited(text, [(before.end, before.end, "," + member)])
    first = text.index("{") + 1
    return edited(text, [(first, first, member + ("," if at else ""))])


def _without(text: str, at: int, keys: tuple[str, ...]) -> str:
    """The object at `at` without these members and one comma each."""
    for key in keys:
        found = members(text, at)
        if key in found:
            text = edited(text, [_with_comma(text, list(found), found, key)])
    return text


def _with_comma(text: str, order: list[str], found: dict[str, Member], key: str) -> Edit:
    place = order.index(key)
    if place + 1 < len(order):
        return (found[key].start, found[order[place + 1]].start, "")
    start = found[order[place - 1]].end if place else found[key].start
    return (start, found[key].end, "")


def same_content(a: bytes, b: bytes) -> bool:
    """Equal but for white space, escapes and the order of keys; 1.0 and 1.00 differ."""
    return bool(_exact(a) == _exact(b))


def _exact(text: bytes) -> Any:
    return json.loads(text, parse_float=lambda digits: ("decimal", digits))


# --- how bodies lie in the database ---------------------------------------------------------------------

WORTHWHILE = 1000  # bytes. Of 1.7 kB resources: halves the database; below, it costs a quarter of the CPU


def packed(text: bytes) -> bytes:
    """zlib level 1 where it helps; a body that begins with '{' is plain, with 0x78 zlib."""
    return zlib.compress(text, 1) if len(text) > WORTHWHILE else text


def unpacked(body: bytes) -> bytes:
    return zlib.decompress(body) if body[:1] == b"\x78" else bytes(body)
