"""Where the tables of a sheet stand. What a table is, the reader and the independent count agree on here:

- A header is a row (or `header_rows` rows) in which at least half of a source model's columns are named. Blank
  cells part tables that stand side by side; a header that goes on behind a blank cell is one header.
- A table's rows are those below its header, in its columns, up to the next header or, behind blank rows, up to a
  row that does not go on like the first one: see `goes_on`.
- The same header again is no new table: these rows are of it, and refused.
- Every other cell stands outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from masterkey_etl.header import header_key, header_keys
from masterkey_etl.readers import limits
from masterkey_etl.source_model import SourceModel

Line = tuple[int, Sequence[str]]  # row number, texts from column 0 on
OUTSIDE = "it stands outside of every table that a source model fits"
OTHER = "it belongs to a table of another source model"
_MEMO = 100_000
_LONGEST = 200  # characters of a header


@dataclass
class Table:
    """A table of `model` on a sheet, in its columns `first` to `last` (0-based). Its header begins at row `header`;
    its rows stand from `start` to `end`, `rows` of them are not blank; in `repeats` the header stands again."""

    model: str
    header: int
    header_rows: int
    first: int
    last: int
    names: list[str]
    keys: list[int] = field(default_factory=list)  # columns of the sheet
    end: int = 0
    rows: int = 0
    repeats: set[int] = field(default_factory=set)
    like: list[str] = field(default_factory=list)  # the first row
    ended: bool = False

    @property
    def start(self) -> int:
        return self.header + self.header_rows

    @property
    def blank(self) -> int:
        """Blank rows between its first and its last one."""
        return self.end - self.start + 1 - self.rows if self.rows else 0

    def cut(self, texts: Sequence[str]) -> list[str]:
        found = list(texts[self.first : self.last + 1])
        return found + [""] * (self.last + 1 - self.first - len(found))


@dataclass
class Block:
    """Cells outside: the first one's row and column (0-based), how many, and the model of their table if it has one."""

    row: int
    column: int
    cells: int = 0
    model: str = ""


@dataclass
class Layout:
    """The tables of the model asked for, how many of their cells are headers, and what stands outside, by reason."""

    tables: list[Table] = field(default_factory=list)
    header_cells: int = 0
    inside: int = 0
    outside: Counter[str] = field(default_factory=Counter)
    blocks: list[Block] = field(default_factory=list)


class Headers:
    """Finds the headers of these source models in rows; the first model is the one asked for."""

    def __init__(self, models: Sequence[SourceModel]) -> None:
        self.models = models
        self.keys = {m.id: header_keys(m) for m in models}
        self.depth = max((rows_of(m) for m in models), default=1)
        self._words = {w for m in models for w in _words(m)}
        self._memo: dict[str, bool] = {}
        self._ends = {(w[0], w[-1]) for w in self._words if w}

    def may_begin(self, texts: Iterable[str]) -> bool:
        """Does one of these texts stand in a header?"""
        memo = self._memo
        return any(memo[text] if text in memo else self._is_word(text) for text in texts if text)

    def _is_word(self, text: str) -> bool:
        """A plain text is known by its ends in most cases."""
        if len(text) > _LONGEST or (
            text.isascii() and text.isalnum() and (text[0].lower(), text[-1].lower()) not in self._ends
        ):
            return False
        if len(self._memo) > _MEMO:
            self._memo.clear()
        found = self._memo[text] = header_key(text) in self._words
        return found

    def tables(self, rows: Sequence[Line], merged: Mapping[tuple[int, int], tuple[int, int]]) -> list[Table]:
        """The tables whose header begins in the first of these rows: of the first model that has one there, then of
        the others in the columns that are left."""
        found: list[Table] = []
        simple = [header_key(n) if n and len(n) <= _LONGEST else "" for n in rows[0][1]]
        for model in self.models:
            for table in self._of(model, rows, merged, simple):
                if all(table.last < other.first or other.last < table.first for other in found):
                    found.append(table)
        return found

    def _of(
        self,
        model: SourceModel,
        rows: Sequence[Line],
        merged: Mapping[tuple[int, int], tuple[int, int]],
        simple: Sequence[str],
    ) -> Iterator[Table]:
        """`simple`: the header keys of the first row."""
        number, depth = rows[0][0], rows_of(model)
        window = [line for line in rows if line[0] < number + depth]
        keys = self.keys[model.id]
        names = _names(window, merged, keys) if depth > 1 else list(rows[0][1])
        spelled = simple if depth == 1 else [header_key(n) if len(n) <= _LONGEST else "" for n in names]
        columns = [keys.get(key) if key else None for key in spelled]
        for first, last in _spans(names, columns, len(model.columns)):
            at = [i for i in range(first, last + 1) if columns[i] in model.key_positions]
            yield Table(model.id, number, depth, first, last, names[first : last + 1], at)


def rows_of(model: SourceModel) -> int:
    """How many rows the model's header has."""
    return model.sheet.header_rows if model.sheet else 1


def _words(model: SourceModel) -> Iterator[str]:
    """Texts that may stand in one cell of this model's header."""
    for header in chain.from_iterable((c.header, *c.aliases) for c in model.columns):
        yield header_key(header)
        if rows_of(model) > 1:
            yield from (header_key(part) for part in header.split("/"))


def _spans(names: Sequence[str], columns: Sequence[int | None], expected: int) -> Iterator[tuple[int, int]]:
    """The columns of each table whose header stands in these names."""
    parts = [(a, b, {c for c in columns[a : b + 1] if c is not None}) for a, b in _filled(names)]
    waiting = [p for p in parts if p[2]]
    while waiting:
        first, last, found = waiting.pop(0)
        while waiting and not waiting[0][2] & found and not (_fits(found, expected) and _fits(waiting[0][2], expected)):
            _, last, more = waiting.pop(0)
            found = found | more
        if _fits(found, expected):
            yield first, last


def _fits(found: set[int], expected: int) -> bool:
    return 2 * len(found) >= expected


def _filled(names: Sequence[str]) -> Iterator[tuple[int, int]]:
    """The runs of cells that are not blank."""
    first = None
    for i, name in enumerate(chain(names, [""])):
        if name and first is None:
            first = i
        elif not name and first is not None:
            yield first, i - 1
            first = None


def _names(
    window: Sequence[Line], merged: Mapping[tuple[int, int], tuple[int, int]], keys: Mapping[str, int]
) -> list[str]:
    """The names of a header of several rows: its texts joined by " / ", or what the model calls the column.

    A merged cell's text counts for all of it; an upper text also for the blanks right of it where the model says so.
    """
    width = max((len(texts) for _, texts in window), default=0)
    by_row = dict(window)
    carried: dict[int, str] = {}
    out = []
    for i in range(width):
        stack = [_text_at(by_row, merged, number, i) for number, _ in window]
        for n, text in enumerate(stack[:-1]):
            if text:
                carried[n] = text
        guessed = [text or carried.get(n, "") for n, text in enumerate(stack[:-1])] + stack[-1:]
        own = list(dict.fromkeys(t for t in stack if t))
        tried = (own, list(dict.fromkeys(t for t in guessed if t)) if stack[-1] else [], own[-1:], own[:1])
        joined = [" / ".join(t) for t in tried if t]
        out.append(next((j for j in joined if header_key(j) in keys), joined[0] if joined else ""))
    return out


def _text_at(
    by_row: Mapping[int, Sequence[str]], merged: Mapping[tuple[int, int], tuple[int, int]], row: int, column: int
) -> str:
    row, column = merged.get((row, column), (row, column))
    texts = by_row.get(row, ())
    return texts[column] if column < len(texts) else ""


def lay_out(
    lines: Iterable[Line],
    headers: Headers,
    merged: Mapping[tuple[int, int], tuple[int, int]] | None = None,
) -> Layout:
    """The tables of one sheet; `merged`: cell of a merged range -> its first cell, (row, column), near headers."""
    return _Walk(headers, merged or {}).through(lines)


class _Walk:
    def __init__(self, headers: Headers, merged: Mapping[tuple[int, int], tuple[int, int]]) -> None:
        self.headers, self.merged = headers, merged
        self.asked = headers.models[0].id if headers.models else ""
        self.layout = Layout()
        self.open: list[Table] = []
        self._before = 0
        self._header_until = 0  # the last row of the header that was found last
        self._block: Block | None = None

    def through(self, lines: Iterable[Line]) -> Layout:
        source, window = iter(lines), list[Line]()
        while True:
            while len(window) < self.headers.depth and (line := next(source, None)) is not None:
                window.append(line)
            if not window:
                break
            self._row(window)
            self._before = window.pop(0)[0]
        self.layout.tables = [t for t in self.layout.tables if t.model == self.asked]
        return self.layout

    def _row(self, window: list[Line]) -> None:
        number, texts = window[0]
        if number > self._header_until and self._looks_new(number, texts):
            self._begin(window)
        taken = 0
        for table in self.open:
            taken += self._take(table, number, texts)
        if len(self.open) != 1 or self.open[0].first or len(texts) > self.open[0].last + 1 or not taken:
            self._count_outside(number, texts, taken)
        self.open = [t for t in self.open if not t.ended]

    def _looks_new(self, number: int, texts: Sequence[str]) -> bool:
        """Below a table only the first text is looked at: a header's is one of its names."""
        if self.open and number == self._before + 1:
            return self.headers.may_begin(t for t in (next(filter(None, texts), ""),))
        return self.headers.may_begin(texts)

    def _begin(self, window: list[Line]) -> None:
        for table in self.headers.tables(window, self.merged):
            again = next((t for t in self.open if _same(t, table)), None)
            self._header_until = max(self._header_until, table.start - 1)
            if again is not None:
                again.repeats.update(range(table.header, table.start))
                continue
            self.open = [t for t in self.open if t.last < table.first or table.last < t.first]
            self.open.append(table)
            self.layout.tables.append(table)

    def _take(self, table: Table, number: int, texts: Sequence[str]) -> int:
        """How many cells of this row belong to the table, when it is one that was asked for."""
        cut = list(texts[table.first : table.last + 1])
        filled = len(cut) - cut.count("")
        asked = table.model == self.asked
        if number < table.start:
            self.layout.header_cells += filled if asked else 0
        elif filled and self._is_row_of(table, number, texts):
            table.like = table.like or table.cut(texts)
            table.rows, table.end = table.rows + 1, number
            self.layout.inside += filled if asked else 0
        else:
            return 0
        return filled if asked else 0

    def _is_row_of(self, table: Table, number: int, texts: Sequence[str]) -> bool:
        gap = number > (table.end or table.start - 1) + 1
        table.ended = gap and number not in table.repeats and not goes_on(table, texts)
        return not table.ended

    def _count_outside(self, number: int, texts: Sequence[str], taken: int) -> None:
        left = sum(map(bool, texts)) - taken
        if not left:
            return
        other = next((t.model for t in self.open if t.model != self.asked and not t.ended), "")
        self.layout.outside[OTHER if other else OUTSIDE] += left
        if self._block is None or number > self._before + 1 or self._block.model != other:
            column = next(i for i, text in enumerate(texts) if text)
            self._block = Block(number, column, 0, other)
            if len(self.layout.blocks) < limits.SAME_ISSUES:
                self.layout.blocks.append(self._block)
        self._block.cells += left


def _same(table: Table, other: Table) -> bool:
    return (table.first, table.names) == (other.first, other.names) and table.model == other.model


def goes_on(table: Table, texts: Sequence[str]) -> bool:
    """Does a row behind blank ones belong to the table? It has its keys, at least half as many cells as the first row,
    and two of three cells that both have begin alike: with a digit, or not."""
    if not table.rows:
        return True
    cut = table.cut(texts)
    if not all(cut[k - table.first] for k in table.keys):
        return False
    both = [(a, b) for a, b in zip(table.like, cut, strict=True) if a and b]
    alike = sum(a[0].isdigit() == b[0].isdigit() for a, b in both)
    return 2 * sum(map(bool, cut)) >= sum(map(bool, table.like)) and 3 * alike >= 2 * len(both)
