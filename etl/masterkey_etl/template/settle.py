"""What a record left over: from the notes of a generated map to ledger lines and Issues.

A note is `(column, record, topic, reason)`: topic > 0 names a missing concept, reason > 0 an `$else`, both 0 a
value nobody used. Columns below 0 are findings about conditions and ids. Only exceptions come here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from masterkey_etl.free_text import Words
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.analysis import Resource, leaves
from masterkey_etl.template.nodes import uses
from masterkey_etl.template.runtime import Remembered
from masterkey_etl.template.shared_values import UNREADABLE
from masterkey_etl.template.writer import CONDITION, NO_ID, SAME_ID, Written
from masterkey_fhir.issue import Issue, Place, issue

UNUSED = "no resource that was emitted uses it"
NOT_READABLE = "it can't be read as its column's type"
SAME = "another resource of the record has the same id"
Note = tuple[int, Record, int, int]
_CODE = re.compile(r"C[0-9]{4,6}|[A-Za-z]{1,6}-?[0-9]{1,4}[A-Za-z]{0,2}|[0-9]{1,4}|[A-Za-z]{1,2}|[^\w\s]{1,3}")


class Account(Protocol):
    """What a map enters in a ledger (masterkey_etl.ledger.Ledger)."""

    def covered(self, columns: Iterable[int], status: Any = ...) -> None: ...
    def set_aside(self, columns: Iterable[int], reason: str) -> None: ...
    def exceptions(
        self, column: int, status: str, reason: str, n: int = 1, *, row: int = 0, value: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Kind:
    """What all notes of one sort have in common: a ledger line, an Issue (`rule` empty: none), or both."""

    rule: str
    where: str  # column, block or path
    facts: dict[str, str | int]
    status: str = ""
    reason: str = ""
    visible: bool = False  # may the Issue show the value?

    @property
    def key(self) -> tuple[str, str]:
        """One Issue per rule, place and record."""
        return self.rule, self.where


@dataclass(slots=True)
class _Finding:
    """An Issue in the making."""

    kind: _Kind
    row: int
    count: int = 0
    shown: list[str] = field(default_factory=list)


class Settler:
    """Settles records of one delivery. `pseudonym` names a record by its key in Issues."""

    def __init__(
        self,
        model: SourceModel,
        written: Written,
        labels: dict[int, int],
        place: Place,
        pseudonym: Callable[..., str],
        issues: list[Issue],
        ledger: Account | None,
    ) -> None:
        self.model, self.written, self.labels, self.place = model, written, labels, place
        self.pseudonym, self.issues, self.ledger = pseudonym, issues, ledger
        self.width = len(model.columns)
        self.keys = model.key_positions
        # May a value be shown? Codes and labels may, what can hold personal data never.
        self.coded = [c.type in ("code", "label", "flag") and c.personal == "none" for c in model.columns]
        self.inside = [_place_in_group(model, c.position) for c in model.columns]
        self.kinds: dict[tuple[int, int, int], _Kind] = Remembered(self.kind)
        self.cleaned: dict[str, str] = Remembered(_cleaned)
        self.found: dict[tuple[str, str], _Finding] = {}
        self.told: dict[tuple[int, int], int] = {}  # (column, part) of this record: cells entered here

    def __call__(self, record: Record, notes: list[Note]) -> None:
        """The cells first: what a block lost with its id is what they leave over."""
        self.found, self.told = {}, {}
        for column, part, topic, reason in notes:
            if column >= 0:
                self.cell(part, column, topic, self.kinds[column, topic, reason])
        for column, part, number, _ in notes:
            if column < 0:
                self.report(self.kinds[column, number, 0], part)
            if column == SAME_ID:
                self.refuse(part, self.written.resources[number])
        if self.found:
            self.tell(self.pseudonym(*[record.values[i] for i in self.keys]))

    def cell(self, part: Record, column: int, topic: int, kind: _Kind) -> None:
        """One cell (or the equal cells of a collapsed record) that is neither mapped nor translated."""
        self.enter(part, column, kind.status, kind.reason)
        if topic > 0 and (n := part.filled.get(column, 0)):
            # where the code was null or refused, the value that found no concept is the label's
            self.enter(part, self.labels[column], kind.status, kind.reason, n)
        if kind.rule:
            shown = f"'{self.show(part, column)}'" if kind.visible else "a text"
            self.report(kind, part).shown.append(shown)

    # -- what notes say

    def kind(self, note: tuple[int, int, int]) -> _Kind:
        """Of (column, topic, reason), or of (condition or id, number, 0)."""
        column, number, reason = note
        if column >= 0:
            return self.kind_of_cell(column, number, reason)
        if column == CONDITION:
            group = self.written.conditions[number]
            return _Kind("etl.condition-empty", group.path, {"file": group.where.file, "line": group.where.line})
        r = self.written.resources[number]
        rule = {NO_ID: "etl.no-id", SAME_ID: "etl.same-id"}[column]
        return _Kind(rule, r.name, {"block": r.name, "file": r.where.file, "line": r.where.line})

    def kind_of_cell(self, column: int, topic: int, reason: int) -> _Kind:
        c, coded = self.model.columns[column], self.coded[column]
        if topic > 0:
            name = self.written.topics[topic - 1]
            facts: dict[str, str | int] = {"column": c.id, "topic": name}
            said, visible = f"no concept in concepts/{name}.csv", c.personal == "none"
            return _Kind("etl.no-concept", c.id, facts, "unmapped", said, visible)
        if topic == UNREADABLE:
            return _Kind("etl.not-readable", c.id, {"column": c.id, "type": c.type}, "rejected", NOT_READABLE, coded)
        if reason > 0:
            return _Kind("", c.id, {}, "set_aside", self.written.reasons[reason - 1])
        return _Kind("etl.value-unused", c.id, {"column": c.id}, "unmapped", UNUSED, coded)

    # -- the ledger

    def enter(self, part: Record, column: int, status: str, reason: str, most: int | None = None) -> None:
        """The part's cells (at most so many), less those the reader or this record has entered."""
        if self.ledger is None:
            return
        cell = (column, id(part))
        told = self.told.get(cell, 0)
        n = (len(part.rows) or 1) - part.accounted.get(column, 0) - told
        n = n if most is None else min(n, most)
        if n > 0:
            self.told[cell] = told + n
            shown = self.show(part, column) if self.coded[column] and status != "set_aside" else None
            self.ledger.exceptions(column, status, reason, n, row=part.row, value=shown)

    def refuse(self, part: Record, r: Resource) -> None:
        """A block with the id of another: its values of this part are rejected."""
        for column in sorted({u.position for leaf in leaves(r.body) for u in uses(leaf.node, self.labels)}):
            if self.holds(part, column):
                self.enter(part, column, "rejected", SAME)

    def holds(self, part: Record, column: int) -> bool:
        """Is this a column of the part itself (not of the record around it), with a value?"""
        group = self.model.group_of.get(column)
        if group is None or len(part.values) != len(self.model.groups[group]):
            return False
        return bool(part.values[self.inside[column]])

    # -- Issues

    def report(self, kind: _Kind, part: Record) -> _Finding:
        found = self.found.get(kind.key)
        if found is None:
            found = self.found[kind.key] = _Finding(kind, part.row)
        found.count += 1
        return found

    def tell(self, name: str) -> None:
        site, file = self.place.site, self.place.file
        for f in self.found.values():
            facts = {**f.kind.facts, "value": ", ".join(sorted(set(f.shown))[:3])} if f.shown else f.kind.facts
            place = Place(site, file, f.row, f.kind.where)
            self.issues.append(issue(f.kind.rule, place, record=name, count=f.count, **facts))

    def show(self, part: Record, column: int) -> str:
        """A value for a message: codes as they are, of other texts the known words (a name may stand anywhere)."""
        return self.cleaned[part.values[column if len(part.values) == self.width else self.inside[column]]]


def _cleaned(text: str) -> str:
    return text if _CODE.fullmatch(text) else _words().cleaned(text)[0]


def _place_in_group(model: SourceModel, position: int) -> int:
    group = model.group_of.get(position)
    return position if group is None else model.group_positions(group).index(position)


@cache
def _words() -> Words:
    from masterkey_etl.identity import Policy

    return Policy.load().words
