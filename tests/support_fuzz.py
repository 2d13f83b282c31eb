"""Mutations and the judge of the fuzz: whatever is done to a file, reading ends, balances and keeps silent.

`MASTERKEY_FUZZ` is the number of inputs per reader (default 25; the slow run takes 50 times as many).
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from hypothesis import strategies as st

from masterkey_etl.containers import members
from masterkey_etl.ledger import Ledger, balance
from masterkey_etl.readers import count_values, read_delivery, recognise
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, MasterkeyError, Place

BUDGET = int(os.environ.get("MASTERKEY_FUZZ", "25"))
SECONDS = 10.0  # of CPU for one input
inputs: Counter[str] = Counter()
rules: Counter[str] = Counter()


class HangError(BaseException):
    """Not an Exception, so that nothing on the way takes it for bad input."""


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """End the block after so many seconds of CPU."""

    def stop(*_: object) -> None:
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass
class Memory:
    """A delivery out of memory; `made` gives its bytes piece by piece where it is too large for that."""

    data: bytes = b""
    scratch: Path | None = None
    made: Callable[[], BinaryIO] | None = None

    def open(self) -> BinaryIO:
        return self.made() if self.made else io.BytesIO(self.data)

    def pseudonym(self, *key: str) -> str:
        return f"p{hash(key) & 0xFFFFFF:x}"


@dataclass
class Judge:
    """Reads a delivery as the program would and holds it to what may never happen."""

    planted: frozenset[str]  # identifiers of the seeds: in no message
    issues: list[Issue] = field(default_factory=list)

    def read(
        self, source: Any, model: SourceModel | None, reader: str = "named", seconds: float = SECONDS
    ) -> list[Issue]:
        """The Issues of one delivery; `model`: None where its content decides. Raises AssertionError, HangError."""
        inputs[reader] += 1
        self.issues = []
        with within(seconds):
            try:
                self._read(source, model or recognise(source))
            except MasterkeyError as error:
                self.issues += error.issues
        self.silent()
        rules.update(i.rule for i in self.issues)
        return self.issues

    def _read(self, source: Any, model: SourceModel) -> None:
        ledger = Ledger(model, Place("jp_ncch", "fuzz"))
        reading = read_delivery(source, model, ledger, self.issues.append)
        for _ in reading:
            pass
        ledger.covered(range(len(model.columns)))
        with contextlib.closing(source.open()) as stream:
            counted = count_values(stream, model)
        rows, fatal = ledger.close(counted)
        assert fatal == [], [str(i) for i in fatal]
        assert sum(balance(rows).values()) == counted.values

    def silent(self) -> None:
        """No message, in either language, repeats a planted name or number, or has a placeholder left open."""
        said = "\n".join(f"{i}\n{i.fact('ja')}\n{dict(i.facts)}" for i in self.issues)
        assert not [value for value in self.planted if value in said]

    def container(self, path: Path, reader: str = "containers") -> tuple[list[str], list[Issue]]:
        """The names of the members of a container, every byte of each read."""
        inputs[reader] += 1
        names, self.issues = [], []
        with within(SECONDS):
            try:
                for member in members(path, "jp_ncch", None, self.issues.append):
                    if member is not None:
                        names.append(member.name)
                        with member.open() as stream:
                            while stream.read(1 << 20):
                                pass
            except MasterkeyError as error:
                self.issues += error.issues
        self.silent()
        rules.update(i.rule for i in self.issues)
        return names, self.issues


@dataclass(frozen=True)
class Seeds:
    folder: Path
    planted: frozenset[str]

    def bytes(self, name: str) -> bytes:
        return next(p for p in sorted(self.folder.rglob(name)) if p.is_file()).read_bytes()


# -- mutations ------------------------------------------------------------------------------------------------

PIECES = (
    *(b'"', b",", b"\n", b"\r", b"\0", b"\t", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xed\xa0\x80", b"<", b">", b"&"),
    *(b"{", b"}", b"[", b"]", b":", b"\\u0000", b"\\ud800", b"&#0;", b"<!--", b"]]>", b"<![CDATA[", b"'", b"null"),
    *(b"NA", b"1e999", b"-0", b"NaN", b"1" * 400, "あ".encode("cp932"), "é".encode("latin-1"), b"=1+1", b"\x1a"),
)
FLIP, INSERT, DELETE, TWICE, CUT, HEADER, HUGE = range(7)
Mutation = tuple[int, int, int, int]  # what, where, how much, which piece
mutations = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 2**20), st.integers(1, 64), st.integers(0, 255)), min_size=1, max_size=8
)


def mutated(data: bytes, found: list[Mutation]) -> bytes:
    """`data` with these changes, one after the other."""
    out = bytearray(data)
    for what, where, much, piece in found:
        at = where % (len(out) + 1)
        if what == FLIP and out:
            out[at % len(out)] ^= 1 << (piece % 8)
        elif what == INSERT:
            out[at:at] = PIECES[piece % len(PIECES)]
        elif what == DELETE:
            del out[at : at + much]
        elif what == TWICE:
            out[at:at] = out[at : at + 37 * much]
        elif what == CUT and piece < 60:
            del out[at:]
        elif what == HEADER:
            head = min(len(out), 4000)
            out[at % (head + 1) : at % (head + 1) + piece % 3] = PIECES[much % len(PIECES)]
        elif what == HUGE:
            out[at:at] = bytes([32 + piece % 90]) * (much * 5000)
    return bytes(out)


def rezipped(data: bytes, number: int, change: Callable[[bytes], bytes]) -> bytes:
    """A workbook with one of its parts changed, packed again."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        for name in names:
            part = old.read(name)
            new.writestr(name, change(part) if name == names[number % len(names)] else part)
    return out.getvalue()
