"""Rows that can be mapped; the others are kept out as a whole, told and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from masterkey_etl.header import HeaderMatch
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import limits
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.rows import REFUSED, Chunk, Row
from masterkey_etl.source_model import SourceModel

WIDTH = "the row has another number of fields than the header"
REFUSALS = {
    "nul": "it holds a NUL",
    "bytes": "it holds undecodable bytes",
    "long": "it is too long",
    "error": "the spreadsheet shows an error",
    "uncached": "its formula has no value",
    "digits": "the spreadsheet lost its digits",
    "exponent": "a spreadsheet cut it to the form 1.23E+15",
    "date": "the spreadsheet made a date of it",
}


@dataclass(slots=True)
class Group:
    """Rows of full width with a key, and their numbers. `dirty`: a value in them was refused."""

    numbers: list[int] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    dirty: bool = False


class WholeRows:
    """Sorts rows into those that can be mapped and those that can't."""

    def __init__(self, model: SourceModel, header: HeaderMatch, ledger: Ledger, notes: Notes) -> None:
        self.model, self.ledger, self.notes = model, ledger, notes
        self.width, self.header = header.width, list(header.names)
        self._positions = header.positions
        self._keys = [
            (p, model.nulls[i] | {REFUSED}) for i in model.key_positions if (p := header.positions[i]) is not None
        ]
        self._has_key = self._key_checker()

    def groups(self, chunks: Iterable[Chunk | Row]) -> Iterator[Group]:
        """The rows that can be mapped, in groups of about limits.BATCH."""
        group = Group()
        for chunk in chunks:
            self._add(chunk, group)
            if len(group.rows) >= limits.BATCH:
                yield group
                group = Group()
        if group.rows:
            yield group

    def _add(self, chunk: Chunk | Row, group: Group) -> None:
        if isinstance(chunk, Row):
            rows = [chunk]
        elif self._is_faultless(chunk):
            group.numbers.extend(range(chunk.first, chunk.first + len(chunk.rows)))
            group.rows.extend(chunk.rows)
            return
        else:
            rows = [Row(chunk.first + i, fields) for i, fields in enumerate(chunk.rows)]
        for row in rows:
            if self._keep(row):
                group.dirty |= bool(row.values)
                group.numbers.append(row.number)
                group.rows.append(row.fields)

    def _is_faultless(self, chunk: Chunk) -> bool:
        """Every row has the header's width and a key, and none is the header again."""
        if set(map(len, chunk.rows)) != {self.width} or len(self._keys) < len(self.model.key):
            return False
        keys = all(nulls.isdisjoint([fields[p] for fields in chunk.rows]) for p, nulls in self._keys)
        return keys and self.header not in chunk.rows

    def _keep(self, row: Row) -> bool:
        """Tell what is wrong with a row; True when it can go on all the same."""
        if row.fields == self.header:
            return self._refuse(row, "etl.header-repeated", "the header again")
        if row.broken == "line":
            return self._refuse(row, "etl.line-too-long", "the line is too long")
        if len(row.fields) != self.width:
            rule = "etl.open-quote" if row.broken else "etl.truncated" if row.unended else "etl.row-width"
            return self._refuse(row, rule, WIDTH)
        if row.broken:
            self.notes.tell("etl.stray-quote", row.number)
        if not self._has_key(row.fields):
            self._refused_values(row, told_only=True)
            return self._refuse(row, "etl.record-key-missing", "the row has no key")
        self._refused_values(row)
        return True

    def _refuse(self, row: Row, rule: str, reason: str) -> bool:
        keys = ", ".join(self.model.key)
        self.notes.tell(rule, row.number, found=len(row.fields), expected=self.width, key=keys)
        self.ledger.refused_rows(reason, 1, max(0, len(row.fields) - self.width))
        return False

    def _key_checker(self) -> Callable[[list[str]], bool]:
        """Whether a row's key is complete and readable."""
        if len(self._keys) < len(self.model.key):
            return lambda _: False
        return lambda fields: all(fields[p] not in nulls for p, nulls in self._keys)

    def _refused_values(self, row: Row, *, told_only: bool = False) -> None:
        """Values that were refused while splitting: NUL, undecodable bytes, too long; what a spreadsheet spoilt.

        `told_only`: the row is refused whole, for such a value in its key.
        """
        by_place = {p: i for i, p in enumerate(self._positions) if p is not None}
        for place, problem in row.values:
            if place in by_place:
                i = by_place[place]
                if not told_only:
                    self.ledger.exceptions(i, "rejected", REFUSALS[problem], row=row.number)
                self.notes.tell(f"etl.value-{problem}", row.number, self.model.columns[i].id)
