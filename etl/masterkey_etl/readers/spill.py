"""Rows that don't fit in memory: one unlinked scratch file, encrypted under a key of this process alone."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path

import orjson

from masterkey_etl.files import WorkspaceError, write_issue
from masterkey_etl.readers.collapse import CleanRow

PARTS = 256
_BUFFER = 1 << 16


class Spill:
    """Rows by part (equal keys go to the same part), read back part by part in the order written."""

    def __init__(self, folder: Path | None) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._folder = folder
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  unlinked at once; closed in `parts`
        except OSError as error:
            raise WorkspaceError(write_issue(error, (folder or Path(tempfile.gettempdir())) / "rows")) from None
        self._aead = AESGCM(secrets.token_bytes(32))
        self._buffers = [bytearray() for _ in range(PARTS)]
        self._chunks: list[list[tuple[int, int, bytes]]] = [[] for _ in range(PARTS)]

    def add(self, key_hash: int, row: CleanRow) -> None:
        part = key_hash % PARTS
        buffer = self._buffers[part]
        buffer += orjson.dumps(row) + b"\n"
        if len(buffer) > _BUFFER:
            self._flush(part)

    def parts(self) -> Iterator[list[CleanRow]]:
        """Each part's rows; the scratch file is gone afterwards."""
        with self._file:
            for part in range(PARTS):
                self._flush(part)
                data = b"".join(self._read(chunk) for chunk in self._chunks[part])
                yield [_row(line) for line in data.splitlines()]

    def _flush(self, part: int) -> None:
        buffer = self._buffers[part]
        if not buffer:
            return
        nonce = secrets.token_bytes(12)
        sealed = self._aead.encrypt(nonce, bytes(buffer), None)
        buffer.clear()
        try:
            at = self._file.seek(0, 2)
            self._file.write(sealed)
        except OSError as error:
            raise WorkspaceError(write_issue(error, (self._folder or Path("scratch")) / "rows")) from None
        self._chunks[part].append((at, len(sealed), nonce))

    def _read(self, chunk: tuple[int, int, bytes]) -> bytes:
        at, size, nonce = chunk
        self._file.seek(at)
        return self._aead.decrypt(nonce, self._file.read(size), None)


def _row(line: bytes) -> CleanRow:
    number, values, filled = orjson.loads(line)
    return number, tuple(values), tuple(filled)
