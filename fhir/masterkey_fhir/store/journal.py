"""The journal: submissions, their ledger, the Issues with their history; in the data transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from masterkey_fhir.issue import Issue, Place
from masterkey_fhir.store import schema
from masterkey_fhir.store.model import JournalIssue, LedgerLine, Submission, instant
from masterkey_fhir.store.names import Counters, Names

sub, led, iss, site_table = schema.submission, schema.ledger, schema.issue, schema.site

_COLUMNS = ("rows", "values_read", "resources", "map_version")


class JournalWriter:
    """The journal part of `Writer`."""

    _db: Connection
    _now: int
    _names: Names
    _counters: Counters

    def begin_submission(self, site: str, file: str, sha256: str, bytes: int, map_version: str = "") -> int:
        """The number of this delivery; bytes equal to the site's latest of that name are that one."""
        latest = self._latest(site, file)
        if latest and latest.sha256 == sha256:
            return int(latest.id)
        number = self._counters.next("submission")
        values = {
            "id": number,
            "site": self._names.site(site),
            "file": file,
            "sha256": sha256,
            "bytes": bytes,
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

    def record_issues(self, site: str, submission: int, issues: Iterable[Issue]) -> None:
        """All Issues of a submission, in one call: new ones open, known ones stay, and those of the same file

        that are not shown any more close. Identity is (site, file, record, field, rule).
        """
        file = self._db.scalar(select(sub.c.file).where(sub.c.id == submission)) or ""
        site_key = self._names.site(site)
        known = {
            (row.record, row.field, row.rule): row
            for row in self._db.execute(select(iss).where(iss.c.site == site_key, iss.c.file == file))
        }
        shown = _by_identity(issues)
        self._open([_values(i) | _key(site_key, file, k) for k, i in shown.items() if k not in known], submission)
        for key, row in known.items():
            self._follow(row, shown.get(key), submission)

    def _open(self, rows: list[dict[str, Any]], submission: int) -> None:
        if rows:
            fixed = {"state": "open", "opened_by": submission, "closed_by": None}
            self._db.execute(insert(iss), [row | fixed for row in rows])

    def _follow(self, row: Row[*tuple[Any, ...]], shown: Issue | None, submission: int) -> None:
        """What becomes of a known Issue in this submission."""
        if shown is None:
            if row.state == "open":
                self._set(row, state="closed", closed_by=submission)
            return
        values = _values(shown)
        reopened = row.state == "closed"
        if reopened:
            values |= {"state": "open", "opened_by": submission, "closed_by": None}
        if any(getattr(row, name) != value for name, value in values.items()):
            self._set(row, **values)

    def _set(self, row: Row[*tuple[Any, ...]], **values: Any) -> None:
        same = [iss.c[name] == getattr(row, name) for name in ("site", "file", "record", "field", "rule")]
        self._db.execute(update(iss).where(*same).values(**values))

    def _latest(self, site: str, file: str) -> Row[*tuple[Any, ...]] | None:
        query = select(sub).where(sub.c.site == self._names.site(site), sub.c.file == file)
        return self._db.execute(query.order_by(sub.c.id.desc()).limit(1)).first()


def _is_repeat(before: Row[*tuple[Any, ...]], new: Mapping[str, Any], counts: Mapping[str, Any]) -> bool:
    wrote = any(counts.get(name) for name in ("created", "updated", "deleted"))
    return not wrote and all(getattr(before, name) == value for name, value in new.items())


def _by_identity(issues: Iterable[Issue]) -> dict[tuple[str, str, str], Issue]:
    """The first of each identity, with the counts added up."""
    out: dict[tuple[str, str, str], Issue] = {}
    for i in issues:
        key = i.identity[1:]
        out[key] = replace(out[key], count=out[key].count + i.count) if key in out else i
    return out


def _key(site: int, file: str, key: tuple[str, str, str]) -> dict[str, Any]:
    return {"site": site, "file": file, "record": key[0], "field": key[1], "rule": key[2]}


def _values(i: Issue) -> dict[str, Any]:
    return {
        "severity": i.severity,
        "code": i.code,
        "place_file": i.place.file,
        "place_row": i.place.row,
        "place_field": i.place.field,
        "place_expression": i.place.expression,
        "facts": json.dumps(dict(i.facts), sort_keys=True, ensure_ascii=False),
        "n": i.count,
    }


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
        query = select(iss, site_table.c.name.label("site_name")).join(site_table, site_table.c.key == iss.c.site)
        if state is not None:
            query = query.where(iss.c.state == state)
        if site is not None:
            query = query.where(site_table.c.name == site)
        order = (site_table.c.name, iss.c.file, iss.c.record, iss.c.field, iss.c.rule)
        return [_journal_issue(row) for row in self._db.execute(query.order_by(*order))]


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
    )


def _journal_issue(row: Row[*tuple[Any, ...]]) -> JournalIssue:
    place = Place(row.site_name, row.place_file, row.place_row, row.place_field, row.place_expression)
    found = Issue(row.rule, row.severity, row.code, place, json.loads(row.facts), row.record, row.n)
    return JournalIssue(found, row.file, row.state, row.opened_by, row.closed_by)
