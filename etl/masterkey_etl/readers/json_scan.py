"""A scanner of JSON tokens that counts leaves: for the independent count, where orjson can't, and for recognition.

A document that is no JSON has no leaves and counts as one record; as documented for the reader, what stands behind
it is looked at only in a file with one document a line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import orjson

from masterkey_etl.readers import limits

_STRING = rb'"(?:[^"\\]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_TOKEN = re.compile(rb"(" + _STRING + rb")|([{}\[\]:,])|([^\s\"{}\[\]:,]+)", re.DOTALL)
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity")
_SPACE = re.compile(rb"[ \t\r\n]*")
_BLANK = re.compile(rb"(?:[ \t\r\n]|\xef\xbb\xbf)*")  # between records a byte order mark is blank


class BadError(Exception):
    """The text is no JSON here (on this line)."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


@dataclass(slots=True)
class Tally:
    """Leaves by plain path from the record; `outside` those above or beside the records."""

    records: int = 0
    leaves: Counter[str] = field(default_factory=Counter)
    outside: int = 0

    def add(self, other: Tally) -> None:
        self.records += other.records
        self.leaves += other.leaves
        self.outside += other.outside


class Tokens:
    """The tokens of a text that comes in pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces, self.data, self.at, self.line = iter(pieces), b"", 0, 1
        self._start: tuple[int, int] | None = None  # where the value that is read began: (at, line)

    def more(self, least: int = 1) -> bool:
        """Take pieces of at least so many bytes, joined once: a long token costs no more than its length."""
        taken, n = [], 0
        while n < least and (piece := next(self._pieces, b"")):
            taken.append(piece)
            n += len(piece)
        cut = self.at if self._start is None else self._start[0]
        self.data, self.at = b"".join((memoryview(self.data)[cut:], *taken)), self.at - cut
        self._start = None if self._start is None else (0, self._start[1])
        return n > 0

    def begin(self) -> None:
        """A value begins here: `back` returns to it."""
        self._start = (self.at, self.line)

    def end(self) -> None:
        self._start = None

    def back(self) -> None:
        """To the start of the value that turned out to be broken."""
        if self._start is not None:
            (self.at, self.line), self._start = self._start, None

    def take(self) -> bytes:
        """The next character between records."""
        found = self.peek(_BLANK)
        self.at += len(found)
        return found

    def skip(self, blank: re.Pattern[bytes] = _SPACE) -> bool:
        """Go to the next token; False at the end."""
        while True:
            found = blank.match(self.data, self.at)
            end = found.end() if found else self.at
            self.line += self.data.count(b"\n", self.at, end)
            self.at = end
            enough = len(self.data) - end >= 4 or not self.more()
            if enough and (found := blank.match(self.data, self.at)) is not None and found.end() == self.at:
                return self.at < len(self.data)

    def peek(self, blank: re.Pattern[bytes] = _SPACE) -> bytes:
        return self.data[self.at : self.at + 1] if self.skip(blank) else b""

    def next(self, blank: re.Pattern[bytes] = _SPACE) -> bytes:
        """The next token; raises BadError at the end or where there is none."""
        if not self.skip(blank):
            raise BadError(self.line)
        step = 1 << 16
        while True:
            found = _TOKEN.match(self.data, self.at)
            if found and (found.end() < len(self.data) or found[2] or found[1] or not self._grow(step)):
                found = found if found.end() < len(self.data) else _TOKEN.match(self.data, self.at)
                assert found is not None
                self.line += found[0].count(b"\n")
                self.at = found.end()
                return found[0]
            if not found and not self._grow(step):
                raise BadError(self.line)
            step *= 2

    def _grow(self, by: int) -> bool:
        """More of the text behind an unfinished token (or a name for what can't be one)."""
        return self.more(by)

    def next_line(self) -> bool:
        while (found := self.data.find(b"\n", self.at)) < 0:
            self.at = len(self.data)
            if not self.more():
                return False
        self.at, self.line = found + 1, self.line + 1
        return True


def scan(pieces: Iterable[bytes], above: tuple[str, ...]) -> Tally:
    """All documents of a text."""
    tokens, total, by_line = Tokens(pieces), Tally(), False
    while tokens.peek(_BLANK):
        line = tokens.line
        try:
            for found in _walk(tokens, above, 0):
                total.add(found)
            by_line = by_line or _ends_line(tokens)
        except BadError as bad:
            total.records += 1
            tokens.back()
            if not (by_line or (bad.line == line and _next_begins(tokens))) or not tokens.next_line():
                break
    return total


def _ends_line(tokens: Tokens) -> bool:
    if len(tokens.data) - tokens.at < 200:
        tokens.more()
    return tokens.data[tokens.at : tokens.at + 200].lstrip(b" \t\r")[:1] == b"\n"


def _next_begins(tokens: Tokens) -> bool:
    at = tokens.data.find(b"\n", tokens.at)
    return at >= 0 and tokens.data[at + 1 : at + 2] in (b"{", b"[")


def _walk(tokens: Tokens, above: tuple[str, ...], depth: int) -> Iterator[Tally]:
    first = tokens.peek(_BLANK)
    if first == b"[" and depth < 8:
        yield from _items(tokens, above, depth + 1)
    elif first == b"{" and above:
        yield from _named(tokens, above)
    else:
        found = unit(tokens)
        yield Tally(0, Counter(), found.total()) if above else Tally(1, found)


def _items(tokens: Tokens, above: tuple[str, ...], depth: int) -> Iterator[Tally]:
    tokens.take()
    if tokens.peek(_BLANK) == b"]":
        tokens.take()
        return
    while True:
        yield from _walk(tokens, above, depth)
        if (mark := tokens.take()) == b"]":
            return
        if mark != b",":
            raise BadError(tokens.line)


def _named(tokens: Tokens, above: tuple[str, ...]) -> Iterator[Tally]:
    tokens.take()
    if tokens.peek(_BLANK) == b"}":
        tokens.take()
        return
    while True:
        if tokens.peek(_BLANK) != b'"':
            raise BadError(tokens.line)
        key = tokens.next()
        if tokens.take() != b":":
            raise BadError(tokens.line)
        if _name(key) == above[0]:
            yield from _walk(tokens, above[1:], 0)
        else:
            tokens.peek(_BLANK)
            yield Tally(0, Counter(), unit(tokens).total())
        if (mark := tokens.take()) == b"}":
            return
        if mark != b",":
            raise BadError(tokens.line)


def unit(tokens: Tokens) -> Counter[str]:
    """The leaves of one value, by plain path. Raises BadError."""
    found: Counter[str] = Counter()
    tokens.begin()
    for path in leaf_paths(tokens):
        found[path] += 1
    tokens.end()
    return found


def leaf_paths(tokens: Tokens) -> Iterator[str]:
    """The plain path of each leaf of one value as it is met. Raises BadError where the text breaks."""
    paths: list[str] = [""]  # of the containers that are open, and of what comes next
    closers: list[bytes] = []
    while True:
        token = tokens.next()
        if token in (b"{", b"["):
            closer = b"}" if token == b"{" else b"]"
            if tokens.peek() != closer:
                closers.append(closer)
                if len(closers) > limits.DEPTH:
                    raise BadError(tokens.line)
                paths.append(_key(tokens, paths[-1]) if closer == b"}" else paths[-1])
                continue
            tokens.next()
        elif token[:1] == b'"' or _SCALAR.fullmatch(token):
            yield paths[-1]
        else:
            raise BadError(tokens.line)
        if not _close(tokens, closers, paths):
            return


def _close(tokens: Tokens, closers: list[bytes], paths: list[str]) -> bool:
    """Behind a value: containers that end here, then the next member or element; False at the end of all."""
    while closers:
        mark = tokens.next()
        if mark == b",":
            if closers[-1] == b"}":
                paths[-1] = _key(tokens, paths[-2])
            return True
        if mark != closers.pop():
            raise BadError(tokens.line)
        paths.pop()
    return False


def _key(tokens: Tokens, path: str) -> str:
    key = tokens.next()
    if key[:1] != b'"' or tokens.next() != b":":
        raise BadError(tokens.line)
    name = _name(key).replace(".", "\ufffd") or "\ufffd"  # such a name is at no path of a model
    return f"{path}.{name}" if path else name


def _name(key: bytes) -> str:
    if b"\\" not in key:
        return key[1:-1].decode("utf-8", "replace")
    try:
        return str(orjson.loads(key))
    except orjson.JSONDecodeError:
        return "\ufffd"
