"""The independent count of JSON: records, and leaves at each path of the model.

orjson parses each document. It keeps one of two equal keys, so the members it found are compared with the colons
in the bytes; where they differ, or orjson refuses, a scanner of tokens (json_scan.py) counts leaf by leaf. Shares no
code with the reader.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import orjson

from masterkey_etl.leaves import known_paths
from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers import limits
from masterkey_etl.readers.json_pieces import STEP, pieces
from masterkey_etl.readers.json_scan import Tally, scan
from masterkey_etl.readers.tree_count import Names
from masterkey_etl.source_model import SourceModel
from masterkey_etl.tree_model import parts, plain

WHOLE = 16 << 20  # bytes of a file that are parsed as one
_UTF16 = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def count_json(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """Count records and leaves. Memory is one document; of a file beyond WHOLE one line, or one token."""
    counter = _Counter(parts(plain(model.records)), known_paths(model))
    head = stream.read(WHOLE)
    mark = next((name for mark, name in _UTF16 if head.startswith(mark)), "")
    if mark:
        counter.scan(_as_utf8(chain([head], iter(lambda: stream.read(1 << 20), b"")), mark))
    else:
        counter.count(head.removeprefix(codecs.BOM_UTF8), stream)
    return counter.result()


def _as_utf8(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    return (text.encode("utf-8", "replace") for text in codecs.iterdecode(pieces, encoding, "replace"))


class _Counter:
    def __init__(self, above: tuple[str, ...], known: frozenset[str]) -> None:
        self.above, self.known = above, known
        self.names, self.tally, self.rest = Names(known), Tally(), 0

    def result(self) -> IndependentCount:
        scanned = self.tally.leaves
        at = Counter({path: n for path, n in scanned.items() if path in self.known})
        elsewhere = scanned.total() - at.total() + self.tally.outside + self.rest
        for path, n in self.names.found():
            if path in self.known:
                at[path] += n
            else:
                elsewhere += n
        return IndependentCount(self.tally.records, 0, elsewhere, dict(at))

    def scan(self, pieces: Iterable[bytes]) -> None:
        self.tally.add(scan(pieces, self.above))

    def count(self, head: bytes, stream: BinaryIO) -> None:
        """`head`: all of a small file, or the start of a large one."""
        rest = stream.read(1)
        if not rest and self.document(head):
            return
        if not rest and self.lines(head):
            return
        following = chain([rest], iter(lambda: stream.read(1 << 20), b"")) if rest else iter(())
        if rest and (self.long_array(head, following) or self.long_lines(head, following)):
            return
        self.scan(chain([head], following))

    def long_array(self, head: bytes, following: Iterator[bytes]) -> bool:
        """A large file that is one array of records, part by part; False when it is not."""
        start = head.lstrip(b" \t\r\n")
        if not start.startswith(b"["):
            return False
        steps = (start[at : at + STEP] for at in range(1, len(start), STEP))
        text, several = chain(steps, following), False
        for part, behind, last in pieces(text):
            empty = part.endswith(b"]") and not part[1:-1].strip()
            if empty and last and several:  # a comma, and nothing behind it
                self.tally.records += 1
                return True
            if (empty and not last) or not self.document(part):
                self.scan(chain([part if last else part[:-1] + b",", behind], text))
                return True
            if last:
                self.scan(chain([behind], text))
            several = True
        return True

    def lines(self, data: bytes) -> bool:
        """One document a line: all of them, or nothing is counted."""
        lines = [line for line in data.split(b"\n") if line.strip()]
        if len(lines) < 2:
            return False
        before = self.tally.records
        kept, self.names = (self.names, self.rest), Names(self.known)
        if all(map(self.document, lines)):
            return True
        self.names, self.rest = kept
        self.tally.records = before
        return False

    def long_lines(self, head: bytes, following: Iterator[bytes]) -> bool:
        """A large file of one document a line; False when its first line is none."""
        first, newline, left = head.partition(b"\n")
        if not newline or not first.strip() or not self.document(first):
            return False
        pieces = chain([left], following)
        tail = b""
        for piece in pieces:
            *whole, tail = (tail + piece).split(b"\n")
            for n, line in enumerate(whole):
                if line.strip() and not self.document(line):
                    self.scan(chain([b"\n".join([*whole[n:], tail])], pieces))
                    return True
        if tail.strip() and not self.document(tail):
            self.scan([tail])
        return True

    def document(self, data: bytes) -> bool:
        """Count one document; False (and nothing counted) when orjson can't tell all of it."""
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            return False
        nested = type(value) is dict or type(value) is list
        if nested and self._members(value) != data.count(b'":') + data.count(b'" :'):
            return False
        self._walk(value, self.above)
        return True

    def _members(self, value: Any) -> int:
        """Members of all its objects; -1 when it is nested about as deep as is read, or deeper."""
        n, depth, level = 0, 0, [value]
        while level:
            n += sum(len(one) for one in level if type(one) is dict)
            inside = chain.from_iterable(one.values() if type(one) is dict else one for one in level)
            level = [v for v in inside if type(v) is dict or type(v) is list]
            depth += 1
        return n if depth < limits.DEPTH - 20 else -1

    def _walk(self, value: Any, above: tuple[str, ...], depth: int = 0) -> None:
        if type(value) is list and depth < 8:
            for one in value:
                self._walk(one, above, depth + 1)
        elif type(value) is dict and above:
            for name, inside in value.items():
                if name == above[0]:
                    self._walk(inside, above[1:])
                else:
                    self.rest += _leaves(inside)
        elif above:
            self.rest += _leaves(value)
        else:
            self.tally.records += 1
            self._below(value, self.names)

    def _below(self, value: Any, node: Names) -> None:
        kind = type(value)
        if kind is dict:
            for name, inside in value.items():
                below = node.get(name)
                if below is None:
                    self.rest += _leaves(inside)
                elif type(inside) is dict or type(inside) is list:
                    self._below(inside, below)
                else:
                    below.n += 1
        elif kind is list:
            for inside in value:
                self._below(inside, node)
        else:
            node.n += 1


def _leaves(value: Any) -> int:
    if type(value) is not dict and type(value) is not list:
        return 1
    n, open_ = 0, [value]
    while open_:
        one = open_.pop()
        for inside in one.values() if type(one) is dict else one:
            if type(inside) is dict or type(inside) is list:
                open_.append(inside)
            else:
                n += 1
    return n
