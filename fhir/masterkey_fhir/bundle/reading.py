"""Bytes -> entries. The text of each resource is kept as it was sent; it is parsed once, by the C scanner."""

from __future__ import annotations

import re
from typing import Any

from masterkey_fhir.bundle.model import Entry, RefusedError
from masterkey_fhir.definitions import resource_types
from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.json import JsonError, dumps, parse
from masterkey_fhir.store.text import elements, members, scan_value, skip

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")  # http://hl7.org/fhir/R4/valueset-http-verb.html
_BOM = b"\xef\xbb\xbf"
_URL = re.compile(
    r"(?P<type>[A-Z][A-Za-z]*)(?:/(?P<id>[A-Za-z0-9\-.]{1,64})(?:/_history/(?P<version>\d{1,9}))?)?(?:\?(?P<query>.*))?",
    re.DOTALL | re.ASCII,
)

Object = dict[str, Any]


def read(body: bytes, site: str = "") -> tuple[str, list[Entry]]:
    """(Bundle.type, entries) of a transaction or batch. Raises RefusedError with every fault of the frame."""
    bundle, texts = _scanned(body)
    found = _frame(bundle)
    if found:
        raise RefusedError(*found)
    entries: list[Entry] = []
    for index, raw in enumerate(bundle.get("entry", [])):
        entry, wrong = _entry(index, raw, texts[index], site)
        entries.append(entry)
        found += wrong
    found += _same_full_url(entries, site)
    if bundle["type"] == "transaction" and found:
        raise RefusedError(*found)
    return bundle["type"], entries


def resource(body: bytes) -> tuple[Object, str]:
    """(parsed, text) of one resource. Raises RefusedError when it is no JSON object as FHIR allows it."""
    value, found = parse(body)
    if value is None:
        raise RefusedError(*found)
    return value, body.removeprefix(_BOM).decode()


# --- scanning -------------------------------------------------------------------------------------------


def _scanned(body: bytes) -> tuple[Object, list[str]]:
    """The parsed bundle and the text of each entry's resource ("" where there is none)."""
    try:
        text = body.removeprefix(_BOM).decode()
        bundle, texts = _scan(text)
        sure = _keys_are_unique(text, bundle)
    except (ValueError, ArithmeticError, RecursionError, TypeError, JsonError):
        raise RefusedError(*_faults(body)) from None
    if not sure:
        _, found = parse(body)
        if found:
            raise RefusedError(*found)
    return bundle, texts


def _faults(body: bytes) -> list[Issue]:
    """What the strict reader says; a JSON object of an odd shape is none of its faults."""
    return parse(body)[1] or [issue("fhir.bundle-shape", Place(expression="Bundle.entry"))]


def _scan(text: str) -> tuple[Object, list[str]]:
    bundle: Object = {}
    entries: list[Any] = []
    texts: list[str] = []

    def one(text: str, at: int) -> int:
        entry, resource_text, end = _scan_entry(text, at)
        entries.append(entry)
        texts.append(resource_text)
        return end

    def member(key: str, text: str, at: int) -> int:
        if key == "entry":
            bundle[key] = entries
            return elements(text, at, one)
        bundle[key], end = scan_value(text, at)
        return end

    start = skip(text, 0)
    found = members(text, start, member)
    end = max((m.end for m in found.values()), default=start + 1)
    if text[skip(text, end)] != "}" or text[skip(text, end) + 1 :].strip(" \t\r\n"):
        raise ValueError("text after the bundle")
    return bundle, texts


# How nearly every entry is written: fullUrl, resource, request. A match spares the walk over its members.
_ENTRY = re.compile(r'\{\s*"fullUrl"\s*:\s*"([^"\\\x00-\x1f]*)"\s*,\s*"resource"\s*:\s*(?=\{)')
_REQUEST = re.compile(r'\s*,\s*"request"\s*:\s*(?=\{)')
_END = re.compile(r"\s*\}")


def _scan_entry(text: str, at: int) -> tuple[Object, str, int]:
    """(entry, text of its resource, where it ends). Raises ValueError where the text is not JSON."""
    return _usual_entry(text, at) or _any_entry(text, at)


def _usual_entry(text: str, at: int) -> tuple[Object, str, int] | None:
    head = _ENTRY.match(text, at)
    if head is None:
        return None
    resource, end = scan_value(text, head.end())
    between = _REQUEST.match(text, end)
    if between is None:
        return None
    request, last = scan_value(text, between.end())
    tail = _END.match(text, last)
    entry = {"fullUrl": head[1], "resource": resource, "request": request}
    return (entry, text[head.end() : end], tail.end()) if tail else None


def _any_entry(text: str, at: int) -> tuple[Object, str, int]:
    entry: Object = {}
    span = (at, at)

    def member(key: str, text: str, at: int) -> int:
        nonlocal span
        entry[key], end = scan_value(text, at)
        if key == "resource":
            span = (at, end)
        return end

    found = members(text, at, member)
    last = max((m.end for m in found.values()), default=at + 1)
    return entry, text[slice(*span)], skip(text, last) + 1


def _keys_are_unique(text: str, bundle: Object) -> bool:
    """A key that stands twice takes its colon along (as masterkey_fhir.json decides it)."""
    if "\\u003a" in text or "\\u003A" in text:
        return False
    return text.count(":") == dumps(bundle).count(b":")


# --- the frame ------------------------------------------------------------------------------------------


def _frame(bundle: Object) -> list[Issue]:
    if bundle.get("resourceType") != "Bundle":
        return [issue("fhir.bundle-expected")]
    if bundle.get("type") not in ("transaction", "batch"):
        return [issue("fhir.bundle-type", Place(expression="Bundle.type"))]
    return []


def _entry(index: int, raw: Object, text: str, site: str) -> tuple[Entry, list[Issue]]:
    """The entry and its faults; a faulty one of a batch is answered alone."""
    request = raw.get("request")
    request = request if isinstance(request, dict) else {}
    method, url = str(request.get("method", "")), str(request.get("url", ""))
    entry = Entry(method, "", index=index, full_url=str(raw.get("fullUrl") or ""), text=text)
    resource = raw.get("resource")
    entry.resource = resource if isinstance(resource, dict) else None
    entry.if_none_exist = _text(request, "ifNoneExist")
    entry.if_match, entry.if_none_match = _text(request, "ifMatch"), _text(request, "ifNoneMatch")
    found = [
        *_condition_faults(entry, site, request),
        *_request_faults(entry, site, method),
        *_url_faults(entry, site, url),
        *_body_faults(entry, site),
    ]
    entry.issues = found
    return entry, found


def _text(request: Object, name: str) -> str | None:
    value = request.get(name)
    return value if isinstance(value, str) else None


def _condition_faults(entry: Entry, site: str, request: Object) -> list[Issue]:
    """A condition that is no text would make the entry unconditional."""
    return [
        issue("fhir.bundle-condition", entry.place(site, f"request.{name}"), name=name)
        for name in ("ifNoneExist", "ifMatch", "ifNoneMatch")
        if name in request and not isinstance(request[name], str)
    ]


def _request_faults(entry: Entry, site: str, method: str) -> list[Issue]:
    if method in ("GET", "POST", "PUT", "DELETE"):
        return []
    shown = method if method in METHODS else "nothing"
    return [issue("fhir.bundle-method", entry.place(site, "request.method"), found=shown)]


def _url_faults(entry: Entry, site: str, url: str) -> list[Issue]:
    """`Type`, `Type/id`, `Type/id/_history/n`, `Type?query`, and the absolute forms under any base."""
    found = _URL.fullmatch(_relative(url))
    if found is None:
        return [issue("fhir.bundle-url", entry.place(site, "request.url"))]
    entry.type, entry.id, entry.query = found["type"], found["id"] or "", found["query"]
    entry.version = int(found["version"]) if found["version"] else None
    if entry.type in resource_types():
        return []
    entry.type = ""
    return [issue("fhir.bundle-url", entry.place(site, "request.url"))]


def _relative(url: str) -> str:
    """`http://host/fhir/Patient/1` -> `Patient/1`: the part that begins at a resource type."""
    if not url.startswith(("http://", "https://")):
        return url.removeprefix("/")
    path, mark, query = url.partition("?")
    parts = path.split("/")
    start = next((i for i in range(len(parts) - 1, 2, -1) if parts[i] in resource_types()), len(parts))
    return "/".join(parts[start:]) + mark + query


def _body_faults(entry: Entry, site: str) -> list[Issue]:
    if entry.method not in ("POST", "PUT"):
        return []
    if entry.resource is None:
        return [issue("fhir.bundle-resource", entry.place(site, "resource"), method=entry.method)]
    return type_faults(entry, site)


def type_faults(entry: Entry, site: str) -> list[Issue]:
    """The type of the body against the one of the URL (rule R11)."""
    found = (entry.resource or {}).get("resourceType")
    place = entry.place(site, "resource")
    if not isinstance(found, str) or found not in resource_types():
        return [issue("fhir.resource-type", place)]
    if entry.type and found != entry.type:
        return [issue("fhir.type-mismatch", place, found=found, expected=entry.type)]
    return []


def _same_full_url(entries: list[Entry], site: str) -> list[Issue]:
    seen: dict[str, int] = {}
    found = []
    for entry in entries:
        first = seen.setdefault(entry.full_url, entry.index or 0)
        if entry.full_url and first != entry.index:
            found.append(issue("fhir.bundle-full-url", entry.place(site, "fullUrl"), first=first))
    return found
