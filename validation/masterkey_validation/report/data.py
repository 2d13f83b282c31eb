"""What a report says, as plain values: the pipeline fills it, `page` draws it, `report.json` keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from masterkey_fhir.issue import Issue
from masterkey_validation.catalogue import Check
from masterkey_validation.completeness import ItemFill
from masterkey_validation.results import Result

# The statuses in which a source value can end (etl/README.md, the ledger), in reading order.
LEDGER = ("mapped", "translated", "absent", "set_aside", "unmapped", "rejected")


@dataclass(frozen=True, slots=True)
class Delivery:
    """One submission and its balance. `values` are counted by an independent reading of the file."""

    site: str
    file: str
    received: str  # ISO instant
    rows: int
    values: int
    stored: int  # resources stored from it
    ledger: Mapping[str, int] = field(default_factory=dict)  # status -> values
    set_aside: Mapping[str, int] = field(default_factory=dict)  # reason -> values
    balanced: bool = True

    @property
    def accounted(self) -> int:
        """Values that the ledger names."""
        return sum(self.ledger.values())


@dataclass(frozen=True, slots=True)
class UnmappedCode:
    """A source code without a target. `share`: of the records of its system, 0..1."""

    system: str
    code: str
    text: str
    n: int
    share: float


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything on the page. Counts and codes only: no value that may identify a person."""

    title: str
    generated: str  # ISO instant
    role: str  # of the workspace: site | registry
    deliveries: Sequence[Delivery] = ()
    resources: Mapping[str, int] = field(default_factory=dict)  # FHIR type -> stored
    unmapped: Sequence[UnmappedCode] = ()
    issues: Sequence[Issue] = ()  # open ones; `count` says how often
    results: Sequence[Result] = ()
    checks: Sequence[Check] = ()  # of those results; the shipped catalogue when left out
    items: Sequence[ItemFill] = ()
    patients: int = 0  # FHIR
    persons: int = 0  # CDM
    lag: int = 0  # changes not yet projected
    vocabulary: str = ""
