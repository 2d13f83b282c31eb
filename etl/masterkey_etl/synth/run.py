"""Writing a cohort: one folder per site, and the key of what was planted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from masterkey_etl.synth import key as keys
from masterkey_etl.synth.cohort import draw
from masterkey_etl.synth.layouts import LAYOUTS
from masterkey_etl.synth.tables import sites, tables

Progress = Callable[[int, int], None]
_STEP = 1000  # patients between two calls of `progress`


@dataclass(slots=True)
class SynthReport:
    """What was written: rows (of trees: records) and files per site, and how often each kind of dirt was planted."""

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
    layouts: Sequence[str] = ("ccat",),
    plant_identifiers: int | None = None,
    example: bool = True,
) -> SynthReport:
    """Write a synthetic cohort of `patients` below `out`, the same bytes for the same seed.

    `OUT/<site>/…` are files as the site exports them, `OUT/key.csv` lists every planted fault (synth/key.py),
    `OUT/example-bundle.json` is a transaction for the API. `layouts`: names of LAYOUTS; each holds the same patients.
    `plant_identifiers`: how many names, phones and numbers stand in free texts and ids of a layout; by default one
    for every twenty patients, at most 500. `progress(done, of)` is called every thousand patients.
    Raises OSError when `out` can't be written, ValueError for a number below 1 patient or 0 identifiers, and for a
    layout that is not known.
    """
    if patients < 1 or (plant_identifiers or 0) < 0:
        raise ValueError("a cohort has at least one patient and no negative number of identifiers")
    if unknown := [name for name in layouts if name not in LAYOUTS]:
        raise ValueError(f"no layout {', '.join(unknown)}; known are {', '.join(LAYOUTS)}")
    started = time.perf_counter()
    wanted = min(500, -(-patients // 20)) if plant_identifiers is None else plant_identifiers
    report = SynthReport(out, patients, seed)
    out.mkdir(parents=True, exist_ok=True)
    with _key(out) as key:
        for n, name in enumerate(layouts):
            shown = _part(progress, n * patients, len(layouts) * patients)
            _write(report, name, key, wanted, shown)
        report.planted = key.counts
    if example:
        from masterkey_etl.synth.example import write

        report.example = write(out, Random(f"{seed}/example"))
    report.seconds = time.perf_counter() - started
    return report


@contextmanager
def _key(out: Path) -> Iterator[keys.KeyWriter]:
    with (out / keys.NAME).open("w", encoding="utf-8", newline="") as file:
        yield keys.KeyWriter(file)


def _part(progress: Progress | None, before: int, of: int) -> Callable[[int], None]:
    return (lambda done: progress(before + done, of)) if progress is not None else (lambda done: None)


def _write(report: SynthReport, layout: str, key: keys.KeyWriter, wanted: int, shown: Callable[[int], None]) -> None:
    """All patients in one layout; a layout of several sites deals them out in turn."""
    where = [site for site, name in sites() if name == layout]
    for site in where:
        (report.out / site).mkdir(exist_ok=True)
    open_ = LAYOUTS[layout]
    files = [open_(report.out, s, Random(f"{report.seed}/{s}/{layout}"), key) for s in where]
    rng, cohort = Random(f"{report.seed}/patients"), tables()
    for n in range(report.patients):
        files[n % len(files)].add(draw(rng, cohort), _due(n, report.patients, wanted))
        if (n + 1) % _STEP == 0:
            shown(n + 1)
    for written in files:
        report.files |= written.close()
    if report.patients % _STEP:
        shown(report.patients)


def _due(n: int, patients: int, wanted: int) -> int:
    """How many of `wanted` identifiers fall on the n-th patient when they are spread evenly."""
    return (n + 1) * wanted // patients - n * wanted // patients
