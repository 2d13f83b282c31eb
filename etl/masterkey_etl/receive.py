"""Receive: keep the original bytes, compressed and encrypted under a key of that submission.

A kept file is `MK1\\n`, one line of JSON (how to open it, no secrets in clear), then AES-256-GCM chunks over a
gzip stream. Each chunk's nonce is a random prefix, its number and a last-chunk mark, and the header is
authenticated with it: chunks can't be reordered, dropped or cut off (the STREAM construction,
https://eprint.iacr.org/2015/189). Memory is one chunk, whatever the size of the file.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from masterkey_etl.files import TEMPORARY, WorkspaceError, read_issue, replacing, sync_folder, write_issue
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place, issue

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"MK1\n"
CHUNK = 1 << 20
_TAG = 16


@dataclass(frozen=True)
class Delivery:
    """Bytes as a site sent them, kept. `is_repeat`: equal to the site's latest submission of that name."""

    site: str
    submission_name: str
    sha256: str
    size: int
    kept: Path
    is_repeat: bool
    keys: SiteKeys = field(repr=False)
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        """Stream the original bytes. Raises WorkspaceError (etl.kept-damaged) when they were altered."""
        return open_kept(self.kept, self.keys)

    def pseudonym(self, *key: str) -> str:
        """The name of a source record in Issues and logs: a keyed hash, never its identifier."""
        return self.keys.digest("record", *key)


def receive(
    workspace: Workspace,
    site: str,
    path: Path | str,
    *,
    latest_sha256: str | None = None,
    name: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Delivery:
    """Keep the bytes of `path` for `site`, whole or not at all; `latest_sha256` is that of the site's latest
    submission of the same name (so A, B, A are three submissions).

    Raises WorkspaceError: etl.site-unknown, etl.unreadable, etl.unwritable, etl.disk-full.
    """
    workspace.site(site)
    source = Path(path)
    place = Place(site, name or source.name)
    keys = workspace.keys(site)
    try:
        with source.open("rb") as stream:
            before = os.fstat(stream.fileno())
            watch = _size_watch(before, place, progress)
            delivery = keep(workspace, keys, stream, place.file, latest_sha256, watch)
            after = os.fstat(stream.fileno())
    except OSError as error:
        raise WorkspaceError(read_issue(error, source, place)) from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise WorkspaceError(issue("etl.file-changing", place))
    return delivery


def kept_delivery(workspace: Workspace, site: str, name: str, sha256: str, size: int) -> Delivery:
    """A delivery that was received before, from its kept bytes."""
    kept = workspace.root / "kept" / site / f"{sha256}.mk"
    return Delivery(site, name, sha256, size, kept, True, workspace.keys(site), workspace.scratch)


def _size_watch(before: os.stat_result, place: Place, progress: Callable[[int], None] | None) -> Callable[[int], None]:
    """Progress that ends the reading of a file which grows meanwhile."""

    def watch(size: int) -> None:
        if stat.S_ISREG(before.st_mode) and size > before.st_size:
            raise WorkspaceError(issue("etl.file-changing", place))
        if progress is not None:
            progress(size)

    return watch


def keep(
    workspace: Workspace,
    keys: SiteKeys,
    stream: BinaryIO,
    name: str,
    latest_sha256: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Delivery:
    """Like `receive`, from an open stream (a request body)."""
    folder = workspace.root / "kept" / keys.site
    _make_folder(folder)
    staged = folder / f"incoming-{secrets.token_hex(8)}{TEMPORARY}"
    digest, size = hashlib.sha256(), 0
    try:
        with replacing(staged) as out, _Sealed(out, keys.current("kept")) as sealed:
            while chunk := _read(stream, Place(keys.site, name)):
                digest.update(chunk)
                size += len(chunk)
                sealed.write(chunk)
                if progress is not None:
                    progress(size)
        kept = folder / f"{digest.hexdigest()}.mk"
        _rename(staged, kept)  # also over one of the same bytes: a damaged one is mended by sending it again
    finally:
        staged.unlink(missing_ok=True)
    sha = digest.hexdigest()
    return Delivery(keys.site, name, sha, size, kept, sha == latest_sha256, keys, workspace.scratch)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise WorkspaceError(write_issue(error, folder)) from None


def _read(stream: BinaryIO, place: Place) -> bytes:
    try:
        return stream.read(CHUNK)
    except OSError as error:
        raise WorkspaceError(read_issue(error, Path(place.file), place)) from None


def _rename(source: Path, target: Path) -> None:
    source.replace(target)
    sync_folder(target.parent)


class _Sealed:
    """Compress and encrypt what is written."""

    def __init__(self, out: BinaryIO, key: Key) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        data_key = secrets.token_bytes(32)
        wrap_nonce, prefix = secrets.token_bytes(12), secrets.token_bytes(7)
        wrapped = AESGCM(key.secret).encrypt(wrap_nonce, data_key, MAGIC)
        header = {
            "key": key.version,
            "nonce": _b64(wrap_nonce),
            "wrapped": _b64(wrapped),
            "prefix": _b64(prefix),
        }
        self._header = MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n"
        self._aead, self._prefix, self._number = AESGCM(data_key), prefix, 0
        self._out, self._plain = out, bytearray()
        out.write(self._header)
        self._gzip = gzip.GzipFile(fileobj=_Sink(self._add), mode="wb", compresslevel=6, mtime=0)

    def __enter__(self) -> _Sealed:
        return self

    def write(self, data: bytes) -> None:
        self._gzip.write(data)

    def __exit__(self, kind: object, *_: object) -> None:
        self._gzip.close()
        if kind is None:
            self._emit(bytes(self._plain), last=True)

    def _add(self, data: bytes) -> None:
        self._plain += data
        while len(self._plain) > CHUNK:
            self._emit(bytes(self._plain[:CHUNK]), last=False)
            del self._plain[:CHUNK]

    def _emit(self, chunk: bytes, *, last: bool) -> None:
        nonce = _nonce(self._prefix, self._number, last)
        self._out.write(self._aead.encrypt(nonce, chunk, self._header))
        self._number += 1


class _Sink(io.RawIOBase):
    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        chunk = bytes(data)  # type: ignore[call-overload]
        self._take(chunk)
        return len(chunk)


def open_kept(path: Path, keys: SiteKeys) -> BinaryIO:
    """Stream the original bytes of a kept file. Raises WorkspaceError (etl.unreadable, etl.key-missing,
    etl.kept-damaged: at once or while reading)."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise WorkspaceError(read_issue(error, path, Place(keys.site, path.name))) from None
    raw: BinaryIO = io.BufferedReader(_Opened(stream, path, keys), CHUNK)
    return io.BufferedReader(_Whole(raw, path, keys.site), CHUNK)


class _Opened(io.RawIOBase):
    """Decrypt chunk by chunk."""

    def __init__(self, stream: BinaryIO, path: Path, keys: SiteKeys) -> None:
        self._stream, self._place = stream, Place(keys.site, path.name)
        self._header, self._aead, self._prefix = _open_header(stream, keys, self._place)
        self._chunks = self._decrypted()
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        if not self._left:
            self._left = next(self._chunks, b"")
        n = min(len(view), len(self._left))
        view[:n] = self._left[:n]
        self._left = self._left[n:]
        return n

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _decrypted(self) -> Iterator[bytes]:
        from cryptography.exceptions import InvalidTag

        number, chunk = 0, self._stream.read(CHUNK + _TAG)
        while True:
            following = self._stream.read(CHUNK + _TAG)
            try:
                yield self._aead.decrypt(_nonce(self._prefix, number, not following), chunk, self._header)
            except InvalidTag:
                raise WorkspaceError(issue("etl.kept-damaged", self._place)) from None
            if not following:
                return
            number, chunk = number + 1, following


class _Whole(io.RawIOBase):
    """The unpacked bytes; a damaged gzip stream is an Issue too."""

    def __init__(self, packed: BinaryIO, path: Path, site: str) -> None:
        self._packed, self._place = packed, Place(site, path.name)
        self._unpacked = gzip.GzipFile(fileobj=packed, mode="rb")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer)  # type: ignore[arg-type]
        try:
            data = self._unpacked.read(len(view))
        except (OSError, EOFError):
            raise WorkspaceError(issue("etl.kept-damaged", self._place)) from None
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._unpacked.close()
        self._packed.close()
        super().close()


def _open_header(stream: BinaryIO, keys: SiteKeys, place: Place) -> tuple[bytes, AESGCM, bytes]:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    magic, line = stream.read(len(MAGIC)), stream.readline(4096)
    try:
        if magic != MAGIC:
            raise ValueError
        header = json.loads(line)
        nonce, wrapped, prefix = (base64.b64decode(header[k]) for k in ("nonce", "wrapped", "prefix"))
        key = keys.version("kept", int(header["key"]))
        data_key = AESGCM(key.secret).decrypt(nonce, wrapped, MAGIC)
    except (ValueError, KeyError, TypeError, InvalidTag):
        raise WorkspaceError(issue("etl.kept-damaged", place)) from None
    return magic + line, AESGCM(data_key), prefix


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes((last,))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
