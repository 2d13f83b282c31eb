"""The CDM as data: `omop/spec/<version>/*.csv` is the one source of tables, DDL, SQLAlchemy and checks.

Facts: https://ohdsi.github.io/CommonDataModel/cdm54.html (OHDSI/CommonDataModel inst/csv, Apache-2.0).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from masterkey_omop.data import folder

if TYPE_CHECKING:
    from sqlalchemy import MetaData
    from sqlalchemy import Table as SqlTable
    from sqlalchemy.types import TypeEngine

VERSION = "5.4"
Dialect = Literal["duckdb", "postgres"]


@dataclass(frozen=True, slots=True)
class Field:
    """One column. `type` is the specification's own word: integer, float, date, datetime, varchar(n|max)."""

    name: str
    type: str
    required: bool
    is_key: bool
    references: tuple[str, str] | None  # (table, field)
    domain: str  # of the concept a foreign key to CONCEPT must have; "" = any
    concept_class: str

    @property
    def length(self) -> int | None:
        """The widest text the field takes; None = any length or no text."""
        match = re.fullmatch(r"varchar\((\d+)\)", self.type)
        return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `schema` is CDM, VOCAB or RESULTS."""

    name: str
    schema: str
    required: bool
    concept_prefix: str
    fields: Mapping[str, Field]

    @property
    def key(self) -> str | None:
        """The primary key's field; 11 tables of CDM 5.4 have none."""
        return next((f.name for f in self.fields.values() if f.is_key), None)

    @property
    def is_personal(self) -> bool:
        """Has rows that belong to one person."""
        return "person_id" in self.fields


@cache
def tables(version: str = VERSION) -> Mapping[str, Table]:
    """All tables of a CDM version (39 in 5.4) by name, in the specification's order."""
    fields: dict[str, dict[str, Field]] = {}
    for row in _rows(version, "fields"):
        fields.setdefault(row["table"], {})[row["field"]] = _field(row)
    return {
        r["table"]: Table(r["table"], r["schema"], r["required"] == "yes", r["concept_prefix"], fields[r["table"]])
        for r in _rows(version, "tables")
    }


def _rows(version: str, name: str) -> list[dict[str, str]]:
    with (folder("spec") / version / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _field(row: dict[str, str]) -> Field:
    references = (row["fk_table"], row["fk_field"]) if row["fk_table"] else None
    return Field(
        name=row["field"],
        type=row["type"],
        required=row["required"] == "yes",
        is_key=row["key"] == "yes",
        references=references,
        domain=row["fk_domain"],
        concept_class=row["fk_class"],
    )


# The specification's words in each dialect. A float is a double: 32 bits lose digits of laboratory values.
_TYPES: Mapping[str, Mapping[str, str]] = {
    "duckdb": {
        "integer": "INTEGER",
        "float": "DOUBLE",
        "date": "DATE",
        "datetime": "TIMESTAMP",
        "varchar(max)": "VARCHAR",
    },
    "postgres": {
        "integer": "INTEGER",
        "float": "DOUBLE PRECISION",
        "date": "DATE",
        "datetime": "TIMESTAMP",
        "varchar(max)": "TEXT",
    },
}


def sql_type(field: Field, dialect: Dialect) -> str:
    """The column type of `field`, e.g. `varchar(50)` -> `VARCHAR(50)`."""
    return _TYPES[dialect].get(field.type, field.type.upper())


def ddl(dialect: Dialect, *, schema: str = "", keys: bool | None = None, version: str = VERSION) -> list[str]:
    """CREATE TABLE statements in the specification's order, then the keys.

    `keys` adds primary and foreign keys; the default is yes for PostgreSQL and no for DuckDB, whose index
    makes a delete and an insert of the same key in one transaction fail (masterkey checks keys set-wise
    before it publishes instead, see `key_violations`). DuckDB knows no ADD FOREIGN KEY: asked for keys it
    writes the primary ones.
    """
    wanted = dialect == "postgres" if keys is None else keys
    prefix = f"{schema}." if schema else ""
    statements = [_create(t, dialect, prefix) for t in tables(version).values()]
    if wanted:
        statements += [s for t in tables(version).values() for s in _primary_keys(t, prefix)]
    if wanted and dialect == "postgres":
        statements += [s for t in tables(version).values() for s in _foreign_keys(t, prefix)]
    return statements


RESERVED = frozenset({"offset"})  # field names that SQL reads as its own words (note_nlp.offset)


def quoted(name: str) -> str:
    """A field's name as SQL writes it."""
    return f'"{name}"' if name in RESERVED else name


def _create(table: Table, dialect: Dialect, prefix: str) -> str:
    columns = ",\n  ".join(
        f"{quoted(f.name)} {sql_type(f, dialect)}{' NOT NULL' if f.required else ''}" for f in table.fields.values()
    )
    return f"CREATE TABLE {prefix}{table.name} (\n  {columns}\n)"


def _primary_keys(table: Table, prefix: str) -> Iterator[str]:
    if table.key:
        yield f"ALTER TABLE {prefix}{table.name} ADD PRIMARY KEY ({table.key})"


def _foreign_keys(table: Table, prefix: str) -> Iterator[str]:
    for field in table.fields.values():
        if field.references:
            target, column = field.references
            yield (
                f"ALTER TABLE {prefix}{table.name} ADD CONSTRAINT fk_{table.name}_{field.name} "
                f"FOREIGN KEY ({field.name}) REFERENCES {prefix}{target} ({column})"
            )


def key_violations(table: Table, schema: str = "") -> Iterator[tuple[str, str]]:
    """(what, SELECT that returns one count) per key of `table`: 0 = the key holds.

    Foreign keys to CONCEPT are not asked here: without a site's vocabulary, CONCEPT holds only bindings.
    """
    prefix = f"{schema}." if schema else ""
    if table.key:
        yield (
            f"{table.name}.{table.key} is not unique",
            f"SELECT count(*) - count(DISTINCT {table.key}) FROM {prefix}{table.name}",
        )
    for field in table.fields.values():
        if field.references and tables()[field.references[0]].schema == "CDM":
            target, column = field.references
            yield (
                f"{table.name}.{field.name} has no row in {target}",
                f"SELECT count(*) FROM {prefix}{table.name} a WHERE a.{field.name} IS NOT NULL "
                f"AND NOT EXISTS (SELECT 1 FROM {prefix}{target} b WHERE b.{column} = a.{field.name})",
            )


def metadata(schema: str | None = None, version: str = VERSION) -> MetaData:
    """The same tables as SQLAlchemy Core metadata, with primary and foreign keys."""
    from sqlalchemy import MetaData

    out = MetaData(schema=schema)
    for table in tables(version).values():
        _sql_table(table, out, f"{schema}." if schema else "")
    return out


def _sql_table(table: Table, out: MetaData, prefix: str) -> SqlTable:
    from sqlalchemy import Column, ForeignKey
    from sqlalchemy import Table as SqlTable

    def keys(field: Field) -> list[ForeignKey]:
        # use_alter: CONCEPT, DOMAIN and VOCABULARY refer to each other.
        name = f"fk_{table.name}_{field.name}"
        return [ForeignKey(prefix + ".".join(field.references), name=name, use_alter=True)] if field.references else []

    columns: list[Column[Any]] = [
        Column(
            f.name,
            sql_alchemy_type(f),
            *keys(f),
            primary_key=f.is_key,
            nullable=not f.required,
            autoincrement=False,
        )
        for f in table.fields.values()
    ]
    return SqlTable(table.name, out, *columns)


def sql_alchemy_type(field: Field) -> TypeEngine[Any]:
    """The SQLAlchemy type of a field."""
    from sqlalchemy import Date, DateTime, Double, Integer, String, Text

    simple: dict[str, TypeEngine[Any]] = {
        "integer": Integer(),
        "float": Double(),
        "date": Date(),
        "datetime": DateTime(),
        "varchar(max)": Text(),
    }
    return simple.get(field.type, String(field.length))
