"""From gathered rows to Records: what a leaf means is what a cell means (cells.py), column by column.

Beyond that, of a tree: leaves that stand several times in one row, code lists, leaves that must be there, doubts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import compress, pairwise

from masterkey_etl.readers.cells import _ALL_NULL, Batch, Cells
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.readers.tree_plan import RECORD, Scope
from masterkey_etl.readers.tree_rows import EMPTY, NULL, PROBLEMS, REFUSED, Part, Rows, Several
from masterkey_etl.record import Record
from masterkey_etl.tree_model import Doubt, plain
from masterkey_fhir.issue import issue

ANY = "*"
FURTHER = "another one stands before it at the same place"
Column = Sequence[str]


class TreeCells(Cells):
    """Cells of trees: `""` is a leaf that is not there (no cell), EMPTY and NULL are leaves that say nothing."""

    def _without_nulls(self, i: int, column: Sequence[str]) -> Sequence[str]:
        present = absent = len(column) - column.count("")
        for token in (EMPTY, NULL, *(self.model.nulls[i] - {""})):
            if n := column.count(token):
                self.ledger.exceptions(i, "absent", {EMPTY: "empty", NULL: "null"}.get(token, token), n)
                absent -= n
        if not absent:
            return _ALL_NULL
        if absent == present:
            return column
        tokens = self.model.nulls[i]
        return ["" if v in tokens or v in (EMPTY, NULL) else v for v in column]


@dataclass(slots=True)
class _Tally:
    n: int = 0
    first: int = 0

    def add(self, n: int, row: int) -> None:
        self.first = self.first if self.n else row
        self.n += n


@dataclass(slots=True)
class _Clean:
    """A scope of a batch after cleaning; columns by slot. `cells[row][position]`: leaves a value stands for."""

    columns: list[Column]
    cells: dict[int, dict[int, int]] = field(default_factory=dict)


class TreeRecords:
    """Turns batches of rows into Records, and tells at the end what was counted."""

    def __init__(self, rows: Rows, cells: TreeCells, pseudonym: Callable[..., str]) -> None:
        self.rows, self.cells, self._pseudonym = rows, cells, pseudonym
        self.model, self.ledger, self.notes = cells.model, cells.ledger, cells.notes
        self._scope_of = {p: n for n, scope in enumerate(rows.plan.scopes) for p in scope.positions}
        self._lists = [frozenset(c.codes) if c.type == "code" and c.label is None else None for c in self.model.columns]
        self._tallies: dict[tuple[str, int, str], _Tally] = {}
        self._group_scopes = _group_scopes(rows.plan.scopes)
        self._repeats: Counter[int] = Counter()  # numbers of parts that an earlier one of their record equals

    def records(self) -> Iterator[Record]:
        """The Records of the rows gathered so far; the rows are forgotten."""
        for position, problem, _ in self.rows.unfit:
            self.ledger.exceptions(position, "rejected", PROBLEMS[problem])
        names = self._names()
        clean = [self._cleaned(n, names) for n in range(len(self.rows.plan.scopes))]
        yield from self._built(clean)
        self.rows.fresh()

    def finish(self) -> None:
        """Tell what was counted over the whole delivery."""
        self.cells.finish()
        for (rule, position, said), tally in self._tallies.items():
            column = self.model.columns[position]
            facts = {"etl.doubted": {"problem": said}, "etl.code-undeclared": {"code": said}}.get(rule, {})
            place = self.notes.at(tally.first, column.id)
            self.notes.add(issue(rule, place, count=tally.n, n=tally.n, path=column.header, **facts))
        if self._repeats:
            n = self._repeats.total()
            self.notes.add(issue("etl.part-repeated", self.notes.at(min(self._repeats)), count=n, n=n))
        self.rows.tell_strays()

    # -- one scope ------------------------------------------------------------------------------------

    def _names(self) -> list[tuple[str, ...]]:
        """What names each record of the batch: its key, else its number."""
        part, scope = self.rows.parts[RECORD], self.rows.plan.scopes[RECORD]
        slots = [scope.positions.index(p) for p in self.model.key_positions]
        return [
            tuple(_plain_text(row[s]) for s in slots) if slots else (str(number),)
            for row, number in zip(part.rows, part.numbers, strict=True)
        ]

    def _cleaned(self, number: int, names: list[tuple[str, ...]]) -> _Clean:
        part, scope = self.rows.parts[number], self.rows.plan.scopes[number]
        if not part.rows or not scope.positions:
            return _Clean([() for _ in scope.positions] if not part.rows else [])
        clean = _Clean([])
        raw = [self._single(p, part, n, column, clean) for n, (p, column) in enumerate(_columns(scope, part))]
        blank: Column = ("",) * len(part.rows)
        columns = [blank] * len(self.model.columns)
        for position, column in zip(scope.positions, raw, strict=True):
            columns[position] = column
        batch = Batch(part.numbers, partial(self._name, number, names), columns, self.rows.dirty)
        self.cells.clean(batch, scope.positions)
        self._judge(number, part, batch)
        clean.columns = [batch.columns[p] for p in scope.positions]
        return clean

    def _name(self, scope: int, names: list[tuple[str, ...]], row: int) -> str:
        return self._pseudonym(*names[self._record(scope, row)])

    def _record(self, scope: int, row: int) -> int:
        """The record a row belongs to."""
        while scope != RECORD:
            row, scope = self.rows.parts[scope].owners[row], self.rows.plan.scopes[scope].parent
        return row

    def _single(self, position: int, part: Part, slot: int, column: Column, clean: _Clean) -> Column:
        """Count the leaves of a column; several in one row become one value, as the model says."""
        n = len(column) - column.count("")
        if Several in set(map(type, column)):
            column = list(column)
            for row, value in enumerate(column):
                if isinstance(value, Several):
                    n += len(value) - 1
                    column[row] = self._one(position, part.numbers[row], value, row, clean)
        self._count(position, n)
        return column

    def _count(self, position: int, n: int) -> None:
        """Leaves a column took, at its path and at its other ones."""
        first, *others = self.model.leaf_paths(position)
        for path in map(plain, others):
            if there := self.rows.aliases[position, path]:
                self.ledger.leaves.taken(position, path, there)
                self._tally("etl.leaf-elsewhere", position, "").add(there, self.rows.parts[RECORD].numbers[0])
                n -= there
        if n:
            self.ledger.leaves.taken(position, plain(first), n)

    def _one(self, position: int, number: int, value: Several, row: int, clean: _Clean) -> str:
        said = [v for v in value if v not in (EMPTY, NULL, REFUSED)]
        said = [v for v in said if v not in self.model.nulls[position]]
        if not said:
            self._enter_all(position, value[1:])
            return value[0]
        self._enter_all(position, [v for v in value if v not in said])
        column = self.model.columns[position]
        if column.join is None:
            for more in said[1:]:
                self.ledger.exceptions(position, "rejected", FURTHER, row=number, value=more)
            if said[1:]:
                self._tally("etl.leaf-repeated", position, "").add(len(said) - 1, number)
            return said[0]
        if len(said) > 1:
            clean.cells.setdefault(row, {})[position] = len(said)
        return column.join.join(said)

    def _enter_all(self, position: int, nulls: Sequence[str]) -> None:
        """Leaves beside the value that say nothing (refused ones are in the ledger already)."""
        for token, n in Counter(v for v in nulls if v != REFUSED).items():
            self.ledger.exceptions(position, "absent", {EMPTY: "empty", NULL: "null"}.get(token, token), n)

    # -- what the model says of values ----------------------------------------------------------------

    def _judge(self, number: int, part: Part, batch: Batch) -> None:
        for doubt in self.model.doubts:
            if self._scope_of[self.model.index[doubt.column]] == number:
                self._doubt(doubt, number, part, batch)
        for position in self.rows.plan.scopes[number].positions:
            column = self.model.columns[position]
            if column.required and (missing := batch.columns[position].count("")):
                first = batch.columns[position].index("")
                self._tally("etl.leaf-missing", position, "").add(missing, part.numbers[first])
            known = self._lists[position]
            if known:
                self._codes(position, known, batch)

    def _codes(self, position: int, known: frozenset[str], batch: Batch) -> None:
        column = batch.columns[position]
        for code in sorted(set(column) - known - {""}):
            tally = self._tally("etl.code-undeclared", position, code_for_message(code))
            tally.add(column.count(code), batch.numbers[list(column).index(code)])

    def _doubt(self, doubt: Doubt, number: int, part: Part, batch: Batch) -> None:
        position = self.model.index[doubt.column]
        column = batch.columns[position]
        records = [self._record(number, row) for row in range(len(column))] if doubt.counting else []
        hits = _counting(column, records) if doubt.counting else [bool(v) != doubt.missing for v in column]
        if doubt.values:
            hits = [hit and v in doubt.values for hit, v in zip(hits, column, strict=True)]
        if doubt.unlike:
            like = re.compile(doubt.unlike).fullmatch
            hits = [hit and like(v) is None for hit, v in zip(hits, column, strict=True)]
        for name, wanted in doubt.when.items():
            beside = batch.columns[self.model.index[name]]
            hits = [h and (v in wanted or (ANY in wanted and bool(v))) for h, v in zip(hits, beside, strict=True)]
        if not any(hits):
            return
        self._tally("etl.doubted", position, doubt.reason).add(sum(hits), next(compress(batch.numbers, hits)))
        if not (doubt.keep or doubt.missing):
            for row in compress(range(len(hits)), hits):
                self.ledger.exceptions(position, "rejected", doubt.reason, row=batch.numbers[row], value=column[row])
            batch.columns[position] = ["" if hit else v for hit, v in zip(hits, column, strict=True)]

    def _tally(self, rule: str, position: int, said: str) -> _Tally:
        return self._tallies.setdefault((rule, position, said), _Tally())

    # -- building -------------------------------------------------------------------------------------

    def _built(self, clean: list[_Clean]) -> Iterator[Record]:
        part = self.rows.parts[RECORD]
        width = len(self.model.columns)
        children = [(name, self._children(name, clean, len(part.rows))) for name in self.model.groups]
        positions = self.rows.plan.scopes[RECORD].positions
        self.ledger.rows(len(part.rows))
        own = list(zip(*clean[RECORD].columns, strict=True)) if clean[RECORD].columns else [()] * len(part.rows)
        for n, number in enumerate(part.numbers):
            values = [""] * width
            for position, value in zip(positions, own[n], strict=True):
                values[position] = value
            known = {p: 1 - k for p, k in clean[RECORD].cells.get(n, {}).items()}
            yield Record(values, number, (number,), {name: parts[n] for name, parts in children}, known)

    def _children(self, name: str, clean: list[_Clean], records: int) -> list[list[Record]]:
        """The items of a group, by record; of a spread group an item per element inside, or one without."""
        outer, inner = self._group_scopes[name]
        out: list[list[Record]] = [[] for _ in range(records)]
        part = self.rows.parts[outer]
        index = [(n, -1) for n in range(len(part.rows))] if inner < 0 else self._pairs(outer, inner)
        columns = self._spread_out(name, clean, outer, inner, index)
        values = list(zip(*columns, strict=True))
        self._equal(part, values, index)
        last = -1
        for (n, m), row in zip(index, values, strict=True):
            first, last = n != last, n
            if not any(row):
                continue
            number = part.numbers[n] if m < 0 else self.rows.parts[inner].numbers[m]
            known = self._known(clean, outer, inner, n, m, first)
            out[part.owners[n]].append(Record(list(row), number, (number,), {}, known))
        return out

    def _equal(self, part: Part, values: list[tuple[str, ...]], index: list[tuple[int, int]]) -> None:
        """Tell parts of a record that say the same as an earlier one: a map makes one resource of them."""
        keys = list(zip([part.owners[n] for n, _ in index], values, strict=True))
        if len(set(keys)) == len(keys):
            return
        seen: set[tuple[int, tuple[str, ...]]] = set()
        for (n, _), key in zip(index, keys, strict=True):
            if key in seen and any(key[1]):
                self._repeats[part.numbers[n]] += 1
            seen.add(key)

    def _pairs(self, outer: int, inner: int) -> list[tuple[int, int]]:
        """(row of the group, row of the element inside or -1), in order."""
        inside: dict[int, list[int]] = {}
        for m, owner in enumerate(self.rows.parts[inner].owners):
            inside.setdefault(owner, []).append(m)
        return [(n, m) for n in range(len(self.rows.parts[outer].rows)) for m in inside.get(n, (-1,))]

    def _spread_out(
        self, name: str, clean: list[_Clean], outer: int, inner: int, index: list[tuple[int, int]]
    ) -> list[Column]:
        """The group's columns in its order, one value per item."""
        scopes, out = self.rows.plan.scopes, []
        for position in self.model.group_positions(name):
            scope = self._scope_of[position]
            slot = scopes[scope].positions.index(position)
            column = clean[scope].columns[slot] if clean[scope].columns else ()
            if scope == outer:
                out.append(column if inner < 0 else [column[n] for n, _ in index])
            else:
                out.append(["" if m < 0 else column[m] for _, m in index])
        return out

    def _known(self, clean: list[_Clean], outer: int, inner: int, n: int, m: int, first: bool) -> dict[int, int]:
        """Cells of an item that are entered: those of the group's own columns belong to its first item alone."""
        cells = clean[outer].cells
        if first:
            known = {p: 1 - k for p, k in cells[n].items()} if n in cells else {}
        else:
            known = dict.fromkeys(self.rows.plan.scopes[outer].positions, 1)
        if m >= 0 and m in clean[inner].cells:
            known |= {p: 1 - k for p, k in clean[inner].cells[m].items()}
        return known


def _columns(scope: Scope, part: Part) -> Iterator[tuple[int, Column]]:
    return zip(scope.positions, zip(*part.rows, strict=True), strict=True)


def _group_scopes(scopes: list[Scope]) -> dict[str, tuple[int, int]]:
    """Group -> its scope, and that of the elements it is spread over (-1: none)."""
    out: dict[str, tuple[int, int]] = {}
    for n, scope in enumerate(scopes):
        if scope.group:
            out[scope.group] = (n, -1) if scope.parent == RECORD else (out[scope.group][0], n)
    return out


def _plain_text(value: str | Several) -> str:
    """A raw leaf as text: one that says nothing is empty."""
    text = value[0] if isinstance(value, Several) else value
    return "" if text in (EMPTY, NULL, REFUSED) else text


def _counting(column: Column, records: Sequence[int]) -> list[bool]:
    """Rows of records whose values count up by one from row to row: at least three, and most of the steps."""
    by_record: dict[int, list[int]] = {}
    for row, value in enumerate(column):
        if value:
            by_record.setdefault(records[row], []).append(row)
    counted = {row for rows in by_record.values() if _counts_up([column[r] for r in rows]) for row in rows}
    return [row in counted for row in range(len(column))]


def _counts_up(texts: Sequence[str]) -> bool:
    numbers = [int(digits) if (digits := "".join(c for c in t if c in "0123456789")[-15:]) else -1 for t in texts]
    steps = [b - a for a, b in pairwise(numbers)]
    return len(steps) >= 2 and sum(s == 1 for s in steps) >= 0.6 * len(steps)
