"""Rows with symbolic keys -> the CDM being built: keys allocated and rows written set-wise, through Arrow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from masterkey_etl.project.census import Census
from masterkey_etl.project.maps import target_tables
from masterkey_etl.project.model import Row
from masterkey_omop import schema
from masterkey_omop.keys import Key, KeyMap
from masterkey_omop.publish import SIDE, Build
from masterkey_omop.schema import Table
from masterkey_omop.vocabulary import BINDINGS_VERSION, Concept, Vocabulary, bindings, local_concepts

if TYPE_CHECKING:
    import pyarrow as pa

Rows = Mapping[str, list[Row]]
WHOLE = ("care_site", "location", "provider")  # tables without a patient: compared whole


class CdmWriter:
    """Writes chunks of patients into a build; replaces their old rows unless the build started empty."""

    def __init__(self, build: Build, keys: KeyMap, *, fresh: bool) -> None:
        self._db = build.connection
        self._keys = keys
        self._fresh = fresh
        self._shapes = {r[0] for r in self._db.execute(f"SELECT DISTINCT shape_id FROM {SIDE}.shape").fetchall()}

    def write(self, site: str, persons: list[str], made: Iterable[Rows]) -> None:
        """The rows of some patients of one site; `persons` are their FHIR ids."""
        rows: dict[str, list[Row]] = defaultdict(list)
        for one in made:
            for table, some in one.items():
                rows[table].extend(some)
        ids = self._resolve(site, rows, persons)
        if not self._fresh and persons:
            self._delete([ids[Key("person", "Patient", p)] for p in persons])
        self._insert_all(rows)

    def write_unowned(self, by_site: Iterable[tuple[str, Rows]]) -> None:
        """The rows of resources that belong to no patient, of all sites: replaced whole."""
        for table in WHOLE:
            self._db.execute(f"DELETE FROM {table}")
        for name in schema.tables("side"):
            self._db.execute(f"DELETE FROM {SIDE}.{name} WHERE person_id IS NULL") if _has_person(name) else None
        for site, rows in by_site:
            self._resolve(site, rows, [])
            self._insert_all(rows)

    def complete_care_sites(self) -> None:
        """A hospital that persons refer to and that nobody has sent gets a row with its key alone."""
        self._db.execute(
            f"DELETE FROM care_site WHERE care_site_id NOT IN (SELECT row_id FROM {SIDE}.origin "
            "WHERE table_name = 'care_site')"
        )
        self._db.execute(
            "INSERT INTO care_site (care_site_id) SELECT DISTINCT care_site_id FROM person "
            "WHERE care_site_id IS NOT NULL AND care_site_id NOT IN (SELECT care_site_id FROM care_site)"
        )

    def _resolve(self, site: str, rows: Rows, persons: Iterable[str]) -> Mapping[Key, int]:
        """Symbolic keys -> integers, in place."""
        wanted = {Key("person", "Patient", p) for p in persons}
        for table, some in rows.items():
            places = key_fields(table)
            wanted.update(row[i] for row in some for i in places if type(row[i]) is Key)
        ids = self._keys.allocate(site, wanted)
        for table, some in rows.items():
            places = key_fields(table)
            for row in some:
                for i in places:
                    if type(row[i]) is Key:
                        row[i] = ids[row[i]]
        return ids

    def _delete(self, persons: list[int]) -> None:
        import pyarrow as pa

        self._db.register("touched", pa.table({"person_id": pa.array(persons, pa.int64())}))
        mine = "WHERE person_id IN (SELECT person_id FROM touched)"
        self._db.execute(f"DELETE FROM episode_event WHERE episode_id IN (SELECT episode_id FROM episode {mine})")
        for name, table in target_tables().items():
            if table.is_personal:
                self._db.execute(f"DELETE FROM {name} {mine}")
        self._db.unregister("touched")

    def _insert_all(self, rows: Rows) -> None:
        for table, some in rows.items():
            if some:
                self._insert(table, some)

    def _insert(self, name: str, rows: list[Row]) -> None:
        self._db.register("incoming", arrow(target_tables()[name], rows))
        self._db.execute(f"INSERT INTO {name} SELECT {_casts(name)} FROM incoming")
        self._db.unregister("incoming")

    def write_shapes(self, census: Census) -> None:
        """The shapes that this build does not know yet; those that no resource has any more go."""
        new = [
            [shape, kind, path, n]
            for shape, (kind, paths) in sorted(census.paths.items())
            if shape not in self._shapes
            for path, n in sorted(paths.items())
        ]
        if new:
            self._insert(f"{SIDE}.shape", new)
        self._db.execute(f"DELETE FROM {SIDE}.shape WHERE shape_id NOT IN (SELECT shape_id FROM {SIDE}.census)")

    def write_path_status(self, rows: list[Row]) -> None:
        """What the maps say about each path; replaced whole."""
        self._db.execute(f"DELETE FROM {SIDE}.path_status")
        if rows:
            self._insert(f"{SIDE}.path_status", rows)

    def write_vocabulary(self, words: Vocabulary) -> None:
        """CONCEPT and its small tables: the bindings, our own concepts, and every concept that a row uses."""
        wanted = {b.concept.id for b in bindings().values()} | {c.id for c in local_concepts()} | {0}
        wanted.update(self._concepts_used())
        concepts = words.used(wanted)
        self._replace("concept", [_concept_row(c) for c in concepts])
        for table, row in (("vocabulary", _vocabulary_row), ("domain", _plain_row), ("concept_class", _plain_row)):
            part = {"vocabulary": 3, "domain": 2, "concept_class": 4}[table]
            names = sorted({str(c[part]) for c in concepts} - {""})
            self._replace(table, [row(name, words.version) for name in names])

    def _concepts_used(self) -> set[int]:
        selects = [
            f"SELECT {f.name} AS id FROM {t.name}"
            for t in schema.tables().values()
            if t.schema == "CDM"
            for f in t.fields.values()
            if f.references == ("concept", "concept_id")
        ]
        return {r[0] for r in self._db.execute(" UNION ".join(selects)).fetchall() if r[0] is not None}

    def write_source(self, day: str, version: str, words: Vocabulary) -> None:
        """CDM_SOURCE; its dates are the repository's, so that the same resources give the same row."""
        row = {
            "cdm_source_name": "MASTER KEY Asia registry",
            "cdm_source_abbreviation": "MASTER KEY",
            "cdm_holder": "MASTER KEY Asia",
            "source_description": "Rare-cancer registry; FHIR R4 repository of masterkey",
            "source_documentation_reference": "mappings/registry/items.csv",
            "cdm_etl_reference": f"masterkey maps {version}",
            "source_release_date": day,
            "cdm_release_date": day,
            "cdm_version": f"v{schema.VERSION}",
            "cdm_version_concept_id": words.binding(f"cdm.{schema.VERSION}"),
            "vocabulary_version": words.version[:20],
        }
        self._replace("cdm_source", [[row[f] for f in schema.tables()["cdm_source"].fields]])

    def _replace(self, table: str, rows: list[Row]) -> None:
        self._db.execute(f"DELETE FROM {table}")
        if rows:
            self._insert(table, rows)


def _has_person(side: str) -> bool:
    return schema.tables("side")[side].is_personal


@cache
def key_fields(name: str) -> tuple[int, ...]:
    """Positions of the fields that may hold a symbolic key: integers that name a row, not a concept."""
    return tuple(
        i
        for i, f in enumerate(target_tables()[name].fields.values())
        if f.type == "integer" and f.name.endswith("_id") and not f.name.endswith("concept_id")
    )


@cache
def _casts(name: str) -> str:
    fields = target_tables()[name].fields.values()
    return ", ".join(f"CAST({schema.quoted(f.name)} AS {schema.sql_type(f, 'duckdb')})" for f in fields)


def arrow(table: Table, rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table; dates and instants as text, cast by DuckDB."""
    import pyarrow as pa

    kinds = {"integer": pa.int32(), "bigint": pa.int64(), "float": pa.float64()}
    columns = zip(*rows, strict=True)
    return pa.table(
        {
            f.name: pa.array(column, kinds.get(f.type, pa.string()))
            for f, column in zip(table.fields.values(), columns, strict=True)
        }
    )


# Validity of concepts that come without dates: Athena's own "always".
ALWAYS = ("1970-01-01", "2099-12-31")


def _concept_row(c: Concept) -> Row:
    standard = c.standard if c.standard in ("S", "C") else None
    return [c.id, c.name[:255], c.domain, c.vocabulary, c.concept_class, standard, c.code, *ALWAYS, None]


def _vocabulary_row(name: str, version: str) -> Row:
    shown = version if name == "None" else BINDINGS_VERSION
    return [name, name, "masterkey omop/spec/bindings.csv", shown, 0]


def _plain_row(name: str, version: str) -> Row:
    return [name, name, 0]
