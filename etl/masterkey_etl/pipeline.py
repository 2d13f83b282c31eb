"""The road of the data, as a tuple of plain functions.

    receive -> read -> map -> protect -> check -> store -> project -> assess

Each step takes a value and returns a value (flow.py). From `read` to `store` the value is a `Flow`: one delivery and
a lazy sequence of batches, so that a delivery of any size passes in flat memory. `load` (masterkey_etl.loading)
drives one call: each file up to `store`, then `project` and `assess` once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from masterkey_etl import drift, identity, maps, merging, standing, storing
from masterkey_etl import receive as receiving
from masterkey_etl.flow import (
    Assessed,
    Flow,
    LoadError,
    Mapped,
    Produced,
    Progress,
    Projected,
    Request,
    Resource,
    Stored,
)
from masterkey_etl.ledger import Ledger, lines_file, write_lines
from masterkey_etl.readers import RecordReading, read_delivery, recognise
from masterkey_etl.record import Record
from masterkey_etl.template import MapContext
from masterkey_fhir.check import check as judge
from masterkey_fhir.issue import Issue

BATCH = 64  # records: what they become stays in the processor's cache from stage to stage
Protector = Callable[[Resource], tuple[Resource | None, list[Issue]]]


# -- the steps ------------------------------------------------------------------------------------------------


def receive(request: Request) -> Flow:
    """Keep the bytes, encrypted; the same bytes as the site's latest of that name are one delivery."""
    latest = [s for s in request.repository.submissions(request.site) if s.stands and s.file == request.file]
    before = latest[-1] if latest else None
    latest_sha = before.sha256 if before else None
    if request.member:
        keys = request.workspace.keys(request.site)
        with request.member.open() as stream:
            delivery = receiving.keep(request.workspace, keys, stream, request.file, latest_sha)
    else:
        delivery = receiving.receive(
            request.workspace, request.site, request.path, latest_sha256=latest_sha, name=request.file
        )
    return Flow(request, delivery, before.id if before and delivery.is_repeat else None, is_first=before is None)


def read(flow: Flow) -> Flow:
    """Records of the delivery; what deviates from the source model is an Issue, never a silent repair."""
    workspace = flow.request.workspace
    flow.compiled = flow.choose(flow.site, recognise(flow.delivery, workspace.overlay), workspace)
    model = flow.compiled.model
    flow.ledger = Ledger(model, flow.place)
    flow.reading = read_delivery(flow.delivery, model, flow.ledger, flow.issues.append)
    if drift.guard(flow):
        return read(flow)
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
    return merging.follow(flow)


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
        written = storing.write(flow, writer)
    write_lines(flow.ledger.lines, lines_file(workspace.root, written.number))
    maps.keep(flow.compiled, workspace)
    return Stored(
        request,
        flow.place.file,
        written.number,
        flow.number_before is not None,
        flow.ledger.rows_read,
        flow.ledger.values_read,
        written.ledger,
        +flow.counts,
        written.issues,
        drift.remember(flow),
    )


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
    """`work` on every record of every batch as the flow stands now; what it gives None for is passed over."""
    return ([done for record in batch if (done := work(flow, record)) is not None] for batch in flow.batches)


def _timed(flow: Flow, stage: str, batches: Iterator[Any]) -> Iterator[Any]:
    """The same batches; the time each took, less that of the stages above, is booked on `stage`."""
    return flow.request.watch.through(stage, batches)


def _map_record(flow: Flow, record: Record) -> Mapped | None:
    assert flow.compiled is not None and flow.context is not None and flow.ledger is not None
    name = flow.context.record_name(*(record.values[i] for i in flow.ledger.model.key_positions))
    if flow.names is not None:
        flow.names.add(name)
    if flow.only is not None and name not in flow.only:
        return None
    if standing.is_marked(flow, record):
        return standing.deleted(flow, name, record)
    whole, parts, where = flow.compiled.parted(record, flow.context, flow.ledger)
    rows = record.rows or (record.row,)
    made = [Produced(block, resource, rows) for block, resource in whole]
    made += [Produced(block, resource, of) for (block, resource), of in zip(parts, where, strict=True)]
    return Mapped(name, record, flow.compiled.taken(flow.context), made)


def _protect_record(protector: Protector, flow: Flow, record: Mapped) -> Mapped:
    kept = []
    for p in record:
        resource, found = protector(p.resource)
        if found:
            place = {"site": flow.site, "file": flow.place.file, "row": p.rows[0] if p.rows else None}
            flow.issues += [replace(i.at(**place), record=p.name) for i in found]
        if resource is not None:
            kept.append(p._replace(resource=resource))
    record.produced = kept
    return record


def _check_record(flow: Flow, record: Mapped) -> Mapped:
    wrong: dict[int, list[Issue]] = {
        n: errors for n, p in enumerate(record) if (errors := _judged(flow, p)) and any(e.is_error for e in errors)
    }
    return standing.without(flow, record, wrong) if wrong else record


def _judged(flow: Flow, p: Produced) -> list[Issue]:
    found = judge(p.resource, place=flow.place)
    if found:
        row = p.rows[0] if p.rows else None
        same = flow.delivery.pseudonym("value", json.dumps(p.resource, sort_keys=True, default=str))
        flow.issues += [replace(i.at(row=row, field=p.block), record=p.name, value=same) for i in found]
    return found


__all__ = ["STEPS", "Assessed", "Flow", "LoadError", "Progress", "Projected", "Request", "Stored"]
