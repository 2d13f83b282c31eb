"""Each pair of pairs.txt: OHDSI-SQL and the rows SQL Server gives, by execution in DuckDB and in
PostgreSQL."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from masterkey_omop.ohdsi_sql import run, statements

sys.path.insert(0, str(Path(__file__).parents[2]))
import support_postgres

FOLDER = Path(__file__).parent
TABLE = """CREATE TABLE t (id INTEGER, grp VARCHAR(5), n INTEGER, m INTEGER, x DOUBLE PRECISION, txt
VARCHAR(10),
           start_date DATE, start_datetime TIMESTAMP)"""
ROWS = """INSERT INTO t VALUES (1, 'a', 7, 2, 7.5, '5', DATE '2020-01-31', TIMESTAMP '2020-01-31 10:00:00'),
          (2, 'a', -7, 2, 2.5, 'abc', DATE '2019-06-15', TIMESTAMP '2019-06-15 00:00:00'),
          (3, 'b', 0, NULL, NULL, NULL, NULL, NULL)"""


def pairs(engine: str) -> Iterator[Any]:
    """(sql, expected) of each pair for one engine; some pairs are for DuckDB alone (PostgreSQL has no
    TRY_CAST)."""
    sql: list[str] = []
    expected: dict[str, str] = {}
    for line in [*(FOLDER / "pairs.txt").read_text().splitlines(), ""]:
        answer = re.match(r"(duckdb |postgres |)(\[\[.*|\[\]|count \d+)$", line)
        if answer:
            expected[answer[1].strip() or "both"] = answer[2]
        else:
            if expected:
                if answer_here := expected.get("both") or expected.get(engine):
                    yield pytest.param("\n".join(sql), answer_here, id=sql[-1][:70])
                sql, expected = [], {}
            if line and not line.startswith("#"):
                sql.append(line)


def plain(value: Any) -> Any:
    """A value as the pairs write it."""
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, (Decimal, float)) else value


def check(rows: list[tuple[Any, ...]], expected: str) -> None:
    if expected.startswith("count "):
        assert len(rows) == int(expected.removeprefix("count "))
        return
    wanted = json.loads(expected)
    found = [[plain(v) for v in row] for row in rows]
    assert len(found) == len(wanted), found
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-9) if _numeric(one) else one == other


def _numeric(row: list[Any]) -> bool:
    return all(isinstance(v, (int, float)) for v in row)


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    connection = duckdb.connect()
    connection.execute(TABLE)
    connection.execute(ROWS)
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def postgres() -> Iterator[Any]:
    psycopg = pytest.importorskip("psycopg")
    try:
        with support_postgres.cluster() as where, psycopg.connect(where, autocommit=True) as connection:
            connection.execute(TABLE)
            connection.execute(ROWS)
            yield connection
    except support_postgres.UnavailableError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize(("sql", "answer"), list(pairs("duckdb")))
def test_duckdb(duck: duckdb.DuckDBPyConnection, sql: str, answer: str) -> None:
    check(run(sql, duck).rows, answer)


@pytest.mark.postgres
@pytest.mark.parametrize(("sql", "answer"), list(pairs("postgres")))
def test_postgres(postgres: Any, sql: str, answer: str) -> None:
    rows: list[tuple[Any, ...]] = []
    for statement in statements(sql, "postgres"):
        cursor = postgres.execute(statement.sql)
        if statement.returns_rows:
            rows = cursor.fetchall()
    check(rows, answer)
