"""What a record left over: from the notes of a generated map to ledger lines and Issues.

A note is `(column, record, topic, reason)`: topic > 0 names a missing concept, reason > 0 an `$else`, both 0 a
value nobody used. Columns below 0 are findings about conditions and ids. Only exceptions come here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from masterkey_etl.free_text import Words
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.analysis import Resource, leaves
from masterkey_etl.template.nodes import uses
from masterkey_etl.template.shared_values import UNREADABLE
from masterkey_etl.template.writer import CONDITION, NO_ID, SAME_ID, Written
from masterkey_fhir.issue import Issue, Place, issue

UNUSED = "no resource that was emitted uses it"
NOT_READABLE = "it can't be read as its column's type"
SAME = "another resource of the record has the same id"
Note = tuple[int, Record, int, int]
_CODE = re.compile(r"[A-Za-z]{1,6}-?[0-9]{1,6}[A-Za-z]{0,2}|[0-9]{1,4}|[A-Za-z]{1,2}|[^\w\s]{1,3}")


class Account(Protocol):
    """What a map enters in a ledger (masterkey_etl.ledger.Ledger)."""

    def covered(self, columns: Iterable[int], status: Any = ...) -> None: ...
    def set_aside(self, columns: Iterable[int], reason: str) -> None: ...
    def exceptions(
        self, column: int, status: str, reason: str, n: int = 1, *, row: int = 0, value: str | None = None
    ) -> None: ...


@dataclass(slots=True)
class _Finding:
    """An Issue in the making: one per rule, place and record."""

    rule: str
    row: int
    where: str  # column, block or path
    facts: dict[str, Any]
    count: int = 0
    shown: set[str] = field(default_factory=set)


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
        self.names = [c.id for c in model.columns]
        # May a value be shown? Codes and labels may, what can hold personal data never.
        self.open = [c.personal == "none" for c in model.columns]
        self.coded = [c.type in ("code", "label", "flag") and c.personal == "none" for c in model.columns]
        self.inside = [_place_in_group(model, c.position) for c in model.columns]
        self.no_concept = [f"no concept in concepts/{t}.csv" for t in written.topics]
        self.found: dict[tuple[str, str], _Finding] = {}
        self.told: Counter[tuple[int, int]] = Counter()  # (column, part) of this record: cells entered here

    def __call__(self, record: Record, notes: list[Note]) -> None:
        self.found, self.told = {}, Counter()
        others = [note for note in notes if note[0] < 0]
        for column, part, topic, reason in notes:
            if column >= 0:
                self.value(column, part, topic, reason)
        for column, part, topic, _ in others:
            if column == CONDITION:
                self.condition(part, topic)
            else:
                self.block(part, column, self.written.resources[topic])
        if self.found:
            self.tell(self.pseudonym(*[record.values[i] for i in self.keys]))

    def tell(self, name: str) -> None:
        site, file = self.place.site, self.place.file
        for f in self.found.values():
            if f.shown:
                f.facts["value"] = ", ".join(sorted(f.shown)[:3])
            place = Place(site, file, f.row, f.where)
            self.issues.append(issue(f.rule, place, record=name, count=f.count, **f.facts))

    def value(self, column: int, part: Record, topic: int, reason: int) -> None:
        """One cell (or the equal cells of a collapsed record) that is neither mapped nor translated."""
        if topic > 0:
            self.enter(part, column, "unmapped", self.no_concept[topic - 1])
            self.enter_label(part, column, "unmapped", self.no_concept[topic - 1])
            self.report("etl.no-concept", part, column, "topic", self.written.topics[topic - 1])
        elif topic == UNREADABLE:
            self.enter(part, column, "rejected", NOT_READABLE)
            self.report("etl.not-readable", part, column, "type", self.model.columns[column].type)
        elif reason > 0:
            self.enter(part, column, "set_aside", self.written.reasons[reason - 1])
        else:
            self.enter(part, column, "unmapped", UNUSED)
            self.report("etl.value-unused", part, column)

    def condition(self, part: Record, number: int) -> None:
        group = self.written.conditions[number]
        facts = {"file": group.where.file, "line": group.where.line}
        self.finding("etl.condition-empty", part, group.path, facts).count += 1

    def block(self, part: Record, kind: int, r: Resource) -> None:
        """A block without an id, or with the id of another: its values of this part are rejected."""
        rule = {NO_ID: "etl.no-id", SAME_ID: "etl.same-id"}[kind]
        facts = {"block": r.name, "file": r.where.file, "line": r.where.line}
        self.finding(rule, part, r.name, facts).count += 1
        if kind == SAME_ID:
            for column in sorted({u.position for leaf in leaves(r.body) for u in uses(leaf.node, self.labels)}):
                if self.holds(part, column):
                    self.enter(part, column, "rejected", SAME)

    def holds(self, part: Record, column: int) -> bool:
        """Is this a column of the part itself (not of the record around it), with a value?"""
        group = self.model.group_of.get(column)
        if group is None or len(part.values) != len(self.model.groups[group]):
            return False
        return bool(part.values[self.inside[column]])

    def enter(self, part: Record, column: int, status: str, reason: str, most: int | None = None) -> None:
        """In the ledger: the part's cells (at most so many), less those the reader or this record has entered."""
        if self.ledger is None:
            return
        cell = (column, id(part))
        n = (len(part.rows) or 1) - part.accounted.get(column, 0) - self.told[cell]
        n = n if most is None else min(n, most)
        if n > 0:
            self.told[cell] += n
            shown = self.show(part, column) if self.coded[column] and status != "set_aside" else None
            self.ledger.exceptions(column, status, reason, n, row=part.row, value=shown)

    def enter_label(self, part: Record, column: int, status: str, reason: str) -> None:
        """Where the code was null or refused, the value that found no concept is the label's."""
        if n := part.filled.get(column, 0):
            self.enter(part, self.labels[column], status, reason, n)

    def report(self, rule: str, part: Record, column: int, fact: str = "", said: str = "") -> None:
        """A value of a column: what may be shown of it is."""
        name = self.names[column]
        found = self.finding(rule, part, name, {"column": name, fact: said} if fact else {"column": name})
        found.count += 1
        visible = self.coded[column] or (rule == "etl.no-concept" and self.open[column])
        found.shown.add(f"'{self.show(part, column)}'" if visible else "a text")

    def finding(self, rule: str, part: Record, where: str, facts: dict[str, Any]) -> _Finding:
        """One Issue per rule, column (or block) and record: its count grows."""
        key = (rule, where)
        if key not in self.found:
            self.found[key] = _Finding(rule, part.row, where, facts)
        return self.found[key]

    def show(self, part: Record, column: int) -> str:
        """A value for a message: codes as they are, of other texts the known words (a name may stand anywhere)."""
        text = part.values[column if len(part.values) == self.width else self.inside[column]]
        return text if _CODE.fullmatch(text) else _words().cleaned(text)[0]


def _place_in_group(model: SourceModel, position: int) -> int:
    group = model.group_of.get(position)
    return position if group is None else model.group_positions(group).index(position)


@cache
def _words() -> Words:
    from masterkey_etl.identity import Policy

    return Policy.load().words
