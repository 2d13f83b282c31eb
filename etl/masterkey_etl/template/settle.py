"""What a record left over: from the notes of a generated map to ledger lines and Issues.

A note is `(column, record, topic, reason)`: topic > 0 names a missing concept, reason > 0 an `$else`, both 0 a
value nobody used. Columns below 0 are findings about conditions and ids. Only exceptions come here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from masterkey_etl.free_text import Words
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.analysis import Resource, leaves
from masterkey_etl.template.nodes import uses
from masterkey_etl.template.writer import CONDITION, NO_ID, SAME_ID, UNREADABLE, Written
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
class Settler:
    """Settles records of one delivery. `pseudonym` names a record by its key in Issues."""

    model: SourceModel
    written: Written
    labels: dict[int, int]
    place: Place
    pseudonym: Callable[..., str]
    issues: list[Issue]
    ledger: Account | None = None
    _found: dict[tuple[str, str], tuple[Issue, set[str]]] = field(default_factory=dict)

    def __call__(self, record: Record, notes: list[Note]) -> None:
        self._found = {}
        name = ""
        entered: set[tuple[int, int]] = set()
        for column, part, topic, reason in sorted(notes, key=lambda note: note[0] < 0):  # values first
            if column >= 0:
                entered.add((column, id(part)))
                self.value(record, column, part, topic, reason)
            elif column == CONDITION:
                self.condition(part, topic)
            else:
                self.block(record, part, column, self.written.resources[topic], entered)
        if self._found:
            name = self.pseudonym(*(record.values[i] for i in self.model.key_positions))
        for found, shown in self._found.values():
            self.issues.append(_named(found, name, shown))

    def value(self, record: Record, column: int, part: Record, topic: int, reason: int) -> None:
        """One cell (or the equal cells of a collapsed record) that is neither mapped nor translated."""
        if reason > 0 and topic == 0:
            self.enter(record, part, column, "set_aside", self.written.reasons[reason - 1])
        elif topic > 0:
            name = self.written.topics[topic - 1]
            self.enter(record, part, column, "unmapped", f"no concept in concepts/{name}.csv")
            self.report("etl.no-concept", part, column, topic=name)
        elif topic == UNREADABLE:
            self.enter(record, part, column, "rejected", NOT_READABLE)
            self.report("etl.not-readable", part, column, type=self.model.columns[column].type)
        else:
            self.enter(record, part, column, "unmapped", UNUSED)
            self.report("etl.value-unused", part, column)

    def condition(self, part: Record, number: int) -> None:
        group = self.written.conditions[number]
        place = Place(self.place.site, self.place.file, part.row, group.path)
        facts: dict[str, Any] = {"file": group.where.file, "line": group.where.line}
        self.add(("etl.condition-empty", group.path), issue("etl.condition-empty", place, **facts))

    def block(self, record: Record, part: Record, kind: int, r: Resource, entered: set[tuple[int, int]]) -> None:
        """A block without an id, or with the id of another: its values of this part are rejected."""
        rule = {NO_ID: "etl.no-id", SAME_ID: "etl.same-id"}[kind]
        place = Place(self.place.site, self.place.file, part.row, r.name)
        facts: dict[str, Any] = {"block": r.name, "file": r.where.file, "line": r.where.line}
        self.add((rule, r.name), issue(rule, place, **facts))
        if kind == SAME_ID:
            for column in sorted({u.position for leaf in leaves(r.body) for u in uses(leaf.node, self.labels)}):
                if self.holds(part, column) and (column, id(part)) not in entered:
                    entered.add((column, id(part)))
                    self.enter(record, part, column, "rejected", SAME)

    def holds(self, part: Record, column: int) -> bool:
        """Is this a column of the part itself (not of the record around it), with a value?"""
        group = self.model.group_of.get(column)
        if group is None or len(part.values) == len(self.model.columns):
            return False
        positions = self.model.group_positions(group)
        return len(positions) == len(part.values) and bool(part.values[positions.index(column)])

    def enter(self, record: Record, part: Record, column: int, status: str, reason: str) -> None:
        if self.ledger is None:
            return
        n = (len(part.rows) or 1) - self.accounted(record, part, column)
        if n > 0:
            shown = self.show(part, column) if self.is_code(column) else None
            self.ledger.exceptions(column, status, reason, n, row=part.row, value=shown)

    def accounted(self, record: Record, part: Record, column: int) -> int:
        """Cells the reader has entered already. A part of a one-row record is accounted for by the record."""
        owner = record if len(record.rows) == 1 else part
        return owner.accounted.get(column, 0)

    def report(self, rule: str, part: Record, column: int, **facts: Any) -> None:
        name = self.model.columns[column].id
        place = Place(self.place.site, self.place.file, part.row, name)
        coded = self.is_code(column) or (rule == "etl.no-concept" and self.model.columns[column].personal == "none")
        shown = f"'{self.show(part, column)}'" if coded else "a text"
        self.add((rule, name), issue(rule, place, column=name, **facts), shown)

    def add(self, key: tuple[str, str], found: Issue, shown: str = "") -> None:
        """One Issue per rule, column and record: its count grows."""
        if key not in self._found:
            self._found[key] = (found, {shown})
            return
        before, values = self._found[key]
        values.add(shown)
        self._found[key] = (
            Issue(before.rule, before.severity, before.code, before.place, before.facts, count=before.count + 1),
            values,
        )

    def is_code(self, column: int) -> bool:
        """May a value of this column be shown? Codes and labels may, what can hold personal data never."""
        c = self.model.columns[column]
        return c.type in ("code", "label", "flag") and c.personal == "none"

    def show(self, part: Record, column: int) -> str:
        """A value for a message: codes as they are, of other texts the known words (a name may stand anywhere)."""
        text = self.text(part, column)
        return text if _CODE.fullmatch(text) else _words().cleaned(text)[0]

    def text(self, part: Record, column: int) -> str:
        if len(part.values) == len(self.model.columns):
            return part.values[column]
        group = self.model.group_of[column]
        return part.values[self.model.group_positions(group).index(column)]


def _named(found: Issue, record: str, shown: set[str]) -> Issue:
    facts = {**found.facts, "value": ", ".join(sorted(shown)[:3])} if "column" in found.facts else found.facts
    return Issue(found.rule, found.severity, found.code, found.place, facts, record, found.count)


def _words() -> Words:
    from masterkey_etl.identity import Policy

    return Policy.load().words
