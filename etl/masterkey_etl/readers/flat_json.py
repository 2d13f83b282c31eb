"""A table as JSON rows (`[{"record_id": "1", ...}, ...]`, as REDCap's API gives one), read by the road of tables.

The rows are written as CSV while they are read: one object at a time, every member as the text it has in the file.
Row numbers are those of that table: the first object is row 2.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from masterkey_etl.ledger import IndependentCount, Ledger
from masterkey_etl.readers.count import count_delimited
from masterkey_etl.readers.delimited import Readable, Reading
from masterkey_etl.readers.recognise import Recognition
from masterkey_etl.readers.recognise import recognitions as recognitions_of_text
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue

_CHUNK = 1 << 16
_HEAD = 4096  # bytes that decide what a file is
_MARK = re.compile(rb'\\.|["{}]', re.DOTALL)
OBJECT = 32 << 20  # characters of one row; a longer one ends the reading, with an Issue


@dataclass
class JsonRows:
    """A Readable whose bytes are the CSV of another one's JSON rows."""

    source: Readable
    header: list[str] = field(default_factory=list)
    nested: int = 0  # values that are no scalars
    doubled: int = 0  # members named twice in one row
    broken: int = 0  # row at which the text stops being JSON
    strange: int = 0  # elements that are no objects

    def __post_init__(self) -> None:
        names: dict[str, None] = {}
        for row in self._objects(first=True):
            names.update(dict.fromkeys(row))
        self.header = list(names)

    @property
    def scratch(self) -> Path | None:
        return self.source.scratch

    def pseudonym(self, *key: str) -> str:
        return self.source.pseudonym(*key)

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Piped(self._lines()), _CHUNK)

    def _lines(self) -> Iterator[bytes]:
        yield _line(self.header)
        for row in self._objects():
            yield _line([row.get(name, "") for name in self.header])

    def _objects(self, first: bool = False) -> Iterator[dict[str, str]]:
        with self.source.open() as stream:
            objects = _Objects(stream)
            for pairs in objects:
                if first:
                    self.doubled += len(pairs) - len(dict(pairs))
                    self.nested += sum(isinstance(v, (dict, list)) for _, v in pairs)
                yield {n: _text(v) for n, v in (*pairs, *_firsts(pairs))}
            self.broken, self.strange = objects.broken, objects.strange


class _Piped(io.RawIOBase):
    """A stream over an iterator of bytes."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        n = min(len(buffer), len(self._rest))
        buffer[:n], self._rest = self._rest[:n], self._rest[n:]
        return n


class _Objects:
    """The objects of a JSON array as lists of (name, value), decoded one at a time."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")("replace").decode
        self._json = json.JSONDecoder(
            object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number, parse_constant=_Number
        )
        self._text, self._ended = "", False
        self.broken = self.strange = 0

    def __iter__(self) -> Iterator[list[tuple[str, Any]]]:
        self._skip("[")
        row = 1
        while True:
            row += 1
            self._skip(",")
            if not self._text or self._text[0] == "]":
                self.broken = 0 if self._text[:1] == "]" else row
                return
            found = self._next()
            if found is _NOTHING:
                self.broken = row
                return
            if isinstance(found, _Pairs):
                yield found
            else:
                self.strange += 1

    def _next(self) -> Any:
        """The next element; _NOTHING where the text stops being JSON."""
        while True:
            try:
                found, end = self._json.raw_decode(self._text)
            except (ValueError, RecursionError):
                if len(self._text) > OBJECT or not self._more():
                    return _NOTHING
                continue
            self._text = self._text[end:]
            return found

    def _skip(self, mark: str) -> None:
        """Past blanks and one `mark`."""
        self._blanks()
        if self._text[:1] == mark:
            self._text = self._text[1:]
            self._blanks()

    def _blanks(self) -> None:
        self._text = self._text.lstrip(" \t\r\n")
        while not self._text and self._more():
            self._text = self._text.lstrip(" \t\r\n")

    def _more(self) -> bool:
        """Twice as much text as before, so that a long object is not tried over and over."""
        data = self._stream.read(max(_CHUNK, len(self._text)))
        self._text += self._decode(data, not data)
        return bool(data)


def _firsts(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What is to win where a member stands twice: the first one."""
    return [] if len(dict(pairs)) == len(pairs) else pairs[::-1]


class _Pairs(list[tuple[str, Any]]):
    """The members of an object, in their order, doubled ones too."""


_NOTHING = object()


class _Number(str):
    """A number as it stands in the file."""


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {name: _plain(v) for name, v in value}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _line(cells: Sequence[str]) -> bytes:
    """One CSV row. A lone surrogate becomes the replacement character, which the reader refuses."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue().encode("utf-8", "surrogatepass").decode("utf-8", "replace").encode()


# -- the three functions of the kind -----------------------------------------------------------------


def read(
    source: Readable,
    model: SourceModel,
    ledger: Ledger,
    tell: Callable[[Issue], None] | None = None,
    *,
    year_limit: int | None = None,
) -> Reading:
    """A delimited text, or the same table as JSON rows."""
    table = as_table(source)
    reading = Reading(table, model, ledger, tell, year_limit=year_limit)
    if isinstance(table, JsonRows):
        found = {"nested": table.nested, "doubled": table.doubled, "no-rows": table.strange}
        for rule, n in found.items():
            if n:
                reading.notes.tell(f"etl.json-{rule}", count=n)
        if table.broken:
            reading.notes.tell("etl.json-broken", table.broken)
    return reading


def as_table(source: Readable) -> Readable:
    head = _head(source)
    if _answers(head):
        from masterkey_etl.templates_out.response import ResponseTable

        return ResponseTable(source)
    return JsonRows(source) if _begins(head) else source


def is_rows(source: Readable) -> bool:
    """Does it begin as an array of objects, or as answers to the registry's Questionnaire?"""
    head = _head(source)
    return _begins(head) or _answers(head)


def _head(source: Readable) -> bytes:
    with source.open() as stream:
        return stream.read(_HEAD)


def _answers(head: bytes) -> bool:
    """A QuestionnaireResponse, a list or a Bundle of them: the resource's name stands near the beginning."""
    opened = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")
    return opened and b'"QuestionnaireResponse"' in head[:_HEAD]


def _begins(head: bytes) -> bool:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    return text[:1] == b"[" and text[1:].lstrip()[:1] == b"{"


def recognitions(source: Readable, overlay: Path | None = None) -> list[Recognition]:
    return recognitions_of_text(as_table(source), overlay)


def count(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """For JSON rows: objects and the names they use, found by looking for braces outside of texts."""
    buffered: io.BufferedReader[Any] = io.BufferedReader(stream, _CHUNK)
    try:
        head = buffered.peek(_HEAD)[:_HEAD]
        if _answers(head):
            from masterkey_etl.templates_out.response import count as count_answers

            return count_answers(buffered)
        if not _begins(head):
            return count_delimited(buffered, model)
        return _counted(buffered)
    finally:
        if not buffered.closed:
            buffered.detach()


def _counted(stream: BinaryIO) -> IndependentCount:
    rows, names = 0, set[str]()
    for text in _braced(stream):
        try:
            names |= _names(text)
        except (ValueError, RecursionError):
            break
        rows += 1
    return IndependentCount(rows, len(names))


def _names(text: bytes) -> set[str]:
    """The members of one object. Raises ValueError."""
    import orjson

    try:
        return set(orjson.loads(text))
    except orjson.JSONDecodeError:  # NaN and Infinity, which pandas and R write, are beyond RFC 8259
        return set(json.loads(text))


def _braced(stream: BinaryIO) -> Iterator[bytes]:
    """The outermost objects of the array."""
    depth, quoted, waiting = 0, False, b""
    while data := _unbroken(stream):
        begin = 0
        for found in _MARK.finditer(data):
            mark = found[0]
            if mark == b'"':
                quoted = not quoted
            elif mark == b"{" and not quoted:
                begin = found.start() if depth == 0 else begin
                depth += 1
            elif mark == b"}" and not quoted:
                depth -= 1
                if depth == 0:
                    yield waiting + data[begin : found.end()]
                    waiting = b""
        waiting = waiting + data[begin:] if depth > 0 else b""


def _unbroken(stream: BinaryIO) -> bytes:
    """The next bytes, never ending within an escape."""
    data = stream.read(_CHUNK)
    while (len(data) - len(data.rstrip(b"\\"))) % 2 and (more := stream.read(1)):
        data += more
    return data


__all__ = ["JsonRows", "as_table", "count", "read", "recognitions"]
