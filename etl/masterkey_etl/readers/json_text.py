"""JSON text as documents, in flat memory: one document, an array of them, or one behind the other (NDJSON).

Numbers stay the digits they were (`1.0`, 400 digits); of a key that stands twice both values are kept. What can't
be parsed is a Broken document: whole or not at all.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from masterkey_etl.readers import limits
from masterkey_etl.readers.tree_reading import TooLargeError
from masterkey_fhir.issue import Place, issue

_CHUNK = 1 << 20
_BLANK = " \t\r\n\ufeff"  # a byte order mark between documents is blank: files were pasted together
_MARKS = ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ARRAYS = 8  # arrays within arrays that are opened to find the records
_AT_END = 16  # characters from the end of what was read within which an error may be a lack of more


class Doubled(dict[str, Any]):
    """An object with a key that stands twice: the first value is in it, `more` has the others."""

    more: list[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Document:
    """One record: its value, and the text it stood in (for cheap tests; "" when it was not kept)."""

    value: Any
    text: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A value above or beside the records, at a plain path."""

    path: str
    value: Any


@dataclass(frozen=True, slots=True)
class Broken:
    """A document that is no JSON from `line` on. `last`: nothing behind it is read."""

    line: int
    problem: str
    last: bool


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    first = Doubled()
    first.more = []
    for key, value in pairs:
        if key in first:
            first.more.append((key, value))
        else:
            first[key] = value
    return first


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_float=str, parse_int=str, parse_constant=str, strict=False)


@dataclass(slots=True)
class Text:
    """A window on the text. `line` is that of `at`."""

    stream: BinaryIO
    text: str = ""
    at: int = 0
    line: int = 1
    marks: int = 0  # byte order marks inside
    ended: bool = False
    undecodable: bool = False
    encoding: str = "utf-8"
    _decoder: Any = field(default=None, repr=False)

    def more(self) -> bool:
        """Read on; as much again as is held, so that a long document is parsed only a few times."""
        if self.ended:
            return False
        if self._decoder is None:
            self._open()
        data = self.stream.read(max(_CHUNK, len(self.text) - self.at))
        self.ended = not data
        piece = self._decoder.decode(data, final=not data)
        self.text, self.at = self.text[self.at :] + piece, 0
        if self.undecodable is False and not piece.isascii() and any("\udc80" <= c <= "\udcff" for c in piece):
            self.undecodable = True
        return True

    def _open(self) -> None:
        head = self.stream.read(4)
        self.encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8-sig")
        errors = "surrogateescape" if self.encoding == "utf-8-sig" else "replace"
        self._decoder = codecs.getincrementaldecoder(self.encoding)(errors)
        self.text = self._decoder.decode(head)

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self.at < len(self.text) and (c := self.text[self.at]) in _BLANK:
                self.line += c == "\n"
                self.marks += c == "\ufeff"
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def take(self) -> str:
        found = self.peek()
        self.at += 1
        return found

    def value(self) -> Document | Broken:
        """The value that begins here, or why there is none; afterwards `at` is behind it."""
        while True:
            try:
                value, end = _decode.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                if self._may_go_on(error) and self.more():
                    self._bound()
                    continue
                return Broken(self.line + self.text.count("\n", self.at, error.pos), _said(error), last=True)
            except RecursionError:
                return Broken(self.line, "it is nested too deeply", last=True)
            if end == len(self.text) and not self.ended and self.more():
                self._bound()  # a number may go on
                continue
            text = self.text[self.at : end]
            if text[-1] not in '"]}' and _GOES_ON.match(self.text, end):  # 00, 0x: no number and no word of JSON
                return Broken(self.line, "it is no value of JSON", last=True)
            if text.count("{") + text.count("[") > limits.DEPTH and _depth(value) > limits.DEPTH:
                return Broken(self.line, "it is nested too deeply", last=True)
            self.line += text.count("\n")
            self.at = end
            return Document(value, text)

    def _may_go_on(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _AT_END

    def _bound(self) -> None:
        if len(self.text) - self.at > limits.DOCUMENT:
            raise TooLargeError(issue("etl.tree-too-large", Place(row=self.line), limit=limits.DOCUMENT))

    def next_line(self) -> bool:
        """Go to the start of the next line; False at the end."""
        while (found := self.text.find("\n", self.at)) < 0:
            self.at = len(self.text)
            if not self.more():
                return False
        self.at, self.line = found + 1, self.line + 1
        return True


_GOES_ON = re.compile(r"[^ \t\n\r\v\f\"{}\[\]:,]")


def _depth(value: Any) -> int:
    """Objects and arrays within each other."""
    depth, level = 0, [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [v for one in level for v in (one.values() if isinstance(one, dict) else one)]
    return depth


def _said(error: json.JSONDecodeError) -> str:
    return error.msg.split(":")[0].lower()


def documents(text: Text, above: tuple[str, ...]) -> Iterator[Document | Outside | Broken]:
    """The records of a text: the values at `above` (names from the root), arrays opened; the others are Outside."""
    by_line = False
    while text.peek():
        line = text.line
        for found in _walk(text, above, ""):
            yield found
            if isinstance(found, Broken):
                if not (by_line or _one_line(text, line, found)) or not text.next_line():
                    return
                break
        else:
            by_line = by_line or _ends_line(text)


def _one_line(text: Text, line: int, broken: Broken) -> bool:
    """Does another document begin on the line behind the broken one? (NDJSON; a broken first line.)"""
    if broken.line != line:
        return False
    at = text.text.find("\n", text.at)
    return at >= 0 and text.text[at + 1 : at + 2] in ("{", "[")


def _ends_line(text: Text) -> bool:
    """A document ended and a line with it: one document a line."""
    rest = text.text[text.at : text.at + 200].lstrip(" \t\r")
    return rest[:1] == "\n"


def _walk(text: Text, above: tuple[str, ...], path: str, depth: int = 0) -> Iterator[Document | Outside | Broken]:
    opened = text.peek()
    if opened == "[" and depth < _ARRAYS:
        yield from _array(text, above, path, depth + 1)
    elif opened == "{" and above:
        yield from _members(text, above, path)
    else:
        found = text.value()
        if isinstance(found, Document) and above:
            yield Outside(path, found.value)
        else:
            yield found


def _array(text: Text, above: tuple[str, ...], path: str, depth: int) -> Iterator[Document | Outside | Broken]:
    text.take()
    if text.peek() == "]":
        text.take()
        return
    while True:
        for found in _walk(text, above, path, depth):
            yield found
            if isinstance(found, Broken):
                return
        if (mark := text.take()) == "]":
            return
        if mark != ",":
            yield Broken(text.line, "expecting ',' delimiter" if mark else "the text ends in the middle", last=True)
            return


def _members(text: Text, above: tuple[str, ...], path: str) -> Iterator[Document | Outside | Broken]:
    text.take()
    if text.peek() == "}":
        text.take()
        return
    while True:
        key = text.value() if text.peek() == '"' else Broken(text.line, "expecting a key in quotation marks", True)
        if isinstance(key, Document) and text.take() != ":":
            key = Broken(text.line, "expecting ':' delimiter", last=True)
        if isinstance(key, Broken):
            yield key
            return
        below = f"{path}.{key.value}" if path else str(key.value)
        inside = _walk(text, above[1:], below) if key.value == above[0] else _beside(text, below)
        for found in inside:
            yield found
            if isinstance(found, Broken):
                return
        if (mark := text.take()) == "}":
            return
        if mark != ",":
            yield Broken(text.line, "expecting ',' delimiter" if mark else "the text ends in the middle", last=True)
            return


def _beside(text: Text, path: str) -> Iterator[Outside | Broken]:
    text.peek()
    found = text.value()
    yield found if isinstance(found, Broken) else Outside(path, found.value)
