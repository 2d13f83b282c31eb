"""Files inside files: gzip, zip members, sheets of a workbook."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

from masterkey_etl.inspect.inspection import Inspection, inspect_source
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.readers.delimited import Readable

MEMBERS = 50
EXPANDED = 200  # times its packed size a member may grow, beyond the first 64 MB


@dataclass(frozen=True)
class Opened:
    """What a way of opening gives, as something that can be read."""

    how: object
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return cast("BinaryIO", self.how())  # type: ignore[operator]

    def pseudonym(self, *key: str) -> str:
        return f"{hash(key) & 0xFFFFFFFFFFFF:012x}"


def contained(source: Readable, name: str, box: Guess, overlay: Path | None, rows: int) -> list[Inspection]:
    """The container itself, then what could be opened in it."""
    whole = Inspection(name, box, Guess(box.what, box.confidence, box.evidence))
    opener = {"gzip": _gzip, "zip": _zip, "xlsx": _sheets, "xls": _sheets}[box.what]
    try:
        return [whole, *opener(source, name, whole, overlay, rows)]
    except (OSError, EOFError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        whole.notes.append("it can't be opened: cut off, damaged or under a password")
        return [whole]


def _gzip(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    inner = Opened(lambda: _gunzip(source))
    yield from inspect_source(inner, f"{name}!{name.removesuffix('.gz')}", overlay=overlay, rows=rows)


def _zip(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    with source.open() as stream, zipfile.ZipFile(stream) as archive:
        members = [m for m in archive.infolist() if not m.is_dir()]
    whole.members = [f"{m.filename} ({m.file_size:,} bytes)" for m in members[:MEMBERS]]
    for m in members[:MEMBERS]:
        if m.file_size > max(64 << 20, EXPANDED * m.compress_size):
            whole.notes.append(f"{m.filename} grows {m.file_size // max(1, m.compress_size)} times: not opened")
        else:
            inner = Opened(lambda m=m: _member(source, m))
            yield from inspect_source(inner, f"{name}!{m.filename}", overlay=overlay, rows=rows)


def _gunzip(source: Readable) -> BinaryIO:
    packed = source.open()
    return _Owning(gzip.GzipFile(fileobj=packed), packed)


def _member(source: Readable, member: zipfile.ZipInfo) -> BinaryIO:
    packed = source.open()
    archive = zipfile.ZipFile(packed)
    return _Owning(archive.open(member), archive, packed)


class _Owning(io.BufferedReader):
    """A stream that closes what it was opened from."""

    def __init__(self, stream: Any, *owners: Any) -> None:
        super().__init__(stream)
        self._owners = owners

    def close(self) -> None:
        super().close()
        for owner in self._owners:
            owner.close()


def _sheets(source: Readable, name: str, whole: Inspection, overlay: Path | None, rows: int) -> Iterator[Inspection]:
    whole.notes.append("a workbook: its sheets can't be read here")
    return iter(())
