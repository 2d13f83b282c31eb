"""What of a record can stand: an error sets a resource aside, what refers to it is held, a report is all or nothing.

Values that went into a resource which is not stored are no longer `mapped` in the ledger: `set_aside`, with ASIDE,
HELD or MOVED as the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from masterkey_etl.flow import Flow, Mapped, Produced, Resource
from masterkey_etl.record import Record
from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.store.deliveries import Cells

ASIDE = "the resource it went into was set aside"
HELD = "the resource it went into waits for another one"
DELETED = "the row says that its record is deleted"
MOVED = "its patient was merged into another one"
_REPORT = frozenset(("DiagnosticReport", "Observation", "Procedure", "Specimen", "Task"))


def without(flow: Flow, mapped: Mapped, wrong: Mapping[int, list[Issue]]) -> Mapped:
    """The record without the wrong ones (by their place among `produced`): their dependants are held."""
    flow.counts["set aside"] += len(wrong)
    mapped.aside = [p for n, p in enumerate(mapped.produced) if n in wrong]
    kept = [p for n, p in enumerate(mapped.produced) if n not in wrong]
    whole = any(p.resource["resourceType"] == "DiagnosticReport" for p in mapped.produced)
    roots = {p.name: frozenset((p.name,)) for p in mapped.aside}
    every = frozenset(roots)
    while True:
        waits = {n: of for n, p in enumerate(kept) if (of := _waits(p, roots, every if whole else frozenset()))}
        if not waits:
            break
        for n, of in waits.items():
            hold(flow, mapped, kept[n], "etl.held", of)
            roots[kept[n].name] = of
        kept = [p for n, p in enumerate(kept) if n not in waits]
    mapped.produced = kept
    return mapped


def _waits(p: Produced, roots: Mapping[str, frozenset[str]], report: frozenset[str]) -> frozenset[str]:
    """What a resource waits for: the wrong ones behind its references, all of them as a part of a report."""
    if report and p.resource["resourceType"] in _REPORT:
        return report
    return frozenset[str]().union(*(roots[name] for name in references(p.resource) if name in roots))


def with_known_patient(flow: Flow, mapped: Mapped, known: set[str]) -> Mapped:
    """The record, unless it speaks of a patient that nobody sent."""
    known.update(p.resource["id"] for p in mapped if p.resource["resourceType"] == "Patient")
    strange = [p for p in mapped if (about := subject(p.resource)) is not None and about not in known]
    for p in strange:
        mapped.strange.add(f"Patient/{subject(p.resource)}")
        hold(flow, mapped, p, "etl.patient-unknown", frozenset((f"Patient/{subject(p.resource)}",)))
    if strange:
        mapped.produced = [p for p in mapped if p not in strange]
    return mapped


def hold(flow: Flow, mapped: Mapped, p: Produced, rule: str, waits: frozenset[str]) -> None:
    """Keep a valid resource back until these come."""
    flow.counts["held"] += 1
    mapped.held.append((p, waits))
    place = replace(flow.place, row=p.rows[0] if p.rows else None, field=p.block)
    flow.issues.append(issue(rule, place, record=p.name, waits_for=", ".join(sorted(waits)[:3])))


def is_marked(flow: Flow, record: Record) -> bool:
    """Does the row say that its record is deleted? (`deleted` of the source model)"""
    assert flow.ledger is not None
    model = flow.ledger.model
    return bool(model.deleted) and all(record.values[model.index[c]] == v for c, v in model.deleted.items())


def deleted(flow: Flow, name: str, record: Record) -> Mapped:
    """Such a record makes nothing; its values are set aside."""
    assert flow.ledger is not None
    ledger, model = flow.ledger, flow.ledger.model
    for column in range(len(model.columns)):
        group = model.group_of.get(column)
        parts = (record,) if group is None else tuple(record.groups.get(group, ())) or (record,)
        for part in parts:
            n = ledger.cells(part, column)
            if n > 0 and (not ledger.is_tree or _value(flow, part, column)):
                ledger.exceptions(column, "set_aside", DELETED, n)
    flow.counts["marked deleted"] += 1
    return Mapped(name, record, {}, [], deleted=True)


# -- the account ----------------------------------------------------------------------------------------------


def account(flow: Flow, mapped: Mapped) -> list[Cells]:
    """Enter the values of what is not stored; of each held resource its cells, as they are once it is stored."""
    carried = list(_cells(flow, mapped, mapped.produced))
    taken = {cell for cell, _ in carried}
    out: list[Cells] = []
    for p, _ in mapped.held:
        out.append(_enter(flow, mapped, [p], HELD, taken))
    _enter(flow, mapped, mapped.aside, ASIDE, taken)
    _enter(flow, mapped, mapped.moved, MOVED, taken)
    return out


def _enter(flow: Flow, mapped: Mapped, some: list[Produced], reason: str, taken: set[tuple[int, int]]) -> Cells:
    assert flow.ledger is not None
    ledger, cells = flow.ledger, []
    for (column, part), of in _cells(flow, mapped, some):
        n = ledger.cells(of, column) - mapped.told.get((column, part), 0)
        status = ledger.status_of(column)
        if (column, part) in taken or n <= 0 or status is None or not _value(flow, of, column):
            continue
        taken.add((column, part))
        ledger.exceptions(column, "set_aside", reason, n)
        cells.append((ledger.model.columns[column].id, str(status), n))
    return tuple(cells)


def _cells(flow: Flow, mapped: Mapped, some: Iterable[Produced]) -> Iterator[tuple[tuple[int, int], Record]]:
    """The cells (column, id of the part of the record) whose values went into these resources, and that part."""
    assert flow.ledger is not None
    group_of, whole = flow.ledger.model.group_of, mapped.record
    for p in some:
        rows = set(p.rows)
        for column in sorted(flow.columns_of.get(p.block, ())):
            group = group_of.get(column)
            for part in (whole,) if group is None else whole.groups.get(group, ()):
                if group is None or not rows or not rows.isdisjoint(part.rows or (part.row,)):
                    yield (column, id(part)), part


def _value(flow: Flow, part: Record, column: int) -> str:
    assert flow.ledger is not None
    model = flow.ledger.model
    group = model.group_of.get(column)
    inside = group is not None and len(part.values) == len(model.groups[group])
    return part.values[model.group_positions(group).index(column) if inside and group else column]


# -- what a resource speaks of --------------------------------------------------------------------------------


def subject(resource: Resource) -> str | None:
    """The id of the patient that a resource names."""
    about = resource.get("subject") or resource.get("patient")
    reference = str(about.get("reference", "")) if isinstance(about, dict) else ""
    kind, _, id_ = reference.rpartition("/")
    return id_ if kind.endswith("Patient") else None


def references(value: Any) -> set[str]:
    """Every literal reference in a resource."""
    if isinstance(value, dict):
        here = {value["reference"]} if isinstance(value.get("reference"), str) else set()
        return here.union(*(references(v) for v in value.values()))
    if isinstance(value, list):
        return set().union(*(references(v) for v in value))
    return set()
