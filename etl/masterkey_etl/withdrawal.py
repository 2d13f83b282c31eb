"""What a corrected delivery no longer says: deleted as a version of its own, but only where the delivery is sound.

A damaged delivery never takes anything away: with a row refused or a column missing nothing is withdrawn, with a value
refused nothing of that record. What an earlier delivery said of a patient who is absent now stays, and is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers.collapse import CHANGED, TOO_MANY
from masterkey_etl.readers.pairs import REASON
from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.store import Writer

CONTRADICTED = frozenset((CHANGED, TOO_MANY, *REASON.values()))  # refused in favour of another value that was kept


@dataclass(slots=True)
class Withdrawal:
    """Collects, batch by batch, what an earlier delivery of this file made and this one does not."""

    site: str
    file: str
    seen: set[str] = field(default_factory=set)  # patients of this delivery
    fewer: list[tuple[str, str, frozenset[int]]] = field(default_factory=list)  # (type, id, rows of its patient)

    def look(self, writer: Writer, rows: Mapping[str, Iterable[int]], made: set[str]) -> None:
        """`rows`: the patients of a batch and their rows; `made`: what the batch made, set aside or held."""
        self.seen.update(rows)
        for kind, id_, patient in writer.reader.made_of(self.site, self.file, sorted(rows)) if rows else ():
            if f"{kind}/{id_}" not in made:
                self.fewer.append((kind, id_, frozenset(rows[patient])))

    def settle(self, writer: Writer, ledger: Ledger) -> tuple[int, list[Issue]]:
        """Delete what is no longer said; how many, and what was kept back or is absent."""
        place = Place(self.site, self.file)
        absent = sum(p not in self.seen for p in writer.reader.made_patients(self.site, self.file))
        found = [issue("etl.patients-absent", place, n=absent, count=absent)] if absent else []
        gone = list(self._sound(ledger))
        if kept := len(self.fewer) - len(gone):
            found.append(issue("etl.not-withdrawn", place, n=kept, count=kept))
        return sum(writer.delete(self.site, kind, id_) is not None for kind, id_ in gone), found

    def _sound(self, ledger: Ledger) -> Iterator[tuple[str, str]]:
        columns = len(ledger.model.columns)
        if ledger.rows_refused or (ledger.file_columns is not None and len(ledger.file_columns) < columns):
            return
        bad = {n.row for n in ledger.lines if n.status == "rejected" and n.reason not in CONTRADICTED}
        yield from ((kind, id_) for kind, id_, rows in self.fewer if not rows & bad)
