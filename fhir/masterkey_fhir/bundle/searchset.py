"""A page of a search as a Bundle (http://hl7.org/fhir/R4/http.html#search), written from stored texts."""

from __future__ import annotations

from dataclasses import replace

from masterkey_fhir.bundle.model import Door
from masterkey_fhir.bundle.plan import protected
from masterkey_fhir.issue import Issue, issue, outcome
from masterkey_fhir.json import dumps
from masterkey_fhir.search import Query, conditions, offered, read_query
from masterkey_fhir.store import Page, Stored
from masterkey_fhir.store.read import Reader


def search(door: Door, type: str, raw: str, lenient: bool = False) -> bytes:
    """`searchset` on a reader of its own."""
    with door.repository.reading() as reader:
        return searchset(door, reader, type, raw, lenient)


def searchset(door: Door, reader: Reader, type: str, raw: str, lenient: bool = False) -> bytes:
    """The page that `raw`, the query of the URL, asks for. Raises SearchError.

    `lenient` leaves parameters out that aren't offered, and says so in an entry of the answer (rule R17).
    """
    query = read_query(raw)
    after = ""
    if query.page:
        sealed = door.tokens.open(query.page, site=door.site, type=type)
        after = sealed["after"]
        query = replace(query, where=[(n, v) for n, v in sealed["where"]], count=sealed["count"])
    ignored = _ignored(type, query) if lenient else []
    where = conditions(type, protected(door, type, _local(door, query)), door.zone)
    return _bundle(door, type, query, reader.search(door.site, type, where, query.count, after), ignored)


def _ignored(type: str, query: Query) -> list[Issue]:
    """Takes what isn't offered out of the query; says what that was."""
    known = offered(type)
    kept = [(n, v) for n, v in query.where if n in known]
    names = [n for n, _ in query.where if n not in known]
    query.where = kept
    return [issue("fhir.search-ignored", valid=", ".join(known)) for _ in names[:1]]


def _local(door: Door, query: Query) -> list[tuple[str, str]]:
    """References under our own base are relative ones."""
    base = door.base + "/"
    return [(n, v.removeprefix(base) if n.startswith(("patient", "subject")) else v) for n, v in query.where]


def _bundle(door: Door, type: str, query: Query, page: Page, ignored: list[Issue]) -> bytes:
    links = [{"relation": "self", "url": _url(door, type, query)}]
    if page.next is not None:
        links.append({"relation": "next", "url": _next(door, type, query, page.next)})
    head = dumps({"resourceType": "Bundle", "type": "searchset", "total": page.total, "link": links})
    entries = [_entry(door, s) for s in page.entries]
    if ignored:
        entries.append(b'{"resource":' + dumps(outcome(ignored)) + b',"search":{"mode":"outcome"}}')
    return head[:-1] + b',"entry":[' + b",".join(entries) + b"]}" if entries else head


def _url(door: Door, type: str, query: Query) -> str:
    return f"{door.base}/{type}?{query.url()}"


def _next(door: Door, type: str, query: Query, after: str) -> str:
    token = door.tokens.seal(site=door.site, type=type, where=query.where, count=query.count, after=after)
    return f"{door.base}/{type}?_page={token}"


def _entry(door: Door, s: Stored) -> bytes:
    url = dumps(f"{door.base}/{s.type}/{s.id}")
    return b'{"fullUrl":' + url + b',"resource":' + s.served() + b',"search":{"mode":"match"}}'
