"""One pass over a tree: what the JSON and the XML reader share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers.delimited import Counts, Readable
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.tree_cells import TreeCells, TreeRecords
from masterkey_etl.readers.tree_plan import plan_of
from masterkey_etl.readers.tree_rows import Rows
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.values import this_year
from masterkey_fhir.issue import Issue, MasterkeyError


class TooLargeError(MasterkeyError):
    """One record is larger than what is held in memory."""


class TreeReading(ABC):
    """One pass over a delivery: iterate it once for the Records.

    `Record.row` counts records and repeated parts in the order of the file, from 1. Issues go to `tell` as they are
    found; without one they gather in `issues`. After the last Record `counts` and `ledger` are complete.
    """

    def __init__(
        self,
        source: Readable,
        model: SourceModel,
        ledger: Ledger,
        tell: Callable[[Issue], None] | None = None,
        *,
        year_limit: int | None = None,
    ) -> None:
        self.model, self.ledger, self.source = model, ledger, source
        self.issues: list[Issue] = []
        self.notes = Notes(ledger.place, tell or self.issues.append, source.pseudonym)
        self.counts = Counts()
        self.plan = plan_of(model)
        self.rows = Rows(self.plan, ledger.leaves, self.notes)
        cells = TreeCells(model, ledger, self.notes, year_limit or this_year() + 1)
        self._records = TreeRecords(self.rows, cells, source.pseudonym)
        self.begin()

    def __iter__(self) -> Iterator[Record]:
        for _ in self.gather():
            if self.rows.full:
                yield from self._handed_on()
        yield from self._handed_on()
        self._records.finish()
        if not self.counts.records:
            self.notes.tell("etl.tree-empty")
        self.notes.finish()
        self.counts.rows, self.counts.values = self.ledger.rows_read, self.ledger.values_read
        self.counts.refused = self.ledger.rows_refused

    @abstractmethod
    def begin(self) -> None:
        """What the reader of this kind keeps of its own, before the first byte."""

    @abstractmethod
    def gather(self) -> Iterator[None]:
        """Fill `rows` with one record after the other; yields behind each."""

    def refuse(self) -> None:
        """A record is kept out whole: it could not be parsed, so it has no leaves."""
        self.ledger.leaves.refused += 1

    def _handed_on(self) -> Iterator[Record]:
        for record in self._records.records():
            self.counts.records += 1
            yield record


__all__ = ["TreeReading"]
