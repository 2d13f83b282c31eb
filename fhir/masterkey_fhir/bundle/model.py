"""What an exchange is made of: the door it comes through, its entries, what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Protocol

from masterkey_fhir.issue import Issue, MasterkeyError, Place
from masterkey_fhir.search import Tokens
from masterkey_fhir.store import Repository, Written


class Check(Protocol):
    """Judges a resource as it was sent; `masterkey_fhir.check.check` is the base one."""

    def __call__(self, resource: dict[str, Any], *, place: Place) -> list[Issue]: ...


class Protect(Protocol):
    """The step `protect`: the resource without what identifies a person, and what was done."""

    def __call__(self, resource: dict[str, Any]) -> tuple[dict[str, Any], list[Issue]]: ...


class AfterCommit(Protocol):
    """Told once per transaction that wrote something, after the commit; projection hangs here."""

    def __call__(self, site: str, written: Sequence[Written]) -> None: ...


def _accept(resource: dict[str, Any], *, place: Place) -> list[Issue]:
    return []


@dataclass(slots=True)
class Door:
    """Where requests of one site come in.

    `base` is the URL the client dialled, without a slash at the end; `zone` is the one in which dates of a
    search are read when they have none.
    """

    repository: Repository
    site: str
    check: Check = _accept
    protect: Protect | None = None
    after_commit: AfterCommit | None = None
    base: str = ""
    zone: tzinfo = UTC
    agent: str = "client"
    request: str = ""
    wait: float = 30.0  # seconds to wait for another writer
    tokens: Tokens = field(default_factory=Tokens)

    @property
    def place(self) -> Place:
        return Place(self.site)


# Answers that are not 400 (http://hl7.org/fhir/R4/http.html#Status-Codes)
STATUS = {
    "fhir.many-matches": 412,
    "fhir.precondition": 412,
    "fhir.not-found": 404,
    "fhir.deleted": 410,
    "fhir.type-unknown": 404,
    "fhir.store-busy": 503,
    "fhir.store-unavailable": 503,
    "fhir.store-full": 507,
    "fhir.store-unwritable": 500,
}


class RefusedError(MasterkeyError):
    """The request is not carried out; nothing of it was written. Carries all its Issues."""

    @property
    def status(self) -> int:
        """The HTTP status: that of the errors, 400 when they differ."""
        found = {STATUS.get(i.rule, 400) for i in self.issues if i.is_error}
        return found.pop() if len(found) == 1 else 400


@dataclass(slots=True)
class Entry:
    """One request: an entry of a bundle, or a single interaction (`index` None).

    `type`/`id` come from the URL; `query` is the rest of `Type?query`; `text` the resource as it was sent.
    """

    method: str
    type: str
    id: str = ""
    query: str | None = None
    version: int | None = None
    index: int | None = None
    full_url: str = ""
    resource: dict[str, Any] | None = None
    text: str = ""
    if_none_exist: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    issues: list[Issue] = field(default_factory=list)  # warnings that travel with it

    def place(self, site: str, part: str = "") -> Place:
        """The place of the entry, or of a part of it ("request.url", "resource")."""
        head = "" if self.index is None else f"Bundle.entry[{self.index}]"
        return Place(site, expression=".".join(p for p in (head, part) if p))

    def inside(self, i: Issue) -> Issue:
        """An Issue of the resource as of the bundle: `Patient.name` is `Bundle.entry[7].resource.name`."""
        if self.index is None:
            return i
        _, dot, rest = i.place.expression.partition(".")
        return i.at(expression=f"Bundle.entry[{self.index}].resource{dot}{rest}")


@dataclass(slots=True)
class Outcome:
    """What became of an entry. `text` is the resource to return, when there is one."""

    status: str  # "201 Created"
    type: str = ""
    id: str = ""
    version: int | None = None
    last_updated: str = ""
    text: bytes | None = None
    issues: list[Issue] = field(default_factory=list)

    @property
    def code(self) -> int:
        return int(self.status[:3])
