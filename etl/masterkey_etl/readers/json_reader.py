"""Read JSON: documents to rows to Records, streaming; deviations are Issues, leaves are accounted for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from masterkey_etl.readers import limits
from masterkey_etl.readers.json_text import Broken, Document, Doubled, Outside, Text, documents
from masterkey_etl.readers.tree_plan import RECORD, Node
from masterkey_etl.readers.tree_reading import TreeReading
from masterkey_etl.readers.tree_rows import EMPTY, NULL, REPEATED, Row
from masterkey_etl.tree_model import below

_UNSAFE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")  # NUL, half a character


class JsonReading(TreeReading):
    """One pass over a JSON delivery; see `TreeReading`."""

    def begin(self) -> None:
        self._careful = False  # look at every text of this document

    def gather(self) -> Iterator[None]:
        with closing(self.source.open()) as stream:
            text = Text(stream)
            for found in documents(text, self.plan.above):
                if isinstance(found, Document):
                    self._record(found, text.undecodable)
                elif isinstance(found, Outside):
                    self._outside(found)
                else:
                    self._broken(found)
                yield
            if text.marks:
                self.notes.tell("etl.mark-inside", marks=text.marks)
            if text.undecodable:
                self.notes.tell("etl.encoding-mixed", used="utf-8", tried=", ".join(self.model.encoding))

    def _broken(self, found: Broken) -> None:
        self.refuse()
        self.notes.tell("etl.tree-broken", line=found.line, problem=found.problem)

    def _outside(self, found: Outside) -> None:
        """Leaves above or beside the records: set aside when the model says why, else without a place."""
        if (ignored := self.plan.ignored_outside(found.path)) is not None:
            self.rows.aside(ignored, leaves(found.value))
        else:
            self.rows.unplaced(found.path, found.value, outside=True)
        self.rows.commit()

    def _record(self, found: Document, undecodable: bool) -> None:
        text = found.text
        self._careful = undecodable or len(text) > limits.FIELD or "\0" in text or "\\u" in text
        if self._careful and len(text) <= limits.FIELD and not undecodable and "\0" not in text:
            self._careful = _UNSAFE.search(text) is not None
        row = self.rows.start(RECORD)
        self._fill(self.plan.root, RECORD, row, found.value)
        self.rows.size += len(text)
        self.rows.commit()

    def _fill(self, node: Node, scope: int, row: Row, value: Any, *, again: bool = False) -> None:
        """Put the leaves of a value where the node says. `again`: another element stood here before."""
        kind = type(value)
        if kind is dict or kind is Doubled:
            self._members(node, scope, row, value, again)
        elif kind is list:
            self._elements(node, scope, row, value)
        elif node.slot >= 0:
            self.rows.put(row, node, scope, self._text(node, scope, value))
        else:
            self.rows.unplaced(node.path, value)

    def _members(self, node: Node, scope: int, row: Row, value: dict[str, Any], again: bool) -> None:
        names, fast, careful = node.names, node.fast, self._careful or again
        for name, inside in value.items():
            if type(inside) is str and name in fast and not careful:
                row[fast[name]] = inside or EMPTY
                continue
            child = names.get(name)
            if child is None:
                self.rows.unplaced(below(node.path, name), inside)
            elif child.ignored is not None:
                self.rows.aside(child.ignored, leaves(inside))
            else:
                self._open(child, scope, row, inside, again)
        for name, inside in value.more if isinstance(value, Doubled) else ():
            self.rows.unplaced(below(node.path, name), inside, reason=REPEATED, rule="etl.key-repeated")

    def _open(self, child: Node, scope: int, row: Row, value: Any, again: bool) -> None:
        if child.scope >= 0 and type(value) is not list:
            self._fill(child, child.scope, self.rows.start(child.scope), value)
        else:
            self._fill(child, scope, row, value, again=again)

    def _elements(self, node: Node, scope: int, row: Row, values: list[Any]) -> None:
        """An array: rows of a scope, elements with a place of their own, or several leaves at one place."""
        for n, value in enumerate(values):
            if type(value) is list:
                self._elements(node, scope, row, value)
            elif node.scope >= 0 and node.scope != RECORD:
                self._fill(node, node.scope, self.rows.start(node.scope), value)
            elif (own := node.indexed.get(n)) is not None:
                self._fill(own, scope, row, value)
            elif node.indexed and not node.names:
                self.rows.unplaced(node.path, value)
            else:
                self._fill(node, scope, row, value, again=n > 0)

    def _text(self, node: Node, scope: int, value: Any) -> str:
        if value is None:
            return NULL
        if type(value) is bool:
            return "true" if value else "false"
        if value == "":
            return EMPTY
        return self.rows.fit(node, scope, value) if self._careful else str(value)


def leaves(value: Any) -> int:
    """How many leaves a value has, itself included when it is one."""
    n, open_ = 0, [value]
    while open_:
        one = open_.pop()
        if isinstance(one, dict):
            open_ += one.values()
            open_ += [v for _, v in one.more] if isinstance(one, Doubled) else ()
        elif isinstance(one, list):
            open_ += one
        else:
            n += 1
    return n


__all__ = ["JsonReading", "leaves"]
