"""What cells mean: nulls, typed values, code/label pairs.

Works on whole columns of a batch, so that a cell costs about as much as one set operation; only what was not
seen before is looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from masterkey_etl import values
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.pairs import PairColumns
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.source_model import Column, SourceModel
from masterkey_fhir.issue import issue

_KNOWN_GOOD = 50_000  # distinct values remembered per kind of column
Check = Callable[[str], str | None]


@dataclass(slots=True)
class Batch:
    """Rows of full width, by column of the model.

    `filled[row index]` lists code columns whose cell the ledger already has (absent or rejected) although a
    text from their label stands there.
    """

    numbers: list[int]
    record: Callable[[int], str]  # row index -> pseudonymous key of its record
    columns: list[Sequence[str]]
    dirty: bool = False  # a value was refused while splitting
    filled: dict[int, list[int]] = field(default_factory=dict)


class Cells:
    """Cleans batches: afterwards "" is the only null, and every value left converts."""

    def __init__(self, model: SourceModel, ledger: Ledger, notes: Notes, year_limit: int) -> None:
        self.model, self.ledger, self.notes = model, ledger, notes
        self._checks = [check_of(c, year_limit) for c in model.columns]
        shared: dict[tuple[object, ...], set[str]] = {}  # columns with one check learn together
        self._good = [shared.setdefault(_kind(c), set()) for c in model.columns]
        self._pairs = PairColumns(model, ledger, notes)

    def clean(self, batch: Batch, present: Sequence[int]) -> None:
        """Clean the columns at the positions `present`, in place."""
        for i in present:
            column = self._without_nulls(i, batch.columns[i])
            if column is not _ALL_NULL and (batch.dirty or self._checks[i] is not None):
                column = self._checked(i, column, batch)
            batch.columns[i] = column if column is not _ALL_NULL else ("",) * len(batch.numbers)
        self._pairs.clean(batch)

    def finish(self) -> None:
        """Tell what was counted over the whole file."""
        self._pairs.finish()

    def _without_nulls(self, i: int, column: Sequence[str]) -> Sequence[str]:
        tokens = self.model.nulls[i]
        absent = replaced = 0
        for token in tokens:
            if n := column.count(token):
                self.ledger.exceptions(i, "absent", token or "empty", n)
                absent, replaced = absent + n, replaced + (n if token else 0)
        if absent == len(column):
            return _ALL_NULL
        return ["" if v in tokens else v for v in column] if replaced else column

    def _checked(self, i: int, column: Sequence[str], batch: Batch) -> Sequence[str]:
        distinct = set(column)
        new = distinct - self._good[i]
        new.discard("")
        if not new:
            return column
        bad = {v: problem for v in new if (problem := self._problem(i, v))}
        self._remember(i, new, bad)
        return self._refuse(i, column, bad, batch) if bad else column

    def _problem(self, i: int, value: str) -> str | None:
        check = self._checks[i]
        if value == REFUSED:
            return REFUSED
        return check(value) if check is not None else None

    def _remember(self, i: int, new: set[str], bad: Mapping[str, str]) -> None:
        good = self._good[i]
        if len(good) > _KNOWN_GOOD:
            good.clear()
        good |= new - bad.keys()

    def _refuse(self, i: int, column: Sequence[str], bad: Mapping[str, str], batch: Batch) -> list[str]:
        """Blank the bad cells: an Issue and a ledger entry each (what splitting refused has them already)."""
        out = list(column)
        for row, value in enumerate(column):
            if problem := bad.get(value):
                out[row] = ""
                if problem != REFUSED:
                    self._tell(i, problem, value, batch, row)
        return out

    def _tell(self, i: int, problem: str, value: str, batch: Batch, row: int) -> None:
        number = batch.numbers[row]
        reason = values.PROBLEMS[problem]
        self.ledger.exceptions(i, "rejected", reason, row=number, value=value)
        place = self.notes.at(number, self.model.columns[i].id)
        rule = "etl.buddhist-year" if problem == "buddhist" else "etl.value-refused"
        self.notes.add_about(issue(rule, place, record=batch.record(row), problem=reason), value)


_ALL_NULL: Sequence[str] = ()


def check_of(column: Column, year_limit: int) -> Check | None:
    """What a value of this column must pass; None when every text will do."""
    if column.type == "date":
        convert = partial(values.date, formats=column.formats, calendar=column.calendar, year_limit=year_limit)
        return lambda text: convert(text)[1]
    if column.type == "integer":
        return lambda text: values.integer(text, column.min, column.max)[1]
    if column.type == "decimal":
        return lambda text: values.decimal(text, column.min, column.max)[1]
    if column.type == "flag":
        return lambda text: values.flag(text)[1]
    return None


def _kind(column: Column) -> tuple[object, ...]:
    """Columns of one kind accept the same values."""
    return (column.type, column.formats, column.calendar, column.min, column.max)


def fit(model: SourceModel, columns: Mapping[int, Sequence[str]]) -> tuple[int, int]:
    """Of the non-null values of typed columns (dates, numbers, code lists): how many convert, of how many."""
    seen: Counter[bool] = Counter()
    for i, texts in columns.items():
        c = model.columns[i]
        check = _list_check(c) if c.type == "code" and c.codes else check_of(c, values.this_year() + 1)
        if check is not None:
            seen.update(check(t) is None for t in texts if t not in model.nulls[i])
    return seen[True], seen.total()


def _list_check(column: Column) -> Check:
    return lambda text: None if text in column.codes else "unknown"


__all__ = ["Batch", "Cells", "check_of", "fit"]
