"""The CDM schema: equal to OHDSI's specification, and every form of it opens."""

from __future__ import annotations

import csv
from pathlib import Path

import duckdb
import pytest

from masterkey_omop import schema


def na(text: str) -> str:
    return "" if text == "NA" else text


@pytest.mark.shared
def test_tables_equal_the_specification(shared: Path) -> None:
    with (shared / "data/omop/cdm/OMOP_CDMv5.4_Table_Level.csv").open(encoding="utf-8-sig", newline="") as stream:
        stated = [
            (r["cdmTableName"], r["schema"], r["isRequired"] == "Yes", na(r["conceptPrefix"]))
            for r in csv.DictReader(stream)
        ]
    ours = [(t.name, t.schema, t.required, t.concept_prefix) for t in schema.tables().values()]
    assert len(ours) == 39
    assert ours == stated


@pytest.mark.shared
def test_fields_equal_the_specification(shared: Path) -> None:
    with (shared / "data/omop/cdm/OMOP_CDMv5.4_Field_Level.csv").open(encoding="utf-8-sig", newline="") as stream:
        stated = [
            (
                r["cdmTableName"],
                r["cdmFieldName"].strip('"'),
                r["cdmDatatype"].lower(),
                r["isRequired"] == "Yes",
                r["isPrimaryKey"] == "Yes",
                (r["fkTableName"].lower(), r["fkFieldName"].lower()) if r["isForeignKey"] == "Yes" else None,
                na(r["fkDomain"]),
                na(r["fkClass"]),
            )
            for r in csv.DictReader(stream)
        ]
    ours = [
        (t.name, f.name, f.type, f.required, f.is_key, f.references, f.domain, f.concept_class)
        for t in schema.tables().values()
        for f in t.fields.values()
    ]
    assert len(ours) == 432
    assert ours == stated


def test_every_foreign_key_has_a_target() -> None:
    for table in schema.tables().values():
        for field in table.fields.values():
            if field.references:
                target, column = field.references
                assert column in schema.tables()[target].fields


@pytest.mark.parametrize("keys", [False, True])
def test_duckdb_takes_the_ddl(keys: bool) -> None:
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA cdm")
    for statement in schema.ddl("duckdb", schema="cdm", keys=keys):
        connection.execute(statement)
    columns = connection.execute(
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'cdm' ORDER BY table_name, ordinal_position"
    ).fetchall()
    spec = sorted(
        ((t.name, f.name, not f.required) for t in schema.tables().values() for f in t.fields.values()),
        key=lambda row: row[0],
    )
    assert [(t, c) for t, c, _ in columns] == [(t, c) for t, c, _ in spec]
    assert keys or [n == "YES" for _, _, n in columns] == [n for _, _, n in spec]


def test_postgres_ddl_has_all_keys() -> None:
    text = "\n".join(schema.ddl("postgres"))
    assert text.count("PRIMARY KEY") == 28
    assert text.count("FOREIGN KEY") == 176
    assert "value_as_number DOUBLE PRECISION" in text
    assert "note_text TEXT NOT NULL" in text
    assert "person_source_value VARCHAR(50)," in text


def test_sqlalchemy_says_the_same() -> None:
    made = schema.metadata()
    assert set(made.tables) == set(schema.tables())
    assert sum(len(t.foreign_keys) for t in made.tables.values()) == 176
    assert sum(len(t.primary_key.columns) for t in made.tables.values()) == 28
    for table in schema.tables().values():
        for field in table.fields.values():
            column = made.tables[table.name].c[field.name]
            assert column.nullable is not (field.required or field.is_key)
    assert "cdm.person" in schema.metadata("cdm").tables


def test_key_violations_are_found() -> None:
    connection = duckdb.connect()
    for statement in schema.ddl("duckdb"):
        connection.execute(statement)
    connection.execute("INSERT INTO death (person_id, death_date) VALUES (7, DATE '2020-01-01')")
    connection.execute("INSERT INTO care_site (care_site_id) VALUES (1), (1), (1)")
    found = {
        what: row[0]
        for table in schema.tables().values()
        for what, sql in schema.key_violations(table)
        if (row := connection.execute(sql).fetchone()) and row[0]
    }
    assert found == {"death.person_id has no row in person": 1, "care_site.care_site_id is not unique": 2}
