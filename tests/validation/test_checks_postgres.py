"""The same checks on PostgreSQL: equal counts at every site, from the same rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from masterkey_omop import schema
from masterkey_validation import catalogue, run
from masterkey_validation.catalogue import Check

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))
import check_oracle as oracle
import seeded_cdm as cdm
import support_postgres

pytestmark = pytest.mark.postgres
DATA = cdm.seeded()


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    psycopg = pytest.importorskip("psycopg")
    try:
        with support_postgres.cluster() as where, psycopg.connect(where, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA main")
            connection.execute("CREATE SCHEMA masterkey")
            for statement in schema.ddl("postgres", schema="main", keys=False):
                connection.execute(statement)
            for statement in schema.ddl("postgres", schema="masterkey", keys=False, version="side"):
                connection.execute(statement)
            for table, rows in DATA.items():
                _fill(connection, table, rows)
            yield connection
    except support_postgres.UnavailableError as missing:
        pytest.skip(str(missing))


def _fill(connection: Any, table: str, rows: list[cdm.Row]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table if '.' in table else 'main.' + table} FROM STDIN") as copy,
    ):
        for row in cdm.cells(table, rows):
            copy.write_row(row)


@pytest.mark.parametrize("check", catalogue.load(), ids=lambda c: c.id)
def test_counts_on_postgres(server: Any, check: Check) -> None:
    rows = server.execute(run.wrapped(check, run.sited(run.COUNTS, frozenset()), cdm.AS_OF, to="postgres")).fetchall()
    assert {site: (n, int(violated)) for site, n, violated in rows} == oracle.expected(DATA, check.id)
