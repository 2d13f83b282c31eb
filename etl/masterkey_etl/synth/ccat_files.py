"""The two files of a C-CAT export, as CSV or as the workbooks that a spreadsheet program makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from typing import Protocol

from masterkey_etl.source_model import SourceModel
from masterkey_etl.synth import ccat, dirt
from masterkey_etl.synth.cohort import Patient
from masterkey_etl.synth.key import KeyWriter, Planted, line, quoted
from masterkey_etl.synth.xlsx import Book, Cell, day, number

_WAITING = 500  # rows written at once
ERROR_RATE, SERIAL_RATE = 0.02, 0.02  # of patients: a cell that shows an error, a day that lost its date format


class Table(Protocol):
    """A file of one table; `rows` written so far without the header."""

    name: str
    rows: int

    def add(self, rows: list[ccat.Row]) -> int: ...
    def close(self) -> None: ...


class Csv:
    """One CSV, written row by row: BOM, CRLF, no line end after the last row."""

    def __init__(self, out: Path, name: str, layout: ccat.Layout) -> None:
        self.name, self.rows = name, 0
        self._texts, self._commas = layout.texts, len(layout.header) - 1
        self._file = (out / name).open("w", encoding="utf-8", newline="")
        self._file.write("\ufeff" + line(layout.header))
        self._waiting: list[str] = []

    def add(self, rows: list[ccat.Row]) -> int:
        """Append rows; gives the spreadsheet row of the first."""
        first = self.rows + 2
        self._waiting += [self._line(row) for row in rows]
        self.rows += len(rows)
        if len(self._waiting) > _WAITING:
            self._flush()
        return first

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._waiting:
            self._file.write("\r\n" + "\r\n".join(self._waiting))
            self._waiting.clear()

    def _line(self, row: ccat.Row) -> str:
        """Most rows need no quotes, and those that do need them in texts."""
        text = ",".join(row)
        if text.count(",") == self._commas and '"' not in text:
            return text
        row = row.copy()
        for i in self._texts:
            if "," in (cell := row[i]) or '"' in cell:
                row[i] = quoted(cell)
        return ",".join(row)


class Xlsx:
    """The same table as a spreadsheet keeps it: days as serials, numbers as numbers.

    `marked`: (row of the table, column, cell) written instead of what the row says.
    """

    def __init__(self, out: Path, name: str, model_id: str) -> None:
        self.name, self.rows = name, 0
        model = SourceModel.load(model_id)
        self._dates = frozenset(c.position for c in model.columns if c.type == "date")
        self._book = Book(out / name, ["export"])
        self._book.add("export", [c.header for c in model.columns])
        self.marked: dict[tuple[int, int], Cell] = {}

    def add(self, rows: list[ccat.Row]) -> int:
        first = self.rows + 2
        for n, row in enumerate(rows):
            self._book.add("export", [self.marked.get((n, i)) or self._cell(i, text) for i, text in enumerate(row)])
        self.rows += len(rows)
        self.marked.clear()
        return first

    def close(self) -> None:
        self._book.close()

    def _cell(self, position: int, text: str) -> Cell | str:
        if position in self._dates and (ordinal := _ordinal(text)) is not None:
            return day(ordinal)
        return number(text)


def _ordinal(text: str) -> int | None:
    """Of `2019/11/1`; None for what a spreadsheet would leave as text."""
    try:
        return date(*map(int, text.split("/"))).toordinal()
    except (ValueError, TypeError):
        return None


class CcatFiles:
    """Both files of one site. `make(name, model)` gives a table."""

    def __init__(
        self, site: str, rng: Random, key: KeyWriter, layout: str, make: Callable[[str, str], Table], ending: str
    ) -> None:
        self._rng, self._key, self._layout = rng, key, layout
        self._case, self._found = ccat.Case(), ccat.Report()
        self._cases = make(f"{site}/ccat_case{ending}", ccat.CASE)
        self._reports = make(f"{site}/ccat_report{ending}", ccat.REPORT)

    def add(self, patient: Patient, identifiers: int) -> None:
        rows = self._case.rows(patient)
        planted = list(self._spoil(patient, rows, identifiers))
        marked = list(self._spreadsheet(rows))
        first = self._cases.add(rows)
        for n, line_ in (*planted, *marked):
            self._key.add(replace(line_, row=first + n))
        self._reports.add(self._found.rows(patient))

    def close(self) -> dict[str, int]:
        for table in (self._cases, self._reports):
            table.close()
        return {table.name: table.rows for table in (self._cases, self._reports)}

    def _spoil(self, patient: Patient, rows: list[ccat.Row], identifiers: int) -> list[tuple[int, Planted]]:
        rng, at = self._rng, self._case.at
        if rng.random() < 0.3:
            dirt.scatter_empty(rng, rows[0])
        found = list(dirt.plant_all(rng, patient, rows, at))
        found += [dirt.identifier(rng, rows, at) for _ in range(identifiers)]
        return [(f.row, self._line(patient, rows, f)) for f in found]

    def _line(self, patient: Patient, rows: list[ccat.Row], f: dirt.Finding) -> Planted:
        i = self._case.at[f.column]
        cells = sum(row[i] == rows[f.row][i] for row in rows)
        return Planted(
            self._cases.name, 0, f.column, f.kind, f.value, self._layout, patient.key, f.finds, cells, f.also
        )

    def _spreadsheet(self, rows: list[ccat.Row]) -> list[tuple[int, Planted]]:
        """What goes wrong in a spreadsheet alone: an error in place of a number, a day that became a number."""
        table = self._cases
        if not isinstance(table, Xlsx):
            return []
        out = []
        for kind, rate, column, rule in (
            ("error-cell", ERROR_RATE, "smoking_years", "etl.value-error"),
            ("bare-serial", SERIAL_RATE, "registered", "etl.sheet-serial"),
        ):
            if self._rng.random() < rate:
                at = self._case.at[column]
                cell = Cell("error", "#REF!") if kind == "error-cell" else _serial(rows[0][at])
                table.marked |= {(n, at): cell for n in range(len(rows))}
                key = rows[0][self._case.at["hash_id"]]
                out.append((0, Planted(table.name, 0, column, kind, cell.value, self._layout, key, rule, len(rows))))
        return out


def _serial(text: str) -> Cell:
    ordinal = _ordinal(text)
    assert ordinal is not None, "the cohort's own dates are days"
    return Cell("number", day(ordinal).value)


def csv_files(out: Path, site: str, rng: Random, key: KeyWriter) -> CcatFiles:
    return CcatFiles(site, rng, key, "ccat", lambda name, model: Csv(out, name, ccat.layout(model)), ".csv")


def xlsx_files(out: Path, site: str, rng: Random, key: KeyWriter) -> CcatFiles:
    return CcatFiles(site, rng, key, "ccat_xlsx", lambda name, model: Xlsx(out, name, model), ".xlsx")


__all__: Sequence[str] = ("CcatFiles", "csv_files", "xlsx_files")
