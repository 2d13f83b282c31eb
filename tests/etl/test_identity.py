"""The step protect: at a registry nothing that identifies a person passes; what goes is told, never its value."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_etl import identity
from masterkey_etl.free_text import MASK, Words
from masterkey_etl.identity import PolicyError, protect, pseudonym
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.national import CHECKS, is_my_number
from masterkey_fhir.check import check
from masterkey_fhir.definitions import resource_types, type_def

KEYS = SiteKeys("aa_site", {p: (Key(1, p.encode() * 8),) for p in ("id", "pseudonym", "record")})
SECRET = "Zaphod Beeblebrox"
HL7 = "http://hl7.org/fhir/StructureDefinition"
OURS = "urn:masterkey:fhir:sid:aa_site:mrn"


def kept(resource: dict[str, Any]) -> tuple[Any, dict[str, int]]:
    """What a registry keeps, and how often each rule spoke."""
    before = copy.deepcopy(resource)
    found, issues = protect(resource, "registry", KEYS)
    assert resource == before, "the given resource is not changed"
    assert SECRET not in repr(issues) and all(str(i) and i.remedy("ja") for i in issues)
    rules: dict[str, int] = {}
    for i in issues:
        rules[i.rule] = rules.get(i.rule, 0) + i.count
    return found, rules


def patient(**parts: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p1", **parts}


def test_a_site_keeps_everything() -> None:
    resource = patient(name=[{"text": SECRET}], nonsense=SECRET)
    found, issues = protect(resource, "site", KEYS)
    assert found is resource and issues == []


@pytest.mark.parametrize(
    "parts",
    [
        {"name": [{"family": SECRET}]},
        {"telecom": [{"system": "phone", "value": SECRET}]},
        {"photo": [{"title": SECRET}]},
        {"contact": [{"name": {"text": SECRET}}]},
        {"text": {"status": "generated", "div": f"<div>{SECRET}</div>"}},
        {"address": [{"text": SECRET}]},
        {"address": [{"line": [SECRET]}]},
        {"_birthDate": {"extension": [{"url": "http://example.org/x", "valueString": SECRET}]}},
        {"extension": [{"url": f"{HL7}/patient-mothersMaidenName", "valueString": SECRET}]},
        {"identifier": [{"system": OURS, "value": SECRET, "assigner": {"display": SECRET}}]},
        {"identifier": [{"system": "http://unlisted.example.org", "value": SECRET}]},
        {"identifier": [{"value": SECRET}]},
        {"generalPractitioner": [{"reference": "Practitioner/1", "display": SECRET}]},
        {"managingOrganization": {"identifier": {"system": "http://x.example.org", "value": SECRET}}},
        {"fullName": SECRET},
        {"maritalStatus": {"text": SECRET}},
        {"maritalStatus": {"coding": [{"system": "http://x.example.org", "code": "M", "display": SECRET}]}},
        {"contained": [{"resourceType": "RelatedPerson", "patient": {"reference": "#p"}, "name": [{"text": SECRET}]}]},
        {"contained": [{"resourceType": "Nobody", "x": SECRET}]},
    ],
)  # fmt: skip
def test_what_identifies_is_gone_from_a_patient(parts: dict[str, Any]) -> None:
    found, rules = kept(patient(**parts, gender="male"))
    words = json.dumps(found, ensure_ascii=False)
    assert "Zaphod" not in words and "Beeblebrox" not in words
    assert found["gender"] == "male"
    assert rules or "identifier" in parts


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Practitioner", "name": [{"text": SECRET}], "qualification": [{"code": {"text": SECRET}}]},
        {"resourceType": "Observation", "valueString": SECRET, "note": [{"authorString": SECRET, "text": SECRET}]},
        {"resourceType": "Observation", "valueQuantity": {"value": 1, "unit": SECRET * 2}},
        {"resourceType": "Condition", "code": {"text": SECRET}, "asserter": {"display": SECRET}},
        {"resourceType": "DiagnosticReport", "conclusion": SECRET, "presentedForm": [{"data": "QQ=="}]},
        {"resourceType": "FamilyMemberHistory", "name": SECRET, "bornString": SECRET},
        {"resourceType": "Procedure", "extension": [{"url": "urn:x", "valueHumanName": {"text": SECRET}}]},
        {"resourceType": "Procedure", "extension": [{"url": "urn:x", "valueString": SECRET}]},
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient(name=[{"text": SECRET}])}]},
        {"resourceType": "QuestionnaireResponse", "item": [{"text": SECRET, "answer": [{"valueString": SECRET}]}]},
    ],
    ids=lambda r: str(r["resourceType"]),
)  # fmt: skip
def test_what_identifies_is_gone_from_other_resources(resource: dict[str, Any]) -> None:
    found, rules = kept(resource)
    words = json.dumps(found, ensure_ascii=False)
    assert "Zaphod" not in words and "Beeblebrox" not in words
    assert found["resourceType"] == resource["resourceType"] and rules


def _strings(type_name: str, secret: str, depth: int = 3) -> Iterator[tuple[str, Any]]:
    """Every element below a type that can hold free words, filled with a secret."""
    for element in type_def(type_name).elements.values():
        for name, kind in element.json_names().items():
            for value in _filled(kind, secret, depth):
                yield name, [value] if element.is_list else value


def _filled(kind: str, secret: str, depth: int) -> Iterator[Any]:
    if kind in ("string", "markdown"):
        yield secret
    elif kind == "xhtml":
        yield f"<div>{secret}</div>"
    elif depth and type_def(kind).kind in ("complex-type", "backbone") and kind not in ("Extension", "Resource"):
        for name, value in _strings(kind, secret, depth - 1):
            yield {name: value}


@pytest.mark.parametrize("kind", sorted(resource_types()))
def test_no_text_of_any_resource_type_passes(kind: str) -> None:
    """Fail closed: a name written in any text element of any R4 type, three levels deep, is gone."""
    listed = {"Organization.name", "Organization.alias", "Location.name", "Location.alias", "HealthcareService.name"}
    for name, value in _strings(kind, SECRET):
        found, _ = protect({"resourceType": kind, name: value}, "registry", KEYS)
        if f"{kind}.{name}" not in listed:
            assert "Zaphod" not in json.dumps(found, ensure_ascii=False), (kind, name)


def test_a_birth_date_becomes_its_year_and_a_death_stays() -> None:
    found, _ = kept(patient(birthDate="1980-03-04", deceasedDateTime="2020-01-02"))
    assert (found["birthDate"], found["deceasedDateTime"]) == ("1980", "2020-01-02")
    assert kept(patient(birthDate="1980"))[0]["birthDate"] == "1980"


def test_an_address_keeps_what_lies_above_the_district() -> None:
    place = {"use": "home", "line": ["1-2-3"], "city": "Chuo", "district": "X", "postalCode": "104", "country": "JP"}
    assert kept(patient(address=[place]))[0]["address"] == [{"use": "home", "country": "JP"}]


def test_an_identifier_becomes_what_a_search_by_it_finds() -> None:
    found, rules = kept(patient(identifier=[{"use": "usual", "system": OURS, "value": "00123"}]))
    assert found["identifier"] == [{"use": "usual", "system": OURS, "value": pseudonym(OURS, "00123", KEYS)}]
    assert rules == {} and "00123" not in repr(found)
    other = SiteKeys("bb_site", {"pseudonym": (Key(1, b"other" * 8),)})
    assert pseudonym(OURS, "00123", KEYS) != pseudonym(OURS, "00123", other)


def test_a_conditional_reference_by_identifier_is_hashed_alike() -> None:
    reference = {"reference": f"Patient?identifier={OURS}|00123"}
    found, _ = kept({"resourceType": "Observation", "subject": reference})
    assert found["subject"] == {"reference": f"Patient?identifier={OURS}|{pseudonym(OURS, '00123', KEYS)}"}
    found, _ = kept(
        {"resourceType": "Observation", "status": "final", "subject": {"reference": f"Patient?name={SECRET}"}}
    )
    assert "subject" not in found


def test_a_binary_is_refused() -> None:
    assert kept({"resourceType": "Binary", "contentType": "text/plain", "data": "QQ=="})[0] is None


def test_a_clean_resource_is_given_back_as_it_is() -> None:
    resource = {
        "resourceType": "Observation", "id": "o", "status": "final",
        "code": {"coding": [{"system": "urn:x", "code": "1"}]},
        "subject": {"reference": "Patient/p"}, "valueInteger": 3,
    }  # fmt: skip
    assert protect(resource, "registry", KEYS)[0] is resource
    assert check(resource) == []


# -- national numbers

THAI = "https://terms.sil-th.org/id/th-cid"
MYKAD = "https://id.kkmhub.moh.gov.my/patient/mykad"
NIK = "https://fhir.kemkes.go.id/id/nik"


@pytest.mark.parametrize(
    ("system", "value", "more", "rule"),
    [
        (THAI, "2650591524440", {}, None),  # sample value of the identifier table
        (THAI, "2650591524441", {}, "etl.identifier-invalid"),
        (THAI, "0650591524440", {}, "etl.identifier-invalid"),
        (MYKAD, "800304-14-1235", {"birthDate": "1980-03-04", "gender": "male"}, None),
        (MYKAD, "800304141235", {"birthDate": "1981-03-04"}, "etl.identifier-disagrees"),
        (MYKAD, "800304141235", {"gender": "female"}, "etl.identifier-disagrees"),
        (MYKAD, "80030414123", {}, "etl.identifier-invalid"),
        (NIK, "3174014403800001", {"birthDate": "1980-03-04", "gender": "female"}, None),
        (NIK, "3174014403800001", {"gender": "male"}, "etl.identifier-disagrees"),
    ],
)
def test_a_national_number_is_verified_then_hashed(
    system: str, value: str, more: dict[str, Any], rule: str | None
) -> None:
    found, rules = kept(patient(identifier=[{"system": system, "value": value}], **more))
    assert found["identifier"][0]["value"] == pseudonym(system, value, KEYS)
    assert list(rules) == ([rule] if rule else [])


def test_a_my_number_is_refused() -> None:
    found, rules = kept(patient(identifier=[{"system": "urn:x", "value": "1234 5678 9018"}]))
    assert "identifier" not in found and rules == {"etl.my-number": 1}
    assert not is_my_number("123456789019") and not is_my_number("12345")


def test_every_check_of_the_policy_exists() -> None:
    policy = identity.Policy.load()
    assert {c for _, _, c in policy.identifiers if c} == set(CHECKS)


@pytest.mark.shared
def test_every_system_of_the_identifier_table_is_listed(shared: Path) -> None:
    import csv

    rows = csv.DictReader((shared / "data/terms/national_identifiers.csv").open(encoding="utf-8"))
    systems = [r["fhir_system_seen"].split()[0] for r in rows if r["fhir_system_seen"].startswith(("http", "urn"))]
    policy = identity.Policy.load()
    from fnmatch import fnmatchcase

    unlisted = [s for s in systems if not any(fnmatchcase(s, p) for p, _, _ in policy.identifiers)]
    assert systems and unlisted == []


# -- free text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("melanoma", "melanoma"),
        ("Melanoma of Tanaka", "Melanoma of ▢"),
        ("山田太郎 悪性黒色腫", "▢ 悪性黒色腫"),
        ("悪性黒色腫の山田", "悪性黒色腫▢"),
        ("tel 09012345678", "▢ ▢"),
        ("tel 090-1234-5678", "▢ ▢"),
        ("1980/3/4 melanoma", "▢ melanoma"),
        ("1980年3月4日 melanoma", "▢ melanoma"),
        ("grade 3", "grade 3"),
        ("meland", "▢"),
        ("melanomatosis", "▢"),
        ("メラノーマ", "メラノーマ"),
        ("メラノーマン", "▢"),
        ("A111C", "A111C"),
        ("YAMADA", "▢"),
        ("本人希望により", "本人希望により"),
        ("本人希望", "▢"),
        ("0.21 (105/502)", "0.21 (105/502)"),
        ("", ""),
        ("ＭＥＬＡＮＯＭＡ", "ＭＥＬＡＮＯＭＡ"),
    ],
)
def test_known_words_stay(text: str, expected: str) -> None:
    words = ["melanoma", "of", "悪性黒色腫", "grade", "メラノーマ", "悪性"]
    assert Words(words, ["本人希望により"], ["[A-Z][0-9]{1,4}[A-Z]"]).cleaned(text)[0] == expected


LETTERS = st.text(alphabet="abcmelnoy 山田悪性黒色腫メラーの0123456789-/.年月ÄéàŸß\u0301", max_size=30)


@settings(max_examples=300, deadline=None)
@given(LETTERS)
def test_masking_keeps_only_known_words_and_stays_the_same_when_repeated(text: str) -> None:
    words = Words(["melanoma", "悪性黒色腫"], [], [])
    once, n = words.cleaned(text)
    assert words.cleaned(once.replace(MASK, " "))[1] == 0
    assert (n == 0) == (MASK not in once)
    left = once.casefold()
    for known in ("melanoma", "悪性黒色腫"):
        left = left.replace(known, "")
    assert not any(c.isalpha() for c in left)


# -- the policy file


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("typs: {}", "types"),
        ("types: {Humanname: remove}", "HumanName"),
        ("types: {HumanName: delete}", "remove"),
        ("elements: {Patient.birthdate: year}", "birthDate"),
        ("elements: {Patient.birthDate: {cut: 4}}", "matches"),
        ("persons: [Pateint]", "Patient"),
        ("identifiers: [{system: x}]", "action"),
        ("identifiers: [{system: x, action: hash}]", "pseudonym"),
        ("identifiers: [{system: x, action: keep, check: luhn}]", "thai_cid"),
        ("types: [", "line"),
    ],
)
def test_a_mistake_in_the_policy_is_named(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "identity.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(PolicyError) as raised:
        protect(patient(), "registry", KEYS, tmp_path)
    assert named in str(raised.value)


def test_a_mistake_in_the_policy_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "identity.yaml").write_text(
        "# policy\ntypes:\n  HumanName: remove\n  Narative: remove\n", encoding="utf-8"
    )
    with pytest.raises(PolicyError) as raised:
        protect(patient(), "registry", KEYS, tmp_path)
    assert [(i.place.row, "Narrative" in str(i)) for i in raised.value.issues] == [(4, True)]


def test_a_workspace_overlays_the_policy(tmp_path: Path) -> None:
    (tmp_path / "identity.yaml").write_text("types: {HumanName: keep}", encoding="utf-8")
    assert protect(patient(name=[{"family": "X"}]), "registry", KEYS, tmp_path)[0]["name"]  # type: ignore[index]
