"""References in the text of a resource: found and rewritten there, every other byte kept.

http://hl7.org/fhir/R4/bundle.html#references, http://hl7.org/fhir/R4/http.html#transaction (replacing ids).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from masterkey_fhir.bundle.model import Entry
from masterkey_fhir.json import dumps, loads
from masterkey_fhir.store.text import edited, members

# In valid JSON only a key is followed by a colon, and a quote inside a string has a backslash before it.
_LINK = re.compile(r'"(reference|url)"\s*:\s*("(?:[^"\\]|\\.)*+")')
_RELATIVE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_RESTFUL = re.compile(r"(https?://.+)/[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_NARRATIVE = re.compile(r"""((?:href|src)=(?:\\"|'))((?:urn:uuid:|urn:oid:|https?://)[^"'\\]+)""")
CONDITIONAL = re.compile(r"(?P<type>[A-Z][A-Za-z]+)\?(?P<query>.+)")

Target = Callable[[str, str], str | None]  # (member name, link as sent) -> what it becomes, None: as it is


def targets(entry: Entry, links: Mapping[str, str], base: str) -> Target:
    """How the references of an entry are resolved: by fullUrl, else below our own base."""
    own = _RESTFUL.fullmatch(entry.full_url)
    prefix = f"{own[1]}/" if own else ""

    def target(name: str, link: str) -> str | None:
        found = links.get(link)
        if found is not None or name != "reference":
            return found
        if prefix and _RELATIVE.fullmatch(link):
            found = links.get(prefix + link)
        if found is None and base and link.startswith(base + "/"):
            found = link[len(base) + 1 :]
        return found

    return target


def rewrite(entry: Entry, target: Target) -> str:
    """The text with each reference, attachment URL and narrative link replaced by its target."""
    if "\\u" in entry.text:
        entry.text = _plain(entry)
    edits = [
        (start, end, json.dumps(new, ensure_ascii=False))
        for name, start, end, value in _links(entry)
        if (new := target(name, value)) is not None
    ]
    edits += _narrative(entry, target)
    return edited(entry.text, edits) if edits else entry.text


def _plain(entry: Entry) -> str:
    """The text without \\u escapes in keys, which would hide a `reference`; untouched when there are none."""
    resource = entry.resource or {}
    spelled = _count(resource)
    seen = len(_LINK.findall(entry.text))
    return entry.text if spelled == seen else dumps(loads(entry.text)).decode()


def _count(value: Any) -> int:
    """How many members named reference or url hold a string."""
    if isinstance(value, dict):
        own = sum(isinstance(value.get(name), str) for name in ("reference", "url"))
        return own + sum(map(_count, value.values()))
    return sum(map(_count, value)) if isinstance(value, list) else 0


def _links(entry: Entry) -> Iterator[tuple[str, int, int, str]]:
    """(key, start, end, value) of each link, also of contained resources: they refer to the bundle as well

    (synthea's ExplanationOfBenefit does); their own ids and `#` references are never a fullUrl.
    """
    for match in _LINK.finditer(entry.text):
        quoted = match[2]
        value = json.loads(quoted) if "\\" in quoted else quoted[1:-1]
        yield match[1], match.start(2), match.end(2), value


def _narrative(entry: Entry, target: Target) -> list[tuple[int, int, str]]:
    """Links in `text.div` (http://hl7.org/fhir/R4/http.html#transaction: also <a href> and <img src>)."""
    found = [(m, new) for m in _NARRATIVE.finditer(entry.text) if (new := target("href", m[2])) is not None]
    if not found:
        return []
    place = members(entry.text).get("text")
    inside = range(place.value, place.end) if place else range(0)
    return [(m.start(2), m.end(2), new) for m, new in found if m.start(2) in inside]
