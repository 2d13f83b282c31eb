"""The journal: submissions, their ledger, the Issues with their history; in the data transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from masterkey_fhir.issue import Issue, Place
from masterkey_fhir.issue import issue as problem
from masterkey_fhir.store import life, schema
from masterkey_fhir.store.model import (
    IssueEvent,
    IssueFilter,
    IssueKind,
    JournalIssue,
    LedgerLine,
    StoreError,
    Submission,
    instant,
)
from masterkey_fhir.store.names import Counters, Names

sub, led, iss, site_table = schema.submission, schema.ledger, schema.issue, schema.site
event_table = schema.issue_event

_COLUMNS = ("rows", "values_read", "resources", "map_version")


class JournalWriter:
    """The journal part of `Writer`."""

    _db: Connection
    _now: int
    _names: Names
    _counters: Counters

    def begin_submission(self, site: str, file: str, sha256: str, bytes: int, map_version: str = "") -> int:
        """The number of this delivery; bytes equal to the site's latest of that name are that one.

        One that was taken back is no latest: the same bytes are a delivery again.
        """
        latest = self._latest(site, file)
        if latest and latest.sha256 == sha256:
            return int(latest.id)
        return self._new_submission(site, file, sha256, bytes, map_version, "load")

    def begin_act(self, site: str, file: str, kind: str) -> int:
        """What a steward does to deliveries (merge, delete, undo), numbered as they are."""
        return self._new_submission(site, file, "", 0, "", kind)

    def _new_submission(self, site: str, file: str, sha256: str, bytes: int, map_version: str, kind: str) -> int:
        number = self._counters.next("submission")
        values = {
            "id": number,
            "site": self._names.site(site),
            "file": file,
            "sha256": sha256,
            "bytes": bytes,
            "kind": kind,
        }
        zero = {"rows": 0, "values_read": 0, "resources": 0, "map_version": map_version, "counts": "{}"}
        self._db.execute(insert(sub).values(**values, **zero, received=self._now, state="reading"))
        return number

    def finish_submission(self, id: int, **counts: int | str) -> None:
        """State `stored` and its counts: rows, values_read, resources, map_version, any other whole number.

        A repeat that created, updated and deleted nothing changes nothing here either.
        """
        before = self._db.execute(select(sub).where(sub.c.id == id)).one()
        new = {name: counts.pop(name) for name in _COLUMNS if name in counts}
        if before.state == "stored" and _is_repeat(before, new, counts):
            return
        values = {**new, "counts": json.dumps(counts, sort_keys=True), "state": "stored"}
        self._db.execute(update(sub).where(sub.c.id == id).values(**values))

    def add_ledger(self, id: int, rows: Iterable[tuple[str, str, str, int]]) -> None:
        """The ledger of a submission: (column, status, reason, n); replaces what it had."""
        self._db.execute(delete(led).where(led.c.submission == id))
        lines: dict[tuple[str, str, str], int] = {}
        for column, status, reason, n in rows:
            lines[column, status, reason] = lines.get((column, status, reason), 0) + n
        values = [
            {"submission": id, "column_id": c, "status": s, "reason": why, "n": n}
            for (c, s, why), n in sorted(lines.items())
        ]
        if values:
            self._db.execute(insert(led), values)

    def issue_records(self, site: str, submission: int, scope: str = "") -> set[str]:
        """Records of this source format that have a live Issue. Usually few; memory grows with them only."""
        return self._delivered(site, submission, scope).watched()

    def record_issues(
        self,
        site: str,
        submission: int,
        issues: Iterable[Issue],
        *,
        scope: str = "",
        seen: Iterable[str] = (),
        whole: bool = True,
    ) -> None:
        """All Issues of a submission, in one call: new ones open, known ones stay, those not shown any more close.

        `scope` is the source format; `seen` the records of `issue_records` that the delivery holds: their Issues close
        whatever file brought them. `whole`: the delivery states everything of its file again (a snapshot); else
        only Issues about the file and about `seen` close. How they live: masterkey_fhir.store.life.
        """
        self._delivered(site, submission, scope).settle(submission, self._now, issues, seen, whole)

    def answer_issue(self, id: int, answer: str, said: str = "", actor: str = "site") -> bool:
        """Enter an answer (`life.SITE_ANSWERS`, `life.REGISTRY_ANSWERS`); False when it stands there already.

        `actor` is a role. Raises StoreError: fhir.issue-unknown, fhir.issue-closed.
        """
        row = self._db.execute(select(iss).where(iss.c.id == id)).first()
        if row is None:
            raise StoreError(problem("fhir.issue-unknown", id=id))
        if row.state == "closed":
            raise StoreError(problem("fhir.issue-closed", id=id, submission=row.closed_by or 0))
        if (row.answer, row.answer_text) == (answer, said) or (answer == "ask-again" and row.state == "open"):
            return False
        life.answered(self._db, self._now, id, answer, said, actor)
        return True

    def _delivered(self, site: str, submission: int, scope: str) -> life.Delivered:
        file = self._db.scalar(select(sub.c.file).where(sub.c.id == submission)) or ""
        return life.Delivered(self._db, self._counters, self._names.site(site), file, scope)

    def _latest(self, site: str, file: str) -> Row[*tuple[Any, ...]] | None:
        query = select(sub).where(sub.c.site == self._names.site(site), sub.c.file == file)
        query = query.where(sub.c.kind == "load", sub.c.state != "undone")
        return self._db.execute(query.order_by(sub.c.id.desc()).limit(1)).first()


def _is_repeat(before: Row[*tuple[Any, ...]], new: Mapping[str, Any], counts: Mapping[str, Any]) -> bool:
    wrote = any(counts.get(name) for name in ("created", "updated", "deleted"))
    return not wrote and all(getattr(before, name) == value for name, value in new.items())


class JournalReader:
    """The journal part of the read side."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def submissions(self, site: str | None = None) -> list[Submission]:
        """In the order in which they came."""
        query = select(sub, site_table.c.name.label("site_name")).join(site_table, site_table.c.key == sub.c.site)
        if site is not None:
            query = query.where(site_table.c.name == site)
        return [_submission(row) for row in self._db.execute(query.order_by(sub.c.id))]

    def ledger(self, submission: int) -> list[LedgerLine]:
        """By column, status and reason."""
        order = (led.c.column_id, led.c.status, led.c.reason)
        query = select(led).where(led.c.submission == submission).order_by(*order)
        return [LedgerLine(*row) for row in self._db.execute(query)]

    def issues(self, state: str | None = "open", site: str | None = None) -> list[JournalIssue]:
        """Issues in this state (None: all), by site, file, record, field and rule."""
        order = (site_table.c.name, iss.c.file, iss.c.record, iss.c.field, iss.c.rule)
        query = _found(IssueFilter(site=site, state=state)).order_by(*order)
        return [_journal_issue(row) for row in self._db.execute(query)]

    def find(self, wanted: IssueFilter, after: int = 0, limit: int = 100) -> list[JournalIssue]:
        """A page, by id: at most `limit` Issues whose id is greater than `after`."""
        query = _found(wanted).where(iss.c.id > after).order_by(iss.c.id).limit(limit)
        return [_journal_issue(row) for row in self._db.execute(query)]

    def count(self, wanted: IssueFilter) -> int:
        return int(self._db.scalar(_narrowed(select(func.count()).select_from(_JOINED), wanted)) or 0)

    def kinds(self, wanted: IssueFilter) -> list[IssueKind]:
        """By site, rule and field."""
        by = (site_table.c.name, iss.c.rule, iss.c.field, iss.c.severity)
        sums = (func.count(), func.sum(iss.c.n), func.min(iss.c.id))
        query = _narrowed(select(*by, *sums).select_from(_JOINED), wanted).group_by(*by).order_by(*by)
        return [IssueKind(r[0], r[1], r[2], r[3], r[4], int(r[5]), r[6]) for r in self._db.execute(query)]

    def issue(self, id: int) -> JournalIssue | None:
        row = self._db.execute(_found(IssueFilter()).where(iss.c.id == id)).first()
        return _journal_issue(row) if row else None

    def events(self, id: int) -> list[IssueEvent]:
        """Its history, oldest first."""
        query = select(event_table).where(event_table.c.issue == id).order_by(event_table.c.n)
        return [IssueEvent(r.n, instant(r.at), *r[3:]) for r in self._db.execute(query)]


_JOINED = iss.join(site_table, site_table.c.key == iss.c.site)


def _found(wanted: IssueFilter) -> Select[Any]:
    return _narrowed(select(iss, site_table.c.name.label("site_name")).select_from(_JOINED), wanted)


def _narrowed(query: Select[Any], wanted: IssueFilter) -> Select[Any]:
    site = select(site_table.c.key).where(site_table.c.name == wanted.site).scalar_subquery()
    conditions = {
        "site": iss.c.site == site,
        "state": iss.c.state == wanted.state,
        "turn": iss.c.turn == wanted.turn,
        "rule": iss.c.rule == wanted.rule,
        "file": iss.c.file == wanted.file,
        "severity": iss.c.severity == wanted.severity,
        "since": iss.c.changed >= (wanted.since or 0),
    }
    return query.where(*(c for name, c in conditions.items() if getattr(wanted, name) is not None))


def _submission(row: Row[*tuple[Any, ...]]) -> Submission:
    return Submission(
        row.id,
        row.site_name,
        row.file,
        row.sha256,
        row.bytes,
        instant(row.received),
        row.state,
        row.rows,
        row.values_read,
        row.resources,
        row.map_version,
        json.loads(row.counts),
        row.kind,
        row.undone_by,
    )


def _journal_issue(row: Row[*tuple[Any, ...]]) -> JournalIssue:
    place = Place(row.site_name, row.place_file, row.place_row, row.place_field, row.place_expression)
    found = Issue(row.rule, row.severity, row.code, place, json.loads(row.facts), row.record, row.n)
    times = (instant(row.opened), instant(row.changed))
    answer = (row.answer, row.answer_text, row.answer_by)
    return JournalIssue(
        found, row.file, row.state, row.opened_by, row.closed_by, row.id, row.turn, *times, *answer, row.value
    )
