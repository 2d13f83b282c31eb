"""Writing that survives a kill: a temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

TEMPORARY = ".part"


class WorkspaceError(MasterkeyError):
    """The workspace or an input can't be used: absent, unreadable, unwritable, full, newer, in use."""


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that appears at `path` whole or not at all. Raises WorkspaceError when it can't be written."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise WorkspaceError(write_issue(error, path)) from None
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_issue(error: OSError, path: Path) -> Issue:
    """The Issue of a failed write: the disk is full, or the place is not writable."""
    place = Place(file=path.name)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return issue("etl.disk-full", place, folder=str(path.parent))
    return issue("etl.unwritable", place, folder=str(path.parent), problem=_say(error))


def read_issue(error: OSError, path: Path, place: Place) -> Issue:
    """The Issue of an input that can't be read."""
    return issue("etl.unreadable", place, path=path.name, problem=_say(error))


def _say(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
