"""What a delivery takes away, each as a version of its own: by the record, and only where the delivery is sound.

    a record is here again, but no longer makes a resource      the resource is deleted
    a record is absent from a snapshot                          a deletion query; a confirmed answer deletes
    a record is absent from a delta                             nothing
    a row says that its record is deleted (source model)        its resources are deleted
    its local number was merged, and the new number is here     what the old number made is deleted

A damaged delivery never takes anything away: with a row refused or a column missing nothing is withdrawn or asked,
with a value refused nothing of that record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from masterkey_etl.flow import Batch, Flow
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers.collapse import CHANGED, TOO_MANY
from masterkey_etl.readers.pairs import REASON
from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.store import Source, Writer
from masterkey_fhir.store.deliveries import Absent, Made

CONTRADICTED = frozenset((CHANGED, TOO_MANY, *REASON.values()))  # refused in favour of another value that was kept
ABSENT = "etl.record-absent"


@dataclass(slots=True)
class Withdrawal:
    """Collects, batch by batch, what earlier deliveries of this file made and this one does not."""

    flow: Flow
    number: int
    fewer: dict[int, tuple[Made, frozenset[int]]] = field(default_factory=dict)  # by key, with the record's rows

    def look(self, writer: Writer, batch: Batch, records: Mapping[str, int]) -> None:
        """`records`: the keys of the batch's records by name."""
        made = {name for mapped in batch for name in mapped.names()}
        rows = {records[m.name]: frozenset(m.record.rows or (m.record.row,)) for m in batch}
        for found in writer.deliveries.made_of(rows):
            if found.name not in made and found.record is not None:
                self.fewer[found.key] = (found, rows[found.record])

    def settle(self, writer: Writer) -> list[Issue]:
        """Delete what is no longer said; ask about records that are absent; tell what was kept back."""
        ledger = self.flow.ledger
        assert ledger is not None
        fewer = self._still_fewer(writer)
        absent = self._absent(writer)
        refused = _refused(ledger)
        gone = [made for made, rows in fewer if is_sound(ledger) and not rows & refused]
        kept = len(fewer) - len(gone)
        asked = list(self._asked(writer, absent, gone)) if is_sound(ledger) else []
        kept += 0 if is_sound(ledger) else sum(a.resources for a in absent)
        self.delete(writer, gone)
        if kept:
            asked.append(issue("etl.not-withdrawn", self.flow.place, n=kept, count=kept))
        return asked

    def delete(self, writer: Writer, gone: list[Made]) -> None:
        """As versions of this delivery."""
        deleted = writer.delete_many(self.flow.site, [(x.type, x.id) for x in gone], source=self._source(None))
        if deleted:
            self.flow.counts["deleted"] += len(deleted)

    def _source(self, record: int | None) -> Source:
        assert self.flow.compiled is not None
        return Source(self.number, self.flow.place.file, (), self.flow.compiled.version, "", record)

    def _still_fewer(self, writer: Writer) -> list[tuple[Made, frozenset[int]]]:
        """Those that no other record of this delivery made."""
        said = set(writer.unchanged)
        records = {made.record for made, _ in self.fewer.values() if made.record is not None}
        now = {x.key for x in writer.deliveries.made_of(records)} - said
        return [self.fewer[key] for key in sorted(self.fewer) if key in now]

    def _absent(self, writer: Writer) -> list[Absent]:
        flow = self.flow
        assert flow.compiled is not None
        if flow.compiled.model.delivery != "snapshot" or flow.only is not None:
            return []
        return writer.deliveries.absent(flow.site, flow.place.file, self.number)

    def _asked(self, writer: Writer, absent: list[Absent], gone: list[Made]) -> Iterator[Issue]:
        """One query per absent record; what a merged number made joins `gone`."""
        flow = self.flow
        merged = {x.old_record: x.new_record for x in writer.deliveries.merges(flow.site)} if absent else {}
        for a in absent:
            new = merged.get(a.digest)
            if new is not None and self._has(writer, new):
                gone += writer.deliveries.made_of([a.key])
            else:
                yield issue(ABSENT, flow.place, record=a.digest, n=a.resources)

    def _has(self, writer: Writer, digest: str) -> bool:
        return writer.deliveries.seen(self.flow.site, self.flow.place.file, digest) == self.number


def is_sound(ledger: Ledger) -> bool:
    """No row was refused and no column is missing."""
    whole = ledger.file_columns is None or len(ledger.file_columns) >= len(ledger.model.columns)
    return not ledger.rows_refused and whole


def _refused(ledger: Ledger) -> set[int]:
    """Rows with a value that was refused."""
    return {n.row for n in ledger.lines if n.status == "rejected" and n.reason not in CONTRADICTED}
