"""Read delimited text: bytes to Records, streaming; deviations are Issues, cells are accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, Protocol

from masterkey_etl.header import HeaderMatch, header_key
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import limits
from masterkey_etl.readers.cells import Batch, Cells, fit
from masterkey_etl.readers.collapse import CleanRow, Collapse
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.row_rules import RowRules
from masterkey_etl.readers.rows import Chunk, Row, Rows
from masterkey_etl.readers.runs import scattered
from masterkey_etl.readers.text import Encoding, choose_encoding
from masterkey_etl.readers.whole import Group, WholeRows
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.values import this_year
from masterkey_fhir.issue import Issue, Place


class RowSource(Protocol):
    """What gives rows: `rows.Rows` of a text, `sheet_rows.SheetRows` of a workbook. `blank` rows are passed over."""

    @property
    def blank(self) -> int: ...
    def __iter__(self) -> Iterator[Row]: ...
    def __next__(self) -> Row: ...
    def chunks(self) -> Iterator[Chunk | Row]: ...
    def picked(self, places: Sequence[int]) -> Iterator[tuple[str, ...]]: ...
    def close(self) -> None: ...


class Readable(Protocol):
    """What can be read: `masterkey_etl.receive.Delivery`, or `LocalFile`."""

    @property
    def scratch(self) -> Path | None: ...
    def open(self) -> BinaryIO: ...
    def pseudonym(self, *key: str) -> str: ...


@dataclass(slots=True)
class Counts:
    """`rows` below the header and `values` (rows x columns, and fields beyond the header); `refused` rows."""

    rows: int = 0
    values: int = 0
    refused: int = 0
    records: int = 0


class Reading:
    """One pass over a delivery: iterate it once for the Records.

    Issues go to `tell` as they are found; without one they gather in `issues`. After the last Record `counts`
    and `ledger` are complete. `encoding` and `header` are known from the start.
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
        self.model, self.ledger = model, ledger
        self.issues: list[Issue] = []
        self.notes = Notes(ledger.place, tell or self.issues.append, source.pseudonym)
        self.counts = Counts()
        self._source = source
        self._year_limit = year_limit or this_year() + 1
        self.encoding = self._encoding()
        self.header, self._header_row, self._first = self._find_header()

    def __iter__(self) -> Iterator[Record]:
        for record in self._records():
            self.counts.records += 1
            yield record
        self.notes.finish()
        self.counts.rows, self.counts.values = self.ledger.rows_read, self.ledger.values_read
        self.counts.refused = self.ledger.rows_refused

    # -- encoding and header --------------------------------------------------------------------------

    def _encoding(self) -> Encoding:
        wanted = [header_key(c.header) for c in self.model.columns]

        def fits(text: str) -> bool:
            head = header_key("".join(text.splitlines(keepends=True)[: limits.HEADER_ROWS]))
            return 2 * sum(key in head for key in wanted) >= len(wanted)

        chosen = choose_encoding(self._source.open, self.model.encoding, fits)
        if chosen.exact and chosen.name not in self.model.encoding[:1]:
            self.notes.tell("etl.encoding-other", used=chosen.name, expected=self.model.encoding[0])
        if not chosen.exact:
            tried = ", ".join(self.model.encoding)
            self.notes.tell("etl.encoding-mixed", used=chosen.name, tried=tried)
        return chosen

    def rows(self) -> RowSource:
        """The rows once more, from the first one on; close it."""
        return self._rows()

    def _rows(self) -> RowSource:
        return Rows(self._source.open(), self.encoding.name, self.model.delimiter)

    def _find_header(self) -> tuple[HeaderMatch, int, list[Row]]:
        """The header, its index among the first rows, and the rows looked at."""
        with closing(self._rows()) as rows:
            first = list(islice(rows, limits.HEADER_ROWS))
        matches = [self.model.match(row.fields, self.notes.at(row.number)) for row in first]
        found = next((i for i, m in enumerate(matches) if m.plausible), 0)
        if not first:
            self.notes.tell("etl.empty-file")
            match = HeaderMatch((None,) * len(self.model.columns), (), 0, ())
        else:
            match = matches[found]
        for found_issue in match.issues:
            self.notes.add(found_issue)
        if found:
            self.notes.tell("etl.lines-before-header", first[found].number, rows=found)
        self.ledger.file_columns = frozenset(i for i, p in enumerate(match.positions) if p is not None)
        self.ledger.extra = tuple(_extra_name(self.model, match, i, n) for n, i in enumerate(match.extra))
        return match, found, first

    # -- rows -----------------------------------------------------------------------------------------

    def _records(self) -> Iterator[Record]:
        if not self.header.plausible:
            self._refuse_all("the header is not that of this source")
            return
        chunks = self._body()
        first = _head(chunks)
        if not first and self.header.width:
            self.notes.tell("etl.only-header")
        if self._shifted(first):
            self._refuse_all("the header is shifted against the values")
            return
        collapse = Collapse(self.model, self.ledger, self.notes, self._source.pseudonym, self._source.scratch)
        whole = WholeRows(self.model, self.header, self.ledger, self.notes)
        groups = whole.groups(chain(first, chunks))
        rules = RowRules(self.model, self.notes, self._source.pseudonym)
        yield from collapse.records(rules.rows(self._clean(groups)), self._scattered())

    def _body(self) -> Iterator[Chunk | Row]:
        """The rows below the header."""
        with closing(self._below_header()) as rows:
            yield from rows.chunks()
        if rows.blank:
            self.notes.tell("etl.blank-lines", rows=rows.blank)

    def _scattered(self) -> dict[int, int] | None:
        """Keys in several places. Reads the file once more, keys only."""
        if not self.model.key:
            return {}
        places = self._key_places()
        if len(places) < len(self.model.key):
            return {}
        with closing(self._below_header()) as rows:
            return scattered(rows.picked(places), self._source.scratch)

    def _below_header(self) -> RowSource:
        rows = self._rows()
        for _ in range(self._header_row + 1):
            next(rows, None)
        return rows

    def _key_places(self) -> list[int]:
        return [p for i in self.model.key_positions if (p := self.header.positions[i]) is not None]

    def _refuse_all(self, reason: str) -> None:
        width = self.header.width
        with closing(self._below_header()) as rows:
            for row in rows:
                self.ledger.refused_rows(reason, 1, max(0, len(row.fields) - width))

    def _shifted(self, first: Sequence[Chunk | Row]) -> bool:
        """Tell a header that stands one column beside its values."""
        rows = [fields for c in first for fields in (c.rows if isinstance(c, Chunk) else [c.fields])]
        offset = shift_of(self.model, self.header, rows)
        if offset:
            self.notes.tell("etl.header-shifted", self._first[self._header_row].number, columns=offset)
        return bool(offset)

    # -- cleaning -------------------------------------------------------------------------------------

    def _clean(self, groups: Iterator[Group]) -> Iterator[CleanRow]:
        cells = Cells(self.model, self.ledger, self.notes, self._year_limit)
        present = sorted(self.ledger.file_columns or ())
        for group in groups:
            yield from self._clean_group(group, cells, present)
        cells.finish()

    def _clean_group(self, group: Group, cells: Cells, present: list[int]) -> Iterator[CleanRow]:
        by_file = list(zip(*group.rows, strict=True))
        blank = ("",) * len(group.rows)
        columns: list[Sequence[str]] = [blank if p is None else by_file[p] for p in self.header.positions]
        batch = Batch(group.numbers, partial(self._record_of, group), columns, group.dirty)
        self.ledger.rows(len(group.rows))
        cells.clean(batch, present)
        values = zip(*batch.columns, strict=True)
        if not batch.filled:
            return zip(batch.numbers, values, _NOTHING * len(group.rows), strict=True)
        filled = [tuple(batch.filled.get(i, ())) for i in range(len(group.rows))]
        return zip(batch.numbers, values, filled, strict=True)

    def _record_of(self, group: Group, index: int) -> str:
        """The pseudonym of the record a row belongs to."""
        if not self.model.key:
            return self._source.pseudonym(str(group.numbers[index]))
        return self._source.pseudonym(*(group.rows[index][p] for p in self._key_places()))


SAMPLE = 50  # rows that decide whether the header is shifted
_NOTHING: tuple[tuple[int, ...], ...] = ((),)


def shift_of(model: SourceModel, header: HeaderMatch, rows: Sequence[Sequence[str]]) -> int:
    """By how many columns the values stand beside their header (1, -1), 0 when they don't.

    The rows may be one field longer or shorter than the header; what decides is that the values of typed
    columns convert when moved by one and do not where they stand.
    """
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    rows = [fields for fields in rows if len(fields) == width]
    if len(rows) < 2 or abs(width - header.width) > 1:
        return 0
    good, seen = _fit_at(model, header, rows, 0)
    moved = {offset: _fit_at(model, header, rows, offset) for offset in (1, -1)}
    best = max(moved, key=lambda offset: moved[offset][0])
    converted, of = moved[best]
    return best if good < 0.5 * seen and converted > max(0.8 * of, good, 1) else 0


def _fit_at(model: SourceModel, header: HeaderMatch, rows: Sequence[Sequence[str]], offset: int) -> tuple[int, int]:
    width = len(rows[0])
    columns = {
        i: [fields[p + offset] for fields in rows]
        for i, p in enumerate(header.positions)
        if p is not None and 0 <= p + offset < width
    }
    return fit(model, columns)


def _head(chunks: Iterator[Chunk | Row]) -> list[Chunk | Row]:
    """The first chunks, of at least SAMPLE rows together."""
    taken: list[Chunk | Row] = []
    rows = 0
    while rows < SAMPLE and (chunk := next(chunks, None)) is not None:
        taken.append(chunk)
        rows += len(chunk.rows) if isinstance(chunk, Chunk) else 1
    return taken


def _extra_name(model: SourceModel, match: HeaderMatch, position: int, n: int) -> str:
    """The header of the n-th column no model knows, safe for the ledger: by number when the row may be no header."""
    from masterkey_etl.header import show

    place = f"column {position + 1}"
    return f"{place}: {show(model, match.names[position])}" if n < limits.SAME_ISSUES and match.plausible else place


@dataclass(frozen=True)
class LocalFile:
    """A file read where it lies, outside of any workspace (inspection, map tests)."""

    path: Path
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def pseudonym(self, *key: str) -> str:
        """Stable within this process only."""
        return f"{hash(key) & 0xFFFFFFFFFFFF:012x}"


def read(source: Readable, model: SourceModel, place: Place | None = None, *, year_limit: int | None = None) -> Reading:
    """Read a delivery with its source model, with a ledger and a list of Issues of its own; see `Reading`.

    `year_limit`: the last year a date may have (default: next year); later ones are refused.
    """
    return Reading(source, model, Ledger(model, place or Place()), year_limit=year_limit)


def read_delimited(source: Readable, model: SourceModel, ledger: Ledger, tell: Callable[[Issue], None]) -> Reading:
    """Read a delivery into a ledger that its map shares; Issues go to `tell`."""
    return Reading(source, model, ledger, tell)


__all__ = ["Counts", "LocalFile", "Readable", "Reading", "RowSource", "read", "read_delimited", "shift_of"]
