"""One transaction Bundle for the API: a patient, a diagnosis, an ECOG observation, built with typed resources.

Every entry is a conditional create (http://hl7.org/fhir/R4/http.html#ccreate), so posting it twice changes nothing.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

from masterkey_etl.synth.ccat import ONCOTREE, day
from masterkey_etl.synth.cohort import Patient, draw
from masterkey_etl.synth.tables import tables

NAME = "example-bundle.json"
SID = "urn:masterkey:fhir:sid:example:"
ITEM = "urn:masterkey:fhir:CodeSystem:registry-item"
_EXTENSION = "urn:masterkey:fhir:StructureDefinition:"


def write(out: Path, rng: Random) -> Path:
    """Write the Bundle of one invented patient to `out`. Raises OSError."""
    from masterkey_fhir import json

    path = out / NAME
    path.write_bytes(json.dumps(bundle(rng)))
    return path


def bundle(rng: Random) -> dict[str, Any]:
    """The Bundle as FHIR JSON."""
    from masterkey_fhir import r4

    patient = draw(rng, tables())
    who, what, how = (f"urn:uuid:{UUID(int=rng.getrandbits(128), version=4)}" for _ in range(3))
    entries = [
        _entry(who, _patient(patient), patient.key),
        _entry(what, _condition(patient, who), f"{patient.key}-diagnosis"),
        _entry(how, _ecog(patient, who, what), f"{patient.key}-ecog"),
    ]
    return r4.dump(r4.Bundle(type="transaction", entry=entries))


def _entry(url: str, resource: Any, number: str) -> Any:
    from masterkey_fhir import r4

    kind = resource.__resource_type__
    system = f"{SID}{kind.lower()}"
    resource.identifier = [r4.Identifier(system=system, value=number)]
    request = r4.BundleEntryRequest(method="POST", url=kind, ifNoneExist=f"identifier={system}|{number}")
    return r4.BundleEntry(fullUrl=url, resource=resource, request=request)


def _patient(p: Patient) -> Any:
    from masterkey_fhir import r4

    year = int(day(p.registered).split("/")[0]) - p.age
    extension = [
        r4.Extension(url=f"{_EXTENSION}birth-year-derived", valueInteger=year),
        r4.Extension(url=f"{_EXTENSION}age-at-registration", valueInteger=p.age),
    ]
    return r4.Patient(extension=extension, gender="female" if p.female else "male")


def _condition(p: Patient, who: str) -> Any:
    from masterkey_fhir import r4

    system = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
    tumour = r4.Coding(system="http://oncotree.mskcc.org", version=ONCOTREE, code=p.entity.code, display=p.entity.name)
    return r4.Condition(
        verificationStatus=r4.CodeableConcept(coding=[r4.Coding(system=system, code="confirmed")]),
        code=r4.CodeableConcept(coding=[tumour], text=p.entity.histology),
        subject=r4.Reference(reference=who),
        recordedDate=_iso(p.diagnosis),
    )


def _ecog(p: Patient, who: str, what: str) -> Any:
    from masterkey_fhir import r4

    item = r4.Coding(system=ITEM, code="ecog", display="ECOG performance status")
    loinc = r4.Coding(system="http://loinc.org", code="89247-1", display="ECOG Performance Status score")
    return r4.Observation(
        status="final",
        code=r4.CodeableConcept(coding=[item, loinc]),
        subject=r4.Reference(reference=who),
        focus=[r4.Reference(reference=what)],
        effectiveDateTime=_iso(p.registered),
        valueCodeableConcept=r4.CodeableConcept(coding=_grade(p.ecog), text=str(p.ecog)),
    )


def _grade(ecog: int) -> list[Any]:
    """The codings of `concepts/ecog.csv`, as the C-CAT map writes them."""
    from masterkey_etl.concepts import Concepts
    from masterkey_fhir import r4

    rows = Concepts.load().topics["ecog"].rows
    return [r4.Coding(**row.coding) for row in rows if row.subject == str(ecog) and row.reviewed]


def _iso(ordinal: int) -> str:
    from datetime import date

    return date.fromordinal(ordinal).isoformat()
