"""The ledger: what became of every value of a delivery. Read = mapped + absent + set aside + lost.

A cell is one row x one column; in a tree, one leaf at a path (leaves.py). Only exceptions are entered, which costs
a few per cent; the rest of a column that a map covers is `mapped` (or `translated`). The balance is proved against a
count that shares no code with the reader.

Who enters what:
  reader   rows(n) for every row that can be mapped; `absent` (declared nulls) and `rejected` cells;
           of a tree also `leaves`: how many each column took, and those that none takes
  map      covered(...) and set_aside(...) once, statically; then `unmapped`, `rejected`, `set_aside` cells
  close    compares, derives the rest, and names the columns whose values nobody accounts for
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from masterkey_etl.leaves import Leaves
from masterkey_etl.record import Record
from masterkey_etl.tree_model import TREES
from masterkey_fhir.issue import Issue, Place, issue

if TYPE_CHECKING:
    from masterkey_etl.source_model import SourceModel

Status = Literal["mapped", "translated", "absent", "set_aside", "unmapped", "rejected"]
STATUSES: tuple[Status, ...] = ("mapped", "translated", "absent", "set_aside", "unmapped", "rejected")
SURPLUS = "(beyond the header)"
_KEPT_LINES: frozenset[str] = frozenset(("unmapped", "rejected"))


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """`n` cells of `column` (a column id, or the header of a column no model knows) have this status."""

    column: str
    status: str
    reason: str
    n: int


@dataclass(frozen=True, slots=True)
class IndependentCount:
    """What another parser alone counts in a file: `rows` below the header, `columns` in the header, and
    `surplus` fields beyond it. Each row has one value per column of the header, present or not.

    Of a tree: `rows` are records, `leaves` those at each path of the model, `surplus` those anywhere else.
    """

    rows: int
    columns: int
    surplus: int = 0
    leaves: Mapping[str, int] = field(default_factory=dict)

    @property
    def values(self) -> int:
        return self.rows * self.columns + self.surplus + sum(self.leaves.values())


@dataclass(frozen=True, slots=True)
class Line:
    """One single value that was not carried over. `value` only where the column can't hold personal data."""

    row: int
    column: str
    status: str
    reason: str
    value: str | None


@dataclass(slots=True)
class Ledger:
    """The account of one delivery. Column indexes are positions of the source model."""

    model: SourceModel
    place: Place = field(default_factory=Place)
    file_columns: frozenset[int] | None = None  # positions present in the file; None = all
    extra: tuple[str, ...] = ()  # headers present in the file and not in the model
    lines: list[Line] = field(default_factory=list)
    leaves: Leaves = field(default_factory=Leaves)
    _rows: int = 0
    _refused_rows: Counter[str] = field(default_factory=Counter)
    _surplus: int = 0
    _cells: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    _covered: dict[int, Status] = field(default_factory=dict)
    _aside: dict[int, str] = field(default_factory=dict)

    # -- the reader -----------------------------------------------------------------------------------

    def rows(self, n: int) -> None:
        """`n` more rows were handed on as Records (each once, whole)."""
        self._rows += n

    def refused_rows(self, reason: str, n: int = 1, surplus: int = 0) -> None:
        """`n` more rows are kept out as a whole; `surplus` fields stood beyond the header."""
        self._refused_rows[reason] += n
        self._surplus += surplus

    # -- the map --------------------------------------------------------------------------------------

    def covered(self, columns: Iterable[int], status: Status = "mapped") -> None:
        """The map has a use for these columns: their cells are `status` unless entered otherwise."""
        for column in columns:
            self._covered.setdefault(column, status)

    def set_aside(self, columns: Iterable[int], reason: str) -> None:
        """The map sets these columns aside, with its written reason."""
        self._aside.update(dict.fromkeys(columns, reason))

    # -- both -----------------------------------------------------------------------------------------

    def exceptions(
        self, column: int, status: str, reason: str, n: int = 1, *, row: int = 0, value: str | None = None
    ) -> None:
        """`n` cells of `column` have `status` for `reason`. A single line is kept for lost values.

        `value` is kept only for columns without personal data; of a refused one only its shape (`shape_of`),
        since what does not belong into a column may be anything.
        """
        self._cells[column, status, reason] += n
        if status in _KEPT_LINES and row:
            c = self.model.columns[column]
            kept = value if status == "unmapped" or value is None else shape_of(value)
            self.lines.append(Line(row, c.id, status, reason, kept if c.personal == "none" else None))

    def cells(self, record: Record, column: int) -> int:
        """How many cells of this record's column are still open: its rows less those the reader entered."""
        return (len(record.rows) or 1) - record.accounted.get(column, 0)

    def status_of(self, column: int) -> Status | None:
        """What a cell of this column is unless entered otherwise; None where the map has no use for it."""
        return self._covered.get(column)

    # -- closing --------------------------------------------------------------------------------------

    def close(self, independent: IndependentCount) -> tuple[list[LedgerRow], list[Issue]]:
        """The lines per column, status and reason; etl.silent-loss (fatal) for what does not balance."""
        rows: list[LedgerRow] = []
        issues: list[Issue] = []
        entered: dict[int, dict[tuple[str, str], int]] = defaultdict(dict)
        for (column, status, reason), n in self._cells.items():
            entered[column][status, reason] = n
        for column in range(len(self.model.columns)):
            if self.file_columns is None or column in self.file_columns:
                self._close_column(column, entered[column], rows, issues)
        rows += self._close_extra()
        issues += self._compare(independent)
        return rows, issues

    @property
    def values_read(self) -> int:
        """Cells the reader saw."""
        if self.is_tree:
            return self.leaves.total
        width = len(self.model.columns) if self.file_columns is None else len(self.file_columns)
        return (self._rows + self._refused_rows.total()) * (width + len(self.extra)) + self._surplus + self.leaves.total

    @property
    def is_tree(self) -> bool:
        return self.model.kind in TREES

    @property
    def rows_refused(self) -> int:
        return self._refused_rows.total() + self.leaves.refused

    @property
    def rows_read(self) -> int:
        return self._rows + self.rows_refused

    def _close_column(
        self, column: int, entered: dict[tuple[str, str], int], rows: list[LedgerRow], issues: list[Issue]
    ) -> None:
        name = self.model.columns[column].id
        total = self.leaves.of_column[column] if self.is_tree else self._rows
        rest = total - sum(entered.values())
        at = Place(self.place.site, self.place.file, None, name)
        if rest < 0:
            issues.append(issue("etl.ledger-overdrawn", at, rows=total, entered=total - rest))
        if rest > 0:
            status, reason = self._default(column)
            if status is None:
                issues.append(issue("etl.silent-loss", at, column=name, lost=rest, rows=total))
            else:
                entered[status, reason] = entered.get((status, reason), 0) + rest
        for reason, n in self._refused_rows.items():
            entered["rejected", reason] = entered.get(("rejected", reason), 0) + n
        rows += [LedgerRow(name, s, r, n) for (s, r), n in sorted(entered.items())]

    def _default(self, column: int) -> tuple[Status | None, str]:
        if column in self._covered:
            return self._covered[column], ""
        if column in self._aside:
            return "set_aside", self._aside[column]
        return None, ""

    def _close_extra(self) -> list[LedgerRow]:
        n = self.rows_read
        rows = [LedgerRow(h, "rejected", "the source model does not know this column", n) for h in self.extra]
        if self._surplus:
            rows.append(LedgerRow(SURPLUS, "rejected", "the row has more fields than the header", self._surplus))
        rows += [LedgerRow(where, s, r, n) for (where, s, r), n in sorted(self.leaves.strays.items())]
        return [r for r in rows if r.n]

    def _compare(self, independent: IndependentCount) -> list[Issue]:
        path = self.leaves.differs(independent.leaves)
        if (independent.rows, independent.values) == (self.rows_read, self.values_read) and not path:
            return []
        found = issue(
            "etl.silent-loss-count",
            replace(self.place, field=path),
            rows=self.rows_read,
            read=self.values_read,
            counted_rows=independent.rows,
            counted=independent.values,
        )
        return [found]


def shape_of(value: str) -> str:
    """What a refused value looks like without saying it: letters become x; digits 9 when there are many.

    `2019/2/30` stays, `Yamada 0901234567` becomes `xxxxxx 9999999999`.
    """
    many = sum(c.isdigit() for c in value) > 8
    return "".join("x" if c.isalpha() else "9" if many and c.isdigit() else c for c in value[:40])


def balance(rows: Iterable[LedgerRow]) -> Mapping[str, int]:
    """Cells per status: the line a summary prints. Their sum is the number of values read."""
    totals: dict[str, int] = dict.fromkeys(STATUSES, 0)
    for row in rows:
        totals[row.status] += row.n
    return totals


def lines_file(root: Path, submission: int) -> Path:
    """Where a workspace keeps the single lost values of a delivery."""
    return root / "ledger" / f"{submission}.parquet"


def write_lines(lines: Iterable[Line], path: Path) -> int:
    """Keep single lost values as Parquet (row, column, status, reason, value). Returns how many."""
    import duckdb  # pyarrow.parquet would import pandas: a second
    import pyarrow as pa

    kept = list(lines)
    schema = pa.schema([("row", pa.int64()), *((n, pa.string()) for n in ("column", "status", "reason", "value"))])
    table = pa.table({name: [getattr(line, name) for line in kept] for name in schema.names}, schema=schema)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    with duckdb.connect() as db:
        db.register("lines", table)
        db.execute(f"COPY lines TO '{str(temporary).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, COMPRESSION zstd)")
    temporary.replace(path)
    return len(kept)
