"""Reading: every query names the site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, func, literal, select

from masterkey_fhir.store import schema
from masterkey_fhir.store.model import Change, Page, Source, Stored, instant
from masterkey_fhir.store.text import unpacked

r, v, s, t = schema.resource, schema.version, schema.site, schema.resource_type

_STORED = (
    select(s.c.name, t.c.name, r.c.id, v.c.version, v.c.updated, v.c.deleted, v.c.body)
    .select_from(r)
    .join(s, s.c.key == r.c.site)
    .join(t, t.c.key == r.c.type)
)
CURRENT = _STORED.join(v, v.c.seq == r.c.seq)
VERSIONS = _STORED.join(v, (v.c.site == r.c.site) & (v.c.key == r.c.key))


Line = Sequence[Any]  # a row of a result

# Made once: building such a statement costs more than running it.
_HERE = s.c.name == bindparam("site")
_THIS = (_HERE, t.c.name == bindparam("type"), r.c.id == bindparam("id"))
_READ = CURRENT.where(*_THIS)
_VREAD = VERSIONS.where(*_THIS, v.c.version == bindparam("version"))
_BY_TYPE = (t.c.name, r.c.id)
_OF_PATIENT = CURRENT.where(_HERE, r.c.patient == bindparam("patient"), r.c.deleted == 0).order_by(*_BY_TYPE)
_OF_NOBODY = CURRENT.where(_HERE, r.c.patient.is_(None), r.c.deleted == 0).order_by(*_BY_TYPE)


class Reader:
    """The read side, on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def read(self, site: str, type: str, id: str) -> Stored | None:
        """The current version, also when that is a deletion; None when there never was one."""
        return self._first(_READ, site=site, type=type, id=id)

    def vread(self, site: str, type: str, id: str, version: int) -> Stored | None:
        return self._first(_VREAD, site=site, type=type, id=id, version=version)

    def history(self, site: str, type: str, id: str) -> list[Stored]:
        """All versions, newest first."""
        query = VERSIONS.where(*_is(site, type, id)).order_by(v.c.version.desc())
        return [_stored(row) for row in self._rows(query)]

    def search(self, site: str, type: str, where: list[ColumnElement[bool]], count: int, after: str) -> Page:
        """Current resources of a type that satisfy `where`, in the order of ids, from after `after` on."""
        base = [s.c.name == site, t.c.name == type, r.c.deleted == 0, *where]
        total = self._one(_counting(base))
        if not count:
            return Page([], total, None)
        page = CURRENT.where(*base, r.c.id > after).order_by(r.c.id).limit(count + 1)
        found = [_stored(row) for row in self._rows(page)]
        return Page(found[:count], total, found[count - 1].id if len(found) > count else None)

    def ids(self, site: str, type: str, where: list[ColumnElement[bool]], limit: int = 2) -> list[str]:
        """Ids of the first matches: two are enough to know that there are several."""
        query = (
            select(r.c.id)
            .select_from(r.join(s, s.c.key == r.c.site).join(t, t.c.key == r.c.type))
            .where(s.c.name == site, t.c.name == type, r.c.deleted == 0, *where)
            .order_by(r.c.id)
            .limit(limit)
        )
        return list(self._db.scalars(query))

    def changes(self, after: int, limit: int) -> list[Change]:
        o = schema.outbox
        query = (
            select(o.c.seq, s.c.name, t.c.name, o.c.id, o.c.version, o.c.deleted, o.c.patient)
            .select_from(o.join(s, s.c.key == o.c.site).join(t, t.c.key == o.c.type))
            .where(o.c.seq > after)
            .order_by(o.c.seq)
            .limit(limit)
        )
        return [Change(a, b, c, d, e, bool(f), g) for a, b, c, d, e, f, g in self._rows(query)]

    def last_change(self) -> int:
        """The number of the newest outbox line, 0 when there is none."""
        return self._one(select(func.max(schema.outbox.c.seq)))

    def resources_of(self, site: str, patient: str | None) -> Iterator[Stored]:
        """The compartment of a patient (None: resources outside every one), by type and id."""
        found = (
            self._db.execute(_OF_NOBODY, {"site": site})
            if patient is None
            else self._db.execute(_OF_PATIENT, {"site": site, "patient": patient})
        )
        return (_stored(row) for row in found)

    def of_type(self, site: str, type: str) -> Iterator[Stored]:
        query = CURRENT.where(s.c.name == site, t.c.name == type, r.c.deleted == 0).order_by(r.c.id)
        return (_stored(row) for row in self._rows(query))

    def patients(self, site: str) -> Iterator[str]:
        """Ids of all patients that have a record: a Patient, or a resource that names one."""
        query = (
            select(r.c.patient)
            .select_from(r.join(s, s.c.key == r.c.site))
            .where(s.c.name == site, r.c.patient.is_not(None), r.c.deleted == 0)
            .distinct()
            .order_by(r.c.patient)
        )
        return iter(self._db.scalars(query))

    def sites(self) -> list[str]:
        return list(self._db.scalars(select(s.c.name).order_by(s.c.name)))

    def counts(self, site: str | None = None) -> dict[str, int]:
        """Current resources per type, deleted ones not counted."""
        query = (
            select(t.c.name, func.count())
            .select_from(r.join(s, s.c.key == r.c.site).join(t, t.c.key == r.c.type))
            .where(r.c.deleted == 0, *([s.c.name == site] if site is not None else []))
            .group_by(t.c.name)
            .order_by(t.c.name)
        )
        return {str(name): int(n) for name, n in self._rows(query)}

    def source(self, site: str, type: str, id: str, version: int) -> Source | None:
        """What a version was made from; None when it came through the API."""
        query = _sources().where(*_is(site, type, id), schema.provenance.c.version == version)
        row = next(self._rows(query), None)
        return _source(row) if row else None

    def made_from(self, site: str, file: str, row: int) -> list[tuple[Stored, Source]]:
        """Current resources that a row of a file became."""
        p, word = schema.provenance, schema.term
        file_is = p.c.file == select(word.c.key).where(word.c.name == file).scalar_subquery()
        row_is = (literal(",") + p.c.rows + ",").like(f"%,{int(row)},%")  # rows are "2,5,6"
        query = _sources().where(s.c.name == site, file_is, row_is, p.c.version == r.c.version)
        found = [(self.read(site, line[6], line[7]), _source(line)) for line in self._rows(query.order_by(*_BY_TYPE))]
        return [(stored, source) for stored, source in found if stored and not stored.deleted]

    def _rows(self, query: Select[*tuple[Any, ...]]) -> Iterator[Line]:
        return iter(self._db.execute(query))

    def _one(self, query: Select[int]) -> int:
        return int(self._db.execute(query).scalar() or 0)

    def _first(self, query: Select[*tuple[Any, ...]], **values: str | int) -> Stored | None:
        row = self._db.execute(query, values).first()
        return _stored(row) if row else None


def _is(site: str, type: str, id: str) -> tuple[ColumnElement[bool], ...]:
    return (s.c.name == site, t.c.name == type, r.c.id == id)


def _counting(where: list[ColumnElement[bool]]) -> Select[int]:
    joined = r.join(s, s.c.key == r.c.site).join(t, t.c.key == r.c.type)
    return select(func.count()).select_from(joined).where(*where)


def _stored(row: Line) -> Stored:
    site, type_, id_, version, updated, deleted, body = row
    return Stored(site, type_, id_, version, instant(updated), bool(deleted), unpacked(body))


def _term_of(column: ColumnElement[int]) -> ColumnElement[str]:
    return select(schema.term.c.name).where(schema.term.c.key == column).scalar_subquery()


def _sources() -> Select[*tuple[Any, ...]]:
    p = schema.provenance
    joined = (
        p.join(r, (r.c.site == p.c.site) & (r.c.key == p.c.key))
        .join(s, s.c.key == r.c.site)
        .join(t, t.c.key == r.c.type)
    )
    return select(
        p.c.submission,
        _term_of(p.c.file),
        p.c.rows,
        _term_of(p.c.map_version),
        _term_of(p.c.block),
        p.c.record,
        t.c.name,
        r.c.id,
    ).select_from(joined)


def _source(row: Line) -> Source:
    rows = tuple(int(n) for n in row[2].split(",") if n)
    return Source(row[0], row[1], rows, row[3], row[4], row[5])
