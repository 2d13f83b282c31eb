"""A real server on a free port, and a client that talks HTTP to it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from masterkey_api.app import create_app
from masterkey_fhir.store import Repository

sys.path.insert(0, str(Path(__file__).parent))
from server_support import running

SITE = "jp_ncch"


@pytest.fixture(scope="session")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with all tables: migrating once is enough for all tests."""
    path = tmp_path_factory.mktemp("template") / "r.db"
    Repository.open(path).close()
    return path


@pytest.fixture
def repository(tmp_path: Path, empty_file: Path) -> Iterator[Repository]:
    shutil.copy(empty_file, tmp_path / "r.db")
    found = Repository.open(tmp_path / "r.db")
    yield found
    found.close()


@pytest.fixture
def serve(repository: Repository) -> Iterator[Callable[..., httpx.Client]]:
    """serve(**options of create_app) -> client; several in one test share the repository."""
    with ExitStack() as stack:

        def start(**options: Any) -> httpx.Client:
            app = create_app(repository, **{"open": True, "site": SITE, **options})
            base = stack.enter_context(running(app))
            return stack.enter_context(httpx.Client(base_url=base, timeout=30))

        yield start


@pytest.fixture
def client(serve: Callable[..., httpx.Client]) -> httpx.Client:
    return serve()
