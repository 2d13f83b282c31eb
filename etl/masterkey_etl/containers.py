"""Containers: .zip and .gz are opened at load; each member is a delivery of its own, `<container>!<member>`.

What a file is, its first bytes say: a workbook is a zip too, and no container, but the registry's own (one delivery
for each of its sheets). One container inside another is opened, a third one is not. Nothing is written in clear:
members stream into the encrypted store. What can't be trusted is an Issue, and the other members arrive: names that
lead out, passwords, bombs (limits.UNPACKED, RATIO).
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from masterkey_etl.files import WorkspaceError, read_issue
from masterkey_etl.readers.delimited import LocalFile
from masterkey_etl.readers.recognise import is_office
from masterkey_etl.readers.sheet_book import book_form
from masterkey_etl.readers.sheet_scratch import seekable
from masterkey_etl.readers.sheet_tables import parts_of
from masterkey_etl.readers.sheet_zip import ENCRYPTED, Bounded, Budget, ContainerError, open_member, open_zip
from masterkey_etl.templates_out import sheets
from masterkey_fhir.issue import Issue, Place, issue

GZIP = b"\x1f\x8b"  # RFC 1952 2.3.1
ZIP = (b"PK\x03\x04", b"PK\x05\x06")  # APPNOTE.TXT 4.3.7, 4.3.16 (an empty one)
_HEAD = 4096
_UTF8_NAME = 0x800  # general purpose bit 11, APPNOTE.TXT 4.4.4
_OUT = re.compile(r"/|[A-Za-z]:|.*(?:^|/)\.\.(?:/|$)", re.DOTALL)
_NO_DATA = (  # what programs leave in archives; (pattern of the name, what it is)
    (re.compile(r"(?:.*/)?__MACOSX/.*", re.DOTALL), "Mac resource forks"),
    (re.compile(r"(?:.*/)?\.DS_Store"), "Mac folder settings"),
    (re.compile(r"(?:.*/)?(?:thumbs\.db|desktop\.ini)", re.IGNORECASE), "Windows folder settings"),
    (re.compile(r"(?:.*/)?~\$[^/]*"), "lock files of an office program"),
    (re.compile(r"(?:.*/)?\.[^/]+"), "hidden files"),
)
_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
Tell = Callable[[Issue], None]


@dataclass(frozen=True)
class Member:
    """One file of a container. `name` is that of its delivery; `open` streams its bytes, once."""

    name: str
    open: Callable[[], BinaryIO]


def no_file(path: Path, place: Place) -> Issue | None:
    """The Issue of a path that would block or has no end: a pipe, a socket, a device."""
    mode = path.stat().st_mode
    what = next((said for is_it, said in _KINDS if is_it(mode)), "")
    return issue("etl.not-a-file", place, what=what) if what else None


def members(
    path: Path, site: str, scratch: Path | None, tell: Tell, overlay: Path | None = None
) -> Iterator[Member | None]:
    """The members of a container, while it is open; None alone for any other file.

    A workbook with tables of several formats is one delivery for each, `<workbook>!<format>`, of the same bytes.

    What is wrong with a single member goes to `tell`. Raises ContainerError for the container itself, WorkspaceError
    (etl.unreadable).
    """
    place = Place(site, path.name)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise WorkspaceError(read_issue(error, path, place)) from None
    with stream:
        head = stream.read(_HEAD)
        stream.seek(0)
        parts, _ = sheets.split(stream, head, scratch)
        if parts is not None:
            yield from _sheets(path.name, parts, lambda: tell(issue("etl.container-empty", place)))
            return
        if not is_container(head):
            yield from _whole_or_parts(path, head, scratch, overlay)
            return
        budget = Budget(place)
        yield from _Opened(place, scratch, tell, budget).inside(path.name, stream, head, depth=1)


def _whole_or_parts(path: Path, head: bytes, scratch: Path | None, overlay: Path | None) -> Iterator[Member | None]:
    parts: list[str] = []
    if book_form(head):
        with suppress(ContainerError):  # told when it is read
            parts = parts_of(LocalFile(path, scratch), overlay)
    for name in parts:
        yield Member(f"{path.name}!{name}", lambda: path.open("rb"))
    if not parts:
        yield None


def is_container(head: bytes) -> bool:
    """By its first bytes: a gzip, or a zip that is no workbook or document."""
    return head.startswith(GZIP) or (head.startswith(ZIP) and not is_office(head))


@dataclass
class _Opened:
    place: Place
    scratch: Path | None
    tell: Tell
    budget: Budget

    def inside(self, name: str, stream: BinaryIO, head: bytes, depth: int) -> Iterator[Member]:
        if head.startswith(GZIP):
            yield from self._gzip(name, stream, depth)
            return
        with closing(seekable(stream, self.scratch)) as copy, closing(open_zip(copy, self.place)) as archive:
            found = 0
            for info, inner in self._data(archive, name):
                found += 1
                yield from self._member(archive, info, inner, depth)
        if not found:
            self._say("etl.container-empty", name)

    # -- gzip -----------------------------------------------------------------------------------------

    def _gzip(self, name: str, stream: BinaryIO, depth: int) -> Iterator[Member]:
        """One member, named as the file without its ending."""
        base = name.rpartition("!")[2].rpartition("/")[2]
        inner = f"{name}!{base[:-3] if base.lower().endswith('.gz') else base}"
        self.budget.packed += _size(stream)
        unpacked = io.BufferedReader(Bounded(gzip.GzipFile(fileobj=stream), self.budget), 1 << 18)  # type: ignore[arg-type]
        yield from self._deeper(inner, unpacked, depth)

    # -- zip ------------------------------------------------------------------------------------------

    def _data(self, archive: zipfile.ZipFile, name: str) -> Iterator[tuple[zipfile.ZipInfo, str]]:
        """The members that are data, with the names of their deliveries."""
        skipped: Counter[str] = Counter()
        last = {_name(info): info for info in archive.infolist()}
        for info in archive.infolist():
            inner = _name(info)
            at = f"{name}!{inner}"
            what = "folders" if info.is_dir() else next((w for p, w in _NO_DATA if p.fullmatch(inner)), "")
            if what:
                skipped[what] += not info.is_dir()
            elif rule := _refusal(info, inner):
                self._say(rule, at if rule != "etl.container-name" else name, what="a link")
            elif last[inner] is not info:
                self._say("etl.container-twice", at)
            else:
                yield info, at
        if kinds := +skipped:
            self._say("etl.container-skipped", name, count=kinds.total(), kinds=", ".join(sorted(kinds)))

    def _member(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str, depth: int) -> Iterator[Member]:
        try:
            stream = open_member(archive, info, self.budget)
        except ContainerError as error:
            for found in error.issues:
                self.tell(found.at(file=name))
            return
        yield from self._deeper(name, stream, depth)

    # -- both -----------------------------------------------------------------------------------------

    def _deeper(self, name: str, stream: BinaryIO, depth: int) -> Iterator[Member]:
        """A member; a container among them is opened once."""
        with stream, self._told(name):
            assert isinstance(stream, io.BufferedReader)
            head = stream.peek(_HEAD)[:_HEAD]
            if not is_container(head):
                parts, whole = sheets.split(stream, head, self.scratch)
                if parts is None:
                    yield Member(name, lambda: whole)
                else:
                    yield from _sheets(name, parts, lambda: self._say("etl.container-empty", name))
            elif depth > 1:
                what = "a gzip file" if head.startswith(GZIP) else "a zip file"
                self._say("etl.container-nested", name, what=what)
            else:
                yield from self.inside(name, stream, head, depth + 1)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """What stops a member does not stop the next; a bomb stops all."""
        try:
            yield
        except ContainerError as error:
            if any(i.rule == "etl.container-bomb" for i in error.issues):
                raise
            for found in error.issues:
                self.tell(found.at(file=name))

    def _say(self, rule: str, name: str, **facts: str | int) -> None:
        self.tell(replace(issue(rule, Place(self.place.site, name)), facts=facts))


def _sheets(name: str, parts: sheets.Parts, empty: Callable[[], None]) -> Iterator[Member]:
    """The sheets of a registry workbook."""
    if not parts:
        empty()
    yield from (Member(f"{name}!{part}", partial(io.BytesIO, data)) for part, data in parts)


def _refusal(info: zipfile.ZipInfo, name: str) -> str:
    """Why a member is not opened, from its entry alone."""
    if _OUT.match(name):
        return "etl.container-name"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "etl.not-a-file"
    return "etl.container-encrypted" if info.flag_bits & ENCRYPTED else ""


def _name(info: zipfile.ZipInfo) -> str:
    """The name as it was meant: in old zips of Japanese Windows it is CP932, which zipfile reads as CP437; folders are
    parted by `/` (APPNOTE.TXT 4.4.17), in some by `\\`."""
    name = info.orig_filename.partition("\0")[0]
    if not info.flag_bits & _UTF8_NAME:
        raw = name.encode("cp437", "replace")
        name = next((text for code in ("utf-8", "cp932") if (text := _decoded(raw, code)) is not None), name)
    return name.replace("\\", "/")


def _decoded(raw: bytes, code: str) -> str | None:
    try:
        return raw.decode(code)
    except UnicodeDecodeError:
        return None


def _size(stream: BinaryIO) -> int:
    """Bytes of a packed stream; of one that can't tell, nothing: its bound is that of its container."""
    if not stream.seekable():
        return 0
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return size


__all__ = ["Member", "is_container", "members", "no_file"]
