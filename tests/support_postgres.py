"""A throw-away PostgreSQL cluster for tests.

`cluster(folder)` is a context manager that yields a libpq connection string; it raises `UnavailableError`
where the server binaries are missing. The server refuses to run as root, so as root it runs as `nobody`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UnavailableError(Exception):
    """This machine has no PostgreSQL server binaries."""


def binaries() -> Path:
    """The folder of initdb and pg_ctl: on the path, or where Debian keeps them."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    raise UnavailableError("no PostgreSQL server binaries (initdb)")


def _run(*command: str) -> None:
    prefix = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@contextmanager
def cluster() -> Iterator[str]:
    """A running server on a socket of its own, gone afterwards. Yields its connection string."""
    folder = binaries()
    root = Path(tempfile.mkdtemp(prefix="mkpg"))
    if os.geteuid() == 0:
        shutil.chown(root, "nobody")
    try:
        _run(
            str(folder / "initdb"),
            "-D",
            f"{root}/data",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
        )
        options = f"-k {root} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        _run(str(folder / "pg_ctl"), "-D", f"{root}/data", "-w", "-l", f"{root}/log", "-o", options, "start")
        try:
            yield f"host={root} user=postgres dbname=postgres"
        finally:
            _run(str(folder / "pg_ctl"), "-D", f"{root}/data", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(root, ignore_errors=True)
