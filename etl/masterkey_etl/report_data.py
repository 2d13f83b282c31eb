"""Everything the quality report shows, gathered from repository, CDM and maps. Counts and codes, no person."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_etl import maps
from masterkey_etl.data import folder
from masterkey_etl.workspace import Workspace
from masterkey_fhir.store import LedgerLine, Repository, Submission
from masterkey_omop.publish import CdmStore
from masterkey_validation.report import Delivery, ItemFill, ReportData, UnmappedCode, completeness
from masterkey_validation.results import Result

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MOST_UNMAPPED = 500
_CODED = re.compile(r"[A-Z]\w+\((?:[a-z-]+#)?([0-9a-z-]+)\)(?:\.component\(([0-9-]+)\))?")
_EXTENSION = re.compile(r"extension\('([^']+)'\)")
_CODED_ROWS = """
SELECT code, count(DISTINCT person_id) FROM (
  SELECT person_id, measurement_source_value AS code FROM measurement
  UNION ALL SELECT person_id, observation_source_value FROM observation
  UNION ALL SELECT person_id, code FROM masterkey.component
) GROUP BY code
"""
_PATHS = """
SELECT s.resource_type || '.' || s.path, count(DISTINCT c.person_id)
FROM masterkey.census c JOIN masterkey.shape s ON s.shape_id = c.shape_id GROUP BY 1
"""
_UNMAPPED = f"""
SELECT system, code, text, n FROM masterkey.unmapped_codes ORDER BY n DESC, system, code LIMIT {MOST_UNMAPPED}
"""


def collect(workspace: Workspace, repository: Repository, results: Sequence[Result]) -> ReportData:
    """The facts of the report, as the workspace stands."""
    store = CdmStore(workspace.cdm)
    submissions = repository.submissions()
    with store.connect() as cdm:
        persons = _one(cdm, "SELECT count(*) FROM person")
        return ReportData(
            title="MASTER KEY Asia",
            generated=datetime.now(UTC).isoformat(timespec="seconds"),
            role=workspace.role,
            deliveries=[_delivery(s, repository.ledger(s.id)) for s in submissions],
            resources=repository.counts(),
            unmapped=list(_unmapped(cdm)),
            issues=[
                replace(k.issue, place=replace(k.issue.place, file=k.issue.place.file or k.file))
                for k in repository.issues("open")
            ],
            results=results,
            items=items(cdm, persons, [maps.kept(v, workspace) for v in {s.map_version for s in submissions} if v]),
            patients=repository.counts().get("Patient", 0),
            persons=persons,
            lag=repository.last_change() - store.high_water(),
            vocabulary=store.state().get("vocabulary", ""),
        )


def _delivery(s: Submission, ledger: Sequence[LedgerLine]) -> Delivery:
    per_status: Counter[str] = Counter()
    aside: Counter[str] = Counter()
    for line in ledger:
        per_status[line.status] += line.n
        if line.status == "set_aside":
            aside[line.reason] += line.n
    balanced = per_status.total() == s.values_read
    return Delivery(
        s.site, s.file, s.received, s.rows, s.values_read, s.resources, dict(per_status), dict(aside), balanced
    )


def _unmapped(cdm: DuckDBPyConnection) -> Iterator[UnmappedCode]:
    rows = cdm.execute(_UNMAPPED).fetchall()
    of_system: Counter[str] = Counter()
    for system, _, _, n in rows:
        of_system[system or ""] += n
    for system, code, text, n in rows:
        yield UnmappedCode(system or "", code or "", text or "", n, n / of_system[system or ""])


def items(cdm: DuckDBPyConnection, persons: int, said: Sequence[Mapping[str, Any]]) -> list[ItemFill]:
    """The registry's items: persons that have a value, persons without, or never seen in any delivery."""
    path = folder("mappings") / "registry" / "items.csv"
    seen = _Seen(cdm, said)
    found = ((id_, seen.counts(element, persons)) for id_, element in _elements(path))
    counts = {id_: n for id_, n in found if n is not None}
    return completeness(path, counts)


def _elements(path: Path) -> list[tuple[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["id"], row["fhir_element"]) for row in csv.DictReader(file)]


@dataclass
class _Seen:
    """Where an item of the list (its `fhir_element`) shows in the CDM, and whether a map in use carries it."""

    cdm: DuckDBPyConnection
    said: Sequence[Mapping[str, Any]]
    coded: dict[str, int] = field(init=False)
    paths: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.coded = dict(self.cdm.execute(_CODED_ROWS).fetchall())
        self.paths = dict(self.cdm.execute(_PATHS).fetchall())

    def counts(self, element: str, persons: int) -> tuple[int, int] | None:
        """(filled, empty), or None when no delivery carries the item."""
        filled = min(self.filled(element), persons)
        return (filled, persons - filled) if filled or self.carried(element) else None

    def filled(self, element: str) -> int:
        if found := _CODED.match(element):
            return self.coded.get(found[2] or found[1], 0)
        path = plain(element)
        return max((n for p, n in self.paths.items() if p == path or p.startswith((path + ".", path + "("))), default=0)

    def carried(self, element: str) -> bool:
        """Does a map in use write this element? By its code, its extension's url, or its path."""
        if found := _CODED.match(element):
            return re.search(rf"\bcode: \"?{re.escape(found[2] or found[1])}\b(?!-)", self.text) is not None
        if found := _EXTENSION.search(element):
            return found[1] in self.text
        path = plain(element)
        return any(leaf == path or leaf.startswith(path + ".") for leaf in self.leaves)

    @cached_property
    def text(self) -> str:
        return "\n".join(str(s["text"]) for s in self.said)

    @cached_property
    def leaves(self) -> frozenset[str]:
        return frozenset(leaf["path"] for s in self.said for block in s["blocks"].values() for leaf in block)


def plain(element: str) -> str:
    """An element of the list as a path of the census.

    >>> plain("Condition.code.coding(oncotree).version")
    'Condition.code.coding.version'
    >>> plain("Patient.extension('urn:x').valueInteger")
    'Patient.extension(urn:x).valueInteger'
    """
    kept = _EXTENSION.sub(r"extension<\1>", element.partition(" (")[0])
    return re.sub(r"\([^)]*\)", "", kept).replace("<", "(").replace(">", ")").replace(".value[x]", "")


def _one(cdm: DuckDBPyConnection, sql: str) -> int:
    row = cdm.execute(sql).fetchone()
    return int(row[0]) if row else 0
