"""The road of the data, as a tuple of plain functions.

    receive -> read -> map -> protect -> check -> store -> project -> assess

Each step takes a value and returns a value. From `read` to `store` the value is a `Flow`: one delivery and a
lazy sequence of batches, so that a delivery of any size passes in flat memory. `load` (masterkey_etl.load)
drives one call: each file up to `store`, then `project` and `assess` once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from masterkey_etl import identity, maps
from masterkey_etl import receive as receiving
from masterkey_etl.ledger import Ledger, LedgerRow, write_lines
from masterkey_etl.readers import RecordReading, count_values, read_delivery, recognise
from masterkey_etl.record import Record
from masterkey_etl.template import CompiledMap, MapContext
from masterkey_etl.timing import Stopwatch
from masterkey_etl.withdrawal import Withdrawal
from masterkey_etl.workspace import Workspace
from masterkey_fhir.check import check as judge
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.store import Repository, Source, Writer

if TYPE_CHECKING:
    from masterkey_etl.project import ProjectionResult
    from masterkey_validation.results import Result

BATCH = 64  # records: what they become stays in the processor's cache from stage to stage
Resource = dict[str, Any]
Progress = Callable[[str], Callable[[int, int | None], None]]  # what is done -> (done, of how many)
Protector = Callable[[Resource], tuple[Resource | None, list[Issue]]]


class LoadError(MasterkeyError):
    """The balance of a delivery is broken."""


class Produced(NamedTuple):
    """One resource of a record: the block of the map that made it, and the rows it came from."""

    block: str
    resource: Resource
    rows: tuple[int, ...]


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

    def shown(self, what: str) -> Callable[[int, int | None], None] | None:
        """The progress of one piece of work, from now on."""
        return self.progress(what) if self.progress else None


@dataclass
class Flow:
    """One delivery on its way; `batches` is lazy."""

    request: Request
    delivery: receiving.Delivery
    number_before: int | None = None
    withdrawal: Withdrawal | None = None  # when a delivery of this name is here already
    spared: set[str] = field(default_factory=set)  # set aside or held: their last valid version stays
    reading: RecordReading | None = None
    compiled: CompiledMap | None = None
    ledger: Ledger | None = None
    context: MapContext | None = None
    batches: Iterator[Any] = field(default_factory=lambda: iter(()))
    issues: list[Issue] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def site(self) -> str:
        return self.request.site

    @property
    def place(self) -> Place:
        return Place(self.site, self.delivery.submission_name)


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


# -- the steps ------------------------------------------------------------------------------------------------


def receive(request: Request) -> Flow:
    """Keep the bytes, encrypted; the same bytes as the site's latest of that name are one delivery."""
    latest = [s for s in request.repository.submissions(request.site) if s.file == request.path.name]
    before = latest[-1] if latest else None
    delivery = receiving.receive(
        request.workspace, request.site, request.path, latest_sha256=before.sha256 if before else None
    )
    withdrawal = Withdrawal(request.site, request.path.name) if before else None
    return Flow(request, delivery, before.id if before and delivery.is_repeat else None, withdrawal)


def read(flow: Flow) -> Flow:
    """Records of the delivery; what deviates from the source model is an Issue, never a silent repair."""
    workspace = flow.request.workspace
    model = recognise(flow.delivery, workspace.overlay)
    flow.compiled = maps.for_source(flow.site, model, workspace)
    flow.ledger = Ledger(model, flow.place)
    flow.reading = read_delivery(flow.delivery, model, flow.ledger, flow.issues.append)
    flow.batches = _timed(flow, "read", _in_batches(flow.reading))
    return flow


def map(flow: Flow) -> Flow:
    """Templates give resources; each value that did not come through is an exception in the ledger."""
    flow.context = MapContext(flow.site, flow.delivery.keys, flow.place, flow.issues)
    flow.batches = _timed(flow, "map", _each(flow, _map_record))
    return flow


def protect(flow: Flow) -> Flow:
    """At a registry nothing that identifies a person passes here."""
    workspace = flow.request.workspace
    if workspace.role != "site":
        work = partial(_protect_record, identity.protector(flow.delivery.keys, workspace.overlay))
        flow.batches = _timed(flow, "protect", _each(flow, work))
    return flow


def check(flow: Flow) -> Flow:
    """Base rules of R4: an error sets a resource aside, what refers to it is held."""
    flow.batches = _timed(flow, "check", _each(flow, _check_record))
    return flow


def store(flow: Flow) -> Stored:
    """One transaction: versions, index, provenance, outbox, ledger, Issues. All of the delivery or nothing."""
    assert flow.ledger is not None and flow.compiled is not None
    request, workspace = flow.request, flow.request.workspace
    with (
        request.watch.during("store"),
        request.repository.writing(
            agent="masterkey load", holder=f"load of {flow.site}", on_wait=request.waiting
        ) as writer,
    ):
        number = _begin(flow, writer)
        _put(flow, writer, number)
        _withdraw(flow, writer)
        rows = _balanced(flow)
        writer.finish_submission(number, **_journal_counts(flow))
        writer.add_ledger(number, [(r.column, r.status, r.reason, r.n) for r in rows])
        writer.record_issues(flow.site, number, flow.issues)
    write_lines(flow.ledger.lines, workspace.root / "ledger" / f"{number}.parquet")
    maps.keep(flow.compiled, workspace)
    return Stored(
        request,
        flow.place.file,
        number,
        flow.number_before is not None,
        flow.ledger.rows_read,
        flow.ledger.values_read,
        tuple(rows),
        flow.counts,
        tuple(flow.issues),
    )


def _look_back(flow: Flow, writer: Writer, batch: list[list[Produced]]) -> None:
    """Compare a batch with what the delivery before made of the same patients."""
    made = {_name(p.resource) for record in batch for p in record} | flow.spared
    rows: dict[str, set[int]] = {}
    for record in batch:
        of_record = {n for p in record for n in p.rows}
        for patient in {a for p in record if (a := _about(p.resource)) is not None}:
            rows.setdefault(patient, set()).update(of_record)
    assert flow.withdrawal is not None
    flow.withdrawal.look(writer, rows, made)


def _withdraw(flow: Flow, writer: Writer) -> None:
    if flow.withdrawal and flow.ledger:
        deleted, found = flow.withdrawal.settle(writer, flow.ledger)
        flow.counts += Counter({"deleted": deleted})
        flow.issues += found


def _begin(flow: Flow, writer: Writer) -> int:
    assert flow.compiled is not None
    delivery = flow.delivery
    return writer.begin_submission(flow.site, flow.place.file, delivery.sha256, delivery.size, flow.compiled.version)


def _put(flow: Flow, writer: Writer, number: int) -> None:
    assert flow.compiled is not None
    source = partial(Source, number, flow.place.file, map_version=flow.compiled.version)
    known = set(flow.request.repository.patients(flow.site))
    shown = flow.request.shown(f"{flow.site}/{flow.place.file}, resources")
    for batch in flow.batches:
        accepted = [p for record in batch for p in _with_known_patient(flow, record, known)]
        flow.counts += writer.put_many(
            flow.site, [(p.resource, None, source(rows=p.rows, block=p.block)) for p in accepted]
        )
        if flow.withdrawal:
            _look_back(flow, writer, batch)
        if shown:
            shown(sum(flow.counts.values()), None)


def project(stored: tuple[Stored, ...]) -> Projected:
    """The CDM rows of the touched patients, rewritten and published as a new generation."""
    from masterkey_etl.project import project as run

    request = stored[0].request
    with request.watch.during("project"):
        result = run(request.workspace, request.repository, progress=request.shown("CDM, patients"))
    return Projected(request.workspace, stored, result)


def assess(projected: Projected) -> Assessed:
    """The checks on the published CDM; every run is kept."""
    from masterkey_etl import assessment

    with projected.stored[0].request.watch.during("assess"):
        results = assessment.run(projected.workspace)
    return Assessed(projected, tuple(results))


STEPS = (receive, read, map, protect, check, store, project, assess)


# -- inside the steps -----------------------------------------------------------------------------------------


def _in_batches(reading: RecordReading) -> Iterator[list[Record]]:
    records = iter(reading)
    while batch := list(islice(records, BATCH)):
        yield batch


def _each(flow: Flow, work: Callable[[Flow, Any], Any]) -> Iterator[list[Any]]:
    """`work` on every record of every batch as the flow stands now."""
    return ([work(flow, record) for record in batch] for batch in flow.batches)


def _timed(flow: Flow, stage: str, batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches; the time each took, less that of the stages above, is booked on `stage`."""
    return flow.request.watch.through(stage, batches)


def _map_record(flow: Flow, record: Record) -> list[Produced]:
    assert flow.compiled is not None and flow.context is not None
    whole, parts, where = flow.compiled.parted(record, flow.context, flow.ledger)
    rows = record.rows or (record.row,)
    made = [Produced(block, resource, rows) for block, resource in whole]
    return made + [Produced(block, resource, of) for (block, resource), of in zip(parts, where, strict=True)]


def _protect_record(protector: Protector, flow: Flow, record: list[Produced]) -> list[Produced]:
    kept = []
    for p in record:
        resource, found = protector(p.resource)
        if found:
            place = {"site": flow.site, "file": flow.place.file, "row": p.rows[0] if p.rows else None}
            flow.issues += [replace(i.at(**place), record=_name(p.resource)) for i in found]
        if resource is not None:
            kept.append(p._replace(resource=resource))
    return kept


def _check_record(flow: Flow, record: list[Produced]) -> list[Produced]:
    wrong: dict[int, list[Issue]] = {
        n: errors for n, p in enumerate(record) if (errors := _judged(flow, p)) and any(e.is_error for e in errors)
    }
    if not wrong:
        return record
    return _without(flow, record, set(wrong))


def _judged(flow: Flow, p: Produced) -> list[Issue]:
    found = judge(p.resource, place=flow.place)
    if found:
        row = p.rows[0] if p.rows else None
        flow.issues += [replace(i.at(row=row, field=p.block), record=_name(p.resource)) for i in found]
    return found


def _without(flow: Flow, record: list[Produced], wrong: set[int]) -> list[Produced]:
    """What can stand without the wrong ones: their dependants are held, a genomic report is all or nothing."""
    gone = {_name(record[n].resource) for n in wrong}
    flow.spared |= gone
    whole = any(p.resource["resourceType"] == "DiagnosticReport" for p in record)
    flow.counts["set aside"] += len(wrong)
    kept = [p for n, p in enumerate(record) if n not in wrong]
    while True:
        held = [p for p in kept if (whole and _in_report(p.resource)) or gone & _references(p.resource)]
        if not held:
            return kept
        for p in held:
            _hold(flow, p, "etl.held", ", ".join(sorted(gone)[:3]))
        gone |= {_name(p.resource) for p in held}
        kept = [p for p in kept if p not in held]


def _in_report(resource: Resource) -> bool:
    return resource["resourceType"] in ("DiagnosticReport", "Observation", "Procedure", "Specimen", "Task")


def _with_known_patient(flow: Flow, record: list[Produced], known: set[str]) -> list[Produced]:
    """The record, unless it speaks of a patient that nobody sent."""
    known.update(p.resource["id"] for p in record if p.resource["resourceType"] == "Patient")
    strange = [p for p in record if (subject := _subject(p.resource)) is not None and subject not in known]
    for p in strange:
        _hold(flow, p, "etl.patient-unknown", f"Patient/{_subject(p.resource)}")
    return [p for p in record if p not in strange] if strange else record


def _hold(flow: Flow, p: Produced, rule: str, waits_for: str) -> None:
    flow.counts["held"] += 1
    flow.spared.add(_name(p.resource))
    row = p.rows[0] if p.rows else None
    place = replace(flow.place, row=row, field=p.block)
    flow.issues.append(issue(rule, place, record=_name(p.resource), waits_for=waits_for))


def _name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource.get('id', '?')}"


def _subject(resource: Resource) -> str | None:
    about = resource.get("subject") or resource.get("patient")
    reference = str(about.get("reference", "")) if isinstance(about, dict) else ""
    kind, _, id_ = reference.rpartition("/")
    return id_ if kind.endswith("Patient") else None


def _about(resource: Resource) -> str | None:
    return resource.get("id") if resource["resourceType"] == "Patient" else _subject(resource)


def _references(value: Any) -> set[str]:
    """Every literal reference in a resource."""
    if isinstance(value, dict):
        here = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return here.union(*(_references(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(_references(v) for v in value))
    return set()


def _balanced(flow: Flow) -> list[LedgerRow]:
    """The closed ledger. Raises LoadError when values are lost: the transaction is rolled back."""
    assert flow.ledger is not None and flow.reading is not None
    with flow.delivery.open() as stream:
        independent = count_values(stream, flow.ledger.model)
    rows, found = flow.ledger.close(independent)
    if any(i.severity == "fatal" for i in found):
        raise LoadError(*found)
    flow.issues += found
    return rows


def _journal_counts(flow: Flow) -> dict[str, int | str]:
    assert flow.ledger is not None and flow.compiled is not None
    named = {name.replace(" ", "_"): n for name, n in sorted(flow.counts.items())}
    resources = sum(flow.counts[name] for name in ("created", "updated", "unchanged"))
    return {
        "rows": flow.ledger.rows_read,
        "values_read": flow.ledger.values_read,
        "resources": resources,
        "map_version": flow.compiled.version,
        **named,
    }
