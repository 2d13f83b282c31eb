"""What passes between the compiler of the maps and the core of the projection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from masterkey_etl.project.lookups import Finder, Found
from masterkey_etl.project.maps import Edge, Fact, ViewMap
from masterkey_omop.keys import Key
from masterkey_omop.schema import Table

Row = list[Any]  # in the order of the table's fields; keys are `Key`s until the writer resolves them
Values = tuple[Any, ...]  # a row of a view, with the reference to the resource itself appended
Get = Callable[[Values, list[Found]], Any]
Later = Callable[["Emitted", "Patient"], Any]
Fit = Callable[[Any, "Emitted"], Any]  # a value as a field takes it


@dataclass(slots=True)
class Emitted:
    """A row on its way into `table`, and what the CDM has no place for (`notes`)."""

    edge: CompiledEdge
    key: Key | None
    row: Row
    values: Values
    found: list[Found]
    notes: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def note(self, side: str, *cells: Any) -> None:
        self.notes.append((side, cells))


@dataclass(slots=True)
class Patient:
    """What is known of one patient while the rows are made."""

    site: str
    id: str
    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Emitted] = field(default_factory=list)
    by_key: dict[Key, Emitted] = field(default_factory=dict)
    primary: dict[tuple[str, str], Emitted] = field(default_factory=dict)

    def index(self) -> None:
        self.by_key = {e.key: e for e in self.rows if e.key}
        self.primary = {}
        for emitted in self.rows:
            if emitted.key and not emitted.key.slot:
                self.primary.setdefault((emitted.key.type, emitted.key.id), emitted)


@dataclass(slots=True)
class CompiledEdge:
    edge: Edge
    table: Table
    name: str  # with the prefix of tables beside the CDM
    positions: Mapping[str, int]
    table_key: int | None
    is_personal: bool
    when: tuple[tuple[int, frozenset[str | None]], ...]
    present: tuple[int, ...]
    domains: tuple[tuple[int, frozenset[str]], ...]
    slot: Callable[[Values], str | None]
    constants: Row  # what every row of this edge starts with
    plain: tuple[tuple[int, int, Fit], ...]  # (position, view column, fit)
    now: tuple[tuple[int, Get, Fit], ...]  # (position, value, fit)
    later: tuple[tuple[int, int, Later, Fit], ...]  # (pass, position, value, fit)
    settled: int  # the pass after which the row is complete
    lookups: tuple[int, ...]
    keys: tuple[int, ...]  # positions that may refer to other rows of the patient
    ladders: tuple[tuple[str, int, bool, int | None], ...]  # (field, look-up, has rungs, text column)
    details: tuple[tuple[str, int], ...]
    required: tuple[int, ...]
    date: int | None  # the field that dates an event of this table
    end: int | None


@dataclass(slots=True)
class CompiledView:
    map: ViewMap
    finders: tuple[Finder, ...]
    edges: tuple[CompiledEdge, ...]
    facts: tuple[tuple[Fact, int, tuple[tuple[int, frozenset[str | None]], ...]], ...]
