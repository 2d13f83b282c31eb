"""Two local numbers of one patient: what is sent under the old one belongs to the patient of the new one.

In FHIR the old Patient stays, inactive, with a link `replaced-by` (http://hl7.org/fhir/R4/patient.html#links), and
everything of its compartment points to the new one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from masterkey_etl.flow import Batch, Flow, Mapped
from masterkey_fhir.store import Source, Stored, Writer
from masterkey_fhir.store.deliveries import Merge


def follow(flow: Flow) -> Flow:
    """From here on, resources of a merged patient are those of the one it was merged into."""
    with flow.request.repository.deliveries() as deliveries:
        flow.merges = followed(deliveries.merges(flow.site))
    if flow.merges:
        flow.batches = (_moved(flow, batch) for batch in flow.batches)
    return flow


def _moved(flow: Flow, batch: Batch) -> Batch:
    for mapped in batch:
        _move(flow, mapped)
    return batch


def _move(flow: Flow, mapped: Mapped) -> None:
    """The old Patient itself is not written again: it is a link to the new one."""
    old = {f"Patient/{id_}" for id_ in flow.merges}
    mapped.moved = [p for p in mapped if p.name in old]
    kept = [p for p in mapped if p.name not in old]
    changed = [p._replace(resource=_linked_again(pointed(p.resource, flow.merges), flow.merges)) for p in kept]
    moved = sum(a.resource is not b.resource for a, b in zip(kept, changed, strict=True))
    if moved or mapped.moved:
        flow.counts["moved"] += moved + len(mapped.moved)
    mapped.produced = changed


def _linked_again(resource: dict[str, Any], merges: Mapping[str, str]) -> dict[str, Any]:
    """A Patient into whom others were merged keeps its links to them, which no file states."""
    if resource["resourceType"] == "Patient" and resource.get("id") in merges.values():
        for old in sorted(old for old, new in merges.items() if new == resource["id"]):
            resource = linked(resource, old, "replaces")
    return resource


def followed(merges: Iterable[Merge]) -> dict[str, str]:
    """Old id -> the id at the end of its chain of merges."""
    step = {m.old: m.new for m in merges}
    return {old: end_of(old, step) for old in step}


def end_of(id_: str, step: Mapping[str, str]) -> str:
    seen = set[str]()
    while id_ in step and id_ not in seen:
        seen.add(id_)
        id_ = step[id_]
    return id_


def pointed(resource: Any, merges: Mapping[str, str]) -> Any:
    """The resource with every reference to an old Patient made one to the new; the same object where there is none."""
    if isinstance(resource, dict):
        made = {k: pointed(v, merges) for k, v in resource.items()}
        text = resource.get("reference")
        if isinstance(text, str) and text.startswith("Patient/") and text[8:] in merges:
            made["reference"] = f"Patient/{merges[text[8:]]}"
        return made if any(made[k] is not v for k, v in resource.items()) else resource
    if isinstance(resource, list):
        items = [pointed(v, merges) for v in resource]
        return items if any(a is not b for a, b in zip(items, resource, strict=True)) else resource
    return resource


def linked(patient: dict[str, Any], other: str, kind: str) -> dict[str, Any]:
    """A Patient with one more link of this kind to another; one that is replaced is not active."""
    link = {"other": {"reference": f"Patient/{other}"}, "type": kind}
    links = [x for x in patient.get("link", []) if x != link] + [link]
    return {**patient, **({"active": False} if kind == "replaced-by" else {}), "link": links}


# -- the act ---------------------------------------------------------------------------------------------------


def merge(writer: Writer, site: str, file: str, merges: Sequence[Merge]) -> int:
    """Merge patients who are here; the number of the act. Each resource of an old one is a version of the new one's."""
    number = writer.begin_act(site, file, "merge")
    writer.deliveries.merge(site, [replace(m, submission=number) for m in merges])
    step = followed(writer.deliveries.merges(site))
    moved = 0
    for m in merges:
        _link(writer, site, m.old, m.new, "replaced-by", number)
        _link(writer, site, m.new, m.old, "replaces", number)
        moved += _move_compartment(writer, site, m.old, step, number)
    writer.finish_submission(number, resources=2 * len(merges) + moved, merged=len(merges))
    return number


def _link(writer: Writer, site: str, id_: str, other: str, kind: str, number: int) -> None:
    stored = writer.reader.read(site, "Patient", id_)
    assert stored is not None
    writer.put(site, linked(stored.resource(), other, kind), source=_as_of(writer, stored, number))


def _move_compartment(writer: Writer, site: str, old: str, step: Mapping[str, str], number: int) -> int:
    stored = [s for s in writer.reader.resources_of(site, old) if s.type != "Patient"]
    for s in stored:
        writer.put(site, pointed(s.resource(), step), source=_as_of(writer, s, number))
    return len(stored)


def _as_of(writer: Writer, stored: Stored, number: int) -> Source:
    """A version of this act, made from what the version before was made from."""
    before = writer.reader.source(stored.site, stored.type, stored.id, stored.version)
    return replace(before, submission=number) if before else Source(number, "", (), "", "")
