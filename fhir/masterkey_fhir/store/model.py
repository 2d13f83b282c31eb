"""The values that the repository takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from masterkey_fhir.issue import Issue, MasterkeyError
from masterkey_fhir.json import loads
from masterkey_fhir.store.text import with_meta


class StoreError(MasterkeyError):
    """The repository can't go on: busy, full, not writable, damaged or newer than this program."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a resource version was made from; one row of table provenance.

    `rows` count like a spreadsheet (the header is row 1), `block` is the block of the map, `record` the key of the
    record in table record. A deletion has neither rows nor a block: the delivery alone.
    """

    submission: int
    file: str
    rows: tuple[int, ...]
    map_version: str
    block: str
    record: int | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource. `text` is what was sent; `served()` has id and meta of this version."""

    site: str
    type: str
    id: str
    version: int
    last_updated: str  # FHIR instant in UTC, milliseconds
    deleted: bool
    text: bytes

    @property
    def etag(self) -> str:
        return f'W/"{self.version}"'  # http://hl7.org/fhir/R4/http.html#versioning

    def served(self) -> bytes:
        """The text with `meta.versionId` and `meta.lastUpdated`; every other byte as it was sent."""
        return with_meta(self.text, self.version, self.last_updated)

    def resource(self) -> dict[str, Any]:
        """The parsed text, numbers with a fraction as Decimal."""
        return loads(self.text)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the outbox: a version was written. A resource that moved to another patient has two."""

    seq: int
    site: str
    type: str
    id: str
    version: int
    deleted: bool
    patient: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """A page of matches in the order of ids; `next` is the last id when more follow."""

    entries: list[Stored]
    total: int
    next: str | None


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one resource: `status` is created, updated, unchanged or deleted."""

    status: str
    type: str
    id: str
    version: int
    last_updated: str


@dataclass(frozen=True, slots=True)
class Submission:
    """A delivery as the journal knows it; `received` is an instant, `counts` whatever the load counted.

    `kind` is load, or what a steward did: merge, delete, undo. `state` is reading, stored or undone.
    """

    id: int
    site: str
    file: str
    sha256: str
    bytes: int
    received: str
    state: str
    rows: int
    values_read: int
    resources: int
    map_version: str
    counts: Mapping[str, int] = field(default_factory=dict)
    kind: str = "load"
    undone_by: int | None = None

    @property
    def stands(self) -> bool:
        """A delivery of a file, in force."""
        return self.kind == "load" and self.state == "stored"


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """`n` values of one source column that ended as `status` for `reason`."""

    submission: int
    column: str
    status: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class JournalIssue:
    """An Issue as it stands: `state` open, answered or closed, `turn` site, registry or "" (nobody's).

    `file` is that of the delivery which showed it last; `opened_by` and `closed_by` are submissions; `opened` and
    `changed` instants; `value` a number that changes when what is wrong changes.
    """

    issue: Issue
    file: str
    state: str
    opened_by: int | None
    closed_by: int | None
    id: int = 0
    turn: str = ""
    opened: str = ""
    changed: str = ""
    answer: str = ""
    answer_text: str = ""
    answer_by: str = ""
    value: int = 0


@dataclass(frozen=True, slots=True)
class IssueEvent:
    """One step of an Issue's life: opened, changed, answered, closed or reopened; by a role or a submission."""

    n: int
    at: str
    event: str
    actor: str
    submission: int | None
    answer: str
    text: str


@dataclass(frozen=True, slots=True)
class IssueFilter:
    """Which Issues; None: any. `since` is an instant in milliseconds: changed at or after it."""

    site: str | None = None
    state: str | None = None
    turn: str | None = None
    rule: str | None = None
    file: str | None = None
    since: int | None = None
    severity: str | None = None


@dataclass(frozen=True, slots=True)
class IssueKind:
    """Issues of one site, rule and field: how many, how many cells or records they count, the first of them."""

    site: str
    rule: str
    field: str
    severity: str
    issues: int
    count: int
    first: int


def instant(milliseconds: int) -> str:
    """`2026-11-25T03:54:26.123Z` (http://hl7.org/fhir/R4/datatypes.html#instant)."""
    at = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970; a time without zone is read as UTC."""
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)
