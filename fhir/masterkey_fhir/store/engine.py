"""The doorway to the database: connect, keep the schema current, say in Issues what can't be done."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from masterkey_fhir.issue import Place, issue
from masterkey_fhir.store.model import StoreError
from masterkey_fhir.store.schema import HEAD, KNOWN

OnWait = Callable[[str, float], None]
WAIT = 60.0  # seconds a writer waits for another one


def connect(url_or_path: str | Path) -> Engine:
    """An Engine for a database URL or the path of an SQLite file, whose folder must exist."""
    text = str(url_or_path)
    engine = create_engine(text if "://" in text else f"sqlite:///{text}")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(dbapi: Any, _record: Any) -> None:
    """WAL so that readers never wait, FULL so that what was acknowledged is on the disk."""
    dbapi.isolation_level = None  # transactions begin where we say, not where the driver guesses
    for pragma in (
        "busy_timeout=10000",  # another process may be making or recovering the file at this moment
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "cache_size=-65536",
        "journal_size_limit=67108864",  # what a large load leaves in the log is given back
        "busy_timeout=50",  # from here on the lease waits, and is seen to wait
    ):
        dbapi.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    writing = connection.get_execution_options().get("masterkey_writing")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


# --- one writer at a time -------------------------------------------------------------------------------


class Lease:
    """The right to write: at most one holder per database, over threads and processes.

    The lock is the database's own and dies with its process; who holds it is told by a small file beside
    an SQLite database, written by holders that name themselves (a load; not the short writes of a server).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._threads = threading.Lock()
        self._file = _lease_file(engine)

    @contextmanager
    def writing(self, holder: str, on_wait: OnWait | None, wait: float) -> Iterator[Connection]:
        """A connection inside a write transaction: committed at the end, rolled back on any exception."""
        patience = _Patience(self.holder, on_wait, wait)
        while not self._threads.acquire(timeout=patience.pause()):
            patience.waited()
        try:
            with self._engine.connect() as connection:
                self._begin(connection, patience)
                with self._named(holder):
                    yield connection
                    connection.commit()
        finally:
            self._threads.release()

    def holder(self) -> str:
        """What the holder said of itself, else a general word."""
        try:
            return str(json.loads(self._file.read_text())["holder"]) if self._file else "another writer"
        except (OSError, ValueError, KeyError):
            return "another writer"

    def _begin(self, connection: Connection, patience: _Patience) -> None:
        writing = connection.execution_options(masterkey_writing=True)
        while not _begun(writing):
            time.sleep(patience.pause())
            patience.waited()

    @contextmanager
    def _named(self, holder: str) -> Iterator[None]:
        if not (holder and self._file):
            yield
            return
        self._file.write_text(json.dumps({"holder": holder, "pid": os.getpid()}))
        try:
            yield
        finally:
            self._file.unlink(missing_ok=True)


def _begun(connection: Connection) -> bool:
    """Begin a write transaction; False when another writer has the database."""
    try:
        connection.begin()
    except OperationalError as error:
        if is_busy(error):
            return False
        raise
    if connection.dialect.name != "postgresql":
        return True
    # There the same is an advisory lock, which ends with the transaction.
    got = bool(connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7105)").scalar())
    if not got:
        connection.rollback()
    return got


class _Patience:
    """Waiting that is seen and bounded: tells `on_wait(holder, seconds)` about once a second."""

    def __init__(self, holder: Callable[[], str], on_wait: OnWait | None, wait: float) -> None:
        self._holder, self._on_wait, self._wait = holder, on_wait, wait
        self._start = time.monotonic()
        self._told = 0.0
        self._pause = 0.001

    def pause(self) -> float:
        """Seconds to sleep now: from 1 ms doubling to 50 ms."""
        self._pause = min(self._pause * 2, 0.05)
        return self._pause

    def waited(self) -> None:
        """Raises StoreError (fhir.store-busy) when the time is over."""
        seconds = time.monotonic() - self._start
        if seconds >= self._wait:
            raise StoreError(issue("fhir.store-busy", holder=self._holder(), seconds=round(seconds)))
        if self._on_wait and seconds >= self._told:
            self._told = seconds + 1
            self._on_wait(self._holder(), seconds)


def _lease_file(engine: Engine) -> Path | None:
    name = engine.url.database
    if engine.dialect.name != "sqlite" or not name or name == ":memory:":
        return None
    return Path(name + ".lease")


# --- the schema -----------------------------------------------------------------------------------------


def upgrade(engine: Engine) -> None:
    """Bring the schema to HEAD. Raises StoreError (fhir.store-newer) when this program is too old for it."""
    if revision(engine) == HEAD:
        return
    with Lease(engine).writing("upgrade of the repository", None, WAIT) as connection:
        if _revision(connection) != HEAD:
            _run_migrations(connection)


def revision(engine: Engine) -> str | None:
    """The migration the database is at, None when it is empty."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    if found is not None and found not in KNOWN:
        raise StoreError(issue("fhir.store-newer", found=str(found), known=HEAD))
    return found


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # imported late: half of what opening costs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "masterkey_fhir.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


# --- what goes wrong ------------------------------------------------------------------------------------


def is_busy(error: DBAPIError) -> bool:
    text = str(error.orig)
    return "database is locked" in text or "database table is locked" in text


_CAUSES = (  # https://www.sqlite.org/rescode.html, by the message that the driver gives
    ("database or disk is full", "fhir.store-full"),
    ("No space left on device", "fhir.store-full"),
    ("readonly database", "fhir.store-unwritable"),
    ("unable to open database file", "fhir.store-unwritable"),
    ("disk I/O error", "fhir.store-unwritable"),
    ("file is not a database", "fhir.store-damaged"),
    ("database disk image is malformed", "fhir.store-damaged"),
    ("database is locked", "fhir.store-busy"),
)


@contextmanager
def database_errors(engine: Engine) -> Iterator[None]:
    """Turns what the database can't do into StoreError; other errors of ours pass unchanged."""
    try:
        yield
    except DatabaseError as error:
        raise _as_issue(engine, error) from None


def _as_issue(engine: Engine, error: DatabaseError) -> StoreError:
    text = str(error.orig)
    rule = next((r for words, r in _CAUSES if words in text), None)
    if rule is None and not isinstance(error, OperationalError):
        raise error
    place = Place(file=Path(engine.url.database or "").name)
    facts: dict[str, Any] = {"holder": "another writer", "seconds": 0} if rule == "fhir.store-busy" else {}
    return StoreError(issue(rule or "fhir.store-unavailable", place, **facts))
