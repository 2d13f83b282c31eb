"""Carrying out: all or nothing for a transaction, one by one for a batch.

Parsing, protection and the check come before the write transaction begins; inside it only identities,
references, versions and inserts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from masterkey_fhir.bundle.model import Door, Entry, Outcome, RefusedError
from masterkey_fhir.bundle.plan import Plan, Target
from masterkey_fhir.bundle.reading import read
from masterkey_fhir.bundle.references import rewrite, targets
from masterkey_fhir.bundle.searchset import searchset
from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.json import dumps
from masterkey_fhir.search import SearchError
from masterkey_fhir.store import Stored, StoreError, Writer, Written
from masterkey_fhir.store.draft import Draft, draft
from masterkey_fhir.store.read import Reader
from masterkey_fhir.store.text import with_id

log = logging.getLogger(__name__)
AT_ONCE = 100  # entries of a batch per commit
Link = Callable[[str, str], str | None]


def exchange(door: Door, body: bytes) -> tuple[str, list[Outcome]]:
    """Execute a transaction or batch; its type and the outcomes in the order of its entries.

    Raises RefusedError; of a batch only when it is no bundle at all.
    """
    kind, entries = read(body, door.site)
    return kind, (_transaction if kind == "transaction" else batch_of)(door, entries)


def transaction(door: Door, body: bytes) -> list[Outcome]:
    """All entries or none. Raises RefusedError with all Issues."""
    return _transaction(door, read(body, door.site)[1])


def batch(door: Door, body: bytes) -> list[Outcome]:
    """Each entry for itself."""
    return batch_of(door, read(body, door.site)[1])


def batch_of(door: Door, entries: Sequence[Entry]) -> list[Outcome]:
    """Outcomes in the order of the entries. `AT_ONCE` of them share a commit, so that other writers get in."""
    written: list[Written] = []
    outcomes: list[Outcome] = []
    for start in range(0, len(entries), AT_ONCE):
        outcomes += _share(door, entries[start : start + AT_ONCE], written)
    _tell(door, written)
    return outcomes


def _share(door: Door, entries: Sequence[Entry], written: list[Written]) -> list[Outcome]:
    """Some entries of a batch in one transaction: one that is refused has written nothing yet."""
    refused = [_refusal(door, e) for e in entries]
    if all(e.method == "GET" for e, r in zip(entries, refused, strict=True) if r is None):
        return [r or _answer(partial(_get, door, e)) for e, r in zip(entries, refused, strict=True)]
    mine: list[Written] = []
    try:
        with door.repository.writing(agent=door.agent, request=door.request, wait=door.wait) as writer:
            outcomes = [r or _alone(door, writer, e, mine) for e, r in zip(entries, refused, strict=True)]
    except StoreError as error:
        return [r or _said(RefusedError(*error.issues)) for r in refused]
    written += mine
    return outcomes


def _refusal(door: Door, entry: Entry) -> Outcome | None:
    """What speaks against an entry before the database is asked."""
    try:
        if any(i.is_error for i in entry.issues):
            raise RefusedError(*entry.issues)
        _prepare(door, [entry])
    except RefusedError as error:
        return _said(error)
    return None


def _alone(door: Door, writer: Writer, entry: Entry, written: list[Written]) -> Outcome:
    def run() -> Outcome:
        plan = Plan(door, [entry], writer)
        plan.check()
        return _run(door, plan, writer, written)[0]

    return _answer(run)


def _answer(run: Callable[[], Outcome]) -> Outcome:
    try:
        return run()
    except RefusedError as error:
        return _said(error)


def _said(error: RefusedError) -> Outcome:
    return Outcome(f"{error.status} {_REASON.get(error.status, 'Error')}", issues=list(error.issues))


_REASON = {
    400: "Bad Request",
    404: "Not Found",
    410: "Gone",
    412: "Precondition Failed",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
}


def single(door: Door, entry: Entry) -> Outcome:
    """One interaction. Raises RefusedError."""
    return _transaction(door, [entry])[0]


def _transaction(door: Door, entries: Sequence[Entry]) -> list[Outcome]:
    _prepare(door, entries)
    written: list[Written] = []
    if all(e.method == "GET" for e in entries):
        outcomes = [_get(door, e) for e in entries]
    else:
        with door.repository.writing(agent=door.agent, request=door.request, wait=door.wait) as writer:
            plan = Plan(door, entries, writer)
            plan.check()
            outcomes = _run(door, plan, writer, written)
    _tell(door, written)
    return outcomes


def _tell(door: Door, written: Sequence[Written]) -> None:
    """After the commit. What is told may fail, but the write stands: the outbox keeps it for the next time."""
    if not (written and door.after_commit):
        return
    try:
        door.after_commit(door.site, written)
    except Exception as error:  # noqa: BLE001  an answer of 500 would deny what was stored
        log.error("after commit: %s", type(error).__name__)


# --- before the write transaction -----------------------------------------------------------------------


def _prepare(door: Door, entries: Sequence[Entry]) -> None:
    """Protect and check each resource; all Issues of all entries at once (rule R14)."""
    wrong: list[Issue] = []
    for entry in entries:
        if entry.resource is not None and entry.method in ("POST", "PUT"):
            found = [entry.inside(i) for i in _judge(door, entry)]
            entry.issues = [i for i in found if not i.is_error]
            wrong += [i for i in found if i.is_error]
    if wrong:
        raise RefusedError(*wrong)


def _judge(door: Door, entry: Entry) -> list[Issue]:
    assert entry.resource is not None
    found: list[Issue] = []
    if door.protect is not None:
        kept, found = door.protect(entry.resource)
        if kept != entry.resource:
            entry.text = dumps(kept).decode()
            entry.resource = kept
    return [*found, *door.check(entry.resource, place=door.place)]


# --- inside it ------------------------------------------------------------------------------------------


def _run(door: Door, plan: Plan, writer: Writer, written: list[Written]) -> list[Outcome]:
    """In the order of http://hl7.org/fhir/R4/http.html#trules: DELETE, POST, PUT, GET."""
    results: dict[int, Outcome] = {}
    by_method = {m: [t for t in plan.targets if t.entry.method == m] for m in ("DELETE", "POST", "PUT", "GET")}
    changes = [t for t in by_method["POST"] + by_method["PUT"] if t.writes]
    drafts = [_draft(door, plan, t) for t in changes]
    plan.check()
    for t in by_method["DELETE"]:
        results[id(t)] = _deleted(t, written)
    for t, w in zip(changes, writer.write(door.site, drafts), strict=True):
        results[id(t)] = _put(t, w)
        if w.status != "unchanged":
            written.append(w)
    for t, d in zip(changes, drafts, strict=True):
        results[id(t)].text = d.text
    for t in by_method["POST"]:
        if not t.writes:
            results[id(t)] = _existing(t, results)
    for t in by_method["GET"]:
        results[id(t)] = _get_in(door, writer, t.entry)
    return [results[id(t)] for t in plan.targets]


def _draft(door: Door, plan: Plan, target: Target) -> Draft:
    """The resource with its id and its references, ready to be written."""
    entry = target.entry
    assert entry.resource is not None
    link = _Link(door, plan, entry)
    text = rewrite(entry, link).encode()
    plan.issues += link.dangling()
    resource = _with_patient({**entry.resource, "id": target.id}, link)
    if entry.resource.get("id") != target.id:
        text = with_id(text, target.id)
    return draft(resource, text)


class _Link:
    """Resolves the links of one entry: by fullUrl, by our own base, by search. Remembers what leads nowhere."""

    def __init__(self, door: Door, plan: Plan, entry: Entry) -> None:
        self._door, self._plan, self._entry = door, plan, entry
        self._resolve = targets(entry, plan.links, door.base)
        self._lost = 0

    def __call__(self, name: str, sent: str) -> str | None:
        found = self._resolve(name, sent)
        if found is None and name == "reference":
            self._lost += sent.startswith(("urn:uuid:", "urn:oid:"))
            found = self._plan.conditional_reference(self._entry, sent)
        return found

    def dangling(self) -> list[Issue]:
        """A urn: reference that no entry of the bundle has as its fullUrl points nowhere for ever."""
        place = self._entry.place(self._door.site, "resource")
        return [issue("fhir.reference-unresolved", place, n=self._lost)] if self._lost else []


def _with_patient(resource: dict[str, Any], link: Link) -> dict[str, Any]:
    """The parsed form with the patient's reference as it is stored: the compartment is taken from it."""
    out = dict(resource)
    for name in ("subject", "patient", "beneficiary", "individual", "for"):
        value = resource.get(name)
        sent = value.get("reference") if isinstance(value, dict) else None
        if isinstance(value, dict) and isinstance(sent, str):
            out[name] = {**value, "reference": link("reference", sent) or sent}
    return out


def _deleted(target: Target, written: list[Written]) -> Outcome:
    found = target.deleted
    if found is None:
        return Outcome("204 No Content")
    written.append(found)
    return Outcome("204 No Content", "", "", found.version, found.last_updated)


def _put(target: Target, w: Written) -> Outcome:
    status = "201 Created" if w.status == "created" else "200 OK"
    return Outcome(status, w.type, w.id, w.version, w.last_updated, None, target.entry.issues)


def _existing(target: Target, results: dict[int, Outcome]) -> Outcome:
    """A conditional create that found its resource, stored or earlier in this bundle: 200, body untouched."""
    if target.same_as:
        first = target.same_as
        same = _existing(first, results) if not first.writes else results[id(first)]
        return Outcome("200 OK", same.type, same.id, same.version, same.last_updated, same.text)
    assert target.existing is not None
    return _stored(target.existing)


def _stored(s: Stored) -> Outcome:
    return Outcome("200 OK", s.type, s.id, s.version, s.last_updated, s.text)


# --- reads in a bundle ----------------------------------------------------------------------------------


def _get(door: Door, entry: Entry) -> Outcome:
    with door.repository.reading() as reader:
        return _read(door, reader, entry)


def _get_in(door: Door, writer: Writer, entry: Entry) -> Outcome:
    return _read(door, writer.reader, entry)


def _read(door: Door, reader: Reader, entry: Entry) -> Outcome:
    if not entry.id:
        return _search(door, reader, entry)
    if entry.version is not None:
        found = reader.vread(door.site, entry.type, entry.id, entry.version)
    else:
        found = reader.read(door.site, entry.type, entry.id)
    if found is None or found.deleted:
        rule = "fhir.deleted" if found else "fhir.not-found"
        raise RefusedError(issue(rule, entry.place(door.site, "request.url"), type=entry.type))
    return _stored(found)


def _search(door: Door, reader: Reader, entry: Entry) -> Outcome:
    try:
        return Outcome("200 OK", text=searchset(door, reader, entry.type, entry.query or ""))
    except SearchError as error:
        place = entry.place(door.site, "request.url").expression
        raise RefusedError(*(i.at(expression=place) for i in error.issues)) from None
