"""The independent count of XML by xml.etree: records, and leaves at each path of the model.

The tree grows while the file is read; what is complete is counted and taken out. Shares no code with the reader. A
document that breaks off inside of a record counts that record, without leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from masterkey_etl.leaves import known_paths
from masterkey_etl.ledger import IndependentCount
from masterkey_etl.readers.tree_count import Names
from masterkey_etl.source_model import SourceModel
from masterkey_etl.tree_model import parts, plain

_CHUNK = 1 << 18


def count_xml(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """Count records and leaves. Memory is one record."""
    known = known_paths(model)
    count = _Count(parts(plain(model.records)), Names(known))
    parser: XMLPullParser[Element] = XMLPullParser(("start", "end"))
    whole = True
    data = b" "
    while data and whole:
        data = stream.read(_CHUNK)
        try:
            parser.feed(data) if data else parser.close()
            count.grown(parser)
        except (ParseError, LookupError, ValueError):
            whole = False
        count.sweep()
    count.finish(whole=whole)
    found = dict(count.names.found())
    at = {path: n for path, n in found.items() if path in known}
    return IndependentCount(count.records, 0, sum(found.values()) - sum(at.values()) + count.elsewhere, at)


@dataclass(slots=True)
class _Outer:
    """An open element above or beside the records: did an element stand in it, text between its elements?"""

    holds: bool = False
    between: bool = False


class _Count:
    def __init__(self, above: tuple[str, ...], names: Names) -> None:
        self.above, self.names = above, names
        self.records = self.elsewhere = self.depth = 0
        self._root: Element | None = None
        self._open: dict[int, _Outer] = {}
        self._local: dict[str, str] = {}
        self._ended = self._in_record = False

    def grown(self, parser: XMLPullParser[Element]) -> None:
        """Follow how many elements are open."""
        for what, element in parser.read_events():  # type: ignore[misc]  # ("start" | "end", Element)
            if what == "start":
                if self._root is None and isinstance(element, Element):
                    self._root = element
                self.depth += 1
            else:
                self.depth -= 1

    def sweep(self) -> None:
        """Count what is complete and take it out; an open record at the end of a broken text is counted alone."""
        if self._root is None or self._ended:
            return
        if self.depth:
            self._sweep(self._root, (), 1)
        else:
            self._done(self._root, ())
            self._ended, self._in_record = True, False

    def finish(self, *, whole: bool) -> None:
        """A record that is open where the text breaks counts alone."""
        if not whole and self._in_record:
            self.records += 1

    def _sweep(self, element: Element, names: tuple[str, ...], level: int) -> None:
        """An open element: those of its elements that are complete."""
        self._in_record = names == self.above
        if self._in_record:
            return
        state = self._opened(element)
        inside = list(element)
        last = inside.pop() if self.depth > level else None
        for one in inside:
            self._inside(state, one, names)
        del element[: len(inside)]
        if last is not None:
            state.holds = True
            self._sweep(last, (*names, self._name(last.tag)), level + 1)

    def _opened(self, element: Element) -> _Outer:
        if id(element) not in self._open:
            self._open[id(element)] = _Outer()
            self.elsewhere += len(element.keys())
        return self._open[id(element)]

    def _inside(self, state: _Outer, one: Element, names: tuple[str, ...]) -> None:
        state.holds = True
        state.between = state.between or bool((one.tail or "").strip())
        self._done(one, (*names, self._name(one.tag)))

    def _done(self, element: Element, names: tuple[str, ...]) -> None:
        """A complete element."""
        if names == self.above:
            self.records += 1
            self._leaves(element, self.names)
            return
        state = self._opened(element)
        for one in element:
            self._inside(state, one, names)
        text = bool((element.text or "").strip())
        self.elsewhere += (text or state.between) if state.holds else (text or not element.keys())
        del self._open[id(element)]

    def _leaves(self, element: Element, node: Names | None) -> None:
        for key in element.keys():  # noqa: SIM118  # an Element's attributes, without making a dict
            self._add(node.get("@" + self._name(key)) if node is not None else None)
        text = element.text
        if len(element):
            between = bool(text and text.strip())
            for one in element:
                self._leaves(one, node.get(self._name(one.tag)) if node is not None else None)
                between = between or bool(one.tail and one.tail.strip())
            if between:
                self._add(node)
        elif (text and text.strip()) or not element.keys():
            self._add(node)

    def _add(self, node: Names | None) -> None:
        if node is None:
            self.elsewhere += 1
        else:
            node.n += 1

    def _name(self, tag: str) -> str:
        name = self._local.get(tag)
        if name is None:
            if len(self._local) > 10_000:
                self._local.clear()
            name = self._local[tag] = tag.rpartition("}")[2]
        return name
