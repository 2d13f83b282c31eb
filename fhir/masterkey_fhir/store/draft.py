"""A resource made ready to be written: everything that needs no database is done here, before the lease."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from masterkey_fhir.json import dumps
from masterkey_fhir.store.model import Source
from masterkey_fhir.store.text import packed, without_version


@dataclass(slots=True)
class Draft:
    """What is written of a resource. `identifiers` are (system or "", value), distinct, in order."""

    type: str
    id: str
    text: bytes
    body: bytes
    digest: bytes
    patient: str | None
    identifiers: tuple[tuple[str, str], ...]
    source: Source | None = None


def draft(resource: dict[str, Any], text: bytes | None = None, source: Source | None = None) -> Draft:
    """Raises KeyError when the resource has no type or id: the caller gave it one."""
    kept = dumps(resource) if text is None else text
    if "meta" in resource:
        kept = without_version(kept, resource)
    return Draft(
        resource["resourceType"],
        resource["id"],
        kept,
        packed(kept),
        blake2b(kept, digest_size=16).digest(),
        patient_of(resource),
        identifiers_of(resource),
        source,
    )


# Elements that name the patient whose record a resource belongs to: the `patient` search parameter's element
# of the types in the Patient compartment (http://hl7.org/fhir/R4/compartmentdefinition-patient.html).
_SPECIAL = {"Coverage": "beneficiary", "ResearchSubject": "individual", "Task": "for"}


def patient_of(resource: Mapping[str, Any]) -> str | None:
    """The id of the patient whose compartment holds the resource; a Patient's own id; None without one."""
    kind = resource.get("resourceType", "")
    if kind == "Patient":
        return resource.get("id")
    reference = resource.get("subject") or resource.get("patient") or resource.get(_SPECIAL.get(kind, ""))
    text = reference.get("reference") if isinstance(reference, dict) else None
    return _patient_id(text) if isinstance(text, str) else None


def _patient_id(reference: str) -> str | None:
    """`Patient/1` and `Patient/1/_history/2` name patient 1 (http://hl7.org/fhir/R4/references.html)."""
    if not reference.startswith("Patient/"):
        return None
    return reference.split("/", 2)[1] or None


def identifiers_of(resource: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The (system, value) of `identifier`, a list or (in a few types) one object."""
    found = resource.get("identifier")
    if not found:
        return ()
    items = found if isinstance(found, list) else [found]
    pairs = [_token(i) for i in items if isinstance(i, dict) and "value" in i]
    return tuple(dict.fromkeys(pairs))


def _token(identifier: Mapping[str, Any]) -> tuple[str, str]:
    return (str(identifier.get("system") or ""), str(identifier["value"]))
