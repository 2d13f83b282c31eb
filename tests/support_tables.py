"""A hash per table of a workspace, so that two histories of loads can be compared whole."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import duckdb

CLOCK = {"updated", "received", "recorded", "opened", "changed", "at"}  # columns that hold a time of day


def digest(rows: list[tuple[object, ...]]) -> str:
    return hashlib.sha256("\n".join(sorted(map(repr, rows))).encode()).hexdigest()


def tables(data: Path) -> dict[str, str]:
    """A hash per table of the repository, the CDM and the key map; times of day left out."""
    found = {}
    with sqlite3.connect(data / "repository.db") as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            columns = [row[1] for row in db.execute(f'PRAGMA table_info("{name}")') if row[1] not in CLOCK]
            listed = ", ".join(f'"{c}"' for c in columns)
            found[f"fhir.{name}"] = digest(db.execute(f'SELECT {listed} FROM "{name}"').fetchall())
    for file in (data / "cdm" / "cdm.duckdb", *sorted((data / "projector").glob("keys*"))):
        with duckdb.connect(str(file), read_only=True) as cdm:
            names = cdm.execute(
                "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
            ).fetchall()
            for schema, name in names:
                found[f"{file.stem}.{schema}.{name}"] = digest(
                    cdm.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()
                )
    return found
