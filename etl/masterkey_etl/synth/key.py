"""The key of a cohort: one line per planted fault, with the rule that must tell of it and where.

`row` counts like a spreadsheet (0: the file is one record); `record` holds the key values of the record,
joined by `|`, "" where the fault is of the file. `rule` is "" where nothing is asked for; `also` names rules that tell
of the same cell too. `cells`: how many cells of the column are spoilt so; rules told once per column are held to it.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TextIO

NAME = "key.csv"
_NEEDS_QUOTES = frozenset(',"\r\n')


@dataclass(frozen=True, slots=True)
class Planted:
    """One line of the key."""

    file: str  # below the cohort's folder
    row: int
    column: str
    kind: str
    value: str
    layout: str
    record: str = ""
    rule: str = ""
    cells: int = 1
    also: str = ""  # rules joined by blanks

    @property
    def site(self) -> str:
        return self.file.split("/")[0]

    @property
    def name(self) -> str:
        """The file's own name, as a site node shows it; a registry masks what is no word in it."""
        return self.file.split("/")[-1]


HEADER = tuple(f.name for f in fields(Planted))


class KeyWriter:
    """Appends lines and counts them by layout and kind."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.counts: Counter[str] = Counter()
        file.write(line(HEADER) + "\n")

    def add(self, planted: Planted) -> None:
        self._file.write(line([str(v) for v in astuple(planted)]) + "\n")
        self.counts[planted.kind] += 1


def read_key(folder: Path) -> Iterator[Planted]:
    """The key of the cohort in `folder`. Raises OSError when there is none."""
    with (folder / NAME).open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            numbers = {"row": int(row.pop("row")), "cells": int(row.pop("cells"))}
            yield Planted(**row, **numbers)  # type: ignore[arg-type]


def line(cells: list[str] | tuple[str, ...]) -> str:
    """A CSV line; cells are quoted only where RFC 4180 (section 2, rule 6) asks for it."""
    return ",".join([quoted(c) if _NEEDS_QUOTES & set(c) else c for c in cells])


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


__all__ = ["HEADER", "NAME", "KeyWriter", "Planted", "line", "quoted", "read_key"]
