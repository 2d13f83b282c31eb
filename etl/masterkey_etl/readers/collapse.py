"""Rows with equal keys become one Record (C-CAT rows are patient x regimen x list item: site-formats 5.4).

Rows of one key may lie apart. A first pass finds which keys do (`scattered`); the others stream. Rows of
scattered keys are held until the last run of their key, beyond a bound in encrypted scratch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import limits
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.rows import getter
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import issue

if TYPE_CHECKING:
    from masterkey_etl.readers.spill import Spill

CleanRow = tuple[int, tuple[str, ...], tuple[int, ...]]  # row number, values, columns filled from their pair
CHANGED = "it differs from the first row of this record"
CONTRADICTS = "its row contradicts what the record keeps in another column"
TOO_MANY = "one key has too many rows"


class Collapse:
    """Builds Records out of cleaned rows."""

    def __init__(
        self,
        model: SourceModel,
        ledger: Ledger,
        notes: Notes,
        pseudonym: Callable[..., str],
        scratch: Path | None,
    ) -> None:
        self.model, self.ledger, self.notes = model, ledger, notes
        self._pseudonym, self._scratch = pseudonym, scratch
        self._key = getter(model.key_positions)
        self._groups = [
            (name, getter(places := model.group_positions(name)), frozenset(places)) for name in model.groups
        ]
        own = [i for i in range(len(model.columns)) if i not in model.group_of]
        self._own = [i for i in own if i not in model.key_positions]
        self._own_values = getter(self._own)
        self._labels = {pair.code: pair.label for pair in model.pairs}
        self._grouped = sorted(model.group_of)
        self._grouped_values = getter(self._grouped)

    def records(self, rows: Iterable[CleanRow], scattered: dict[int, int] | None) -> Iterator[Record]:
        """`scattered`: hash of key -> number of its runs, for keys with several; None = hold every row."""
        if not self.model.key:
            yield from (self._single(row) for row in rows)
            return
        held = _Held(self._scratch, scattered)
        for key, run in _runs(rows, self._key):
            if held.wants(key):
                yield from self._built(held.add(key, run))
            else:
                yield self._record(key, run)
        yield from self._built(held.rest(self._key))

    def _built(self, found: Iterable[tuple[tuple[str, ...], list[CleanRow]]]) -> Iterator[Record]:
        return (self._record(key, rows) for key, rows in found)

    def _record(self, key: tuple[str, ...], rows: list[CleanRow]) -> Record:
        return self._single(rows[0]) if len(rows) == 1 else self._several(key, rows)

    def _single(self, row: CleanRow) -> Record:
        number, values, filled = row
        groups = {}
        for name, get, places in self._groups:
            part = get(values)
            inside = {i: 1 for i in filled if i in places} if filled else {}
            groups[name] = [Record(list(part), number, (number,), {}, inside, inside)] if any(part) else []
        known = dict.fromkeys(filled, 1) if filled else {}
        return Record(list(values), number, (number,), groups, known, known)

    def _several(self, key: tuple[str, ...], rows: list[CleanRow]) -> Record:
        rows = self._bounded(key, rows)
        values = list(rows[0][1])
        accounted = self._blank_cells(rows)
        if changed := self._changed(rows):
            _fill(changed, rows, values)
            for i in changed:
                self._settle(i, key, rows, values, accounted)
        groups = {name: _children(rows, get, places) for name, get, places in self._groups}
        numbers = tuple(row[0] for row in rows)
        return Record(values, numbers[0], numbers, groups, accounted, self._filled(rows, values))

    def _changed(self, rows: list[CleanRow]) -> list[int]:
        """Columns of the record itself that differ between its rows."""
        get = self._own_values
        first = get(rows[0][1])
        if all(get(row[1]) == first for row in rows):
            return []
        return [i for i in self._own if any(row[1][i] != rows[0][1][i] for row in rows)]

    def _filled(self, rows: list[CleanRow], values: list[str]) -> dict[int, int]:
        """Per code column of the record: the rows whose label gave the value that is kept."""
        out: dict[int, int] = {}
        for _, row, filled in rows:
            for i in filled:
                label = self._labels[i]
                if row[i] == values[i] and row[label] == values[label]:
                    out[i] = out.get(i, 0) + 1
        return out

    def _blank_cells(self, rows: list[CleanRow]) -> dict[int, int]:
        """Cells the ledger already has: those filled from their pair, and blank ones of group columns.

        Blank cells of a column that does not change are those of a blank value: nobody asks for them.
        """
        out: dict[int, int] = {}
        parts = zip(*(self._grouped_values(row[1]) for row in rows), strict=True)
        for i, column in zip(self._grouped, parts, strict=False):
            if blank := column.count(""):
                out[i] = blank
        for _, _, filled in rows:
            for i in filled:
                out[i] = out.get(i, 0) + 1
        return out

    def _settle(
        self, i: int, key: tuple[str, ...], rows: list[CleanRow], values: list[str], accounted: dict[int, int]
    ) -> None:
        """A column of the record that differs between its rows: what is not the kept value is rejected.

        A cell that was filled from its label is in the ledger already.
        """
        accounted[i] = accounted.get(i, 0) + sum(not row[1][i] for row in rows)
        others = [row for row in rows if row[1][i] and row[1][i] != values[i]]
        if not others:
            return
        reason = CHANGED if values[i] else CONTRADICTS
        for number, row, _ in (lost := [row for row in others if i not in row[2]]):
            self.ledger.exceptions(i, "rejected", reason, row=number, value=row[i])
        accounted[i] += len(lost)
        place = self.notes.at(others[0][0], self.model.columns[i].id)
        facts = {"first": rows[0][0], "others": len(others)}
        found = issue("etl.changes-between-rows", place, record=self._pseudonym(*key), **facts)
        self.notes.add_about(found, *sorted({row[1][i] for row in rows}))

    def _bounded(self, key: tuple[str, ...], rows: list[CleanRow]) -> list[CleanRow]:
        """A key that stands for everybody (a masked id) must not build one giant record."""
        if len(rows) <= limits.ROWS_PER_RECORD:
            return rows
        more = len(rows) - limits.ROWS_PER_RECORD
        place = self.notes.at(rows[limits.ROWS_PER_RECORD][0], ",".join(self.model.key))
        self.notes.add(issue("etl.key-of-many-rows", place, rows=len(rows), kept=limits.ROWS_PER_RECORD))
        for i in range(len(self.model.columns)):
            known = sum(not row[1][i] or i in row[2] for row in rows[limits.ROWS_PER_RECORD :])
            self.ledger.exceptions(i, "rejected", TOO_MANY, more - known)
        return rows[: limits.ROWS_PER_RECORD]


class _Held:
    """Rows of scattered keys, until their key's last run."""

    def __init__(self, scratch: Path | None, scattered: dict[int, int] | None) -> None:
        self._scratch, self._left = scratch, scattered
        self._rows: dict[tuple[str, ...], list[CleanRow]] = {}
        self._n = 0
        self._spill: Spill | None = None

    def wants(self, key: tuple[str, ...]) -> bool:
        return self._left is None or hash(key) in self._left

    def add(self, key: tuple[str, ...], run: list[CleanRow]) -> Iterator[tuple[tuple[str, ...], list[CleanRow]]]:
        """Hold a run; yields the key's rows when it was the last one."""
        if self._spill is not None:
            self._write(self._spill, key, run)
            return
        self._rows.setdefault(key, []).extend(run)
        self._n += len(run)
        if self._left is not None and self._was_last(key):
            rows = self._rows.pop(key)
            self._n -= len(rows)
            yield key, rows
        elif self._n > limits.HELD_ROWS:
            self._overflow()

    def rest(self, get: Callable[[Sequence[str]], tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], list[CleanRow]]]:
        """Everything still held, keys in the order they appeared (by part when it went to scratch)."""
        if self._spill is None:
            yield from self._rows.items()
            return
        for part in self._spill.parts():
            found: dict[tuple[str, ...], list[CleanRow]] = {}
            for row in part:
                found.setdefault(get(row[1]), []).append(row)
            yield from found.items()

    def _was_last(self, key: tuple[str, ...]) -> bool:
        assert self._left is not None
        self._left[hash(key)] -= 1
        return self._left[hash(key)] <= 0

    def _overflow(self) -> None:
        from masterkey_etl.readers.spill import Spill

        self._spill = Spill(self._scratch)
        for key, rows in self._rows.items():
            self._write(self._spill, key, rows)
        self._rows.clear()

    @staticmethod
    def _write(spill: Spill, key: tuple[str, ...], rows: list[CleanRow]) -> None:
        for row in rows:
            spill.add(hash(key), row)


def _runs(
    rows: Iterable[CleanRow], get: Callable[[Sequence[str]], tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], list[CleanRow]]]:
    """Neighbouring rows of equal key."""
    run: list[CleanRow] = []
    last: tuple[str, ...] = ()
    for row in rows:
        key = get(row[1])
        if key != last and run:
            yield last, run
            run = []
        run.append(row)
        last = key
    if run:
        yield last, run


def _fill(changed: list[int], rows: list[CleanRow], values: list[str]) -> None:
    """Blanks of the first row are filled by the next ones, but never by a row that contradicts what is kept.

    Alive in one row and a death date out of another would make a record that nobody sent.
    """
    for _, row, _ in rows[1:]:
        if all(not row[i] or not values[i] or row[i] == values[i] for i in changed):
            for i in changed:
                values[i] = values[i] or row[i]


def _children(
    rows: list[CleanRow], get: Callable[[Sequence[str]], tuple[str, ...]], places: frozenset[int]
) -> list[Record]:
    """The distinct parts of a group, in order of appearance; wholly empty ones are left out.

    Each knows its own rows, and which of its cells the ledger already has.
    """
    found: dict[tuple[str, ...], tuple[list[int], Counter[int]]] = {}
    for number, values, filled in rows:
        part = get(values)
        if any(part):
            numbers, accounted = found.setdefault(part, ([], Counter()))
            numbers.append(number)
            accounted.update(i for i in filled if i in places)
    return [
        Record(list(part), numbers[0], tuple(numbers), {}, counts := dict(accounted), counts)
        for part, (numbers, accounted) in found.items()
    ]
