"""The compiled tables: the traps of the core package, and that the script makes exactly these files."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

import pytest

from masterkey_fhir import definitions
from masterkey_fhir.definitions import (
    compartment,
    json_members,
    resource_types,
    search_parameters,
    types,
    value_set_codes,
)

VS = "http://hl7.org/fhir/ValueSet/"


@pytest.mark.shared
def test_the_script_makes_the_committed_tables(shared: Path, repository_root: Path, tmp_path: Path) -> None:
    package = shared / "data/fhir/packages/hl7.fhir.r4.core-4.0.1.tgz"
    script = repository_root / "fhir/definitions/compile.py"
    runpy.run_path(str(script))["main"](str(package), str(tmp_path))
    for name in ("types.json", "valuesets.json", "search.json"):
        assert (tmp_path / name).read_bytes() == (repository_root / "fhir/definitions/r4" / name).read_bytes()


def test_loads_in_well_under_a_second() -> None:
    types.cache_clear()
    definitions._table.cache_clear()
    start = time.process_time()
    types()
    assert time.process_time() - start < 2  # measured 0.1 s; a loose bound for a busy machine


def test_small() -> None:
    tables = list((Path(definitions.folder("definitions")) / "r4").glob("*.json"))
    assert sum(t.stat().st_size for t in tables) < 3_000_000


def test_every_resource_type_of_r4_and_no_profile() -> None:
    assert len(resource_types()) == 146
    assert {"Resource", "DomainResource", "FiveWs", "vitalsigns"}.isdisjoint(resource_types())
    assert types()["Observation"].elements["category"].min == 0  # the vital-signs profile says 1


def test_every_type_of_an_element_exists() -> None:
    for t in types().values():
        for element in t.elements.values():
            assert element.types
            assert all(kind in types() for kind in element.types), (t.name, element.name)
            assert all(target in types() for target in element.targets), (t.name, element.name)


def test_a_choice_stands_once_with_all_its_types() -> None:
    value = types()["Observation"].elements["value[x]"]
    assert value.is_choice
    assert value.json_names()["valueQuantity"] == "Quantity"
    assert len(types()["Extension"].elements["value[x]"].types) == 50


def test_a_content_reference_is_the_backbone_it_points_to() -> None:
    component = types()["Observation.component"]
    assert component.kind == "backbone"
    assert component.base == "BackboneElement"
    assert component.elements["referenceRange"].types == ("Observation.referenceRange",)
    assert types()["Questionnaire.item"].elements["item"].types == ("Questionnaire.item",)


def test_inherited_elements_come_first_in_order() -> None:
    names = list(types()["Patient"].elements)
    assert names[:5] == ["id", "meta", "implicitRules", "language", "text"]
    assert list(types()["Age"].elements) == list(types()["Quantity"].elements)


def test_system_types_became_fhir_types() -> None:
    assert types()["Resource"].elements["id"].types == ("id",)
    assert types()["Element"].elements["id"].types == ("string",)
    assert types()["Extension"].elements["url"].types == ("uri",)
    assert "value" not in types()["unsignedInt"].elements
    assert types()["unsignedInt"].base == "integer"
    assert types()["decimal"].system == "Decimal"


def test_array_or_single_comes_from_the_base() -> None:
    assert types()["Patient"].elements["name"].is_list
    assert not types()["Patient"].elements["gender"].is_list
    assert types()["Bundle.entry"].elements["resource"].types == ("Resource",)


def test_constraints_are_kept_by_expression_and_not_repeated() -> None:
    keys = [c.key for c in types()["Observation"].constraints]
    assert keys == ["dom-2", "dom-3", "dom-4", "dom-5", "dom-6", "obs-6", "obs-7"]
    meanings = {c.expression for t in types().values() for c in t.constraints if c.key == "inv-1"}
    assert len(meanings) > 1
    assert types()["Patient"].elements["name"].constraints == ()  # ele-1 is Element's


def test_value_sets_that_core_decides() -> None:
    gender = value_set_codes(VS + "administrative-gender|4.0.1")
    assert gender == {("http://hl7.org/fhir/administrative-gender", c) for c in ("male", "female", "other", "unknown")}
    resource_codes = value_set_codes(VS + "resource-types")
    assert resource_codes is not None
    assert {code for _, code in resource_codes} >= resource_types()


@pytest.mark.parametrize("name", ["mimetypes", "currencies", "ucum-units", "all-languages"])
def test_value_sets_that_core_does_not_decide(name: str) -> None:
    assert value_set_codes(VS + name) is None


def test_required_bindings_that_stay_open_are_these() -> None:
    urls = {
        e.binding[1] for t in types().values() for e in t.elements.values() if e.binding and e.binding[0] == "required"
    }
    undecided = {u.rpartition("/")[2] for u in urls if value_set_codes(u) is None}
    assert undecided == {"mimetypes", "currencies", "ucum-units", "LL379-9"}


def test_search_parameters_are_narrowed_to_the_type() -> None:
    birth = search_parameters("Patient")["birthdate"]
    assert (birth.type, birth.expression) == ("date", "Patient.birthDate")
    patient = search_parameters("Observation")["patient"]
    assert patient.expression == "Observation.subject.where(resolve() is Patient)"
    assert search_parameters("Observation")["_lastUpdated"].expression == "Resource.meta.lastUpdated"
    parts = search_parameters("Observation")["code-value-quantity"].components
    assert [code for code, _ in parts] == ["code", "value-quantity"]


def test_the_patient_compartment() -> None:
    assert compartment("Patient")["Observation"] == ("subject", "performer")
    assert "Organization" not in compartment("Patient")


def test_json_names_lead_to_elements() -> None:
    assert json_members("Observation")["valueQuantity"] == ("value", "Quantity")
    assert json_members("Device.property")["valueQuantity"] == ("valueQuantity", "Quantity")
    assert json_members("Nope") == {}


def test_ancestors() -> None:
    assert list(definitions.ancestors("Patient")) == ["Patient", "DomainResource", "Resource"]
    with pytest.raises(KeyError):
        definitions.type_def("Ingredient")
