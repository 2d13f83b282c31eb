"""The values that the steps of the road take and give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from masterkey_etl.file_names import kept_name
from masterkey_etl.ledger import Ledger, LedgerRow
from masterkey_etl.maps import for_source
from masterkey_etl.receive import Delivery
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext
from masterkey_etl.timing import Stopwatch
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue, MasterkeyError, Place
from masterkey_fhir.store import Repository

if TYPE_CHECKING:
    from masterkey_etl.containers import Member
    from masterkey_etl.drift import Difference, Watched
    from masterkey_etl.project import ProjectionResult
    from masterkey_etl.readers import RecordReading
    from masterkey_validation.results import Result

Resource = dict[str, Any]
Progress = Callable[[str], Callable[[int, int | None], None]]  # what is done -> (done, of how many)


class LoadError(MasterkeyError):
    """The balance of a delivery is broken."""


class Produced(NamedTuple):
    """One resource of a record: the block of the map that made it, and the rows it came from."""

    block: str
    resource: Resource
    rows: tuple[int, ...]

    @property
    def name(self) -> str:
        return f"{self.resource['resourceType']}/{self.resource.get('id', '?')}"


@dataclass(slots=True)
class Mapped:
    """A record and what it became. `name`: its pseudonym; `told`: cells that the map entered in the ledger.

    Of what was produced, `aside` was refused by the checks; `held` waits for resources by their names; `moved` is of
    a patient who was merged into another one.
    """

    name: str
    record: Record
    told: Mapping[tuple[int, int], int]
    produced: list[Produced]
    aside: list[Produced] = field(default_factory=list)
    held: list[tuple[Produced, frozenset[str]]] = field(default_factory=list)
    strange: set[str] = field(default_factory=set)  # of what is waited for: patients that nobody sent
    moved: list[Produced] = field(default_factory=list)
    deleted: bool = False  # the row says that the record is deleted

    def __iter__(self) -> Iterator[Produced]:
        return iter(self.produced)

    def names(self) -> set[str]:
        """Everything it made, stored or not."""
        kept_out = [*self.aside, *(p for p, _ in self.held), *self.moved]
        return {p.name for p in (*self.produced, *kept_out)}


Batch = list[Mapped]


@dataclass(frozen=True)
class Request:
    """What `load` asks for one file."""

    workspace: Workspace
    repository: Repository
    site: str
    path: Path
    watch: Stopwatch
    waiting: Callable[[str, float], None] | None = None
    progress: Progress | None = None
    accept_drift: str = ""  # who accepts what changed since the earlier deliveries; "": nobody does
    member: Member | None = None  # the file of a container that is meant, instead of `path` whole

    @cached_property
    def file(self) -> str:
        """The name of the delivery, as this workspace may keep it."""
        return kept_name(self.workspace, self.site, self.member.name if self.member else self.path.name)

    def shown(self, what: str) -> Callable[[int, int | None], None] | None:
        """The progress of one piece of work, from now on."""
        return self.progress(what) if self.progress else None


@dataclass
class Flow:
    """One delivery on its way; `batches` is lazy.

    `remapped`: the number of a delivery that is mapped again, not sent; then `only` these of its records, when newer
    deliveries state the others. `names` gathers the records of the delivery where somebody asks.
    """

    request: Request
    delivery: Delivery
    number_before: int | None = None
    is_first: bool = True  # no delivery of this name is here yet
    remapped: int | None = None
    only: set[str] | None = None
    names: set[str] | None = None
    choose: Callable[[str, SourceModel, Workspace], CompiledMap] = for_source
    reading: RecordReading | None = None
    drift: Watched | None = None
    compiled: CompiledMap | None = None
    ledger: Ledger | None = None
    context: MapContext | None = None
    merges: Mapping[str, str] = field(default_factory=dict)  # old Patient id -> the id of the one it was merged into
    batches: Iterator[Any] = field(default_factory=lambda: iter(()))
    issues: list[Issue] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def site(self) -> str:
        return self.request.site

    @property
    def place(self) -> Place:
        return Place(self.site, self.delivery.submission_name)

    @cached_property
    def columns_of(self) -> Mapping[str, frozenset[int]]:
        """Block of the map -> positions of the columns whose values go into it."""
        assert self.compiled is not None
        index = self.compiled.model.index
        leaves = {block: self.compiled.leaves(block) for block in self.compiled.blocks}
        return {block: frozenset(index[c] for leaf in of for c in leaf.columns) for block, of in leaves.items()}


@dataclass(frozen=True)
class Stored:
    """One delivery, stored (or found again): its balance."""

    request: Request
    file: str
    submission: int
    repeat: bool
    rows: int
    values: int
    ledger: tuple[LedgerRow, ...]
    counts: Counter[str]
    issues: tuple[Issue, ...]
    drift: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Projected:
    """All deliveries of a load, and the CDM they are in."""

    workspace: Workspace
    stored: tuple[Stored, ...]
    projection: ProjectionResult


@dataclass(frozen=True)
class Assessed:
    """What the checks say about the published CDM."""

    projected: Projected
    results: tuple[Result, ...]
