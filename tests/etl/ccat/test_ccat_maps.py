"""The C-CAT maps: every column accounted for, shapes as `mappings/registry/items.csv` says, nothing invented."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.data import folder
from masterkey_etl.template import CompiledMap
from masterkey_fhir.check import check
from masterkey_fhir.json import dumps

from .conftest import Delivery

Stated = Callable[..., Delivery]
ITEM = "urn:masterkey:fhir:CodeSystem:registry-item"
ANSWER = "urn:masterkey:fhir:CodeSystem:registry-answer"
EXTENSION = "urn:masterkey:fhir:StructureDefinition:"


def answer(resource: dict[str, Any], element: str = "valueCodeableConcept") -> list[str]:
    return [c["code"] for c in resource[element].get("coding", [])]


def extension(resource: dict[str, Any], name: str) -> Any:
    found = [e for e in resource["extension"] if e["url"] == EXTENSION + name]
    return next(v for k, v in found[0].items() if k != "url")


def component(resource: dict[str, Any], code: str) -> list[dict[str, Any]]:
    return [c for c in resource["component"] if any(x["code"] == code for x in c["code"].get("coding", []))]


def registry(name: str) -> list[dict[str, str]]:
    with (folder("mappings") / "registry" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# -- accounted for


@pytest.mark.parametrize(("record", "columns"), [("case", 369), ("report", 64)])
def test_every_column_is_mapped_or_set_aside_with_a_reason(
    maps: dict[str, CompiledMap], record: str, columns: int
) -> None:
    map_ = maps[record]
    assert len(map_.model.columns) == columns and not map_.static_issues
    assert all(len(reason) > 20 for reason in map_.set_aside.values())
    assert len(map_.set_aside) == {"case": 2, "report": 25}[record]


def test_every_code_of_the_maps_is_an_item_of_the_registry(maps: dict[str, CompiledMap]) -> None:
    items = {row["id"] for row in registry("items.csv")}
    used = {code for m in maps.values() for code in re.findall(rf'"{ITEM}", code: ([a-z0-9-]+)', m.text)}
    assert len(used) > 70 and used <= items


def test_every_answer_of_the_concept_tables_is_declared() -> None:
    declared = {row["code"] for row in registry("answers.csv")}
    for path in sorted((folder("mappings") / "concepts").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            used = {r["object_id"] for r in csv.DictReader(file) if r["object_system"] == ANSWER}
        assert used <= declared, path.name


def test_items_say_what_who_and_where() -> None:
    rows = registry("items.csv")
    assert len({r["id"] for r in rows}) == len(rows) > 150
    for row in rows:
        assert row["obligation"] in ("mandatory", "recommended", "optional")
        assert row["meaning_en"] and row["meaning_ja"] and row["type"], row["id"]


def test_reviewed_concepts_have_a_code_and_a_source() -> None:
    for path in sorted((folder("mappings") / "concepts").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert row["subject_id"] and row["object_id"] and row["source"], (path.name, row["subject_id"])
                assert row["object_system"], path.name


# -- the clinical file

REGISTERED = {"registered": "2022/3/4", "age": "61"}
LINE = {
    "before_line": ("2", "３次治療"),
    "before_regimen": "Gemcitabine+Docetaxel",
    "before_drug_en": "Gemcitabine,Docetaxel",
    "before_start": "2021/9/10",
    "before_end": "2022/2/20",
    "before_response": ("C18213", "PR"),
    "before_stop_reason": ("2", "無効中止"),
}


def test_the_year_of_birth_is_derived_and_no_birth_date_is_made_up(stated: Stated) -> None:
    patient = stated("case", REGISTERED).one("patient")
    assert extension(patient, "birth-year-derived") == 1961 and extension(patient, "age-at-registration") == 61
    assert "birthDate" not in patient


def test_where_code_and_label_contradict_the_label_counts(stated: Stated) -> None:
    facts = {"sex": ("2", "男"), "outcome": ("C37987", "死亡"), "death_date": "2023/1/15"}
    found = stated("case", REGISTERED | facts | LINE)
    assert found.one("patient")["gender"] == "male"
    assert answer(found.one("vital_status")) == ["dead"]
    assert found.one("vital_status")["effectiveDateTime"] == "2023-01-15"
    assert answer(found.one("response_before")) == ["PR"]
    assert extension(found.one("line_before"), "line-number") == 3
    for column in ("sex", "outcome", "before_response", "before_line"):
        assert "etl.code-label-disagree" in found.rules(column)


def test_who_is_alive_is_known_alive_on_the_last_day(stated: Stated) -> None:
    found = stated("case", REGISTERED | {"outcome": ("C37987", "生存"), "last_alive": "2023/5/15"})
    assert answer(found.one("vital_status")) == ["alive"]
    assert found.one("vital_status")["effectiveDateTime"] == "2023-05-15"
    assert found.one("last_known_alive")["effectiveDateTime"] == "2023-05-15"
    assert "deceasedDateTime" not in found.one("patient")


def test_each_drug_of_a_line_refers_to_it(stated: Stated) -> None:
    found = stated("case", REGISTERED | LINE)
    line = f"Procedure/{found.one('line_before')['id']}"
    drugs = found.blocks["drug_before"]
    assert [d["medicationCodeableConcept"]["text"] for d in drugs] == ["Gemcitabine", "Docetaxel"]
    assert [answer(d, "medicationCodeableConcept") for d in drugs] == [["12574"], ["72962"]]
    assert {d["partOf"][0]["reference"] for d in drugs} == {line}
    assert found.one("response_before")["partOf"][0]["reference"] == line
    assert found.one("line_before")["status"] == "completed"


def test_a_line_that_goes_on_is_in_progress(stated: Stated) -> None:
    open_line = {k: v for k, v in LINE.items() if k != "before_end"} | {"before_ongoing": ("1", "NA")}
    found = stated("case", REGISTERED | open_line)
    assert found.one("line_before")["status"] == "in-progress"
    assert {d["status"] for d in found.blocks["drug_before"]} == {"active"}


def test_rows_of_a_patient_become_one_with_its_lines_and_sites(stated: Stated) -> None:
    """The cross product of two lines and two sites: two lines, two sites, one patient."""
    lines = (LINE, LINE | {"before_line": ("1", "１次治療"), "before_start": "2021/3/1", "before_end": "2021/8/1"})
    sites = (("C12468", "肺"), ("C12392", "肝"))
    found = stated("case", *(REGISTERED | line | {"metastasis_site": s} for line in lines for s in sites))
    assert len(found.blocks["patient"]) == 1
    assert len(found.blocks["line_before"]) == 2 and len(found.blocks["drug_before"]) == 4
    assert [answer(s) for s in found.blocks["metastasis_site"]] == [["C12468"], ["C12392"]]


def test_the_diagnosis_carries_its_tree_version_and_a_reviewed_morphology(stated: Stated) -> None:
    facts = {"oncotree": ("DDLS", "NA"), "oncotree_version": "2020_04_01", "diagnosis_date": "2021/2/10"}
    found = stated("case", REGISTERED | facts).one("diagnosis")
    assert [(c["code"], c.get("version")) for c in found["code"]["coding"]] == [
        ("DDLS", "2020_04_01"),
        ("8858/3", None),
    ]
    assert found["recordedDate"] == "2021-02-10" and "stage" not in found


def test_a_tumour_nobody_reviewed_keeps_its_oncotree_code_alone(stated: Stated) -> None:
    found = stated("case", REGISTERED | {"oncotree": ("VULVA", "NA"), "oncotree_version": "2020_04_01"})
    assert [c["code"] for c in found.one("diagnosis")["code"]["coding"]] == ["VULVA"]


def test_unknown_or_not_tested_stays_what_it_is_and_a_method_is_kept(stated: Stated) -> None:
    facts = {
        "solid_ntrk_fusion": ("9", "不明or未検査"),
        "lung_egfr": ("NA", "陽性"),
        "lung_egfr_method": ("NA", "PCR法"),
    }
    found = stated("case", REGISTERED | facts)
    assert answer(found.one("solid_ntrk_fusion")) == ["LA4489-6"]
    assert found.one("solid_ntrk_fusion")["valueCodeableConcept"]["text"] == "不明or未検査"
    egfr = found.one("lung_egfr")
    assert answer(egfr) == ["LA6576-8"] and egfr["method"] == {"text": "PCR法"}
    assert egfr["category"][1] == {"text": "lung"}
    assert "lung_alk_fusion" not in found.blocks


def test_what_is_not_stated_is_not_there(stated: Stated) -> None:
    found = stated("case", REGISTERED)
    assert set(found.blocks) == {"hospital", "patient", "registration"}


def test_an_adverse_event_has_its_grade_and_both_names(stated: Stated) -> None:
    facts = {"ae_after_date": "2022/5/10", "ae_after_en": "Neutrophil count decreased"}
    facts |= {"ae_after_jp": "好中球数減少", "ae_after_code": "NA"}
    found = stated("case", REGISTERED | facts | {"ae_after_grade": ("3", "Grade3")}).one("adverse_event_after")
    assert extension(found, "ctcae-grade") == 3 and extension(found, "event-jp") == "好中球数減少"
    assert found["event"]["text"] == "Neutrophil count decreased" and found["date"] == "2022-05-10"


# -- the report

VARIANT = {
    "variant_kind": "small_scale_variant",
    "variant_origin": "Somatic",
    "marker": "BRAF",
    "content": "V600E",
    "allele_fraction": "0.21 (105/502)",
    "chromosome": "7",
    "position": "140753336",
    "reference_base": "A",
    "alternate_base": "T",
}
ONCOGENIC = {"evidence_type": "Oncogenic", "clinical_significance": "Oncogenic", "evidence_level": "F"}
PREDICTIVE = {"evidence_type": "Predictive", "clinical_significance": "Sensitivity/Response", "evidence_level": "A"}


def test_a_variant_says_what_the_row_says_and_no_more(stated: Stated) -> None:
    """No assembly in the file: a coordinate alone, and never genomic HGVS 81290-9, coding 48004-6, protein 48005-3."""
    variant = stated("report", VARIANT).one("variant")
    assert component(variant, "48018-6")[0]["valueCodeableConcept"]["coding"][0]["code"] == "HGNC:1097"
    assert component(variant, "81252-9")[0]["valueCodeableConcept"] == {"text": "BRAF V600E"}
    assert answer(component(variant, "48000-4")[0]) == ["LA21260-7"]
    assert component(variant, "81254-5")[0]["valueRange"] == {"low": {"value": 140753336}}
    for absent in ("81290-9", "48004-6", "48005-3", "62374-4", "51958-7"):
        assert not component(variant, absent)


def test_the_fraction_keeps_its_digits_and_its_own_words(stated: Stated) -> None:
    variant = stated("report", VARIANT | {"allele_fraction": "0.10 (50/500)"}).one("variant")
    fraction = component(variant, "81258-6")[0]
    assert '"value":0.10' in dumps(fraction).decode() and fraction["valueQuantity"]["code"] == "1"
    assert fraction["extension"][0]["valueString"] == "0.10 (50/500)"
    assert component(variant, "82121-5")[0]["valueQuantity"]["value"] == 50


def test_a_fusion_has_two_genes_and_a_written_order(stated: Stated) -> None:
    facts = {"variant_kind": "fusion", "marker": "ETV6-NTRK3", "content": "fusion"}
    variant = stated("report", facts).one("variant")
    assert [answer(c) for c in component(variant, "48018-6")] == [["HGNC:3495"], ["HGNC:8033"]]
    assert component(variant, "81252-9")[0]["valueCodeableConcept"] == {"text": "ETV6::NTRK3 fusion"}


def test_evidences_derive_from_their_one_variant(stated: Stated) -> None:
    found = stated("report", VARIANT | ONCOGENIC, VARIANT | PREDICTIVE | {"drug": "dabrafenib + trametinib"})
    variant = {"reference": f"Observation/{found.one('variant')['id']}"}
    therapy = found.one("therapeutic_implication")
    assert therapy["derivedFrom"] == found.one("oncogenic_implication")["derivedFrom"] == [variant]
    assert [answer(c) for c in component(therapy, "51963-7")] == [["1424911"], ["1425099"]]
    assert not any(k.startswith("value") for k in therapy)  # implications have no value
    assert found.one("panel_report")["result"].count(variant) == 1


def test_one_variant_with_two_fractions_is_told(stated: Stated) -> None:
    other = VARIANT | PREDICTIVE | {"allele_fraction": "0.44 (220/502)", "drug": "dabrafenib"}
    found = stated("report", VARIANT | ONCOGENIC, other)
    assert "0.21 (105/502)" in json.dumps(found.one("variant"), default=str)
    assert [i.rule for i in found.issues] == ["etl.same-id"]


def test_the_burden_has_the_unit_of_the_guide(stated: Stated) -> None:
    row = {"variant_kind": "other_biomarker", "marker": "TMB", "tmb": "6.3Muts/Mb"}
    found = stated("report", row)
    value = found.one("tumour_mutational_burden")["valueQuantity"]
    assert value["code"] == "1/1000000{Base}" and str(value["value"]) == "6.3"
    assert "variant" not in found.blocks


def test_a_burden_that_is_no_number_is_kept_as_a_text(stated: Stated) -> None:
    found = stated("report", VARIANT | {"tmb": "low"})
    assert found.one("tumour_mutational_burden_text")["valueString"] == "low"
    assert "tumour_mutational_burden" not in found.blocks


def test_the_report_points_at_the_patient_of_the_clinical_file(stated: Stated) -> None:
    patient = stated("case", REGISTERED).one("patient")
    report = stated("report", VARIANT)
    assert "patient" not in report.blocks
    assert report.one("panel_report")["subject"]["reference"] == f"Patient/{patient['id']}"


# -- both files, whole


@pytest.mark.shared
@pytest.mark.parametrize(("record", "file"), [("case", "sample_clinical.csv"), ("report", "sample_report.csv")])
def test_the_real_layout_gives_valid_resources_with_unique_ids(
    deliver: Callable[[str, Path], Delivery], shared: Path, record: str, file: str
) -> None:
    found = deliver(record, shared / "data" / "genomics" / "ccat_export" / file)
    resources = list(found.every())
    assert not [i for r in resources for i in check(r)]
    assert len({(r["resourceType"], r["id"]) for r in resources}) == len(resources)
    assert len(found.blocks["patient" if record == "case" else "panel_report"]) == 66


@pytest.mark.shared
def test_the_words_of_the_real_free_texts_are_known(
    deliver: Callable[[str, Path], Delivery], shared: Path, keys: Any
) -> None:
    """At a registry nothing of the clinical file's texts is masked; of the report one misspelt drug name is."""
    from masterkey_etl.identity import protect

    export = shared / "data" / "genomics" / "ccat_export"
    masked = {}
    for record, file in (("case", "sample_clinical.csv"), ("report", "sample_report.csv")):
        found = deliver(record, export / file)
        masked[record] = [i for r in found.every() for i in protect(r, "registry", keys)[1]]
    assert masked["case"] == []
    assert {i.rule for i in masked["report"]} == {"etl.text-masked"} and len(masked["report"]) == 24
