"""One table: what reads a delivery of each kind, what counts it independently, what recognises it.

A further kind is a line in KINDS and its three functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from masterkey_etl.ledger import IndependentCount, Ledger
from masterkey_etl.readers import sheet_tables
from masterkey_etl.readers.delimited import Counts, Readable
from masterkey_etl.readers.json_count import count_json
from masterkey_etl.readers.json_reader import JsonReading
from masterkey_etl.readers.recognise import ENOUGH, UnknownFormatError, known_form
from masterkey_etl.readers.tree_recognise import recognitions_of_json, recognitions_of_xml
from masterkey_etl.readers.xml_count import count_xml
from masterkey_etl.readers.xml_reader import XmlReading
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_fhir.issue import Issue, Place, issue

Tell = Callable[[Issue], None] | None


class RecordReading(Protocol):
    """One pass over a delivery: iterate it once for its Records; afterwards `counts` and the ledger are complete."""

    model: SourceModel
    ledger: Ledger
    issues: list[Issue]
    counts: Counts

    def __iter__(self) -> Iterator[Record]: ...


class Candidate(Protocol):
    """How well a delivery fits a source model (1.0: perfectly), and what of its content says so."""

    @property
    def model(self) -> str: ...
    @property
    def score(self) -> float: ...
    @property
    def evidence(self) -> str: ...


class _Read(Protocol):
    def __call__(
        self, source: Readable, model: SourceModel, ledger: Ledger, tell: Tell = None, *, year_limit: int | None = None
    ) -> RecordReading: ...


@dataclass(frozen=True)
class Kind:
    """`count` shares no code with `read`; `recognitions` looks at the content alone."""

    read: _Read
    count: Callable[[BinaryIO, SourceModel], IndependentCount]
    recognitions: Callable[[Readable, Path | None], Sequence[Candidate]]


KINDS: Mapping[str, Kind] = {
    "delimited": Kind(sheet_tables.read, sheet_tables.count, sheet_tables.recognitions),  # text, JSON rows, workbook
    "sheet": Kind(sheet_tables.read, sheet_tables.count, lambda *_: ()),  # recognised with the other tables
    "json": Kind(JsonReading, count_json, recognitions_of_json),
    "xml": Kind(XmlReading, count_xml, recognitions_of_xml),
}


def read_delivery(
    source: Readable, model: SourceModel, ledger: Ledger, tell: Tell = None, *, year_limit: int | None = None
) -> RecordReading:
    """Read a delivery into a ledger that its map shares; Issues go to `tell` (else they gather in `issues`)."""
    return KINDS[model.kind].read(source, model, ledger, tell, year_limit=year_limit)


def count_values(stream: BinaryIO, model: SourceModel) -> IndependentCount:
    """What another parser finds in the same bytes."""
    return KINDS[model.kind].count(stream, model)


def recognitions(source: Readable, overlay: Path | None = None) -> list[Candidate]:
    """How well each source model fits a delivery, best first; its content decides, its name never does."""
    found = [c for kind in KINDS.values() for c in kind.recognitions(source, overlay)]
    return sorted(found, key=lambda c: (-c.score, c.model))


def recognise(source: Readable, overlay: Path | None = None, place: Place | None = None) -> SourceModel:
    """The source model of a delivery.

    Raises UnknownFormatError: etl.empty-file, etl.format-unknown (with the nearest fit), etl.format-ambiguous.
    """
    place = place or Place()
    with source.open() as stream:
        if not stream.read(1):
            raise UnknownFormatError(issue("etl.empty-file", place))
    if what := known_form(source):
        raise UnknownFormatError(issue("etl.format-known", place, what=what))
    fits = recognitions(source, overlay)
    if not fits or fits[0].score < ENOUGH:
        known = ", ".join(m.id for m in known_models(overlay))
        nearest = fits[0].evidence if fits else f"no column of any of {known}"
        raise UnknownFormatError(issue("etl.format-unknown", place, nearest=nearest))
    if len(fits) > 1 and fits[0].score == fits[1].score:
        one, other = fits[0].model, fits[1].model
        raise UnknownFormatError(issue("etl.format-ambiguous", place, one=one, other=other))
    return SourceModel.load(fits[0].model, overlay)
