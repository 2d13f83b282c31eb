"""CDM keys: (site, table, resource type, FHIR id, slot) -> a small integer, stable for the life of the map.

CDM keys must be 32-bit (R) and say nothing about a person, so they are counted, not hashed. The map is the
projector's private store beside the repository and is backed up with it; each CDM table counts on its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from masterkey_fhir.issue import MasterkeyError, Place, issue

LIMIT = 2**31 - 1  # the largest 32-bit integer
LOCAL_CONCEPTS = 2_000_000_000  # keys of rows and local concepts never meet, but neither passes LIMIT


class Key(NamedTuple):
    """What a CDM row stands for. `slot` tells several rows of one table out of one resource apart."""

    table: str
    type: str
    id: str
    slot: str = ""


class KeyError_(MasterkeyError):  # noqa: N801, N818 (KeyError is Python's)
    """The key map can't be used: it is damaged, or a table has no 32-bit integers left."""


class KeyMap:
    """The key map in one DuckDB file. `allocate` is set-wise; what it returns is durable after `commit`."""

    def __init__(self, path: Path | str | None = None, *, wait: float = 20.0) -> None:
        """Open or create; waits up to `wait` seconds for a process that reads the map (it is locked per process)."""
        import duckdb

        shown = Path(path).name if path else ""
        deadline = time.monotonic() + wait
        while True:
            try:
                self._db = duckdb.connect(str(path) if path else ":memory:")
                break
            except duckdb.Error as error:
                if "lock" not in str(error) or time.monotonic() > deadline:
                    raise KeyError_(issue("omop.keys-unreadable", Place(file=shown))) from error
                time.sleep(0.1)
        self._db.execute(_TABLE)
        self._db.execute("BEGIN")

    def allocate(self, site: str, keys: Iterable[Key]) -> Mapping[Key, int]:
        """The integer of each key; new ones get the next integers of their table, in sorted order.

        Raises KeyError_ when a table is full.
        """
        import pyarrow as pa

        wanted = sorted(set(keys))
        if not wanted:
            return {}
        columns = list(zip(*wanted, strict=True))
        asked = pa.table({name: pa.array(column, pa.string()) for name, column in zip(_PARTS, columns, strict=True)})
        self._db.register("asked", asked)
        self._db.execute(_NEW, [site])
        rows = self._db.execute(_GET, [site]).fetchnumpy()["id"].tolist()
        self._db.unregister("asked")
        if max(rows) > LIMIT:
            raise KeyError_(issue("omop.keys-full", Place(site=site)))
        return dict(zip(wanted, rows, strict=True))

    def find(self, table: str, number: int) -> tuple[str, Key] | None:
        """The (site, key) behind a CDM row, e.g. `find("person", 12)`; None when there is no such row."""
        rows = self._db.execute(
            "SELECT site, table_name, type, fhir_id, slot FROM key WHERE table_name = ? AND id = ?",
            [table, number],
        ).fetchall()
        return (rows[0][0], Key(*rows[0][1:])) if rows else None

    def rows_of(self, site: str, type: str, id: str) -> list[tuple[Key, int]]:
        """Every CDM row that was made from a resource, by table and slot."""
        rows = self._db.execute(
            "SELECT table_name, type, fhir_id, slot, id FROM key "
            "WHERE site = ? AND type = ? AND fhir_id = ? ORDER BY ALL",
            [site, type, id],
        ).fetchall()
        return [(Key(*row[:4]), int(row[4])) for row in rows]

    def commit(self) -> None:
        """Make the allocated keys durable."""
        self._db.execute("COMMIT")
        self._db.execute("BEGIN")

    def close(self) -> None:
        """Forget what was not committed."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_PARTS = ("table_name", "type", "fhir_id", "slot")
_TABLE = """
CREATE TABLE IF NOT EXISTS key (
  site VARCHAR NOT NULL, table_name VARCHAR NOT NULL, type VARCHAR NOT NULL, fhir_id VARCHAR NOT NULL,
  slot VARCHAR NOT NULL, id BIGINT NOT NULL
)"""
_NEW = """
INSERT INTO key
SELECT $1, a.table_name, a.type, a.fhir_id, a.slot,
       coalesce(m.last, 0) + row_number() OVER (PARTITION BY a.table_name ORDER BY a.type, a.fhir_id, a.slot)
FROM asked a
LEFT JOIN (SELECT table_name, max(id) AS last FROM key GROUP BY table_name) m ON m.table_name = a.table_name
ANTI JOIN key k ON k.site = $1 AND k.table_name = a.table_name AND k.type = a.type
  AND k.fhir_id = a.fhir_id AND k.slot = a.slot
"""
_GET = """
SELECT k.id FROM asked a
JOIN key k ON k.site = $1 AND k.table_name = a.table_name AND k.type = a.type
  AND k.fhir_id = a.fhir_id AND k.slot = a.slot
ORDER BY a.table_name, a.type, a.fhir_id, a.slot
"""
