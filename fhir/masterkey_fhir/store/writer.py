"""Writing: one transaction, everything of a load or a bundle or nothing of it."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, select

from masterkey_fhir.store import again, schema
from masterkey_fhir.store.deliveries import Deliveries
from masterkey_fhir.store.draft import Draft, draft
from masterkey_fhir.store.journal import JournalReader, JournalWriter
from masterkey_fhir.store.model import LedgerLine, Source, Stored, Submission, Written, instant
from masterkey_fhir.store.names import Counters, Known, Names
from masterkey_fhir.store.read import Reader
from masterkey_fhir.store.text import same_content, unpacked, with_id

AT_ONCE = 500  # ids per look-up; SQLite allows 32,766 variables, older builds 999


@dataclass(slots=True)
class _State:
    """The resource row as it stands now, in this transaction."""

    key: int
    version: int
    seq: int
    deleted: bool
    digest: bytes
    patient: str | None
    body: bytes | None = None  # known when written in this batch


Row = tuple[Any, ...]


@dataclass(slots=True)
class _Batch:
    """Rows to be sent, one list per statement."""

    site: int
    state: dict[tuple[int, str], _State]
    new: list[Row] = field(default_factory=list)
    changed: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    forget: list[Row] = field(default_factory=list)
    identifiers: dict[Row, None] = field(default_factory=dict)
    outbox: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    provenance: list[Row] = field(default_factory=list)


class Writer(JournalWriter):
    """One open write transaction; got from `Repository.writing()`.

    Times are the transaction's; ids of `create` come from the repository's `new_id`.
    """

    def __init__(
        self,
        connection: Connection,
        now: int,
        agent: str,
        request: str,
        new_id: Callable[[], str],
        words: Known,
    ) -> None:
        self._db = connection
        self._now = now
        self.last_updated = instant(now)
        self._request = request
        self.new_id = new_id
        self._names = Names(connection, words)
        self._counters = Counters(connection)
        self._agent = self._names.term(agent)
        self._sql = _statements(connection.dialect)
        self.reader = Reader(connection)
        self.deliveries = Deliveries(connection, self._names, self._counters)
        self.unchanged = array("q")  # keys of the resources that were written as they stood

    # --- resources --------------------------------------------------------------------------------------

    def put(
        self, site: str, resource: dict[str, Any], *, text: bytes | None = None, source: Source | None = None
    ) -> str:
        """ "created", "updated" or "unchanged" (same content: no version, nothing in the outbox).

        `text` is the resource as it was sent; without it the dict is written as JSON.
        """
        return self.write(site, [draft(resource, text, source)])[0].status

    def put_many(self, site: str, items: Iterable[tuple[dict[str, Any], bytes | None, Source | None]]) -> Counter[str]:
        """`put` for many, fast; counts by status."""
        return Counter(w.status for w in self.write(site, [draft(*item) for item in items]))

    def create(
        self, site: str, resource: dict[str, Any], *, text: bytes | None = None, source: Source | None = None
    ) -> Stored:
        """Store under an id of the server; an id in the body is ignored (http://hl7.org/fhir/R4/http.html#create)."""
        id_ = self.new_id()
        sent = with_id(text, id_) if text is not None else None
        self.write(site, [draft({**resource, "id": id_}, sent, source)])
        stored = self.reader.read(site, resource["resourceType"], id_)
        assert stored is not None
        return stored

    def delete(self, site: str, type: str, id: str, *, source: Source | None = None) -> Written | None:
        """A last version without text. None when there is no such resource, or it is deleted already."""
        return next(iter(self.delete_many(site, [(type, id)], source=source)), None)

    def delete_many(
        self, site: str, names: Sequence[tuple[str, str]], *, source: Source | None = None
    ) -> list[Written]:
        """`delete` for many (type, id); those that were there. `source`: the delivery that says so."""
        slots = {(self._names.type(kind), id_): kind for kind, id_ in names}
        batch = _Batch(self._names.site(site), self._current(self._names.site(site), slots))
        there = [slot for slot in slots if (state := batch.state.get(slot)) and not state.deleted]
        written = [self._delete(batch, slot, slots[slot], source) for slot in there]
        self._send(batch)
        return written

    def _delete(self, batch: _Batch, slot: tuple[int, str], kind: str, source: Source | None) -> Written:
        state = batch.state[slot]
        self._forget(batch, state)
        self._version(batch, slot, state, b"", b"", True)
        if source:
            batch.provenance.append(self._provenance(batch, state, source))
        self._announce(batch, slot, state, None, "D")
        return Written("deleted", kind, slot[1], state.version, self.last_updated)

    def write(self, site: str, drafts: Sequence[Draft], *, always: bool = False) -> list[Written]:
        """Write drafts in order; what became of each, in order. `always`: a version also of what stays as it is."""
        site_key = self._names.site(site)
        slots = [(self._names.type(d.type), d.id) for d in drafts]
        batch = _Batch(site_key, self._current(site_key, slots))
        written = [self._one(batch, slot, d, always) for slot, d in zip(slots, drafts, strict=True)]
        self._send(batch)
        return written

    def close_issues(self, site: str, submission: int, rules: Iterable[str], records: Iterable[str]) -> None:
        """Live Issues of these rules about these records: this delivery settles them."""
        again.close(self._db, self._now, self._names.site(site), submission, rules, records)

    def take_issues_back(self, dead: Iterable[int], by: int) -> tuple[int, int]:
        """Of deliveries that are taken back: their Issues close, what they closed opens again; how many."""
        return again.take_back(self._db, self._now, dead, by)

    def ledger_of(self, submission: int) -> list[LedgerLine]:
        """The ledger as it stands in this transaction."""
        return JournalReader(self._db).ledger(submission)

    def submissions_of(self, site: str) -> list[Submission]:
        """The deliveries of a site as they stand in this transaction."""
        return JournalReader(self._db).submissions(site)

    def text_of(self, seq: int) -> bytes:
        """The text of a version, by its number in the whole repository."""
        return unpacked(self._db.scalar(select(schema.version.c.body).where(schema.version.c.seq == seq)) or b"")

    def before_commit(self) -> None:
        """Write the running numbers back; called once."""
        self._counters.save()

    def after_commit(self) -> None:
        self._names.save()

    # --- one resource -----------------------------------------------------------------------------------

    def _one(self, batch: _Batch, slot: tuple[int, str], d: Draft, always: bool) -> Written:
        state = batch.state.get(slot)
        if state is None:
            return self._create(batch, slot, d)
        if not always and not state.deleted and (state.digest == d.digest or self._same(state, d)):
            self.unchanged.append(state.key)
            return Written("unchanged", d.type, d.id, state.version, self._updated(state))
        self._forget(batch, state)
        return self._update(batch, slot, state, d)

    def _create(self, batch: _Batch, slot: tuple[int, str], d: Draft) -> Written:
        state = _State(self._counters.next("resource"), 1, self._counters.next("version"), False, d.digest, d.patient)
        state.body = d.body
        batch.state[slot] = state
        batch.new.append((state.key, batch.site, *slot, 1, state.seq, self._now, 0, d.digest, d.patient))
        batch.versions.append((state.seq, batch.site, state.key, 1, self._now, 0, d.body))
        self._index(batch, slot, state, d)
        self._announce(batch, slot, state, d.patient, "C")
        return Written("created", d.type, d.id, 1, self.last_updated)

    def _update(self, batch: _Batch, slot: tuple[int, str], state: _State, d: Draft) -> Written:
        """The next version; one after a deletion revives the resource and counts as created (rule R8)."""
        revived, before = state.deleted, state.patient
        self._version(batch, slot, state, d.body, d.digest, False, d.patient)
        self._index(batch, slot, state, d)
        if before not in (None, d.patient):
            self._announce(batch, slot, state, before, "")
        self._announce(batch, slot, state, d.patient, "U")
        return Written("created" if revived else "updated", d.type, d.id, state.version, self.last_updated)

    def _version(
        self,
        batch: _Batch,
        slot: tuple[int, str],
        state: _State,
        body: bytes,
        digest: bytes,
        deleted: bool,
        patient: str | None = None,
    ) -> None:
        state.version += 1
        state.seq = self._counters.next("version")
        state.deleted, state.digest, state.body = deleted, digest, body
        if not deleted:
            state.patient = patient
        gone = int(deleted)
        batch.versions.append((state.seq, batch.site, state.key, state.version, self._now, gone, body))
        batch.changed.append((state.version, state.seq, self._now, gone, digest, state.patient, state.key))

    def _index(self, batch: _Batch, slot: tuple[int, str], state: _State, d: Draft) -> None:
        for system, value in d.identifiers:
            batch.identifiers[(batch.site, slot[0], value, self._names.system(system), state.key)] = None
        if d.source:
            batch.provenance.append(self._provenance(batch, state, d.source))

    def _provenance(self, batch: _Batch, state: _State, s: Source) -> Row:
        term = self._names.term
        rows = ",".join(map(str, s.rows))
        return (
            batch.site,
            state.key,
            state.version,
            s.submission,
            term(s.file),
            rows,
            term(s.map_version),
            term(s.block),
            s.record,
        )

    def _announce(self, batch: _Batch, slot: tuple[int, str], state: _State, patient: str | None, action: str) -> None:
        """Outbox and, unless the line only tells the former patient (action ""), the audit row."""
        patient = state.patient if action == "D" else patient
        seq = self._counters.next("outbox")
        batch.outbox.append((seq, batch.site, *slot, state.version, int(state.deleted), patient))
        if action:
            batch.audit.append((state.seq, batch.site, action, self._now, self._agent, self._request))

    def _forget(self, batch: _Batch, state: _State) -> None:
        """Take the identifiers of the version before out of the index, also those of this very batch."""
        batch.forget.append((batch.site, state.key))
        for row in [r for r in batch.identifiers if r[4] == state.key]:
            del batch.identifiers[row]

    def _same(self, state: _State, d: Draft) -> bool:
        body = state.body
        if body is None:
            v = schema.version
            body = self._db.scalar(select(v.c.body).where(v.c.seq == state.seq)) or b""
        return same_content(unpacked(body), d.text)

    def _updated(self, state: _State) -> str:
        v = schema.version
        found = self._db.scalar(select(v.c.updated).where(v.c.seq == state.seq))
        return instant(self._now if found is None else found)

    # --- statements -------------------------------------------------------------------------------------

    def _current(self, site: int, slots: Iterable[tuple[int, str]]) -> dict[tuple[int, str], _State]:
        by_type: dict[int, list[str]] = defaultdict(list)
        for kind, id_ in slots:
            by_type[kind].append(id_)
        found = {}
        for kind, ids in by_type.items():
            for some in _chunks(ids):
                for row in self._db.exec_driver_sql(self._sql.current(len(some)), (site, kind, *some)):
                    found[kind, row[0]] = _State(row[1], row[2], row[3], bool(row[4]), bytes(row[5]), row[6])
        return found

    def _send(self, batch: _Batch) -> None:
        sql = self._sql
        for statement, rows in (
            (sql.insert(schema.resource), batch.new),
            (sql.insert(schema.version), batch.versions),
            (sql.update_resource, batch.changed),
            (sql.forget, batch.forget),
            (sql.insert(schema.identifier), list(batch.identifiers)),
            (sql.insert(schema.outbox), batch.outbox),
            (sql.insert(schema.audit), batch.audit),
            (sql.insert(schema.provenance), batch.provenance),
        ):
            if rows:
                self._db.exec_driver_sql(statement, rows)


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


class _Statements:
    """SQL text with the driver's own placeholders, for lists of tuples: twice as fast as compiled inserts."""

    def __init__(self, dialect: Dialect) -> None:
        self._mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._quote = dialect.identifier_preparer.quote
        self._inserts: dict[str, str] = {}
        m, key = self._mark, self._quote("key")
        columns = ("version", "seq", "updated", "deleted", "digest", "patient")
        self.update_resource = f"UPDATE resource SET {', '.join(f'{c}={m}' for c in columns)} WHERE {key}={m}"
        self.forget = f"DELETE FROM identifier WHERE site={m} AND {key}={m}"

    def insert(self, table: Table) -> str:
        if table.name not in self._inserts:
            columns = ", ".join(self._quote(c.name) for c in table.columns)
            marks = ", ".join([self._mark] * len(table.columns))
            self._inserts[table.name] = f"INSERT INTO {table.name} ({columns}) VALUES ({marks})"
        return self._inserts[table.name]

    def current(self, n: int) -> str:
        columns = ", ".join(self._quote(c) for c in ("id", "key", "version", "seq", "deleted", "digest", "patient"))
        marks = ", ".join([self._mark] * n)
        where = f"site={self._mark} AND {self._quote('type')}={self._mark} AND id IN ({marks})"
        return f"SELECT {columns} FROM resource WHERE {where}"


@cache
def _statements(dialect: Dialect) -> _Statements:
    return _Statements(dialect)
