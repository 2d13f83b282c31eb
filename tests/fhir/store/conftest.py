"""A repository on each database: SQLite always, PostgreSQL where its server is installed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from urllib.parse import urlencode

import pytest

from masterkey_fhir.store import Repository
from masterkey_fhir.store.engine import connect
from masterkey_fhir.store.schema import metadata

sys.path.insert(0, str(Path(__file__).parents[2]))
import support_postgres

NOON = datetime(2026, 11, 25, 3, 0, 0, 123000, UTC)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """A libpq connection string."""
    pytest.importorskip("psycopg")
    try:
        with support_postgres.cluster() as where:
            yield where
    except support_postgres.UnavailableError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables: migrating once is enough for all tests."""
    path = tmp_path_factory.mktemp("template") / "r.db"
    Repository.open(path).close()
    return path


@pytest.fixture(scope="session")
def server_url(cluster: str) -> str:
    """The same on PostgreSQL, one database that each test empties."""
    parts = dict(p.split("=", 1) for p in cluster.split())
    url = f"postgresql+psycopg://{parts['user']}@/{parts['dbname']}?{urlencode({'host': parts['host']})}"
    Repository.open(url).close()
    return url


def _emptied(url: str) -> str:
    engine = connect(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {', '.join(t.name for t in metadata.sorted_tables)}")
    engine.dispose()
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without content."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "r.db")
        return f"sqlite:///{tmp_path / 'r.db'}"
    return _emptied(request.getfixturevalue("server_url"))


@pytest.fixture
def repository(database: str) -> Iterator[Repository]:
    ids = (f"new-{n}" for n in count(1))
    found = Repository.open(database, clock=lambda: NOON, new_id=lambda: next(ids))
    yield found
    found.close()
