"""The repository of FHIR resources: open it, read from it, write to it one transaction at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Engine

from masterkey_fhir.store.deliveries import Deliveries
from masterkey_fhir.store.engine import WAIT, Lease, OnWait, connect, database_errors, upgrade
from masterkey_fhir.store.journal import JournalReader
from masterkey_fhir.store.model import (
    Change,
    IssueEvent,
    IssueFilter,
    IssueKind,
    JournalIssue,
    LedgerLine,
    Page,
    Source,
    Stored,
    Submission,
    milliseconds,
)
from masterkey_fhir.store.names import Known, KnownNames
from masterkey_fhir.store.read import Reader
from masterkey_fhir.store.writer import Writer


def _now() -> datetime:
    return datetime.now(UTC)


def _uuid() -> str:
    return str(uuid4())


class Repository:
    """Resources with their versions, the outbox and the journal of one workspace.

    Safe for several threads and processes: readers never wait, writers take turns.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime], new_id: Callable[[], str]) -> None:
        self._engine = engine
        self._lease = Lease(engine)
        self._clock = clock
        self._new_id = new_id
        self._words: Known = {}

    @classmethod
    def open(
        cls,
        url_or_path: str | Path,
        *,
        clock: Callable[[], datetime] = _now,
        new_id: Callable[[], str] = _uuid,
    ) -> Repository:
        """Open, create or upgrade. Raises StoreError when that can't be done, or the schema is newer."""
        engine = connect(url_or_path)
        with database_errors(engine):
            upgrade(engine)
        return cls(engine, clock, new_id)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def writing(
        self,
        *,
        agent: str = "masterkey",
        request: str = "",
        holder: str = "",
        on_wait: OnWait | None = None,
        wait: float = WAIT,
    ) -> Iterator[Writer]:
        """One transaction: committed at the end, nothing of it left after an exception or a kill.

        `agent` and `request` go to the audit rows. A second writer waits up to `wait` seconds, told about
        once a second by `on_wait(holder, seconds)`, then StoreError (fhir.store-busy).
        """
        with database_errors(self._engine), self._lease.writing(holder, on_wait, wait) as connection:
            now = milliseconds(self._clock())
            writer = Writer(connection, now, agent, request, self._new_id, self._words)
            yield writer
            writer.before_commit()
        writer.after_commit()

    @contextmanager
    def reading(self) -> Iterator[Reader]:
        """A reader that sees one state for as long as it is open."""
        with database_errors(self._engine), self._engine.connect() as connection:
            yield Reader(connection)

    def read(self, site: str, type: str, id: str) -> Stored | None:
        """The current version, also when that is a deletion; None when there never was one."""
        with self.reading() as reader:
            return reader.read(site, type, id)

    def vread(self, site: str, type: str, id: str, version: int) -> Stored | None:
        with self.reading() as reader:
            return reader.vread(site, type, id, version)

    def history(self, site: str, type: str, id: str) -> list[Stored]:
        """All versions, newest first."""
        with self.reading() as reader:
            return reader.history(site, type, id)

    def search(
        self,
        site: str,
        type: str,
        params: list[tuple[str, str]],
        count: int = 50,
        after: str = "",
        *,
        zone: tzinfo = UTC,
    ) -> Page:
        """Matches in the order of ids. Raises SearchError naming what is not offered.

        Dates without zone are read in `zone`.
        """
        from masterkey_fhir.search import conditions  # search stands on the tables of this package

        where = conditions(type, params, zone)
        with self.reading() as reader:
            return reader.search(site, type, where, count, after)

    def changes(self, after: int = 0, limit: int = 10_000) -> list[Change]:
        """Lines of the outbox after number `after`."""
        with self.reading() as reader:
            return reader.changes(after, limit)

    def last_change(self) -> int:
        with self.reading() as reader:
            return reader.last_change()

    def resources_of(self, site: str, patient_id: str) -> Iterator[Stored]:
        """All current resources of a patient's compartment, the Patient included, by type and id."""
        with self.reading() as reader:
            yield from reader.resources_of(site, patient_id)

    def resources_without_patient(self, site: str) -> Iterator[Stored]:
        with self.reading() as reader:
            yield from reader.resources_of(site, None)

    def of_type(self, site: str, type: str) -> Iterator[Stored]:
        with self.reading() as reader:
            yield from reader.of_type(site, type)

    def patients(self, site: str) -> Iterator[str]:
        with self.reading() as reader:
            yield from reader.patients(site)

    def sites(self) -> list[str]:
        with self.reading() as reader:
            return reader.sites()

    def counts(self, site: str | None = None) -> dict[str, int]:
        """Current resources per type."""
        with self.reading() as reader:
            return reader.counts(site)

    def source(self, site: str, type: str, id: str, version: int) -> Source | None:
        """What a version was made from; None when it came through the API."""
        with self.reading() as reader:
            return reader.source(site, type, id, version)

    def made_from(self, site: str, file: str, row: int) -> list[tuple[Stored, Source]]:
        """Current resources that a row of a file became."""
        with self.reading() as reader:
            return reader.made_from(site, file, row)

    @contextmanager
    def deliveries(self) -> Iterator[Deliveries]:
        """What is known of deliveries over time, as one state for as long as it is open; for reading."""
        with database_errors(self._engine), self._engine.connect() as connection:
            yield Deliveries(connection, KnownNames(connection, {}))

    def submissions(self, site: str | None = None) -> list[Submission]:
        with self._journal() as journal:
            return journal.submissions(site)

    def ledger(self, submission: int) -> list[LedgerLine]:
        with self._journal() as journal:
            return journal.ledger(submission)

    def issues(self, state: str | None = "open", site: str | None = None) -> list[JournalIssue]:
        """Issues in this state, `None` for all."""
        with self._journal() as journal:
            return journal.issues(state, site)

    def find_issues(self, wanted: IssueFilter, after: int = 0, limit: int = 100) -> list[JournalIssue]:
        """A page by id: at most `limit` Issues whose id is greater than `after`."""
        with self._journal() as journal:
            return journal.find(wanted, after, limit)

    def count_issues(self, wanted: IssueFilter) -> int:
        with self._journal() as journal:
            return journal.count(wanted)

    def issue_kinds(self, wanted: IssueFilter) -> list[IssueKind]:
        """Issues by site, rule and field, with their number and the first one."""
        with self._journal() as journal:
            return journal.kinds(wanted)

    def issue(self, id: int) -> tuple[JournalIssue, list[IssueEvent]] | None:
        """An Issue and its history, oldest first; None when there is none of that id."""
        with self._journal() as journal:
            found = journal.issue(id)
            return (found, journal.events(id)) if found else None

    @contextmanager
    def _journal(self) -> Iterator[JournalReader]:
        with database_errors(self._engine), self._engine.connect() as connection:
            yield JournalReader(connection)
