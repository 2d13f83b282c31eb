"""JSON and XML looked at: every leaf path is profiled as a column; paths that repeat inside a record are said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.parsers import expat

from masterkey_etl.inspect.column import ColumnProfile
from masterkey_etl.inspect.fits import Fit
from masterkey_etl.inspect.inspection import Inspection
from masterkey_etl.readers import recognitions
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.json_text import Broken, Document, Text, documents
from masterkey_etl.readers.tree_reading import TooLargeError
from masterkey_fhir.issue import MasterkeyError

PATHS = 2_000
LEAVES = 400_000
DEEP = 60
_CHUNK = 1 << 16
Leaf = tuple[str, str]


def profile_tree(found: Inspection, source: Readable, overlay: Path | None, bound: int) -> None:
    """Fill in the columns (leaf paths) of an Inspection, from at most `bound` records and LEAVES leaves."""
    seen = _Paths()
    records = _xml(source, found) if "XML" in found.kind.what else _json(source, found)
    for record in records:
        if found.rows >= bound or seen.leaves >= LEAVES:
            found.bounded = True
            break
        found.rows += 1
        seen.add(record)
    found.columns = list(seen.columns.values())
    found.notes += [f"repeated part: {path} stands up to {n} times in one record" for path, n in seen.repeated()]
    if seen.dropped:
        found.notes.append(f"{seen.dropped} leaves stand at paths beyond the first {PATHS:,} and were not looked at")
    try:
        found.fits = _fits(source, overlay)
    except MasterkeyError as error:  # a document that no reader opens (entities, nesting) fits nothing
        found.notes += [f"no source model was tried: {i.fact()}" for i in error.issues]


def _fits(source: Readable, overlay: Path | None) -> tuple[Fit, ...]:
    best = [c for c in recognitions(source, overlay) if c.score >= 0.2][:3]
    return tuple(Fit(c.model, c.score, c.evidence, ()) for c in best)


class _Paths:
    """A profile per leaf path, in order of first appearance."""

    def __init__(self) -> None:
        self.columns: dict[str, ColumnProfile] = {}
        self.most: Counter[str] = Counter()
        self.leaves = self.dropped = 0

    def add(self, record: list[Leaf]) -> None:
        values: dict[str, list[str]] = {}
        for path, text in record:
            values.setdefault(path, []).append(text)
        for path, texts in values.items():
            if path not in self.columns and len(self.columns) >= PATHS:
                self.dropped += len(texts)
                continue
            column = self.columns.setdefault(path, ColumnProfile(len(self.columns) + 1, path))
            column.add(texts)
            self.most[path] = max(self.most[path], len(texts))
            self.leaves += len(texts)

    def repeated(self) -> list[tuple[str, int]]:
        """The parents of leaves that stand several times."""
        parents: Counter[str] = Counter()
        for path, n in self.most.items():
            if n > 1:
                parent = path.rpartition(".")[0] or path
                parents[parent] = max(parents[parent], n)
        return parents.most_common(20)


# -- JSON -------------------------------------------------------------------------------------------------------------


def _json(source: Readable, found: Inspection) -> Iterator[list[Leaf]]:
    with closing(source.open()) as stream:
        try:
            for part in documents(Text(stream), ()):
                if isinstance(part, Broken):
                    found.notes.append(f"no JSON from line {part.line} on: {part.problem}")
                elif isinstance(part, Document):
                    yield list(_leaves(part.value, "", 0))
        except (TooLargeError, RecursionError):
            found.notes.append("one document is too large or too deep to be looked at whole")


def _leaves(value: Any, path: str, depth: int) -> Iterator[Leaf]:
    """Arrays repeat their path; what lies deeper than DEEP is one leaf."""
    if isinstance(value, dict) and depth < DEEP:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list) and depth < DEEP:
        for inner in value:
            yield from _leaves(inner, path, depth + 1)
    elif value is None or isinstance(value, str):
        yield path, value or ""
    else:
        yield path, str(value).lower() if isinstance(value, bool) else str(value)[:200]


# -- XML --------------------------------------------------------------------------------------------------------------


class _ForbiddenError(Exception):
    """An entity is declared: never expanded, so nothing behind it is read."""


def _xml(source: Readable, found: Inspection) -> Iterator[list[Leaf]]:
    """The whole document is one record; elements and attributes (`@name`) are leaves."""
    walk = _Walk()
    with closing(source.open()) as stream:
        try:
            while (data := stream.read(_CHUNK)) and len(walk.leaves) < LEAVES:
                walk.parser.Parse(data, False)
            found.bounded = bool(data)
        except _ForbiddenError:
            found.notes.append("it declares entities: a document that does is never read")
        except (expat.ExpatError, ValueError, LookupError) as error:
            line = f" in line {error.lineno}" if isinstance(error, expat.ExpatError) else ""
            found.notes.append(f"it is no XML throughout{line}")
    yield walk.leaves


class _Walk:
    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self._open: list[str] = []
        self._texts: list[str] = []
        self._parent = False
        parser = self.parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = parser.ordered_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._texts.append
        parser.EntityDeclHandler = parser.SkippedEntityHandler = self._forbid

    def _forbid(self, *_: object) -> None:
        raise _ForbiddenError

    def _start(self, name: str, attributes: list[str]) -> None:
        self._open.append(name.rpartition(" ")[2])
        self._texts.clear()
        self._parent = False
        path = ".".join(self._open[1:])
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            self.leaves.append((f"{path}.@{key.rpartition(' ')[2]}".lstrip("."), value))

    def _end(self, _: str) -> None:
        if not self._parent:
            text = "".join(self._texts).strip()
            if text:
                self.leaves.append((".".join(self._open[1:]) or self._open[0], text))
        self._open.pop()
        self._texts.clear()
        self._parent = True


__all__ = ["profile_tree"]
