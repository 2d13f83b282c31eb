"""A page of a search as a Bundle (http://hl7.org/fhir/R4/http.html#search), written from stored texts."""

from __future__ import annotations

from dataclasses import replace

from masterkey_fhir.bundle.model import Door
from masterkey_fhir.bundle.plan import protected
from masterkey_fhir.json import dumps
from masterkey_fhir.search import Query, conditions, read_query
from masterkey_fhir.store import Page, Stored
from masterkey_fhir.store.read import Reader


def searchset(door: Door, reader: Reader, type: str, raw: str) -> bytes:
    """The page that `raw`, the query of the URL, asks for. Raises SearchError."""
    query = read_query(raw)
    after = ""
    if query.page:
        sealed = door.tokens.open(query.page, site=door.site, type=type)
        after = sealed["after"]
        query = replace(query, where=[(n, v) for n, v in sealed["where"]], count=sealed["count"])
    where = conditions(type, protected(door, type, _local(door, query)), door.zone)
    page = reader.search(door.site, type, where, query.count, after)
    return _bundle(door, type, query, page)


def _local(door: Door, query: Query) -> list[tuple[str, str]]:
    """References under our own base are relative ones."""
    base = door.base + "/"
    return [(n, v.removeprefix(base) if n.startswith(("patient", "subject")) else v) for n, v in query.where]


def _bundle(door: Door, type: str, query: Query, page: Page) -> bytes:
    links = [{"relation": "self", "url": _url(door, type, query)}]
    if page.next is not None:
        links.append({"relation": "next", "url": _next(door, type, query, page.next)})
    head = dumps({"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links})
    if not page.entries:
        return head
    return head[:-1] + b',"entry":[' + b",".join(_entry(door, s) for s in page.entries) + b"]}"


def _url(door: Door, type: str, query: Query) -> str:
    return f"{door.base}/{type}?{query.url()}"


def _next(door: Door, type: str, query: Query, after: str) -> str:
    token = door.tokens.seal(site=door.site, type=type, where=query.where, count=query.count, after=after)
    return f"{door.base}/{type}?_page={token}"


def _entry(door: Door, s: Stored) -> bytes:
    url = dumps(f"{door.base}/{s.type}/{s.id}")
    return b'{"fullUrl":' + url + b',"resource":' + s.served() + b',"search":{"mode":"match"}}'
