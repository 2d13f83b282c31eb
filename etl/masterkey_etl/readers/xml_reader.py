"""Read XML: elements to rows to Records, streaming; deviations are Issues, leaves are accounted for.

A leaf is an attribute, or the text of an element without elements in it (one that has no attribute either says
nothing and is a null). Names stand without prefix and namespace; outer blanks of a text don't count. Entities that a
document declares are refused, whatever they say: they can name files, hosts, and texts of any size
(https://docs.python.org/3/library/xml.html#xml-vulnerabilities). Nothing outside of the document is ever opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from xml.parsers import expat

from masterkey_etl.readers import limits
from masterkey_etl.readers.tree_plan import RECORD, Node
from masterkey_etl.readers.tree_reading import TooLargeError, TreeReading
from masterkey_etl.readers.tree_rows import BETWEEN, EMPTY, Row
from masterkey_etl.tree_model import Ignored, below
from masterkey_fhir.issue import MasterkeyError, issue

_CHUNK = 1 << 16
_SEPARATOR = "}"
_SMALL = 4096  # characters that need no look


class ForbiddenError(MasterkeyError):
    """The document declares entities."""


_NONE: dict[str, int] = {}


class _Open:
    """An element that is open. `node`: None where the model knows nothing; `outside`: above or beside the records."""

    __slots__ = ("attributes", "fast", "ignored", "leaf", "node", "outside", "path", "row", "scope", "text")

    def __init__(self, node: Node | None, path: str, scope: int, row: Row, ignored: Ignored | None) -> None:
        self.node, self.path, self.scope, self.row, self.ignored = node, path, scope, row, ignored
        self.leaf, self.text, self.attributes, self.outside = True, "", False, scope < 0
        self.fast = node.fast if node is not None and ignored is None else _NONE


class XmlReading(TreeReading):
    """One pass over an XML delivery; see `TreeReading`."""

    def begin(self) -> None:
        self._stack: list[_Open] = []
        self._texts: list[str] = []
        self._names: dict[str, str] = {}
        self._seen: dict[tuple[int, int], int] = {}  # elements at one place, by row and node
        self._mark: tuple[int, ...] | None = None  # rows before the record that is open
        self._above = ".".join(self.plan.above)
        self._size = self._whole = 0
        self._leaf = ""  # name of the open element, while it holds nothing but text

    # -- the parser -----------------------------------------------------------------------------------

    def gather(self) -> Iterator[None]:
        parser = self._parser()
        with closing(self.source.open()) as stream:
            data = b" "
            while data:
                data = stream.read(_CHUNK)
                if not self._fed(parser, data):
                    break
                if self._whole:
                    self._whole = 0
                    held = self.rows.hold(self._mark) if self._mark is not None else None
                    yield
                    self._mark = self.rows.go_on(held) if held is not None else None

    def _fed(self, parser: Any, data: bytes) -> bool:
        """Parse on; False where the text is no XML any more: told, and an open record is refused."""
        self._size += len(data)
        try:
            parser.Parse(data, not data)
        except expat.ExpatError as error:
            return self._broken(error.lineno, expat.ErrorString(error.code))
        except (LookupError, ValueError):
            return self._broken(1, "its encoding is not supported: send it as UTF-8")
        if self._mark is not None and self._size > limits.DOCUMENT:
            place = self.notes.at(parser.CurrentLineNumber)
            raise TooLargeError(issue("etl.tree-too-large", place, limit=limits.DOCUMENT))
        return True

    def _broken(self, line: int, problem: str) -> bool:
        self.notes.tell("etl.tree-broken", line=line, problem=problem)
        if self._mark is not None:
            self.rows.back_to(self._mark)
            self.refuse()
        return False

    def _parser(self) -> Any:
        parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
        parser.buffer_text = parser.ordered_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._texts.append
        parser.EntityDeclHandler = parser.SkippedEntityHandler = self._forbid
        parser.StartDoctypeDeclHandler = self._doctype
        return parser

    def _forbid(self, *_: object) -> None:
        raise ForbiddenError(issue("etl.xml-entity", self.notes.at()))

    def _doctype(self, _name: str, system: str | None, public: str | None, _internal: int) -> None:
        if system or public:
            self.notes.tell("etl.xml-doctype")

    # -- elements -------------------------------------------------------------------------------------

    def _start(self, full: str, attributes: list[str]) -> None:
        stack = self._stack
        if self._leaf:
            self._no_leaf()
        if len(stack) >= limits.DEPTH:
            raise ForbiddenError(issue("etl.xml-deep", self.notes.at(), limit=limits.DEPTH))
        if stack:
            parent = stack[-1]
            parent.leaf = False
            if self._texts:
                parent.text += self._taken()
            name = self._names.get(full) or self._local(full)
            if not attributes and name in parent.fast:
                self._leaf = name
                return
            element = self._below(parent, name)
        else:
            element = self._outer("")
        stack.append(element)
        if attributes:
            element.attributes = True
            self._attributes(element, attributes)
            if element.outside:
                self.rows.commit()

    def _no_leaf(self) -> None:
        """What looked like nothing but text holds an element."""
        name, self._leaf = self._leaf, ""
        self._stack.append(self._below(self._stack[-1], name))

    def _local(self, full: str) -> str:
        """The name without its namespace, remembered."""
        if len(self._names) > 10_000:
            self._names.clear()
        name = self._names[full] = full.rpartition(_SEPARATOR)[2]
        return name

    def _below(self, parent: _Open, name: str) -> _Open:
        if parent.outside:
            return self._outer(below(parent.path, name))
        node = parent.node.names.get(name) if parent.node is not None else None
        if node is None:
            return _Open(None, below(parent.path, name), parent.scope, parent.row, parent.ignored)
        scope, row = parent.scope, parent.row
        if node.indexed:
            node = self._of_several(node, row)
        if node.scope >= 0:
            scope, row = node.scope, self.rows.start(node.scope)
        return _Open(node, node.path, scope, row, node.ignored or parent.ignored)

    def _of_several(self, node: Node, row: Row) -> Node:
        """Of several elements of a row, those with a place of their own."""
        key = (id(row), id(node))
        n = self._seen[key] = self._seen.get(key, -1) + 1
        return node.indexed.get(n, node)

    def _outer(self, path: str) -> _Open:
        """An element above or beside the records, or one of them."""
        if path != self._above:
            return _Open(None, path, -1, [], self.plan.ignored_outside(path))
        self._mark, self._size, self._seen = self.rows.mark(), 0, {}
        return _Open(self.plan.root, "", RECORD, self.rows.start(RECORD), None)

    def _attributes(self, element: _Open, attributes: list[str]) -> None:
        node = element.node
        if node is None or element.ignored is not None:
            for key, value in zip(attributes[::2], attributes[1::2], strict=True):
                self._no_column(element, "@" + key.rpartition(_SEPARATOR)[2], value)
            return
        fast, row = node.fast, element.row
        for key, value in zip(attributes[::2], attributes[1::2], strict=True):
            name = "@" + key.rpartition(_SEPARATOR)[2]
            if name in fast and len(value) < _SMALL:
                row[fast[name]] = value or EMPTY
            else:
                self._attribute(element, node, name, value)

    def _attribute(self, element: _Open, node: Node, name: str, value: str) -> None:
        child = node.names.get(name)
        if child is None:
            self._no_column(element, name, value)
        elif child.ignored is not None:
            self.rows.aside(child.ignored, 1)
        else:
            self._put(element, child, value)

    def _put(self, element: _Open, node: Node, text: str) -> None:
        said = self.rows.fit(node, element.scope, text) if text else EMPTY
        self.rows.put(element.row, node, element.scope, said)

    def _no_column(self, element: _Open, name: str, text: str, reason: str = "") -> None:
        if element.ignored is not None:
            self.rows.aside(element.ignored, 1)
            return
        path = below(element.path, name) if name else element.path
        ignored = self.plan.ignored_outside(path) if element.outside else None
        if ignored is not None:
            self.rows.aside(ignored, 1)
        elif reason:
            self.rows.stray(path, null=False, reason=reason, rule="etl.xml-mixed", outside=element.outside)
        else:
            self.rows.stray(path, null=not text, outside=element.outside)

    def _taken(self) -> str:
        text = "".join(self._texts)
        self._texts.clear()
        return text

    def _end(self, _: str) -> None:
        if self._leaf:
            self._end_leaf()
            return
        element = self._stack.pop()
        text = element.text
        if self._texts:
            text += self._taken()
        said = text.strip()
        if element.leaf and (said or not element.attributes):
            self._text(element, said)
        elif said:
            self._no_column(element, "", said, BETWEEN)
        if element.node is self.plan.root:
            self.rows.size += self._size
            self._size, self._mark = 0, None
            self._whole += 1
            self.rows.commit()
        elif element.outside:
            self.rows.commit()

    def _end_leaf(self) -> None:
        """An element with nothing but text, the usual one."""
        parent, name, self._leaf = self._stack[-1], self._leaf, ""
        text = "".join(self._texts).strip()
        self._texts.clear()
        slot = parent.fast[name]
        if len(text) < _SMALL and parent.row[slot] == "":
            parent.row[slot] = text or EMPTY
        elif parent.node is not None:
            self._put(parent, parent.node.names[name], text)

    def _text(self, element: _Open, text: str) -> None:
        node = element.node
        if node is None or node.slot < 0 or element.ignored is not None:
            self._no_column(element, "", text)
        else:
            self._put(element, node, text)
