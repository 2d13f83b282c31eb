"""The tables behind the cohort, read once. Names of columns: the header lines of `tables/*.csv`."""

from __future__ import annotations

import csv
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from pathlib import Path
from random import Random

_FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True, slots=True)
class Entity:
    """A tumour of the cohort. OncoTree names are those of version 2020_04_01; `weight` is its share in percent."""

    code: str
    name: str
    name_ja: str
    level1: str
    level1_name: str
    level1_ja: str
    histology: str
    group: str
    weight: float
    female: float  # probability
    age: float  # years, mean
    age_sd: float
    os_months: float  # median survival from diagnosis of advanced disease
    regimens: str
    drivers: tuple[tuple[str, float], ...]  # marker, probability
    site: str  # label of the export's short list of organs
    site_other: str


@dataclass(frozen=True, slots=True)
class Marker:
    """A gene (or fusion) with the changes it may show; coordinates are the gene's span on GRCh38 (MANE 1.5)."""

    marker: str
    contents: tuple[str, ...]
    chromosome: str
    start: int
    end: int
    level: str  # evidence level of its drug, "" without one
    drugs: str
    background: float  # probability in tumours that don't name it


@dataclass(frozen=True, slots=True)
class Tables:
    entities: tuple[Entity, ...]
    shares: tuple[float, ...]  # cumulated weights
    regimens: dict[str, tuple[tuple[str, ...], ...]]  # group -> per line the choices
    markers: dict[str, tuple[tuple[Marker, float], ...]]  # OncoTree code -> what may be found, how often

    def entity(self, rng: Random) -> Entity:
        return self.entities[bisect(self.shares, rng.random() * self.shares[-1])]


@cache
def tables() -> Tables:
    entities = tuple(_entity(r) for r in _rows("entities"))
    shares = tuple(accumulate(e.weight for e in entities))
    markers = tuple(_marker(r) for r in _rows("variants"))
    return Tables(entities, shares, _regimens(), {e.code: _expected(e, markers) for e in entities})


def _expected(entity: Entity, markers: tuple[Marker, ...]) -> tuple[tuple[Marker, float], ...]:
    """The entity's own probabilities, else the background's; impossible ones left out."""
    named = dict(entity.drivers)
    unknown = named.keys() - {m.marker for m in markers}
    if unknown:
        raise ValueError(f"{entity.code} names markers that variants.csv has not: {', '.join(sorted(unknown))}")
    found = ((m, named.get(m.marker, m.background)) for m in markers)
    return tuple((m, p) for m, p in found if p > 0)


def sites() -> tuple[tuple[str, str], ...]:
    """(site, format) of the sites that a cohort has; partner sites join with their formats."""
    return tuple((r["site"], r["format"]) for r in _rows("sites"))


def words(name: str) -> tuple[str, ...]:
    """A list of one word per line."""
    return tuple((_FOLDER / f"{name}.txt").read_text(encoding="utf-8").split())


def _rows(name: str) -> Iterator[dict[str, str]]:
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _entity(row: dict[str, str]) -> Entity:
    numbers = {k: float(row[k]) for k in ("weight", "female", "age", "age_sd", "os_months")}
    pairs = (d.split(":") for d in row["drivers"].split(";") if d)
    drivers = tuple((marker, float(p)) for marker, p in pairs)
    texts = {k: v for k, v in row.items() if k not in numbers and k != "drivers"}
    return Entity(**texts, **numbers, drivers=drivers)  # type: ignore[arg-type]


def _marker(row: dict[str, str]) -> Marker:
    contents = tuple(row["contents"].split(" "))
    span = (int(row["start"] or 0), int(row["end"] or 0))
    return Marker(
        row["marker"], contents, row["chromosome"], *span, row["level"], row["drugs"], float(row["background"])
    )


def _regimens() -> dict[str, tuple[tuple[str, ...], ...]]:
    found: dict[str, dict[int, list[str]]] = {}
    for r in _rows("regimens"):
        found.setdefault(r["group"], {}).setdefault(int(r["line"]), []).append(r["drugs"])
    return {g: tuple(tuple(lines[n]) for n in sorted(lines)) for g, lines in found.items()}
