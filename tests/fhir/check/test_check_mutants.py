"""One fault per row: each is found with its rule at its place, and nothing else is.

The valid resources are our own; a row names what is changed (path: new value, GONE removes), the rule and the
FHIRPath expression. HL7's Java validator (6.3.11, offline) was run over all rows once: it finds the resources
before mutation valid and refuses all mutants but these, which the standard refuses all the same: an empty array
in a name, text of blanks only (ASCII or ideographic), a control character, arrays of unequal length beside each
other, `_url` in an Extension, two types of a choice of which one has only an extension, "!!!!" as base64, a
reference to `Foo/1`, a wrong type in `Reference.type` or in a conditional reference, a resource of the abstract
type Resource. Of `STAYS_VALID` it refuses the three where an extension stands for a required code: ours takes a
code that is not there for undecided.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from masterkey_fhir.check import check
from masterkey_fhir.issue import Place

GONE: Any = object()
NULL_FLAVOUR = [{"url": "http://example.org/fhir/why-not", "valueCode": "unknown"}]

BASES: dict[str, dict[str, Any]] = {
    "patient": {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"lastUpdated": "2024-02-29T10:00:00+09:00", "profile": ["http://example.org/fhir/p"]},
        "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">-</div>'},
        "contained": [{"resourceType": "Organization", "id": "o1", "name": "Clinic"}],
        "extension": [{"url": "http://example.org/fhir/x", "valueInteger": 3}],
        "identifier": [{"system": "http://example.org/mrn", "value": "0001", "period": {"start": "2020"}}],
        "active": True,
        "name": [{"family": "Yamada", "given": ["Hanako", "Mei"]}],
        "telecom": [{"system": "phone", "value": "03", "rank": 1}],
        "gender": "female",
        "birthDate": "1980-02-29",
        "deceasedBoolean": False,
        "photo": [{"contentType": "image/png", "data": "QUJD"}],
        "contact": [{"gender": "male", "organization": {"reference": "Organization/1"}}],
        "communication": [{"language": {"text": "ja"}, "preferred": True}],
        "managingOrganization": {"reference": "#o1"},
        "link": [{"other": {"reference": "Patient/p2"}, "type": "seealso"}],
    },
    "observation": {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "21889-1"}], "text": "size"},
        "subject": {"reference": "Patient/p1"},
        "effectiveDateTime": "2024-05-01T10:00:00.5+07:00",
        "issued": "2024-05-01T10:00:00Z",
        "valueQuantity": {"value": 166, "unit": "cm", "comparator": "<"},
        "referenceRange": [{"low": {"value": 1}, "text": "usual"}],
        "component": [
            {"code": {"text": "a"}, "valueString": "x", "referenceRange": [{"text": "y"}]},
            {"code": {"text": "b"}, "valueTime": "10:00:00"},
        ],
    },
    "condition": {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}]
        },
        "code": {"text": "sarcoma"},
        "subject": {"reference": "https://example.org/fhir/Patient/p1"},
        "onsetAge": {"value": 40, "system": "http://unitsofmeasure.org", "code": "a"},
    },
    "bundle": {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "entry": [
            {
                "fullUrl": "urn:uuid:4f5e0a3c-8f0b-4c57-9d0c-3b5a1f1f2a11",
                "resource": {"resourceType": "Patient", "gender": "male", "name": [{"family": "S"}]},
            },
            {
                "fullUrl": "http://example.org/fhir/Basic/b",
                "resource": {"resourceType": "Basic", "id": "b", "code": {"text": "b"}},
            },
        ],
    },
    "questionnaire": {
        "resourceType": "Questionnaire",
        "status": "draft",
        "url": "http://example.org/q",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "string", "maxLength": 10}]}],
    },
    "request": {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {"text": "imatinib"},
        "subject": {"reference": "Patient/p1"},
        "dosageInstruction": [
            {
                "sequence": 1,
                "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d", "timeOfDay": ["08:00:00"]}},
                "doseAndRate": [{"doseQuantity": {"value": 400, "unit": "mg"}}],
            }
        ],
    },
    "parameters": {
        "resourceType": "Parameters",
        "parameter": [{"name": "a", "valueUuid": "urn:uuid:4f5e0a3c-8f0b-4c57-9d0c-3b5a1f1f2a11"}],
    },
}

# base, {path: new value}, rule, expression
MUTANTS: list[tuple[str, dict[str, Any], str, str]] = [
    # JSON shape (rule 1)
    ("patient", {"gender": None}, "fhir.null", "Patient.gender"),
    ("patient", {"name[0]": None}, "fhir.null", "Patient.name[0]"),
    ("patient", {"name": None}, "fhir.null", "Patient.name"),
    ("patient", {"managingOrganization": None}, "fhir.null", "Patient.managingOrganization"),
    ("patient", {"name[0].given[1]": None}, "fhir.null", "Patient.name[0].given[1]"),
    ("patient", {"name": []}, "fhir.empty", "Patient.name"),
    ("patient", {"name[0].given": []}, "fhir.empty", "Patient.name[0].given"),
    ("patient", {"name[0]": {}}, "fhir.empty", "Patient.name[0]"),
    ("patient", {"managingOrganization": {}}, "fhir.empty", "Patient.managingOrganization"),
    ("patient", {"name[0].family": ""}, "fhir.empty", "Patient.name[0].family"),
    ("patient", {"name[0].family": " \t"}, "fhir.empty", "Patient.name[0].family"),
    ("patient", {"name[0].family": "\u3000"}, "fhir.empty", "Patient.name[0].family"),
    ("patient", {"managingOrganization": {"id": "a"}}, "fhir.empty", "Patient.managingOrganization"),
    ("patient", {"name[0].family": 5}, "fhir.json-type", "Patient.name[0].family"),
    ("patient", {"active": "true"}, "fhir.json-type", "Patient.active"),
    ("patient", {"active": 1}, "fhir.json-type", "Patient.active"),
    ("patient", {"telecom[0].rank": "1"}, "fhir.json-type", "Patient.telecom[0].rank"),
    ("patient", {"telecom[0].rank": True}, "fhir.json-type", "Patient.telecom[0].rank"),
    ("patient", {"extension[0].valueInteger": "3"}, "fhir.json-type", "Patient.extension[0].value"),
    ("observation", {"valueQuantity.value": "166"}, "fhir.json-type", "Observation.value.value"),
    ("observation", {"code": "21889-1"}, "fhir.json-type", "Observation.code"),
    ("observation", {"subject": "Patient/p1"}, "fhir.json-type", "Observation.subject"),
    ("patient", {"name[0]": "Yamada"}, "fhir.json-type", "Patient.name[0]"),
    ("patient", {"gender": {"code": "female"}}, "fhir.json-type", "Patient.gender"),
    ("patient", {"_birthDate": "x"}, "fhir.json-type", "Patient.birthDate"),
    ("patient", {"_birthDate": {}}, "fhir.empty", "Patient.birthDate"),
    ("patient", {"_birthDate": None}, "fhir.null", "Patient.birthDate"),
    ("patient", {"name[0]._given": [{"id": "g"}]}, "fhir.sibling-length", "Patient.name[0].given"),
    ("patient", {"name[0]._given": {"id": "g"}}, "fhir.array", "Patient.name[0].given"),
    ("patient", {"name[0]._given": [{"id": 5}, None]}, "fhir.json-type", "Patient.name[0].given[0].id"),
    (
        "patient",
        {"name[0].given[1]": None, "name[0]._given": [{"id": "g"}, None]},
        "fhir.null",
        "Patient.name[0].given[1]",
    ),
    ("patient", {"birthDate": GONE, "_birthDate": {"id": "b"}}, "fhir.empty", "Patient.birthDate"),
    (
        "patient",
        {"name[0].given[1]": None, "name[0]._given": [None, {"id": "g"}]},
        "fhir.empty",
        "Patient.name[0].given[1]",
    ),
    (
        "patient",
        {"name[0].given": GONE, "name[0]._given": [None, {"extension": NULL_FLAVOUR}]},
        "fhir.null",
        "Patient.name[0].given[0]",
    ),
    ("patient", {"_name": [{"id": "n"}]}, "fhir.unknown-element", "Patient"),
    # structure (rule 2)
    ("patient", {"surname": "x"}, "fhir.unknown-element", "Patient.surname"),
    ("patient", {"name[0].first": "x"}, "fhir.unknown-element", "Patient.name[0].first"),
    ("patient", {"name[0].12345": "x"}, "fhir.unknown-element", "Patient.name[0]"),
    ("patient", {"extension[0]._url": {"id": "u"}}, "fhir.unknown-element", "Patient.extension[0]"),
    ("patient", {"name[0]._id": {"extension": NULL_FLAVOUR}}, "fhir.unknown-element", "Patient.name[0]"),
    ("patient", {"text._div": {"id": "u"}}, "fhir.unknown-element", "Patient.text"),
    (
        "observation",
        {"component[1].status": "final"},
        "fhir.unknown-element",
        "Observation.component[1].status",
    ),
    (
        "observation",
        {"subject.resourceType": "Patient"},
        "fhir.unknown-element",
        "Observation.subject.resourceType",
    ),
    ("patient", {"name": {"family": "x"}}, "fhir.array", "Patient.name"),
    ("patient", {"name[0].given": "Hanako"}, "fhir.array", "Patient.name[0].given"),
    ("patient", {"meta.profile": "http://example.org/p"}, "fhir.array", "Patient.meta.profile"),
    ("patient", {"gender": ["female"]}, "fhir.not-array", "Patient.gender"),
    ("patient", {"active": [True]}, "fhir.not-array", "Patient.active"),
    ("patient", {"name[0].family": ["x"]}, "fhir.not-array", "Patient.name[0].family"),
    ("observation", {"code": [{"text": "x"}]}, "fhir.not-array", "Observation.code"),
    ("observation", {"valueQuantity": [{"value": 1}]}, "fhir.not-array", "Observation.value"),
    # cardinality (rule 3)
    ("observation", {"status": GONE}, "fhir.required", "Observation.status"),
    ("observation", {"code": GONE}, "fhir.required", "Observation.code"),
    ("observation", {"component[0].code": GONE}, "fhir.required", "Observation.component[0].code"),
    ("patient", {"link[0].other": GONE}, "fhir.required", "Patient.link[0].other"),
    ("patient", {"extension[0].url": GONE}, "fhir.required", "Patient.extension[0].url"),
    ("patient", {"text.div": GONE}, "fhir.required", "Patient.text.div"),
    ("request", {"medicationCodeableConcept": GONE}, "fhir.required", "MedicationRequest.medication"),
    ("bundle", {"type": GONE}, "fhir.required", "Bundle.type"),
    (
        "questionnaire",
        {"item[0].item[0].linkId": GONE},
        "fhir.required",
        "Questionnaire.item[0].item[0].linkId",
    ),
    (
        "request",
        {"dosageInstruction[0].doseAndRate[0].doseQuantity.comparator": "<"},
        "fhir.too-many",
        "MedicationRequest.dosageInstruction[0].doseAndRate[0].dose.comparator",
    ),
    (
        "observation",
        {"referenceRange[0].low.comparator": "<"},
        "fhir.too-many",
        "Observation.referenceRange[0].low.comparator",
    ),
    # choices (rule 4)
    ("observation", {"valueString": "tall"}, "fhir.choice", "Observation.value"),
    ("patient", {"deceasedDateTime": "2024"}, "fhir.choice", "Patient.deceased"),
    ("patient", {"_deceasedDateTime": {"extension": NULL_FLAVOUR}}, "fhir.choice", "Patient.deceased"),
    ("observation", {"valueQuantity": GONE, "valueDecimal": 1}, "fhir.choice-type", "Observation.value"),
    ("patient", {"deceasedBoolean": GONE, "deceasedString": "no"}, "fhir.choice-type", "Patient.deceased"),
    ("observation", {"value": 166}, "fhir.unknown-element", "Observation.value"),
    ("observation", {"valueFoo": 166}, "fhir.unknown-element", "Observation.valueFoo"),
    # types (rule 5): contentReference, contained, Bundle.entry, Parameters
    (
        "observation",
        {"component[0].referenceRange[0].txt": "y"},
        "fhir.unknown-element",
        "Observation.component[0].referenceRange[0].txt",
    ),
    (
        "questionnaire",
        {"item[0].item[0].required": "no"},
        "fhir.json-type",
        "Questionnaire.item[0].item[0].required",
    ),
    ("patient", {"contained[0].name": ["x"]}, "fhir.not-array", "Patient.contained[0].name"),
    ("patient", {"contained[0].resourceType": GONE}, "fhir.resource-type-missing", "Patient.contained[0]"),
    ("patient", {"contained[0].resourceType": "Ingredient"}, "fhir.resource-type", "Patient.contained[0]"),
    ("patient", {"contained[0]": "#o1"}, "fhir.json-type", "Patient.contained[0]"),
    ("bundle", {"entry[0].resource.gender": "F"}, "fhir.code", "Bundle.entry[0].resource.gender"),
    ("bundle", {"entry[1].resource.code": GONE}, "fhir.required", "Bundle.entry[1].resource.code"),
    (
        "bundle",
        {"entry[1].resource.resourceType": "FooType"},
        "fhir.resource-type",
        "Bundle.entry[1].resource",
    ),
    ("bundle", {"entry[1].resource": []}, "fhir.not-array", "Bundle.entry[1].resource"),
    (
        "parameters",
        {"parameter[0].resource": {"resourceType": "Resource"}},
        "fhir.resource-type",
        "Parameters.parameter[0].resource",
    ),
    ("patient", {"resourceType": "patient"}, "fhir.resource-type", ""),
    ("patient", {"resourceType": GONE}, "fhir.resource-type-missing", ""),
    ("patient", {"resourceType": "DomainResource"}, "fhir.resource-type", "DomainResource"),
    # primitives (rule 6)
    ("patient", {"id": "a" * 65}, "fhir.primitive", "Patient.id"),
    ("patient", {"id": "a_b"}, "fhir.primitive", "Patient.id"),
    ("patient", {"birthDate": "1981-02-29"}, "fhir.date", "Patient.birthDate"),
    ("patient", {"birthDate": "1900-02-29"}, "fhir.date", "Patient.birthDate"),
    ("patient", {"birthDate": "2024-02-31"}, "fhir.date", "Patient.birthDate"),
    ("patient", {"birthDate": "2024-13"}, "fhir.date", "Patient.birthDate"),
    ("patient", {"birthDate": "2024/02/01"}, "fhir.primitive", "Patient.birthDate"),
    ("patient", {"birthDate": "0000"}, "fhir.primitive", "Patient.birthDate"),
    ("patient", {"birthDate": "2024-02-01T00:00:00Z"}, "fhir.primitive", "Patient.birthDate"),
    ("patient", {"birthDate": "1980-02-29\n"}, "fhir.primitive", "Patient.birthDate"),
    ("observation", {"effectiveDateTime": "2024-04-31T10:00:00Z"}, "fhir.date", "Observation.effective"),
    ("observation", {"effectiveDateTime": "2024-05-01T10:00:00"}, "fhir.primitive", "Observation.effective"),
    ("observation", {"effectiveDateTime": "2024-05-01T10:00Z"}, "fhir.primitive", "Observation.effective"),
    ("observation", {"effectiveDateTime": "2024-05-01T24:00:00Z"}, "fhir.primitive", "Observation.effective"),
    (
        "observation",
        {"effectiveDateTime": "2024-05-01T10:00:00+15:00"},
        "fhir.primitive",
        "Observation.effective",
    ),
    ("observation", {"issued": "2024-05-01"}, "fhir.primitive", "Observation.issued"),
    ("observation", {"component[1].valueTime": "10:00"}, "fhir.primitive", "Observation.component[1].value"),
    ("patient", {"identifier[0].system": "http://a b"}, "fhir.primitive", "Patient.identifier[0].system"),
    ("patient", {"photo[0].data": "QUJ"}, "fhir.primitive", "Patient.photo[0].data"),
    ("patient", {"photo[0].data": "!!!!"}, "fhir.primitive", "Patient.photo[0].data"),
    ("patient", {"photo[0].contentType": " image/png"}, "fhir.primitive", "Patient.photo[0].contentType"),
    ("patient", {"name[0].family": "Yama\u0007da"}, "fhir.primitive", "Patient.name[0].family"),
    ("patient", {"telecom[0].rank": 0}, "fhir.integer-range", "Patient.telecom[0].rank"),
    ("bundle", {"total": -1}, "fhir.integer-range", "Bundle.total"),
    ("bundle", {"total": 2**31}, "fhir.integer-range", "Bundle.total"),
    (
        "patient",
        {"extension[0].valueInteger": -(2**31) - 1},
        "fhir.integer-range",
        "Patient.extension[0].value",
    ),
    ("patient", {"extension[0].valueInteger": 3.5}, "fhir.primitive", "Patient.extension[0].value"),
    ("observation", {"valueQuantity.value": float("nan")}, "fhir.primitive", "Observation.value.value"),
    (
        "parameters",
        {"parameter[0].valueUuid": "urn:uuid:4F5E"},
        "fhir.primitive",
        "Parameters.parameter[0].value",
    ),
    (
        "parameters",
        {"parameter[0].valueUuid": GONE, "parameter[0].valueOid": "urn:oid:01.2"},
        "fhir.primitive",
        "Parameters.parameter[0].value",
    ),
    # required bindings (rule 8)
    ("observation", {"status": "banana"}, "fhir.code", "Observation.status"),
    ("patient", {"gender": "M"}, "fhir.code", "Patient.gender"),
    ("observation", {"valueQuantity.comparator": "=<"}, "fhir.code", "Observation.value.comparator"),
    ("patient", {"link[0].type": "same"}, "fhir.code", "Patient.link[0].type"),
    ("condition", {"clinicalStatus.coding[0].code": "gone"}, "fhir.code", "Condition.clinicalStatus"),
    (
        "condition",
        {"clinicalStatus.coding[0].system": "http://example.org"},
        "fhir.code",
        "Condition.clinicalStatus",
    ),
    ("condition", {"clinicalStatus": {"text": "active"}}, "fhir.code", "Condition.clinicalStatus"),
    ("condition", {"clinicalStatus.coding[0].system": GONE}, "fhir.code", "Condition.clinicalStatus"),
    ("condition", {"clinicalStatus.coding[0].code": GONE}, "fhir.code", "Condition.clinicalStatus"),
    # required code systems of which core has only the grammar
    ("patient", {"photo[0].contentType": "png"}, "fhir.code-grammar", "Patient.photo[0].contentType"),
    ("patient", {"language": "Japanese language"}, "fhir.code-grammar", "Patient.language"),
    (
        "patient",
        {"extension[0].valueInteger": GONE, "extension[0].valueMoney": {"value": 1, "currency": "yen"}},
        "fhir.code-grammar",
        "Patient.extension[0].value.currency",
    ),
    # reference targets (rule 15, the part without resolving)
    (
        "observation",
        {"subject.reference": "Practitioner/1"},
        "fhir.reference-target",
        "Observation.subject.reference",
    ),
    (
        "observation",
        {"subject": {"type": "Medication", "display": "-"}},
        "fhir.reference-target",
        "Observation.subject.type",
    ),
    (
        "condition",
        {"subject.reference": "https://example.org/fhir/Device/1/_history/2"},
        "fhir.reference-target",
        "Condition.subject.reference",
    ),
    (
        "patient",
        {"contact[0].organization.reference": "Foo/1"},
        "fhir.reference-target",
        "Patient.contact[0].organization.reference",
    ),
    (
        "observation",
        {"subject.reference": "Practitioner?identifier=a|b"},
        "fhir.reference-target",
        "Observation.subject.reference",
    ),
]

# Unusual and right.
STAYS_VALID: list[tuple[str, dict[str, Any]]] = [
    ("observation", {"status": GONE, "_status": {"extension": NULL_FLAVOUR}}),
    ("patient", {"name[0].given[1]": None, "name[0]._given": [{"id": "g"}, {"extension": NULL_FLAVOUR}]}),
    ("patient", {"name[0].given": GONE, "name[0]._given": [{"extension": NULL_FLAVOUR}]}),
    ("patient", {"_birthDate": {"extension": NULL_FLAVOUR}, "birthDate": GONE}),
    ("patient", {"_birthDate": {"id": "b"}}),
    ("patient", {"deceasedBoolean": GONE, "_deceasedBoolean": {"extension": NULL_FLAVOUR}}),
    ("patient", {"name[0].family": "山田\u3000花子"}),
    ("patient", {"photo[0].data": "QU\r\n JD"}),
    ("patient", {"birthDate": "2000-02-29"}),
    ("observation", {"effectiveDateTime": "2016-12-31T23:59:60+14:00"}),
    ("observation", {"subject.reference": "urn:uuid:4f5e0a3c-8f0b-4c57-9d0c-3b5a1f1f2a11"}),
    ("observation", {"subject.reference": "Patient?identifier=a|b"}),
    ("observation", {"subject.reference": "http://example.org/pages/Practitioner/1/home"}),
    ("observation", {"subject.reference": "http://example.org/page/1"}),
    ("condition", {"clinicalStatus": {"extension": NULL_FLAVOUR}}),
    (
        "condition",
        {"clinicalStatus.coding[0].code": GONE, "clinicalStatus.coding[0]._code": {"extension": NULL_FLAVOUR}},
    ),
    ("patient", {"language": "xx-nonsense"}),  # a preferred binding
    ("patient", {"photo[0].contentType": "text/not-known; charset=UTF-8"}),  # MIME types: R4 core does not hold them
]


def mutant(base: str, changes: dict[str, Any]) -> dict[str, Any]:
    resource = copy.deepcopy(BASES[base])
    for path, value in changes.items():
        _set(resource, path, value)
    return resource


def _set(resource: Any, path: str, value: Any) -> None:
    *way, last = [int(p[1:-1]) if p[0] == "[" else p for p in re.findall(r"\[\d+\]|[^.\[\]]+", path)]
    for step in way:
        resource = resource[step]
    if value is GONE:
        del resource[last]
    else:
        resource[last] = value


def _name(row: Any) -> str:
    return ", ".join(f"{row[0]}.{path}" for path in row[1])


@pytest.mark.parametrize("base", BASES)
def test_the_resource_before_mutation_is_valid(base: str) -> None:
    assert check(BASES[base]) == []


@pytest.mark.parametrize("row", MUTANTS, ids=_name)
def test_each_fault_is_found_with_its_rule_at_its_place(row: tuple[str, dict[str, Any], str, str]) -> None:
    base, changes, rule, expression = row
    found = check(mutant(base, changes))
    assert [(i.rule, i.place.expression) for i in found] == [(rule, expression)]
    assert not any(
        set("{}") & set(part(language)) for part in (found[0].fact, found[0].remedy) for language in ("en", "ja")
    )


@pytest.mark.parametrize("row", STAYS_VALID, ids=_name)
def test_the_unusual_stays_valid(row: tuple[str, dict[str, Any]]) -> None:
    assert check(mutant(*row)) == []


def test_all_faults_of_a_resource_come_at_once_in_order() -> None:
    resource = mutant("patient", {"gender": "M", "name[0].given": "x", "surname": "y", "birthDate": "2024-02-30"})
    assert [i.rule for i in check(resource)] == [
        "fhir.unknown-element",
        "fhir.array",
        "fhir.code",
        "fhir.date",
    ]


def test_an_issue_keeps_the_place_it_was_given() -> None:
    (found,) = check(mutant("patient", {"gender": "M"}), place=Place("jp_ncch", "a.csv", 7), record="Patient/1")
    assert (found.place.site, found.place.file, found.place.row) == ("jp_ncch", "a.csv", 7)
    assert found.record == "Patient/1"


def test_issues_hold_no_value_that_could_identify() -> None:
    secret = "Tanaka-19700101"
    for base, changes, _, _ in MUTANTS:
        if all(isinstance(v, str) for v in changes.values()):
            for issue in check(mutant(base, dict.fromkeys(changes, secret))):
                for text in (str(issue), issue.fact("ja"), issue.remedy("ja"), repr(issue)):
                    assert secret not in text


def test_keys_that_json_can_not_have_are_unknown_elements() -> None:
    assert [i.rule for i in check({"resourceType": "Patient", 5: "x", None: "y"})] == ["fhir.unknown-element"] * 2


def test_a_flood_of_faults_is_cut_and_counted() -> None:
    found = check(mutant("patient", {"name": [None] * 5000}))
    assert len(found) == 1001
    assert (found[-1].rule, found[-1].facts["rest"]) == ("fhir.more-issues", 4000)
