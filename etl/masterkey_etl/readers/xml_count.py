"""The independent count of XML by xml.etree: records, and leaves at each path of the model.

Shares no code with the reader. A document whose record breaks off counts that record, without leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from masterkey_etl.leaves import known_paths
from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers import limits
from masterkey_etl.source_model import SourceModel
from masterkey_etl.tree_model import parts, plain


def count_xml(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """Count records and leaves. Memory is one record."""
    count = _Count(parts(plain(model.records)))
    try:
        for event, element in _events(stream):
            if event == "start":
                count.start(element)
            else:
                count.end(element)
    except (ParseError, _TooDeep, LookupError, ValueError):
        count.broken()
    known = known_paths(model)
    at = {path: n for path, n in count.leaves.items() if path in known}
    return IndependentCount(count.records, 0, count.leaves.total() - sum(at.values()) + count.outside, at)


class _TooDeep(Exception):  # noqa: N818
    pass


def _events(stream: BinaryIO) -> Iterator[tuple[str, Element]]:
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    data = b" "
    while data:
        data = stream.read(1 << 16)
        if data:
            parser.feed(data)
        else:
            parser.close()
        yield from parser.read_events()  # type: ignore[misc]


class _Count:
    def __init__(self, above: tuple[str, ...]) -> None:
        self.above = above
        self.leaves: Counter[str] = Counter()
        self.records = self.outside = 0
        self._stack: list[Element] = []
        self._names: list[str] = []
        self._parents: set[int] = set()  # depths above the records where an element stood inside
        self._between: set[int] = set()  # depths above the records with text between elements
        self._record = 0  # depth of the open record, 0: none
        self._last: Element | None = None  # taken out of its parent; its tail comes later

    def start(self, element: Element) -> None:
        self._tail()
        self._stack.append(element)
        self._names.append(_local(element.tag))
        depth = len(self._stack)
        if depth > limits.DEPTH:
            raise _TooDeep
        if self._record:
            return
        self._parents.add(depth - 1)
        if tuple(self._names[1:]) == self.above:
            self._record = depth
        else:
            self.outside += len(element.attrib)

    def end(self, element: Element) -> None:
        self._tail()
        depth = len(self._stack)
        self._stack.pop()
        self._names.pop()
        if depth == self._record:
            self.records += 1
            self._leaves_of(element, "")
            self._record = 0
            self._take_out(element)
        elif not self._record:
            self._end_outside(element, depth)
            self._take_out(element)

    def broken(self) -> None:
        self.records += bool(self._record)

    def _end_outside(self, element: Element, depth: int) -> None:
        text = bool((element.text or "").strip())
        if depth in self._parents:
            self.outside += text or depth in self._between
        else:
            self.outside += text or not element.attrib
        self._parents.discard(depth)
        self._between.discard(depth)

    def _take_out(self, element: Element) -> None:
        """What was counted need not stay in memory."""
        if self._stack:
            self._stack[-1].remove(element)
            self._last = element

    def _tail(self) -> None:
        if self._last is not None:
            if (self._last.tail or "").strip():
                self._between.add(len(self._stack))
            self._last = None

    def _leaves_of(self, element: Element, path: str) -> None:
        open_ = [(element, path)]
        while open_:
            one, at = open_.pop()
            for name in one.attrib:
                self.leaves[f"{at}.@{_local(name)}" if at else f"@{_local(name)}"] += 1
            text = (one.text or "").strip()
            if not len(one):
                self.leaves[at] += bool(text or not one.attrib)
                continue
            self.leaves[at] += bool(text or any((below.tail or "").strip() for below in one))
            for below in one:
                name = _local(below.tag)
                open_.append((below, f"{at}.{name}" if at else name))


def _local(name: str) -> str:
    return name.rpartition("}")[2]
