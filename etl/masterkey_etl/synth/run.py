"""Writing a cohort: one folder per site, and the key of what was planted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TextIO

from masterkey_etl.synth import ccat, dirt
from masterkey_etl.synth.cohort import Patient, draw
from masterkey_etl.synth.tables import sites, tables

Progress = Callable[[int, int], None]
KEY_HEADER = ("file", "row", "column", "kind", "value")
_STEP = 1000  # patients between two calls of `progress`
_WAITING = 500  # rows written at once
_NEEDS_QUOTES = frozenset(',"\r\n')


@dataclass(slots=True)
class SynthReport:
    """What was written: rows and files per site, and how often each kind of dirt was planted."""

    out: Path
    patients: int
    seed: int
    files: dict[str, int] = field(default_factory=dict)  # path below `out` -> rows without the header
    planted: Counter[str] = field(default_factory=Counter)
    example: Path | None = None
    seconds: float = 0.0


def synth(
    out: Path,
    patients: int,
    seed: int,
    progress: Progress | None = None,
    *,
    plant_identifiers: int | None = None,
    example: bool = True,
) -> SynthReport:
    """Write a synthetic cohort of `patients` below `out`, the same bytes for the same seed.

    `OUT/<site>/…` are files as the site exports them, `OUT/key.csv` lists every planted fault (file, row counted
    like a spreadsheet, column id, kind, value), `OUT/example-bundle.json` is a transaction for the API.
    `plant_identifiers`: how many names, phones and numbers stand in free texts and ids; by default one for every
    twenty patients, at most 500. `progress(done, of)` is called every thousand patients.
    Raises OSError when `out` can't be written, ValueError for a number below 1 patient or 0 identifiers.
    """
    if patients < 1 or (plant_identifiers or 0) < 0:
        raise ValueError("a cohort has at least one patient and no negative number of identifiers")
    started = time.perf_counter()
    wanted = min(500, -(-patients // 20)) if plant_identifiers is None else plant_identifiers
    report = SynthReport(out, patients, seed)
    out.mkdir(parents=True, exist_ok=True)
    with _key(out) as key:
        for site, _ in sites():
            _site(report, site, Random(f"{seed}/{site}"), key, wanted, progress)
    if example:
        from masterkey_etl.synth.example import write

        report.example = write(out, Random(f"{seed}/example"))
    report.seconds = time.perf_counter() - started
    return report


@contextmanager
def _key(out: Path) -> Iterator[TextIO]:
    with (out / "key.csv").open("w", encoding="utf-8", newline="") as file:
        file.write(_line(KEY_HEADER) + "\n")
        yield file


class _File:
    """One CSV, written row by row: BOM, CRLF, no line end after the last row."""

    def __init__(self, stack: ExitStack, out: Path, name: str, layout: ccat.Layout) -> None:
        self.name, self.rows = name, 0
        self._texts, self._commas = layout.texts, len(layout.header) - 1
        self._file = stack.enter_context((out / name).open("w", encoding="utf-8", newline=""))
        self._file.write("\ufeff" + _line(layout.header))
        self._waiting: list[str] = []

    def add(self, rows: list[ccat.Row]) -> int:
        """Append rows; gives the spreadsheet row of the first."""
        first = self.rows + 2
        self._waiting += [self._line(row) for row in rows]
        self.rows += len(rows)
        if len(self._waiting) > _WAITING:
            self.flush()
        return first

    def flush(self) -> None:
        if self._waiting:
            self._file.write("\r\n" + "\r\n".join(self._waiting))
            self._waiting.clear()

    def _line(self, row: ccat.Row) -> str:
        """Most rows need no quotes, and those that do need them in texts."""
        line = ",".join(row)
        if line.count(",") == self._commas and '"' not in line:
            return line
        row = row.copy()
        for i in self._texts:
            if "," in (text := row[i]) or '"' in text:
                row[i] = _quoted(text)
        return ",".join(row)


def _site(report: SynthReport, site: str, rng: Random, key: TextIO, wanted: int, progress: Progress | None) -> None:
    case, found, cohort = ccat.Case(), ccat.Report(), tables()
    (report.out / site).mkdir(exist_ok=True)
    with ExitStack() as stack:
        cases = _File(stack, report.out, f"{site}/ccat_case.csv", case.layout)
        reports = _File(stack, report.out, f"{site}/ccat_report.csv", found.layout)
        for n in range(report.patients):
            patient = draw(rng, cohort)
            rows = case.rows(patient)
            planted = list(_spoil(rng, patient, rows, case.at, _due(n, report.patients, wanted)))
            first = cases.add(rows)
            _write_key(key, cases.name, first, planted)
            report.planted.update(kind for kind, _ in planted)
            reports.add(found.rows(patient))
            if progress is not None and (n + 1) % _STEP == 0:
                progress(n + 1, report.patients)
        for file in (cases, reports):
            file.flush()
            report.files[file.name] = file.rows
    if progress is not None:
        progress(report.patients, report.patients)


def _due(n: int, patients: int, wanted: int) -> int:
    """How many of `wanted` identifiers fall on the n-th patient when they are spread evenly."""
    return (n + 1) * wanted // patients - n * wanted // patients


def _spoil(
    rng: Random, patient: Patient, rows: list[ccat.Row], at: dict[str, int], identifiers: int
) -> Iterator[tuple[str, dirt.Finding]]:
    if rng.random() < 0.3:
        dirt.scatter_empty(rng, rows[0])
    yield from dirt.plant_all(rng, patient, rows, at)
    for _ in range(identifiers):
        yield dirt.identifier(rng, rows, at)


def _write_key(key: TextIO, file: str, first: int, planted: list[tuple[str, dirt.Finding]]) -> None:
    for kind, (index, column, value) in planted:
        key.write(_line((file, str(first + index), column, kind, value)) + "\n")


def _line(cells: ccat.Row | tuple[str, ...]) -> str:
    """A CSV line; cells are quoted only where RFC 4180 (section 2, rule 6) asks for it."""
    return ",".join([_quoted(c) if _NEEDS_QUOTES & set(c) else c for c in cells])


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'
