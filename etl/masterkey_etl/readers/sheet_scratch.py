"""Scratch that nobody else can read: blocks in memory, beyond a bound in an unlinked file, encrypted under a key
of this process alone. On it: a seekable copy of a stream (zip needs one), and a tape of rows.
"""

from __future__ import annotations

import io
import secrets
import tempfile
from pathlib import Path
from typing import BinaryIO

from masterkey_etl.files import WorkspaceError, write_issue
from masterkey_etl.readers import limits

_BLOCK = 1 << 20


class Blocks:
    """Numbered blocks of bytes; beyond `memory` bytes they go to the scratch file."""

    def __init__(self, folder: Path | None, memory: int = limits.SCRATCH_MEMORY) -> None:
        self._folder, self._memory = folder, memory
        self._held: list[bytes | None] = []
        self._sealed: dict[int, tuple[int, int, bytes]] = {}
        self._size = 0
        self._file: BinaryIO | None = None

    def __len__(self) -> int:
        return len(self._held)

    def add(self, data: bytes) -> int:
        """Keep a block; its number. Raises WorkspaceError (etl.disk-full, etl.unwritable)."""
        number = len(self._held)
        if self._size + len(data) <= self._memory:
            self._size += len(data)
            self._held.append(data)
            return number
        try:
            self._sealed[number] = self._write(data)
        except OSError as error:
            folder = self._folder or Path(tempfile.gettempdir())
            raise WorkspaceError(write_issue(error, folder / "scratch")) from None
        self._held.append(None)
        return number

    def get(self, number: int) -> bytes:
        held = self._held[number]
        if held is not None:
            return held
        at, size, nonce = self._sealed[number]
        assert self._file is not None
        self._file.seek(at)
        return self._aead.decrypt(nonce, self._file.read(size), None)

    def close(self) -> None:
        self._held.clear()
        if self._file is not None:
            self._file.close()

    def _write(self, data: bytes) -> tuple[int, int, bytes]:
        if self._file is None:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115  unlinked at once
            self._aead = AESGCM(secrets.token_bytes(32))
        nonce = secrets.token_bytes(12)
        sealed = self._aead.encrypt(nonce, data, None)
        at = self._file.seek(0, io.SEEK_END)
        self._file.write(sealed)
        return at, len(sealed), nonce


class _Copy(io.RawIOBase):
    """A seekable copy of a stream, on Blocks."""

    def __init__(self, stream: BinaryIO, folder: Path | None) -> None:
        self._blocks = Blocks(folder)
        self._size = self._at = 0
        self._last: tuple[int, bytes] = (-1, b"")
        while data := _full(stream, _BLOCK):
            self._blocks.add(data)
            self._size += len(data)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("a place before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if self._at >= self._size:
            return 0
        number, inside = divmod(self._at, _BLOCK)
        if self._last[0] != number:
            self._last = number, self._blocks.get(number)
        data = self._last[1][inside : inside + len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._blocks.close()
        super().close()


def seekable(stream: BinaryIO, folder: Path | None = None) -> BinaryIO:
    """The same bytes with seek(); a stream that can't is copied into scratch and closed by its caller."""
    return stream if stream.seekable() else io.BufferedReader(_Copy(stream, folder), _BLOCK)


def _full(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer only at the end."""
    parts = []
    while size and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)
