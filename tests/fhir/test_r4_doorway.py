"""The doorway to fhir.resources: what it builds is R4, what differs is listed, where verdicts differ and why."""

from __future__ import annotations

import datetime as dt
import importlib
import inspect
import pkgutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from masterkey_fhir import json, r4
from masterkey_fhir.check import check
from masterkey_fhir.definitions import resource_types, types


def test_a_resource_is_built_with_attributes_and_comes_out_as_r4() -> None:
    patient = r4.Patient(name=[r4.HumanName(family="Yamada", given=["Hanako"])], gender="female")
    patient.birthDate = "1980-02"
    assert r4.dump(patient) == {
        "resourceType": "Patient",
        "name": [{"family": "Yamada", "given": ["Hanako"]}],
        "gender": "female",
        "birthDate": "1980-02",
    }


def test_numbers_keep_their_digits_times_their_zone() -> None:
    zone = dt.timezone(dt.timedelta(hours=9))
    observation = r4.Observation(
        status="final",
        code=r4.CodeableConcept(text="size"),
        issued=dt.datetime(2024, 5, 1, 10, 0, 0, 190000, zone),
        effectiveDateTime=dt.datetime(2024, 5, 1, 10, tzinfo=dt.UTC),
        valueQuantity=r4.Quantity(value=Decimal("1.10"), unit="cm"),
        component=[r4.ObservationComponent(code={"text": "t"}, valueTime="10:00:00.500")],
    )
    out = r4.dump(observation)
    assert json.dumps(out["valueQuantity"]) == b'{"value":1.10,"unit":"cm"}'
    assert out["issued"] == "2024-05-01T10:00:00.19+09:00"
    assert out["effectiveDateTime"] == "2024-05-01T10:00:00Z"
    assert out["component"][0]["valueTime"] == "10:00:00.5"
    assert list(out)[:4] == ["resourceType", "status", "code", "effectiveDateTime"]


def test_names_that_python_reserves_and_primitive_siblings() -> None:
    encounter = r4.Encounter(status="planned", class_fhir={"code": "AMB"}, _status={"id": "s"})
    assert r4.dump(encounter) == {
        "resourceType": "Encounter",
        "status": "planned",
        "_status": {"id": "s"},
        "class": {"code": "AMB"},
    }
    assert r4.dump(r4.Attachment(data="QUJD")) == {"data": "QUJD"}
    contained = r4.Patient(contained=[r4.Organization(id="o", name="Clinic")])
    assert r4.dump(contained)["contained"] == [{"resourceType": "Organization", "id": "o", "name": "Clinic"}]


def test_what_r4_does_not_allow_does_not_come_out() -> None:
    with pytest.raises(r4.R4Error) as caught:
        r4.dump(r4.Patient(gender="M"))
    assert [(i.rule, i.place.expression) for i in caught.value.issues] == [("fhir.code", "Patient.gender")]
    added = r4.PlanDefinition(status="draft", subjectCanonical="http://example.org/g")
    with pytest.raises(r4.R4Error, match="subjectCanonical"):
        r4.dump(added)


@pytest.mark.parametrize("name", ["Citation", "Ingredient", "Evidence", "MedicinalProduct", "Foo", "DomainResource"])
def test_types_without_an_r4_model_are_refused_clearly(name: str) -> None:
    with pytest.raises(r4.R4Error) as caught:
        getattr(r4, name)
    (issue,) = caught.value.issues
    assert (issue.rule, issue.facts["name"]) == ("fhir.not-r4", name)
    assert not hasattr(r4, name)


def test_every_listed_name_has_its_model() -> None:
    names = [n for n in dir(r4) if n in r4._class_names()]
    assert len(names) > 500
    for name in names:
        assert getattr(r4, name).__name__ == name
    assert resource_types() - set(names) == {
        *(d.name for d in r4.DIFFERENCES if d.kind == "type missing" and d.name in resource_types()),
        *r4.RESHAPED,
    }


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, masterkey_fhir.r4, masterkey_fhir.check; print('fhir' in sys.modules, 'pydantic' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]


# --- DIFFERENCES, computed again from the installed package ---------------------------------------------------


def installed() -> dict[str, Any]:
    package = importlib.import_module("fhir.resources.R4B")
    found: dict[str, Any] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        members = inspect.getmembers(module, inspect.isclass)
        found |= {name: c for name, c in members if c.__module__ == module.__name__ and hasattr(c, "model_fields")}
    return found


def listed(kind: str) -> set[str]:
    return {d.name for d in r4.DIFFERENCES if d.kind == kind}


def test_the_list_of_differing_types_is_what_is_installed() -> None:
    models = installed()
    ours = {t.name for t in types().values() if t.kind in ("resource", "complex-type")}
    backbones = {r4.class_name(t.name) for t in types().values() if t.kind == "backbone"}
    assert listed("type missing") == ours - set(models)
    tops = {n for n, c in models.items() if not c.__mro__[1].__name__.startswith("BackboneElement")}
    helpers = {"FHIRResourceModel", "FHIRPrimitiveExtension"}
    assert listed("type added") == tops - ours - backbones - helpers - _backbones_of_added(models)


def _backbones_of_added(models: dict[str, Any]) -> set[str]:
    """Types that exist only there have backbones of their own: the names start alike."""
    added = listed("type added")
    return {n for n in models for a in added if n != a and n.startswith(a)}


def test_the_list_of_differing_elements_is_what_is_installed() -> None:
    models = installed()
    missing, added = set(), set()
    for t in types().values():
        model = models.get(r4.class_name(t.name))
        if t.kind == "primitive-type" or model is None:
            continue
        ours = {n for e in t.elements.values() for n in e.json_names()}
        theirs = {f.alias or n for n, f in model.model_fields.items()} - {"fhir_comments"}
        theirs = {n for n in theirs if not n.startswith("_")}
        missing |= {f"{t.name}.{n}" for n in ours - theirs}
        added |= {f"{t.name}.{n}" for n in theirs - ours}
    assert listed("element missing") == missing
    assert listed("element added") == added


# --- the second opinion ---------------------------------------------------------------------------------------


def test_a_second_opinion_has_places_and_no_values() -> None:
    observation = {
        "resourceType": "Observation",
        "status": 5,
        "subject": {"reference": 7},
        "issued": "Tanaka",
        "component": [{"code": {}, "valueQuantity": {"value": "Tanaka"}}],
    }
    found = r4.second_opinion(observation)
    assert {i.place.expression for i in found} == {
        "Observation.code",
        "Observation.status",
        "Observation.subject.reference",
        "Observation.issued",
        "Observation.component[0].value.value",
    }
    assert "Tanaka" not in "".join(map(str, found))


def test_a_second_opinion_never_raises() -> None:
    unknown = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Foo"}}]}
    assert [i.facts["kind"] for i in r4.second_opinion(unknown)] == ["KeyError"]
    for resource in ({}, {"resourceType": "MedicinalProduct"}, {"resourceType": 5}, {"resourceType": "Evidence"}):
        assert [i.rule for i in r4.second_opinion(resource)] == ["fhir.second-opinion-none"]


ACCEPTED_THOUGH_WRONG: list[tuple[str, dict[str, Any]]] = [
    ("required binding", {"status": "banana"}),
    ("id", {"id": "a" * 65}),
    ("uri", {"code": {"coding": [{"system": "http://a b", "code": "c"}]}}),
    ("boolean and integer", {"valueBoolean": "true"}),
    ("empty array and null", {"note": [], "language": None}),
    ("base64Binary", {"note": [{"text": "x", "extension": [{"url": "http://x", "valueBase64Binary": "!!!"}]}]}),
    ("reference target", {"subject": {"reference": "Practitioner/1"}}),
]


@pytest.mark.parametrize("row", ACCEPTED_THOUGH_WRONG, ids=lambda row: row[0])
def test_what_it_accepts_and_our_judge_refuses(row: tuple[str, dict[str, Any]]) -> None:
    name, change = row
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **change}
    assert name in listed("behaviour")
    assert r4.second_opinion(observation) == []
    assert check(observation)


def test_what_it_refuses_and_our_judge_accepts() -> None:
    reason = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    extension = {"url": "http://x", "_valueDateTime": {"extension": [reason]}}
    patient = {"resourceType": "Patient", "extension": [extension]}
    assert check(patient) == []
    assert r4.second_opinion(patient)


# Official examples on which the two disagree, with the reason.
DISAGREE = {
    "medicationrequest0301.json": "reference target",  # ours refuses, rightly: see test_check_examples
    "medicinalproduct-example.json": "type missing",
    "riskevidencesynthesis-example.json": "type missing",
    "evidence-example.json": "type reshaped",
}


@pytest.mark.shared
def test_verdicts_on_the_official_examples(shared: Path) -> None:
    differing = set()
    for file in sorted((shared / "data/fhir/r4-examples").glob("*.json")):
        resource = json.loads(file.read_bytes())
        if bool(check(resource)) != bool(r4.second_opinion(resource)):
            differing.add(file.name)
    assert differing == set(DISAGREE)


@pytest.mark.shared
def test_what_the_models_dump_is_judged_like_the_original(shared: Path) -> None:
    """A round trip through models may rewrite times; it stays valid R4 and keeps every number."""
    for name in ("observation-decimal", "patient-example", "diagnosticreport-example", "json-edge-cases"):
        resource = json.loads((shared / f"data/fhir/r4-examples/{name}.json").read_bytes())
        again = r4.dump(getattr(r4, resource["resourceType"]).model_validate(resource))
        assert _numbers(again) == _numbers(resource), name


def _numbers(value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(d for v in value.values() for d in _numbers(v))
    if isinstance(value, list):
        return sorted(d for v in value for d in _numbers(v))
    return [str(Decimal(value))] if isinstance(value, Decimal) or type(value) is int else []
