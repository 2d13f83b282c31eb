"""Deliveries over time: the records of a file, of which delivery a version is, what is held, which patients are one.

Queries on one connection; those that write need the names and counters of a write transaction.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, insert, select, update

from masterkey_fhir.store import schema
from masterkey_fhir.store.model import Source
from masterkey_fhir.store.names import Counters, Names
from masterkey_fhir.store.text import packed, unpacked

AT_ONCE = 500  # values per IN list
Cells = tuple[tuple[str, str, int], ...]  # (column, status, n)
r, v, p = schema.resource, schema.version, schema.provenance
s, t, word = schema.site, schema.resource_type, schema.term
rec, h, m, sub, led = schema.record, schema.held, schema.merged, schema.submission, schema.ledger
_CURRENT = and_(p.c.site == r.c.site, p.c.key == r.c.key, p.c.version == r.c.version)
DEAD = "undone"
THERE = -1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held:
    """A valid resource that waits. `waits`: "Type/id" -> THERE: until there is one; else its version when this one
    was held (0: none): until a valid one is sent.

    `cells`: its values in the ledger of its delivery, under the status they have once it is stored.
    """

    type: str
    id: str
    source: Source
    text: bytes
    waits: Mapping[str, int]
    cells: Cells = ()
    held_by: int = 0  # 0: its own delivery
    released_by: int | None = None
    released_version: int | None = None

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Made:
    """A current resource as a record of a file made it."""

    key: int
    type: str
    id: str
    record: int | None
    patient: str | None

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}"


@dataclass(frozen=True, slots=True)
class Line:
    """One version in the history of a resource, and whose it is: a delivery's, or None: the FHIR API's."""

    seq: int
    version: int
    deleted: bool
    submission: int | None


@dataclass(frozen=True, slots=True)
class Absent:
    """A record that an earlier delivery of the file had and the latest one has not."""

    key: int
    digest: str
    resources: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Patient `old` is Patient `new`; the records: digests of the two local numbers as keys of records."""

    old: str
    new: str
    old_record: str
    new_record: str
    submission: int


@dataclass(slots=True)
class Deliveries:
    """Of one connection."""

    _db: Connection
    _names: Names
    _counters: Counters | None = None
    _seen: dict[tuple[str, str], int] = field(default_factory=dict)

    # -- records of a file ------------------------------------------------------------------------------------

    def records(self, site: str, file: str, digests: Sequence[str], submission: int) -> dict[str, int]:
        """The keys of these records (hex digests), which this delivery has: `seen` says so from now on."""
        assert self._counters is not None
        here = (rec.c.site == self._names.site(site), rec.c.file == self._names.term(file))
        found: dict[str, int] = {}
        for some in _chunks(sorted(set(digests))):
            query = select(rec.c.digest, rec.c.key).where(*here, rec.c.digest.in_([bytes.fromhex(d) for d in some]))
            known = {bytes(row.digest).hex(): int(row.key) for row in self._db.execute(query)}
            new = {d: self._counters.next("record") for d in some if d not in known}
            self._add(site, file, new, submission)
            if known:
                self._db.execute(update(rec).where(rec.c.key.in_(list(known.values()))).values(seen=submission))
            found |= known | new
        return found

    def _add(self, site: str, file: str, new: Mapping[str, int], submission: int) -> None:
        fixed = {"site": self._names.site(site), "file": self._names.term(file), "seen": submission}
        if new:
            self._db.execute(insert(rec), [{"key": k, "digest": bytes.fromhex(d), **fixed} for d, k in new.items()])

    def seen(self, site: str, file: str, digest: str) -> int | None:
        """The latest delivery of the file that has this record."""
        here = (rec.c.site == self._names.site(site), rec.c.file == self._names.term(file))
        return self._db.scalar(select(rec.c.seen).where(*here, rec.c.digest == bytes.fromhex(digest)))

    def record_keys(self, site: str, digest: str) -> dict[str, int]:
        """The keys that a record of this digest has, by file."""
        query = select(word.c.name, rec.c.key).join(word, word.c.key == rec.c.file)
        query = query.where(rec.c.site == self._names.site(site), rec.c.digest == bytes.fromhex(digest))
        return {str(name): int(key) for name, key in self._db.execute(query)}

    def seen_by(self, record: int) -> int | None:
        """The latest delivery of its file that has this record."""
        return self._db.scalar(select(rec.c.seen).where(rec.c.key == record))

    def absent(self, site: str, file: str, submission: int) -> list[Absent]:
        """Records of earlier deliveries that this one lacks and that still have current resources."""
        query = (
            select(rec.c.key, rec.c.digest, func.count())
            .select_from(rec.join(p, p.c.record == rec.c.key).join(r, _CURRENT))
            .where(rec.c.site == self._names.site(site), rec.c.file == self._names.term(file))
            .where(rec.c.seen != submission, r.c.deleted == 0)
            .group_by(rec.c.key, rec.c.digest)
            .order_by(rec.c.digest)
        )
        return [Absent(int(k), bytes(d).hex(), int(n)) for k, d, n in self._db.execute(query)]

    def alive(self, site: str, file: str) -> set[str]:
        """Records (digests) of a file that have current resources."""
        query = (
            select(rec.c.digest)
            .select_from(rec.join(p, p.c.record == rec.c.key).join(r, _CURRENT))
            .where(rec.c.site == self._names.site(site), rec.c.file == self._names.term(file), r.c.deleted == 0)
        )
        return {bytes(d).hex() for d in self._db.scalars(query.distinct())}

    def made_of(self, records: Iterable[int]) -> list[Made]:
        """The current resources of these records: those whose current version a record made."""
        out: list[Made] = []
        for some in _chunks(sorted(records)):
            query = (
                select(r.c.key, t.c.name, r.c.id, p.c.record, r.c.patient)
                .select_from(p.join(r, _CURRENT).join(t, t.c.key == r.c.type))
                .where(p.c.record.in_(some), r.c.deleted == 0)
                .order_by(t.c.name, r.c.id)
            )
            out += [Made(int(a), str(b), str(c), d, e) for a, b, c, d, e in self._db.execute(query)]
        return out

    # -- versions and whose they are --------------------------------------------------------------------------

    def touched(self, submissions: Iterable[int]) -> list[Made]:
        """The resources that have a version of these deliveries, deleted ones too; their records are not told."""
        found: dict[int, Made] = {}
        for some in _chunks(sorted(submissions)):
            query = (
                select(r.c.key, t.c.name, r.c.id, r.c.patient)
                .select_from(p.join(r, and_(p.c.site == r.c.site, p.c.key == r.c.key)).join(t, t.c.key == r.c.type))
                .where(p.c.submission.in_(some))
                .distinct()
            )
            found |= {int(a): Made(int(a), str(b), str(c), None, d) for a, b, c, d in self._db.execute(query)}
        return [found[key] for key in sorted(found)]

    def histories(self, site: str, keys: Iterable[int]) -> dict[int, list[Line]]:
        """The versions of these resources, newest first, each with its delivery."""
        out: dict[int, list[Line]] = defaultdict(list)
        for some in _chunks(sorted(keys)):
            whose = and_(p.c.site == v.c.site, p.c.key == v.c.key, p.c.version == v.c.version)
            query = (
                select(v.c.key, v.c.seq, v.c.version, v.c.deleted, p.c.submission)
                .select_from(v.outerjoin(p, whose))
                .where(v.c.site == self._names.site(site), v.c.key.in_(some))
                .order_by(v.c.key, v.c.version.desc())
            )
            for key, seq, version, gone, submission in self._db.execute(query):
                out[key].append(Line(seq, version, bool(gone), submission))
        return out

    def keys(self, site: str, names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, int, bool]]:
        """(type, id) -> (key, current version, deleted) of those that ever were."""
        by_type: dict[str, list[str]] = defaultdict(list)
        for kind, id_ in names:
            by_type[kind].append(id_)
        out: dict[tuple[str, str], tuple[int, int, bool]] = {}
        for kind, ids in sorted(by_type.items()):
            for some in _chunks(sorted(set(ids))):
                query = select(r.c.id, r.c.key, r.c.version, r.c.deleted).where(
                    r.c.site == self._names.site(site), r.c.type == self._names.type(kind), r.c.id.in_(some)
                )
                out |= {(kind, str(a)): (int(b), int(c), bool(d)) for a, b, c, d in self._db.execute(query)}
        return out

    def actions(self, submission: int) -> Counter[tuple[str, str]]:
        """(type, created | updated | deleted) -> versions of a delivery."""
        a, one = schema.audit, and_(p.c.site == v.c.site, p.c.key == v.c.key, p.c.version == v.c.version)
        query = (
            select(t.c.name, a.c.action, func.count())
            .select_from(p.join(v, one).join(a, a.c.seq == v.c.seq).join(r, r.c.key == v.c.key))
            .join(t, t.c.key == r.c.type)
            .where(p.c.submission == submission)
            .group_by(t.c.name, a.c.action)
        )
        said = {"C": "created", "U": "updated", "D": "deleted"}
        return Counter({(str(kind), said[action]): int(n) for kind, action, n in self._db.execute(query)})

    def contested(self, submission: int) -> dict[str, int]:
        """How many resources this delivery made another one of than a file of another name, which stands, had."""
        mine, theirs, before = p.alias("mine"), p.alias("theirs"), sub.alias("before")
        query = (
            select(word.c.name, func.count())
            .select_from(mine)
            .join(theirs, (theirs.c.site == mine.c.site) & (theirs.c.key == mine.c.key))
            .join(v, (v.c.site == mine.c.site) & (v.c.key == mine.c.key) & (v.c.version == theirs.c.version))
            .join(before, before.c.id == theirs.c.submission)
            .join(word, word.c.key == theirs.c.file)
            .where(mine.c.submission == submission, mine.c.version > 1, theirs.c.version == mine.c.version - 1)
            .where(theirs.c.file != mine.c.file, v.c.deleted == 0)
            .where(before.c.kind == "load", before.c.undone_by.is_(None))
            .group_by(word.c.name)
        )
        return {row[0]: row[1] for row in self._db.execute(query)}

    def own(self, submission: int) -> list[int]:
        """Keys of the resources whose current version is this delivery's."""
        query = select(p.c.key).select_from(p.join(r, _CURRENT)).where(p.c.submission == submission)
        return [int(k) for k in self._db.scalars(query.distinct())]

    # -- what a delivery says as it was already ---------------------------------------------------------------

    def restate(self, submission: int, keys: Iterable[int]) -> None:
        """Keep the keys of resources that this delivery says as they stood, of another's making."""
        said = set(keys)
        kept = sorted(said.difference(self.own(submission))) if said else []
        self._db.execute(update(sub).where(sub.c.id == submission).values(restated=packed_keys(kept)))

    def restated(self, submission: int) -> set[int]:
        return unpacked_keys(self._db.scalar(select(sub.c.restated).where(sub.c.id == submission)))

    # -- held -------------------------------------------------------------------------------------------------

    def hold(self, site: str, items: Iterable[Held]) -> None:
        """Keep them; of a name and delivery the newest."""
        for item in items:
            values = self._held_values(site, item)
            self._db.execute(delete(h).where(*self._this(site, item)))
            self._db.execute(insert(h).values(**values))

    def _held_values(self, site: str, item: Held) -> dict[str, Any]:
        names, source = self._names, item.source
        return {
            "site": names.site(site),
            "type": names.type(item.type),
            "id": item.id,
            "file": names.term(source.file),
            "submission": source.submission,
            "held_by": item.held_by or source.submission,
            "record": source.record,
            "rows": ",".join(map(str, source.rows)),
            "map_version": names.term(source.map_version),
            "block": names.term(source.block),
            "body": packed(item.text),
            "waits": json.dumps(dict(sorted(item.waits.items()))),
            "cells": json.dumps(item.cells),
            "released_by": item.released_by,
            "released_version": item.released_version,
        }

    def held(
        self,
        site: str,
        *,
        released_by: Iterable[int] | None = None,
        submissions: Iterable[int] | None = None,
    ) -> list[Held]:
        """Those that wait, oldest first; or those that these deliveries released or superseded; or all that
        `submissions` sent or held."""
        where: list[ColumnElement[bool]] = [s.c.name == site]
        if submissions is not None:
            wanted = list(submissions)
            where.append(h.c.submission.in_(wanted) | h.c.held_by.in_(wanted))
        elif released_by is None:
            where.append(h.c.released_by.is_(None))
        else:
            where.append(h.c.released_by.in_(list(released_by)))
        query = _HELD.where(*where).order_by(h.c.submission, t.c.name, h.c.id)
        return [_held(row) for row in self._db.execute(query)]

    def drop(self, site: str, items: Iterable[Held]) -> None:
        """They wait no longer."""
        for item in items:
            self._db.execute(delete(h).where(*self._this(site, item)))

    def supersede(self, site: str, file: str, submission: int) -> None:
        """What earlier deliveries of the file hold of records that this one has: it decided anew about them."""
        mine = select(rec.c.key).where(rec.c.seen == submission)
        here = (h.c.site == self._names.site(site), h.c.file == self._names.term(file), h.c.released_by.is_(None))
        gone = update(h).where(*here, h.c.submission != submission, h.c.record.in_(mine))
        self._db.execute(gone.values(released_by=submission))

    def mark_released(self, site: str, item: Held, by: int, version: int | None) -> None:
        """`version`: the one it was stored as; None when a delivery said it anew."""
        values = {"released_by": by, "released_version": version}
        self._db.execute(update(h).where(*self._this(site, item)).values(**values))

    def _this(self, site: str, item: Held) -> list[ColumnElement[bool]]:
        names = self._names
        return [
            h.c.site == names.site(site),
            h.c.type == names.type(item.type),
            h.c.id == item.id,
            h.c.submission == item.source.submission,
        ]

    # -- merged patients --------------------------------------------------------------------------------------

    def merge(self, site: str, merges: Iterable[Merge]) -> None:
        site_key = self._names.site(site)
        for x in merges:
            self._db.execute(delete(m).where(m.c.site == site_key, m.c.old == x.old))
            records = {"old_record": bytes.fromhex(x.old_record), "new_record": bytes.fromhex(x.new_record)}
            values = {"site": site_key, "old": x.old, "new": x.new, "submission": x.submission}
            self._db.execute(insert(m).values(**values, **records))

    def merges(self, site: str) -> list[Merge]:
        """Merges in force, by old id."""
        query = select(m).where(m.c.site == self._names.site(site)).order_by(m.c.old)
        rows = self._db.execute(query)
        return [Merge(x.old, x.new, bytes(x.old_record).hex(), bytes(x.new_record).hex(), x.submission) for x in rows]

    def unmerge(self, submissions: Iterable[int]) -> None:
        self._db.execute(delete(m).where(m.c.submission.in_(list(submissions))))

    # -- the journal's part -----------------------------------------------------------------------------------

    def mark_undone(self, submissions: Iterable[int], by: int) -> None:
        """These deliveries are no longer in force."""
        values = {"state": DEAD, "undone_by": by}
        self._db.execute(update(sub).where(sub.c.id.in_(list(submissions))).values(**values))

    def move_cells(self, submission: int, cells: Cells, held: str, *, back: bool = False) -> None:
        """In the ledger of a delivery: values of a held resource (set_aside, reason `held`) become what they are once
        it is stored; `back`: the reverse."""
        for column, status, n in cells:
            waiting, stored = ("set_aside", held), (status, "")
            of, to = (stored, waiting) if back else (waiting, stored)
            self._book(submission, column, *of, -n)
            self._book(submission, column, *to, n)

    def _book(self, submission: int, column: str, status: str, reason: str, n: int) -> None:
        line = (led.c.submission == submission, led.c.column_id == column, led.c.status == status)
        this = (*line, led.c.reason == reason)
        known = self._db.scalar(select(led.c.n).where(*this))
        if known is not None and known + n:
            self._db.execute(update(led).where(*this).values(n=known + n))
        elif known is not None:
            self._db.execute(delete(led).where(*this))
        else:
            values = {"submission": submission, "column_id": column, "status": status, "reason": reason, "n": n}
            self._db.execute(insert(led).values(**values))


def _named(column: ColumnElement[int]) -> ColumnElement[str]:
    return select(word.c.name).where(word.c.key == column).scalar_subquery()


_HELD: Select[*tuple[Any, ...]] = select(
    t.c.name,
    h.c.id,
    h.c.submission,
    _named(h.c.file),
    h.c.rows,
    _named(h.c.map_version),
    _named(h.c.block),
    h.c.record,
    h.c.body,
    h.c.waits,
    h.c.cells,
    h.c.held_by,
    h.c.released_by,
    h.c.released_version,
).select_from(h.join(s, s.c.key == h.c.site).join(t, t.c.key == h.c.type))


def _held(row: Row[*tuple[Any, ...]]) -> Held:
    kind, id_, submission, file, rows, version, block, record, body, waits, cells, held_by, by, at = row
    source = Source(submission, file, tuple(int(n) for n in rows.split(",") if n), version, block, record)
    told: Cells = tuple((c, status, n) for c, status, n in json.loads(cells))
    return Held(kind, id_, source, unpacked(body), json.loads(waits), told, held_by, by, at)


def packed_keys(keys: Sequence[int]) -> bytes | None:
    """Ascending keys as their differences: a run of neighbours costs next to nothing. None for none."""
    if not keys:
        return None
    steps = array("q", [b - a for a, b in zip([0, *keys[:-1]], keys, strict=True)])
    return zlib.compress(steps.tobytes(), 6)


def unpacked_keys(data: bytes | None) -> set[int]:
    if not data:
        return set()
    steps = array("q")
    steps.frombytes(zlib.decompress(data))
    return set(accumulate(steps))


def _chunks(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]
