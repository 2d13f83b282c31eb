"""Zip files opened with bounds: nothing is unpacked beyond limits.UNPACKED, limits.RATIO, limits.MEMBERS."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import BinaryIO

from masterkey_etl.readers import limits
from masterkey_fhir.issue import MasterkeyError, Place, issue

BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    struct.error,
    OSError,
    NotImplementedError,
    ValueError,
    RuntimeError,
)
_END = b"PK\x05\x06"  # end of central directory, APPNOTE.TXT 4.3.16
_END64 = b"PK\x06\x06"  # zip64 end of central directory, APPNOTE.TXT 4.3.14
ENCRYPTED = 0x1  # general purpose bit 0, APPNOTE.TXT 4.4.4


class ContainerError(MasterkeyError):
    """A zip, a gzip or a workbook can't be opened: damaged, encrypted, a bomb."""


def open_zip(stream: BinaryIO, place: Place, damaged: str = "etl.container-damaged") -> zipfile.ZipFile:
    """The zip in a seekable stream. Raises ContainerError: `damaged`, etl.container-bomb."""
    try:
        if _directory_size(stream) > limits.DIRECTORY:
            raise ContainerError(issue("etl.container-bomb", place, why="its list of members is too long"))
        found = zipfile.ZipFile(stream)
    except BROKEN as error:
        raise ContainerError(issue(damaged, place, problem=_say(error))) from None
    if len(found.filelist) > limits.MEMBERS:
        raise ContainerError(issue("etl.container-bomb", place, why=f"it has more than {limits.MEMBERS:,} members"))
    return found


def _directory_size(stream: BinaryIO) -> int:
    """Bytes of the central directory, as the end of the file states it; zipfile reads no more than that."""
    size = stream.seek(0, io.SEEK_END)
    stream.seek(max(0, size - (1 << 16) - 98))
    tail = stream.read()
    at, at64 = tail.rfind(_END), tail.rfind(_END64)
    stated = struct.unpack_from("<L", tail, at + 12)[0] if 0 <= at <= len(tail) - 16 else 0
    stated64 = struct.unpack_from("<Q", tail, at64 + 40)[0] if 0 <= at64 <= len(tail) - 48 else 0
    return int(max(stated64, 0 if stated == 0xFFFFFFFF else stated))


class Budget:
    """How much a container has unpacked, against what it packed."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.out = self.packed = 0

    def spend(self, size: int) -> None:
        """`size` more bytes came out. Raises ContainerError (etl.container-bomb)."""
        self.out += size
        if self.out > limits.UNPACKED:
            why = f"it unpacks to more than {limits.UNPACKED >> 30} GB"
            raise ContainerError(issue("etl.container-bomb", self.place, why=why))
        if self.out > limits.RATIO_FROM and self.out > limits.RATIO * max(self.packed, 1):
            why = f"it unpacks to more than {limits.RATIO} times its size"
            raise ContainerError(issue("etl.container-bomb", self.place, why=why))


class Bounded(io.RawIOBase):
    """The bytes of one member, within a budget; damage is an Issue."""

    def __init__(self, member: BinaryIO, budget: Budget, damaged: str = "etl.container-damaged") -> None:
        self._member, self._budget, self._damaged = member, budget, damaged

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._member.read(len(view))
        except BROKEN as error:
            raise ContainerError(issue(self._damaged, self._budget.place, problem=_say(error))) from None
        self._budget.spend(len(data))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._member.close()
        super().close()


def open_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget, damaged: str = "etl.container-damaged"
) -> BinaryIO:
    """A member's bytes, streaming. Raises ContainerError: `damaged`, etl.container-encrypted."""
    if info.flag_bits & ENCRYPTED:
        raise ContainerError(issue("etl.container-encrypted", budget.place))
    try:
        member = archive.open(info)
    except BROKEN as error:
        raise ContainerError(issue(damaged, budget.place, problem=_say(error))) from None
    budget.packed += info.compress_size
    return io.BufferedReader(Bounded(member, budget, damaged), 1 << 18)  # type: ignore[arg-type]


def _say(error: Exception) -> str:
    """The kind of damage; the text of an exception may quote the file."""
    if isinstance(error, NotImplementedError):
        return "a way of packing that is not supported"
    return {"BadZipFile": "not a whole zip file", "EOFError": "it ends early"}.get(
        type(error).__name__, "bytes changed"
    )
