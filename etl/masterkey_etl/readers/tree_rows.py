"""Rows gathered out of a tree, and what was found on the way: shared by the JSON and the XML reader."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from masterkey_etl.leaves import UNKNOWN, Leaves, shown
from masterkey_etl.readers import limits
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.readers.tree_plan import RECORD, Node, Plan
from masterkey_etl.tree_model import Ignored, below
from masterkey_fhir.issue import issue

EMPTY = "\0empty"  # a leaf that is there and says nothing; "" is a leaf that is not there
NULL = "\0null"
REPEATED = "it stands twice in its object"
BETWEEN = "it is text between elements"
PROBLEMS = {
    "nul": "it holds a NUL character",
    "bytes": "it can't be decoded",
    "long": f"it is longer than {limits.FIELD:,} characters",
}
Row = list["str | Several"]


class Several(list[str]):
    """The leaves that stand at one path of one row."""


class _Stray(NamedTuple):
    """Leaves found where no column takes them."""

    where: str
    status: str
    reason: str
    n: int
    at: str = ""
    rule: str = ""


@dataclass(slots=True)
class Part:
    """The rows of one scope in a batch: `owners[i]` is the row of the parent scope that row i belongs to."""

    rows: list[Row] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Rows:
    """The rows of some records. `number` counts records and parts in the order of the file, from 1."""

    plan: Plan
    leaves: Leaves
    notes: Notes
    number: int = 0
    size: int = 0
    dirty: bool = False  # a value was refused: REFUSED stands there
    parts: list[Part] = field(default_factory=list)
    aliases: Counter[tuple[int, str]] = field(default_factory=Counter)  # (position, plain path)
    unfit: list[tuple[int, str, int]] = field(default_factory=list)  # (position, problem, number of the latest row)
    unknown: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)  # (rule, path) -> n, first row
    _pending: list[_Stray] = field(default_factory=list)
    _unfit: list[tuple[int, str, int]] = field(default_factory=list)
    _aliases: list[tuple[int, str]] = field(default_factory=list)

    _blank: list[Row] = field(default_factory=list)
    _parent: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._blank = [[""] * len(scope.positions) for scope in self.plan.scopes]
        self._parent = [scope.parent for scope in self.plan.scopes]
        self.fresh()

    def fresh(self) -> None:
        """Forget the rows: they were handed on."""
        self.parts, self.dirty, self.size = [Part() for _ in self.plan.scopes], False, 0
        self.aliases, self.unfit = Counter(), []

    @property
    def full(self) -> bool:
        """Time to hand the rows on."""
        return len(self.parts[RECORD].rows) >= limits.TREE_BATCH or self.size >= limits.TREE_CHARACTERS

    def start(self, scope: int) -> Row:
        """A new row of a scope, of the latest row of its parent."""
        part = self.parts[scope]
        self.number += 1
        row: Row = self._blank[scope][:]
        part.rows.append(row)
        part.owners.append(len(self.parts[self._parent[scope]].rows) - 1)
        part.numbers.append(self.number)
        return row

    def mark(self) -> tuple[int, ...]:
        """How many rows there are, for `back_to`."""
        return tuple(len(part.rows) for part in self.parts)

    def back_to(self, mark: tuple[int, ...]) -> None:
        """Drop the rows of a record that turned out to be broken."""
        for part, n in zip(self.parts, mark, strict=True):
            del part.rows[n:], part.owners[n:], part.numbers[n:]
        self._pending, self._unfit, self._aliases = [], [], []

    def hold(self, mark: tuple[int, ...]) -> list[Part]:
        """Take out the rows of a record that is still open; their owners count from the mark."""
        held = []
        for scope, part, n in zip(self.plan.scopes, self.parts, mark, strict=True):
            owners = [owner - mark[scope.parent] for owner in part.owners[n:]]
            held.append(Part(part.rows[n:], owners, part.numbers[n:]))
            del part.rows[n:], part.owners[n:], part.numbers[n:]
        return held

    def go_on(self, held: list[Part]) -> tuple[int, ...]:
        """Put held rows behind what is there; the new mark of their record."""
        mark = self.mark()
        for scope, part, more in zip(self.plan.scopes, self.parts, held, strict=True):
            part.rows += more.rows
            part.owners += [owner + mark[scope.parent] for owner in more.owners]
            part.numbers += more.numbers
        return mark

    def put(self, row: Row, node: Node, scope: int, text: str) -> None:
        """A leaf with a place of its own; the second at one place makes it several."""
        there = row[node.slot]
        if there == "":
            row[node.slot] = text
        elif isinstance(there, Several):
            there.append(text)
        else:
            row[node.slot] = Several((there, text))
        if node.alias:
            self._aliases.append((self.plan.scopes[scope].positions[node.slot], node.path))

    def fit(self, node: Node, scope: int, text: str) -> str:
        """The text, or REFUSED when it can't be carried on: told, and entered at once."""
        problem = problem_of(text)
        if not problem:
            return text
        position = self.plan.scopes[scope].positions[node.slot]
        self._unfit.append((position, problem, len(text)))
        return REFUSED

    # -- leaves no column takes -----------------------------------------------------------------------

    def aside(self, ignored: Ignored, n: int) -> None:
        self._pending.append(_Stray(ignored.path, "set_aside", ignored.reason, n))

    def stray(
        self,
        path: str,
        *,
        null: bool,
        reason: str = UNKNOWN,
        rule: str = "etl.leaf-unknown",
        outside: bool = False,
    ) -> None:
        """One leaf that has no place: told by its path, never by its value; a null says nothing and is absent."""
        at = path if path in self.plan.known and not outside else ""
        if null:
            self._pending.append(_Stray(shown(path), "absent", "empty", 1, at))
        else:
            self._pending.append(_Stray(shown(path), "rejected", reason, 1, at, rule))

    def unplaced(
        self, path: str, value: Any, *, reason: str = UNKNOWN, rule: str = "etl.leaf-unknown", outside: bool = False
    ) -> None:
        """Every leaf of a JSON value that has no place, by its plain path."""
        open_: list[tuple[str, Any]] = [(path, value)]
        while open_:
            where, one = open_.pop()
            if isinstance(one, dict):
                open_ += [(below(where, k), v) for k, v in [*one.items(), *getattr(one, "more", ())]]
            elif isinstance(one, list):
                open_ += [(where, v) for v in one]
            else:
                self.stray(where, null=one is None or one == "", reason=reason, rule=rule, outside=outside)

    def commit(self) -> None:
        """A record is whole: what was found in it counts."""
        for found in self._pending:
            self.leaves.stray(found.where, found.status, found.reason, found.n, at=found.at)
            if found.rule:
                self._note(found)
        self._pending = []
        self.aliases.update(self._aliases)
        self._aliases = []
        self.dirty = self.dirty or bool(self._unfit)
        for position, problem, length in self._unfit:
            self.unfit.append((position, problem, self.number))
            facts: dict[str, str | int] = {"length": length} if problem == "long" else {}
            self.notes.tell(f"etl.value-{problem}", self.number, self.plan.model.columns[position].id, **facts)
        self._unfit = []

    def _note(self, found: _Stray) -> None:
        key = (found.rule, found.where if len(self.unknown) < limits.SAME_ISSUES else "(other paths)")
        n, first = self.unknown.get(key, (0, self.number))
        self.unknown[key] = (n + 1, first)

    def tell_strays(self) -> None:
        """One Issue per path, with how many."""
        for (rule, path), (n, first) in self.unknown.items():
            self.notes.add(issue(rule, self.notes.at(first or None, path), count=n, path=path, n=n))
        self.unknown = {}


def problem_of(text: str) -> str:
    """Why a text can't be carried on: nul, bytes (not decodable, or half a character), long; "" when it can."""
    if len(text) > limits.FIELD:
        return "long"
    if "\0" in text:
        return "nul"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "bytes"
    return ""


__all__ = ["BETWEEN", "EMPTY", "NULL", "RECORD", "REFUSED", "REPEATED", "Part", "Row", "Rows", "Several", "problem_of"]
