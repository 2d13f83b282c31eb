"""The tables of a workbook that fit a source model, as one source of rows: what `Reading` reads."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from masterkey_etl.header import header_key, header_keys
from masterkey_etl.readers.notes import Notes
from masterkey_etl.readers.rows import Chunk, Row, getter
from masterkey_etl.readers.sheet_cells import SheetCells
from masterkey_etl.readers.sheet_layout import Headers, Layout, Table, lay_out
from masterkey_etl.readers.sheet_tape import Book, Sheet, TapeRow
from masterkey_etl.source_model import SourceModel

NUMBERED = 10_000_000  # rows of a further sheet are numbered from its number times this
_BLOCK = 512
Merged = dict[tuple[int, int], tuple[int, int]]
_MOST_MERGED = 200_000  # cells of merged ranges that are looked up


@dataclass
class Laid:
    """A sheet, its layout for one model, and what is added to its row numbers."""

    sheet: Sheet
    layout: Layout
    offset: int = 0


@dataclass
class Tables:
    """The tables of a model in a workbook. Its columns are those of all of them: `names`; `places` of a table say
    where its cells go."""

    book: Book
    laid: list[Laid]
    names: list[str] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)

    @property
    def tables(self) -> list[tuple[Laid, Table]]:
        return [(laid, table) for laid in self.laid for table in laid.layout.tables]

    @property
    def header_row(self) -> int:
        """The number of the (last) header row of the first table; 0 without one."""
        return next((laid.offset + table.start - 1 for laid, table in self.tables), 0)

    @property
    def blank(self) -> int:
        return sum(table.blank for _, table in self.tables)


def find_tables(book: Book, model: SourceModel, models: Sequence[SourceModel]) -> Tables:
    """The tables of `model`; `models` are the others that a table might be of."""
    headers = Headers([model, *(m for m in models if m.id != model.id)])
    laid = [
        Laid(s, lay_out(((r.number, r.texts()) for r in s.rows.rows()), headers, merged_cells(s.merges)))
        for s in book.sheets
    ]
    for n, one in enumerate(x for x in laid if x.layout.tables):
        one.offset = one.sheet.number * NUMBERED if n else 0
    tables = Tables(book, laid)
    seen: dict[tuple[str, int], int] = {}
    for _, table in tables.tables:
        tables.places.append([_column(name, nth, seen, tables.names) for name, nth in _numbered(table.names)])
    return tables


def merged_cells(merges: Sequence[tuple[int, int, int, int]]) -> Merged:
    """Each further cell of a merged range -> its first one, (row, 0-based column); large ranges are left out."""
    found: Merged = {}
    for row, column, last_row, last_column in merges:
        size = (last_row - row + 1) * (last_column - column + 1)
        if size > 1 and len(found) + size <= _MOST_MERGED:
            found |= {(r, c): (row, column) for r in range(row, last_row + 1) for c in range(column, last_column + 1)}
            del found[row, column]
    return found


def _numbered(names: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Names with how often they stood before in this header."""
    before: dict[str, int] = {}
    for name in names:
        key = header_key(name)
        yield name, before.get(key, 0)
        before[key] = before.get(key, 0) + 1


def _column(name: str, nth: int, seen: dict[tuple[str, int], int], names: list[str]) -> int:
    key = header_key(name), nth
    if key not in seen:
        seen[key] = len(names)
        names.append(name)
    return seen[key]


class SheetRows(Iterator[Row]):
    """The surface of `rows.Rows`: the header first, then the rows of table after table.

    The header read, `chunks` gives the rest, and tells once per column what the spreadsheet did to its cells.
    """

    def __init__(self, tables: Tables, model: SourceModel, notes: Notes | None, year_limit: int) -> None:
        self._tables, self._model, self._notes, self._year_limit = tables, model, notes, year_limit
        self.blank = tables.blank
        self.filled = 0  # cells of merged ranges below their first one, which took its value
        self._all = self._header_and_rows()

    def close(self) -> None:
        self._all.close()

    def __next__(self) -> Row:
        return next(self._all)

    def _header_and_rows(self) -> Generator[Row, None, None]:
        if not self._tables.tables:
            return
        yield Row(self._tables.header_row, list(self._tables.names))
        for chunk in self._chunks():
            if isinstance(chunk, Row):
                yield chunk
            else:
                yield from (Row(chunk.first + n, fields) for n, fields in enumerate(chunk.rows))

    def chunks(self) -> Iterator[Chunk | Row]:
        yield from self._chunks()
        if self._notes is not None:
            self._cleaned.tell(self._notes)
            if self.filled:
                self._notes.tell("etl.sheet-merged-cells", count=self.filled)

    def picked(self, places: Sequence[int]) -> Iterator[tuple[str, ...]]:
        """Only the cells at these places of the header, as `chunks` gives them."""
        get = getter(places)
        for chunk in self._chunks(places):
            if isinstance(chunk, Row):
                yield get(chunk.fields)
            else:
                yield from map(get, chunk.rows)

    def _chunks(self, only: Sequence[int] | None = None) -> Iterator[Chunk | Row]:
        self._cleaned = self._cells()
        self.filled = 0
        for (laid, table), places in zip(self._tables.tables, self._tables.places, strict=True):
            yield from self._of_table(laid, table, places, self._cleaned, only)

    def _cells(self) -> SheetCells:
        keys, taken = header_keys(self._model), set[int]()
        at: list[int | None] = []
        for name in self._tables.names:  # the first of each name, as the header's match has it
            column = keys.get(header_key(name))
            at.append(None if column in taken else column)
            taken |= {column} if column is not None else set()
        return SheetCells(self._model, at, self._year_limit, self._tables.book.epoch_1904)

    def _of_table(
        self, laid: Laid, table: Table, places: list[int], cells: SheetCells, only: Sequence[int] | None
    ) -> Iterator[Chunk | Row]:
        width = len(self._tables.names)
        same = places == list(range(width))
        rows = self._rows(laid, table)
        for block in _blocks(rows):
            numbers = [laid.offset + number for number, _, _ in block]
            found = [(fields, kinds) if same else _placed(fields, kinds, places, width) for _, fields, kinds in block]
            texts = [fields for fields, _ in found]
            refused = cells.clean(texts, [kinds for _, kinds in found], only)
            again = {laid.offset + number for number in table.repeats}
            yield from _pieces(numbers, texts, refused, again, self._tables.names)

    def _rows(self, laid: Laid, table: Table) -> Iterator[tuple[int, list[str], str]]:
        fill = _Fill(laid.sheet, table)
        for row in laid.sheet.rows.rows(table.start):
            if row.number > table.end:
                break
            fields, kinds = row.span(table.first, table.last)
            if fields.count("") < len(fields):
                yield fill.row(row, fields, kinds)
        self.filled += fill.n


class _Fill:
    """The value of a merged range goes to each of its rows: people merge what several rows have in common."""

    def __init__(self, sheet: Sheet, table: Table) -> None:
        self.n, self._table = 0, table
        tall = [m for m in sheet.merges if m[2] > m[0] >= table.start and table.first <= m[1] <= table.last]
        self._begin: dict[int, list[tuple[int, int]]] = {}
        for row, column, last, _ in tall:
            self._begin.setdefault(row, []).append((column - table.first, last))
        self._open: dict[int, tuple[int, str, str]] = {}  # place -> last row, text, kind

    def row(self, row: TapeRow, fields: list[str], kinds: str) -> tuple[int, list[str], str]:
        if self._open:
            kinds = self._filled(row.number, fields, kinds)
        for place, last in self._begin.get(row.number, ()):
            self._open[place] = last, fields[place], kinds[place]
        return row.number, fields, kinds

    def _filled(self, number: int, fields: list[str], kinds: str) -> str:
        letters = list(kinds)
        for place, (last, text, kind) in list(self._open.items()):
            if number > last:
                del self._open[place]
            elif not fields[place]:
                fields[place], letters[place] = text, kind
                self.n += 1
        return "".join(letters)


def _blocks(rows: Iterator[tuple[int, list[str], str]]) -> Iterator[list[tuple[int, list[str], str]]]:
    block = []
    for row in rows:
        block.append(row)
        if len(block) == _BLOCK:
            yield block
            block = []
    if block:
        yield block


def _placed(fields: list[str], kinds: str, places: Sequence[int], width: int) -> tuple[list[str], str]:
    """The cells of one table in the columns of all."""
    wide, letters = [""] * width, [" "] * width
    for place, text, kind in zip(places, fields, kinds, strict=True):
        wide[place], letters[place] = text, kind
    return wide, "".join(letters)


def _pieces(
    numbers: list[int],
    texts: list[list[str]],
    refused: dict[int, list[tuple[int, str]]],
    again: set[int],
    names: list[str],
) -> Iterator[Chunk | Row]:
    """Rows without anything unusual together, as long as their numbers follow each other; the others singly."""

    def piece(n: int) -> tuple[bool, int]:
        return (n in refused or numbers[n] in again), numbers[n] - n

    for (unusual, _), group in groupby(range(len(numbers)), piece):
        at = list(group)
        if not unusual:
            yield Chunk(numbers[at[0]], texts[at[0] : at[-1] + 1])
            continue
        for n in at:
            fields = list(names) if numbers[n] in again else texts[n]
            yield Row(numbers[n], fields, values=() if numbers[n] in again else tuple(refused.get(n, ())))


__all__ = ["NUMBERED", "Laid", "SheetRows", "Tables", "find_tables"]
