"""Bytes to lines: which encoding a file is really in, and lines of bounded length."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from masterkey_etl.readers import limits

REPLACEMENT = "\ufffd"  # what stands for bytes that can't be decoded
_BLOCK = 1 << 20
_MARKS = (  # longest first: the UTF-32 mark begins with the UTF-16 one
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """The encoding a file is read in. `exact`: every byte decodes; else they become U+FFFD."""

    name: str
    exact: bool


def choose_encoding(opener: Callable[[], BinaryIO], declared: Sequence[str], fits: Callable[[str], bool]) -> Encoding:
    """The first declared encoding that decodes the whole file and whose beginning `fits` (shows the header).

    A byte order mark decides first. When none decodes the whole file: the first one that fits, not exact.
    """
    with opener() as stream:
        start = stream.read(_BLOCK)
    candidates = _candidates(start, declared)
    fitting = [name for name in candidates if fits(start.decode(name, "replace"))]
    for name in fitting or candidates:
        if _decodes(opener, name):
            return Encoding(name, True)
    return Encoding((fitting or candidates)[0], False)


def _candidates(start: bytes, declared: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*marked(start), *declared)))


def marked(start: bytes) -> tuple[str, ...]:
    """The encoding that a byte order mark names, if there is one."""
    return tuple([name for mark, name in _MARKS if start.startswith(mark)][:1])


def _decodes(opener: Callable[[], BinaryIO], name: str) -> bool:
    decoder = codecs.getincrementaldecoder(name)("strict")
    try:
        with opener() as stream:
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", True)
    except UnicodeError:
        return False
    return True


class RunawayError(Exception):
    """More physical lines than one row can have: a quote was left open."""


class Lines(Iterator[str]):
    """The lines of a text, endings kept, for csv.reader: those of the current row stay in `taken`.

    `suspect`: the current row holds a NUL, an undecodable byte or a very long text, has several lines or no end.
    `cut`: a line of it was longer than the limit and its rest was dropped.
    """

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, errors="replace", newline="")
        self._back: list[str] = []
        self.taken: list[str] = []
        self.suspect = self.cut = False

    def close(self) -> None:
        self._text.close()

    @property
    def waiting(self) -> bool:
        """Lines were handed back and are not yet taken."""
        return bool(self._back)

    def block(self) -> list[str]:
        """The next lines, many at once; fewer when one of them is cut, which is then the last."""
        lines: list[str] = []
        read, limit = self._text.readline, limits.LINE
        while len(lines) < limits.BATCH and (line := read(limit)):
            lines.append(line)
            if len(line) >= limit:
                self._skip_line(line)
                break
        return lines

    def hand_back(self, lines: list[str]) -> None:
        """Hand these lines out again, before any other."""
        self._back.extend(reversed(lines))

    def new_row(self) -> None:
        """Forget the lines of the row before."""
        self.taken.clear()
        self.suspect = self.cut = False

    def give_back(self) -> str:
        """Keep the first line of the current row and hand the others out again."""
        first = self.taken[0]
        self.hand_back(self.taken[1:])
        self.taken = [first]
        return first

    def __next__(self) -> str:
        if len(self.taken) >= limits.ROW_LINES:
            raise RunawayError
        line = self._back.pop() if self._back else self._read()
        ended = line[-1] in "\r\n"
        if self.taken or not ended or len(line) > limits.FIELD or "\0" in line or REPLACEMENT in line:
            self.suspect = True
        self.cut |= not ended and len(line) >= limits.LINE
        self.taken.append(line)
        return line

    def _read(self) -> str:
        line = self._text.readline(limits.LINE)
        if not line:
            raise StopIteration
        if len(line) >= limits.LINE:
            self._skip_line(line)
        return line

    def _skip_line(self, part: str) -> None:
        """Drop the rest of a line that was cut."""
        while part and part[-1] not in "\r\n":
            part = self._text.readline(limits.LINE)
