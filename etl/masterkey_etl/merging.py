"""Two local numbers of one patient: what is sent under the old one belongs to the patient of the new one.

In FHIR the old Patient stays, inactive, with a link `replaced-by` (http://hl7.org/fhir/R4/patient.html#links), and
everything of its compartment points to the new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from masterkey_etl.flow import Batch, Flow, Mapped

KINDS = {"replaced-by", "replaces"}  # http://hl7.org/fhir/R4/valueset-link-type.html


def follow(flow: Flow) -> Flow:
    """From here on, resources of a merged patient are those of the one it was merged into."""
    with flow.request.repository.deliveries() as deliveries:
        flow.merges = {m.old: m.new for m in deliveries.merges(flow.site)}
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
    changed = [p._replace(resource=pointed(p.resource, flow.merges)) for p in kept]
    moved = sum(a.resource is not b.resource for a, b in zip(kept, changed, strict=True))
    if moved or mapped.moved:
        flow.counts["moved"] += moved + len(mapped.moved)
    mapped.produced = changed


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
