"""The concepts that our maps name, as data: `omop/spec/bindings.csv`, one row with its source per concept."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from masterkey_omop.data import folder

GENERATED = "OMOP generated"  # the code of concepts that a script made in 2018: it finds none of them


class Concept(NamedTuple):
    """One row of CONCEPT. `standard` is S, C or "" (non-standard); "?" when no source states it."""

    id: int
    name: str
    domain: str
    vocabulary: str
    concept_class: str
    standard: str
    code: str


class Binding(NamedTuple):
    """A named concept. `status`: verified by a licensed row, or the id only stated by a public project."""

    name: str
    concept: Concept
    status: str
    source: str


class System(NamedTuple):
    """What a FHIR code system is called in OMOP, and what its codes drop (`HGNC:1097` -> `1097`)."""

    vocabulary: str
    strip: str


@cache
def bindings() -> Mapping[str, Binding]:
    """All bindings by name, e.g. `episode.treatment_regimen`."""
    return {row["binding"]: _binding(row) for row in _rows("bindings.csv")}


@cache
def local_concepts() -> tuple[Concept, ...]:
    """Our own concepts (2,120,000,000 and up): registry items and answers, never standard."""
    return tuple(_concept(row) for row in _rows("local_concepts.csv"))


@cache
def systems() -> Mapping[str, System]:
    """FHIR code system URI -> OMOP vocabulary."""
    return {r["system"]: System(r["vocabulary_id"], r["strip"]) for r in _rows("systems.csv")}


def _binding(row: dict[str, str]) -> Binding:
    return Binding(row["binding"], _concept(row), row["status"], row["source"])


def _concept(row: dict[str, str]) -> Concept:
    return Concept(
        int(row["concept_id"]),
        row["concept_name"],
        row["domain_id"],
        row["vocabulary_id"],
        row["concept_class_id"],
        row["standard_concept"],
        row["concept_code"],
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (folder("spec") / name).open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
