"""One patient's resources -> CDM rows, row for row, and the rules behind the rows one by one."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.project import Context, load_maps, rows_for_patient
from masterkey_etl.project.maps import target_tables
from masterkey_omop import vocabulary
from masterkey_omop.keys import Key

CASE = Path(__file__).parent / "project_case"
ITEM = "urn:masterkey:fhir:CodeSystem:registry-item"
ICDO3 = "http://terminology.hl7.org/CodeSystem/icd-o-3"
BIRTH = "urn:masterkey:fhir:StructureDefinition:birth-year-derived"
MAPS = load_maps()

Rows = dict[str, list[dict[str, Any]]]


def project(*resources: dict[str, Any], words: vocabulary.Vocabulary | None = None, patient: str = "p") -> Rows:
    """Rows as {field: value} without nulls, keys written table/type/id/slot."""
    made = rows_for_patient(patient, resources, Context("jp_x", MAPS, words or vocabulary.load()))
    return {
        table: [
            {f: "/".join(v) if type(v) is Key else v for f, v in zip(target_tables()[table].fields, row, strict=True)
             if v is not None}
            for row in rows
        ]
        for table, rows in made.items()
    }  # fmt: skip


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": "p", "extension": [{"url": BIRTH, "valueInteger": 1960}], **more}


def observation(item: str, id: str = "", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id or item,
        "status": "final",
        "code": {"coding": [{"system": ITEM, "code": item}]},
        "subject": {"reference": "Patient/p"},
        **more,
    }


def condition(morphology: str = "", topography: str = "", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Condition",
        "id": "c",
        "code": {
            "coding": [
                {"system": "http://oncotree.mskcc.org", "code": "LMS"},
                *([{"system": ICDO3, "code": morphology}] if morphology else []),
            ]
        },
        **({"bodySite": [{"coding": [{"system": ICDO3, "code": topography}]}]} if topography else {}),
        "subject": {"reference": "Patient/p"},
        "recordedDate": "2020-02-03",
        **more,
    }


def line(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": "l",
        "status": "completed",
        "category": {"coding": [{"system": ITEM, "code": "treatment-line"}]},
        "code": {"text": "doxorubicin"},
        "subject": {"reference": "Patient/p"},
        "performedPeriod": {"start": "2020-03-01", "end": "2020-06-30"},
        **more,
    }


REGISTERED = observation("registration", effectiveDateTime="2020-06-01")


def test_the_worked_case_row_for_row() -> None:
    resources = json.loads((CASE / "fhir.json").read_text(encoding="utf-8"))
    expected = json.loads((CASE / "omop.json").read_text(encoding="utf-8"))
    made = project(*resources, patient="p1")
    made.pop("masterkey.census")
    assert made == expected


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"birthDate": "1958-04-05"}, {"year_of_birth": 1958, "month_of_birth": 4, "day_of_birth": 5}),
        ({"birthDate": "1958-04"}, {"year_of_birth": 1958, "month_of_birth": 4}),
        ({}, {"year_of_birth": 1960}),
        ({"gender": "male"}, {"gender_concept_id": 8507, "gender_source_value": "male"}),
        ({"gender": "other"}, {"gender_concept_id": 0, "gender_source_value": "other"}),
        ({}, {"gender_concept_id": 0, "race_concept_id": 0, "ethnicity_concept_id": 0}),
    ],
)
def test_person(stated: dict[str, Any], expected: dict[str, Any]) -> None:
    (row,) = project(patient(**stated))["person"]
    assert expected.items() <= row.items()


def test_without_a_year_of_birth_there_is_no_person_and_nothing_is_lost_silently() -> None:
    made = project({"resourceType": "Patient", "id": "p", "gender": "male"}, REGISTERED)
    assert "person" not in made
    assert "observation" not in made
    reasons = {(r["fhir_id"], r["table_name"], r["reason"]) for r in made["masterkey.not_placed"]}
    assert ("p", "person", "no year_of_birth") in reasons
    assert ("registration", "observation", "no person_id") in reasons


@pytest.mark.parametrize(
    ("known", "concept", "rung"),
    [
        ("8890/3-C49.2", 101, "icdo3-exact"),
        ("8890/3-C49", 102, "icdo3-parent-site"),
        ("8890/3-C49.9", 103, "icdo3-parent-site"),
        ("8890/3-NULL", 104, "icdo3-histology"),
        ("8891/3-C49.2", 0, "none"),
    ],
)
def test_the_icdo3_ladder(tmp_path: Path, known: str, concept: int, rung: str) -> None:
    words = athena(tmp_path, [(concept or 105, "ICDO3", known), (900, "ICDO3", "8000/3-C49.2")])
    made = project(patient(), condition("8890/3", "C49.2"), words=words)
    assert made["condition_occurrence"][0]["condition_concept_id"] == concept
    (step,) = [r for r in made["masterkey.rung"] if r["table_name"] == "condition_occurrence"]
    assert (step["field"], step["rung"], step["code"]) == ("condition_concept_id", rung, "8890/3-C49.2")
    assert bool(made.get("masterkey.unmapped")) is (concept == 0)
    assert made["episode"][0]["episode_object_concept_id"] == concept


def test_the_ladder_ends_in_snomed(tmp_path: Path) -> None:
    words = athena(tmp_path, [(77, "SNOMED", "443719001")])
    coded = condition("8890/3", "C49.2")
    coded["code"]["coding"].append({"system": "http://snomed.info/sct", "code": "443719001"})
    made = project(patient(), coded, words=words)
    assert made["condition_occurrence"][0]["condition_concept_id"] == 77
    assert made["masterkey.rung"][0]["rung"] == "snomed"


def test_a_code_with_several_targets_keeps_all(tmp_path: Path) -> None:
    words = athena(tmp_path, [(7, "SNOMED", "a"), (8, "SNOMED", "b"), (9, "ICD10", "C49.9")], [(9, 7), (9, 8)])
    coded = condition()
    coded["code"] = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C49.9"}]}
    made = project(patient(), coded, words=words)
    assert [r["condition_concept_id"] for r in made["condition_occurrence"]] == [7]
    assert made["condition_occurrence"][0]["condition_source_concept_id"] == 9
    assert [r["value"] for r in made["masterkey.detail"] if r["name"] == "condition_concept_id_also"] == ["8"]


def athena(
    folder: Path, concepts: list[tuple[int, str, str]], maps_to: list[tuple[int, int]] | None = None
) -> vocabulary.Vocabulary:
    """A vocabulary loaded as a site loads its bundle; what maps to others is not standard itself."""
    plain = {a for a, _ in maps_to or ()}
    names = ("concept_id", "concept_name", "domain_id", "vocabulary_id", "concept_class_id", "standard_concept")
    head = [*names, "concept_code"]
    dates = ["valid_start_date", "valid_end_date", "invalid_reason"]
    rows = [
        [str(i), code, "Condition", v, "x", "" if i in plain else "S", code, "19700101", "20991231", ""]
        for i, v, code in concepts
    ]
    always = ["19700101", "20991231", ""]
    relation = ["concept_id_1", "concept_id_2", "relationship_id", *dates]
    words = ["vocabulary_id", "vocabulary_name", "vocabulary_reference", "vocabulary_version", "vocabulary_concept_id"]
    for name, table in (
        ("CONCEPT", [[*head, *dates], *rows]),
        ("CONCEPT_RELATIONSHIP", [relation, *[[str(a), str(b), "Maps to", *always] for a, b in maps_to or ()]]),
        ("VOCABULARY", [words, ["None", "x", "x", "v5 test", "0"]]),
    ):
        text = "".join("\t".join(r) + "\n" for r in table)
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    vocabulary.load_bundle(folder, folder / "v.duckdb")
    return vocabulary.load(folder / "v.duckdb")


def test_a_diagnosis_changed_by_the_panel_has_no_date_and_opens_no_episode() -> None:
    changed = condition() | {"id": "c2"}
    del changed["recordedDate"]
    made = project(patient(), REGISTERED, condition(), changed)
    dates = {r["condition_occurrence_id"]: r["condition_start_date"] for r in made["condition_occurrence"]}
    assert dates == {
        "condition_occurrence/Condition/c/": "2020-02-03",
        "condition_occurrence/Condition/c2/": "2020-06-01",
    }
    assert [r["episode_id"] for r in made["episode"]] == ["episode/Condition/c/disease"]


def test_dates_before_partial_and_impossible() -> None:
    made = project(
        patient(deceasedDateTime="2021"),
        condition(recordedDate="2019-02"),
        observation("stage", effectiveDateTime="2019-02-30"),
    )
    assert made["condition_occurrence"][0]["condition_start_date"] == "2019-02-01"
    assert made["death"] == [
        {"person_id": "person/Patient/p/", "death_date": "2021-12-31", "death_type_concept_id": 32879,
         "cause_concept_id": 0}
    ]  # fmt: skip
    partial = {(r["table_name"], r["value"]) for r in made["masterkey.partial_date"]}
    assert {("condition_occurrence", "2019-02"), ("death", "2021")} <= partial
    assert ("stage", "measurement", "no measurement_date") in {
        (r["fhir_id"], r["table_name"], r["reason"]) for r in made["masterkey.not_placed"]
    }


def test_observation_period_from_first_event_to_last_known_alive() -> None:
    alive = observation("last-known-alive", effectiveDateTime="2023-05-06")
    (period,) = project(patient(), REGISTERED, condition(), alive)["observation_period"]
    assert (period["observation_period_start_date"], period["observation_period_end_date"]) == (
        "2020-02-03",
        "2023-05-06",
    )
    later = observation("ecog", effectiveDateTime="2024-01-01")  # an event after it does not lengthen the period
    (period,) = project(patient(), REGISTERED, condition(), alive, later)["observation_period"]
    assert period["observation_period_end_date"] == "2023-05-06"
    (period,) = project(patient(deceasedDateTime="2022-01-01"), condition(), line())["observation_period"]
    assert period["observation_period_end_date"] == "2022-01-01"
    (period,) = project(patient(), condition(), line())["observation_period"]
    assert period["observation_period_end_date"] == "2020-06-30"  # nothing says alive later than the last event
    assert "observation_period" not in project(patient())


def test_only_a_metastasis_that_is_there_has_its_concept() -> None:
    yes_no = "http://terminology.hl7.org/CodeSystem/v2-0136"
    concepts = {}
    for code in ("Y", "N", "unknown"):
        value = {"coding": [{"system": yes_no, "code": code}]}
        (row,) = project(
            patient(), REGISTERED, condition(), observation("metastasis", valueCodeableConcept=value)
        )["measurement"][-1:]  # fmt: skip
        concepts[code] = (row["measurement_source_value"], row["measurement_concept_id"], row["value_source_value"])
    metastasis = vocabulary.load().binding("modifier.metastasis")
    assert concepts == {
        "Y": ("metastasis", metastasis, "Y"),
        "N": ("metastasis", 0, "N"),
        "unknown": ("metastasis", 0, "unknown"),
    }


def test_a_diagnosis_dated_at_registration_is_marked() -> None:
    undated = {k: v for k, v in condition().items() if k != "recordedDate"}
    marks = []
    for diagnosis in (undated, condition()):
        details = project(patient(), REGISTERED, diagnosis)["masterkey.detail"]
        marks.append([r["value"] for r in details if r["name"] == "date_from"])
    assert marks == [["registration"], []]


def test_death_is_one_row_of_three_resources() -> None:
    dead = observation(
        "vital-status",
        effectiveDateTime="2021-03-05",
        valueCodeableConcept={"coding": [{"system": "urn:masterkey:fhir:CodeSystem:registry-answer", "code": "dead"}]},
    )
    cause = observation("cause-of-death", valueCodeableConcept={"text": "disease"})
    (row,) = project(patient(), dead, cause)["death"]
    assert (row["death_date"], row["cause_source_value"], row["cause_concept_id"]) == ("2021-03-05", "disease", 0)
    (row,) = project(patient(deceasedDateTime="2021-03-04"), dead, cause)["death"]
    assert (row["death_date"], row["cause_source_value"]) == ("2021-03-04", "disease")
    alive = dead | {"valueCodeableConcept": {"coding": [{"code": "alive"}]}}
    assert "death" not in project(patient(), alive)


def test_a_modifier_points_at_its_diagnosis_only_when_that_has_a_row() -> None:
    stage = observation("stage", effectiveDateTime="2020-02-03", focus=[{"reference": "Condition/c"}])
    (linked,) = [r for r in project(patient(), condition(), stage)["measurement"] if r.get("measurement_source_value")]
    assert (linked["measurement_event_id"], linked["meas_event_field_concept_id"]) == (
        "condition_occurrence/Condition/c/",
        1147127,
    )
    (alone,) = project(patient(), stage)["measurement"]
    assert "measurement_event_id" not in alone
    assert "meas_event_field_concept_id" not in alone


def test_a_line_is_an_episode_with_its_drugs_and_its_response() -> None:
    drug = {
        "resourceType": "MedicationStatement",
        "id": "d",
        "status": "completed",
        "partOf": [{"reference": "Procedure/l"}],
        "medicationCodeableConcept": {"text": "Drug A"},
        "subject": {"reference": "Patient/p"},
    }
    response = observation("best-response", partOf=[{"reference": "Procedure/l"}])
    made = project(patient(), condition(), line(reasonReference=[{"reference": "Condition/c"}]), drug, response)
    treatment = made["episode"][1]
    assert treatment["episode_parent_id"] == "episode/Condition/c/disease"
    assert made["drug_exposure"][0] == {
        "drug_exposure_id": "drug_exposure/MedicationStatement/d/",
        "person_id": "person/Patient/p/",
        "drug_concept_id": 0,
        "drug_exposure_start_date": "2020-03-01",  # the line's, as the statement has no period
        "drug_exposure_end_date": "2020-06-30",
        "drug_type_concept_id": 32879,
        "route_concept_id": 0,
        "drug_source_value": "Drug A",
    }
    assert made["episode_event"][1] == {
        "episode_id": "episode/Procedure/l/",
        "event_id": "drug_exposure/MedicationStatement/d/",
        "episode_event_field_concept_id": 1147094,
    }
    (answer,) = [r for r in made["measurement"] if r.get("measurement_source_value") == "best-response"]
    assert (answer["measurement_date"], answer["measurement_event_id"], answer["meas_event_field_concept_id"]) == (
        "2020-06-30",
        "episode/Procedure/l/",
        756290,
    )


def test_a_line_without_a_date_is_set_aside_and_its_drug_keeps_no_dangling_event() -> None:
    undated = line()
    del undated["performedPeriod"]
    drug = {
        "resourceType": "MedicationStatement",
        "id": "d",
        "status": "completed",
        "partOf": [{"reference": "Procedure/l"}],
        "medicationCodeableConcept": {"text": "Drug A"},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2020-04-01",
    }
    made = project(patient(), undated, drug)
    assert "episode" not in made
    assert "episode_event" not in made
    assert made["drug_exposure"][0]["drug_exposure_start_date"] == "2020-04-01"
    reasons = {(r["fhir_id"], r["table_name"], r["reason"]) for r in made["masterkey.not_placed"]}
    assert ("l", "episode", "no episode_start_date") in reasons
    assert ("d", "episode_event", "no episode_id") in reasons


@pytest.mark.parametrize(
    ("components", "concept", "rung"),
    [
        ([("48018-6", "HGNC:1097", "BRAF")], 35948173, "gene"),
        ([("48018-6", "HGNC:427", "ALK"), ("81252-9", "", "EML4::ALK fusion")], 35976974, "fusion"),
        ([("48018-6", "HGNC:427", "ALK"), ("81252-9", "", "ALK::EML4 fusion")], 35963763, "gene"),
        ([("48018-6", "", "Gene1")], 0, "none"),
    ],
)
def test_the_variant_ladder(components: list[tuple[str, str, str]], concept: int, rung: str) -> None:
    variant = {
        "resourceType": "Observation",
        "id": "v",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "69548-6"}]},
        "subject": {"reference": "Patient/p"},
        "effectiveDateTime": "2020-05-05",
        "component": [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueCodeableConcept": {
                    **({"coding": [{"system": "http://www.genenames.org", "code": gene}]} if gene else {}),
                    "text": text,
                },
            }
            for code, gene, text in components
        ],
    }
    made = project(patient(), variant)
    assert [r["measurement_concept_id"] for r in made["measurement"]] == [concept]
    assert [r["rung"] for r in made["masterkey.rung"]] == [rung]
    assert [c["value_text"] for c in made["masterkey.component"]] == [text for _, _, text in components]


def test_an_observation_of_any_code_goes_by_the_domain_of_its_concept() -> None:
    made = project(
        patient(),
        {
            "resourceType": "Observation",
            "id": "kps",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "89243-0"}]},
            "subject": {"reference": "Patient/p"},
            "effectiveDateTime": "2020-05-05T10:11:12+09:00",
            "valueInteger": 90,
        },
        observation("never-heard-of", effectiveDateTime="2020-05-05", valueString="x" * 70),
    )
    (measured,) = made["measurement"]
    assert (measured["measurement_concept_id"], measured["value_as_number"]) == (36303287, 90.0)
    assert measured["measurement_datetime"] == "2020-05-05 10:11:12"  # the wall time of the site
    (observed,) = made["observation"]
    assert observed["observation_concept_id"] == 0
    assert observed["observation_source_value"] == "never-heard-of"
    assert observed["value_as_string"] == "x" * 60
    assert {r["value"] for r in made["masterkey.full_value"]} == {"x" * 70}
    assert ("never-heard-of",) in {(r["code"],) for r in made["masterkey.unmapped"]}


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_what_was_entered_in_error_gives_no_row(status: str) -> None:
    wrong = observation("smoking", effectiveDateTime="2020-01-01") | {"status": status}
    made = project(patient(), condition(), wrong)
    assert "observation" not in made
    assert [(r["fhir_id"], r["reason"]) for r in made["masterkey.not_placed"]] == [("smoking", "no edge takes it")]


def test_a_resource_without_a_map_is_listed() -> None:
    made = project(patient(), condition(), {"resourceType": "Basic", "id": "b", "subject": {"reference": "Patient/p"}})
    assert [(r["resource_type"], r["reason"]) for r in made["masterkey.not_placed"]] == [("Basic", "no edge takes it")]


def test_items_go_where_the_registry_list_says(repository_root: Path) -> None:
    with (repository_root / "mappings/registry/items.csv").open(encoding="utf-8", newline="") as stream:
        items = list(csv.DictReader(stream))
    asked = 0
    for item in items:
        code = re.match(r"Observation\(registry-item#([^)]+)\)", item["fhir_element"])
        table = item["cdm_column"].partition(".")[0]
        if code and table in ("measurement", "observation", "death"):
            asked += 1
            resource = observation(code[1], effectiveDateTime="2020-01-01", valueCodeableConcept={"text": "x"})
            assert table in project(patient(), resource), code[1]
    assert asked > 100


def test_no_concept_id_stands_in_code_or_maps(repository_root: Path) -> None:
    ids = {str(b.concept.id) for b in vocabulary.bindings().values() if b.concept.id > 100}
    places = [
        *(repository_root / "omop/masterkey_omop").glob("*.py"),
        *(repository_root / "omop/masterkey_omop/vocabulary").glob("*.py"),
        *(repository_root / "etl/masterkey_etl/project").glob("*.py"),
        *(repository_root / "mappings/omop").glob("*.yaml"),
    ]
    code = {p.name: re.sub(r'""".*?"""|#[^\n]*', "", p.read_text(encoding="utf-8"), flags=re.S) for p in places}
    found = {(name, n) for name, text in code.items() for n in re.findall(r"\b\d{4,10}\b", text) if n in ids}
    assert not found
