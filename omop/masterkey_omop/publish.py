"""The published CDM: readers keep what they opened, and a new generation appears by one atomic rename.

    cdm/cdm.duckdb     what readers open (the current generation)
    cdm/.spare.duckdb  the generation before it; the next one is built in it when nobody reads it
    cdm/.build.duckdb  the one being built, private to the projector

A DuckDB file is locked per process, so a projector that wrote into the published file would fail while a
notebook reads it, and the reverse. Here the projector only ever writes into a file that no reader opens.
Killed at any point the published generation is whole: `.build` is thrown away by the next run, and a
`.spare` that is still the published file (killed between link and rename) is only unlinked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from masterkey_fhir.issue import MasterkeyError, Place, issue
from masterkey_omop import schema
from masterkey_omop.data import folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

STORAGE = "v1.2.0"  # DuckDB 1.2 and later open it; a file of 2.x's own version they refuse
SIDE = "masterkey"  # the schema of what the CDM has no place for
Progress = Callable[[str], None]
MEMORY = "700MB"  # of DuckDB while it builds; beyond it spills beside the file


class PublishError(MasterkeyError):
    """The CDM can't be built, published or opened: disk, permissions, or a key that does not hold."""


class Build:
    """A generation being built: `connection` with the new file attached as catalog `cdm`, made current."""

    def __init__(self, connection: DuckDBPyConnection, file: Path) -> None:
        self.connection = connection
        self.file = file

    @property
    def high_water(self) -> int:
        """The last outbox sequence number that these rows contain; 0 in an empty CDM."""
        return int(self.state("high_water") or 0)

    def state(self, name: str) -> str:
        """A fact about this generation ("" = not stated)."""
        rows = self.connection.execute(f"SELECT value FROM cdm.{SIDE}.state WHERE name = ?", [name]).fetchall()
        return str(rows[0][0]) if rows else ""

    def set_state(self, **facts: object) -> None:
        """State facts about this generation, among them `high_water`."""
        for name, value in facts.items():
            self.connection.execute(f"DELETE FROM cdm.{SIDE}.state WHERE name = ?", [name])
            self.connection.execute(f"INSERT INTO cdm.{SIDE}.state VALUES (?, ?)", [name, str(value)])


class CdmStore:
    """The folder `cdm/` of a workspace."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.published = self.folder / "cdm.duckdb"
        self._spare = self.folder / ".spare.duckdb"
        self._build = self.folder / ".build.duckdb"

    def cdm_path(self) -> Path:
        """The current generation. Raises PublishError when nothing has been published."""
        if not self.published.is_file():
            raise PublishError(issue("omop.cdm-missing", Place(file=self.published.name)))
        return self.published

    def connect(self) -> DuckDBPyConnection:
        """A connection to the current generation, attached read-only as `cdm` and made current.

        It keeps that generation while it is open. Tables are found unqualified; temporary ones may be made.
        An instance of its own per call: `duckdb.connect(path)` would share an older generation's with
        whoever holds one in this process. The flock says "in use" to the projector even when DuckDB's own
        lock was lost (POSIX drops a process's locks on a file when it closes any descriptor of it).
        """
        import duckdb

        path = self.cdm_path()
        held = _held(path)
        try:
            connection = _attach(path, " (READ_ONLY)").connection
        except duckdb.Error as error:
            os.close(held)
            raise PublishError(issue("omop.cdm-unreadable", Place(file=self.published.name))) from error
        weakref.finalize(connection, os.close, held)
        return connection

    def high_water(self) -> int:
        """The published high-water mark of the outbox; 0 when nothing has been published."""
        return int(self.state().get("high_water", 0))

    def state(self) -> dict[str, str]:
        """The facts that the published generation states about itself; empty when there is none."""
        if not self.published.is_file():
            return {}
        with contextlib.closing(self.connect()) as connection:
            return dict(connection.execute(f"SELECT name, value FROM {SIDE}.state").fetchall())

    @contextmanager
    def building(
        self, *, empty: bool | Callable[[], bool] = False, lag: int | None = None, progress: Progress = lambda _: None
    ) -> Iterator[Build]:
        """Build the next generation; leaving the block without an exception publishes it.

        `empty` starts from nothing (a function is asked when the lease is held). `lag` is how far the
        spare may be behind the published mark to be
        caught up rather than replaced by a copy of the published file (None = always copy). One build at
        a time per folder: a second one waits, and says so. Raises PublishError when the disk refuses.
        """
        with _disk(self.published.name), self._lease(progress):
            build = self._open(empty() if callable(empty) else empty, lag)
            try:
                yield build
                _check_keys(build)
                build.connection.execute("CHECKPOINT cdm")
            except BaseException:
                build.connection.close()
                _discard(self._build)
                raise
            build.connection.close()
            self._publish()

    @contextmanager
    def _lease(self, progress: Progress) -> Iterator[None]:
        """One projector per folder; the lock goes with the process, however it ends."""
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lease").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                progress("waiting for another projection to end")
                fcntl.flock(stream, fcntl.LOCK_EX)
            yield

    def _open(self, empty: bool, lag: int | None) -> Build:
        _discard(self._build)
        if self._spare.exists() and self.published.exists() and self._spare.samefile(self.published):
            self._spare.unlink()  # killed between link and rename: it is the published file itself
        if empty or not self.published.exists():
            return self._create()
        return self._catch_up(lag) or self._copy()

    def _create(self) -> Build:
        build = _attach(self._build, f" (STORAGE_VERSION '{STORAGE}')")
        for statement in schema.ddl("duckdb"):
            build.connection.execute(statement)
        build.connection.execute(f"CREATE SCHEMA {SIDE}")
        build.connection.execute(f"CREATE TABLE {SIDE}.state (name VARCHAR NOT NULL, value VARCHAR NOT NULL)")
        for statement in [*schema.ddl("duckdb", schema=SIDE, version="side"), *side_views()]:
            build.connection.execute(statement)
        return build

    def _copy(self) -> Build:
        shutil.copyfile(self.published, self._build)
        return _attach(self._build)

    def _catch_up(self, lag: int | None) -> Build | None:
        """The spare as the new build, when nobody reads it and it is not too far behind."""
        import duckdb

        if lag is None or not self._spare.exists() or _in_use(self._spare):
            return None
        self._spare.rename(self._build)
        try:
            build = _attach(self._build)
        except duckdb.Error:  # a reader in another process still holds it: it keeps the file, we forget the name
            _discard(self._build)
            return None
        if self.high_water() - build.high_water <= lag:
            return build
        build.connection.close()
        _discard(self._build)
        return None

    def _publish(self) -> None:
        _sync(self._build)
        if self.published.exists():
            aside = self.folder / ".spare.link"
            aside.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # no hard links here: there is no spare, the next build copies
                os.link(self.published, aside)
                aside.replace(self._spare)
        self._build.replace(self.published)
        _sync(self.folder)


def side_views() -> list[str]:
    """The views beside the CDM (`omop/spec/side/views.sql`), one statement each."""
    text = (folder("spec") / "side" / "views.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [s.strip() for s in "\n".join(lines).split(";") if s.strip()]


def _attach(file: Path, options: str = "") -> Build:
    import duckdb

    connection = duckdb.connect(config={"memory_limit": MEMORY, "temp_directory": str(file.parent / ".spill")})
    try:
        connection.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS cdm{options}")
        connection.execute("USE cdm")
    except duckdb.Error:
        connection.close()
        raise
    return Build(connection, file)


def _check_keys(build: Build) -> None:
    """Primary and foreign keys inside the CDM, set-wise: what does not hold is never published."""
    for table in schema.tables().values():
        for what, sql in schema.key_violations(table):
            found = int(build.connection.execute(sql).fetchall()[0][0])
            if found:
                raise PublishError(issue("omop.key-violated", Place(file=table.name), what=what, rows=found))


def _held(file: Path) -> int:
    """A descriptor with a shared lock on `file`, kept as long as somebody reads it."""
    import fcntl

    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _in_use(file: Path) -> bool:
    """Does a `connect()` of any process, or anything in this process, read `file`?"""
    import fcntl

    with file.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return _open_here(file)


def _open_here(file: Path) -> bool:
    """Does this very process hold `file` open? DuckDB's lock does not protect a process from itself."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        return True  # can't know: a copy is always right
    wanted = file.stat()
    for entry in descriptors.iterdir():
        with contextlib.suppress(OSError):
            found = entry.stat()
            if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                return True
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(file: Path) -> None:
    for path in (file, file.with_name(file.name + ".wal")):
        path.unlink(missing_ok=True)


_REFUSED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


@contextmanager
def _disk(name: str) -> Iterator[None]:
    """What the disk refuses becomes an Issue; DuckDB tells it in the text of an IOException."""
    import duckdb

    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise PublishError(issue("omop.disk", Place(file=name), reason=os.strerror(error.errno or 0))) from error
    except duckdb.Error as error:  # a failed commit is a TransactionException, a failed write an IOException
        reason = next((os.strerror(e) for e in _REFUSED if os.strerror(e) in str(error)), "")
        if not reason:
            raise
        raise PublishError(issue("omop.disk", Place(file=name), reason=reason)) from error
