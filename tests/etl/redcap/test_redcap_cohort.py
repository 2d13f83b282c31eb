"""The rarelink evaluation cohort: seven records read whole and balanced, each deviation reported."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from masterkey_etl.ledger import balance
from masterkey_etl.readers import LocalFile, recognise
from masterkey_etl.redcap import project

from .conftest import Project, Read


@pytest.fixture(scope="module", params=["json", "csv"])
def cohort(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Read, project.Drafted]:
    root = tmp_path_factory.mktemp("rarelink")
    source = shared / "data" / "sites" / "redcap"
    p = Project(root, (source / "dictionary_rarelink_2_0_7.csv").read_text(encoding="utf-8-sig"))
    export = source / "rarelink_evaluation_cohort_flat.json"
    drafted = p.begin(export, name="rarelink")
    assert recognise(LocalFile(export), p.overlay).id == drafted.source
    if request.param == "csv":
        export = p.export(json.loads(export.read_text(encoding="utf-8")), "cohort.csv")
    return p.read(drafted, export), drafted


def test_every_cell_is_accounted_for(cohort: tuple[Read, project.Drafted]):
    got, _ = cohort
    assert (got.count.rows, got.count.columns) == (102, 118)
    assert got.fatal == []
    totals = balance(got.rows)
    assert sum(totals.values()) == 102 * 118 and totals["unmapped"] == 0
    assert totals["rejected"] == 102  # the one column that the dictionary does not know


def test_every_instance_is_an_item(cohort: tuple[Read, project.Drafted], shared: Path):
    got, _ = cohort
    rows = json.loads((shared / "data/sites/redcap/rarelink_evaluation_cohort_flat.json").read_text(encoding="utf-8"))
    expected = Counter((r["record_id"], r["redcap_repeat_instrument"]) for r in rows if r["redcap_repeat_instrument"])
    found = {
        (r.values[got.model.index["record_id"]], group): len(items)
        for r in got.records
        for group, items in r.groups.items()
        if group != "redcap_rows" and items
    }
    assert len(got.records) == 7 and found == expected


def test_each_deviation_from_the_dictionary_is_reported(cohort: tuple[Read, project.Drafted]):
    got, drafted = cohort
    assert {(i.rule, i.place.field) for i in got.issues if i.severity != "information"} == {
        ("etl.column-missing", "loinc_76689_9"),
        ("etl.column-missing", "procedure_ontology"),
        ("etl.column-renamed", "snomedct_122869005_maxo"),
        ("etl.required-empty", "snomedct_305058001"),
        ("etl.required-empty", "hl7fhir_encounter_class"),
        ("etl.required-empty", "family_history_pseudonym"),
        ("etl.required-empty", "snomedct_444018008"),
        ("etl.required-empty", "hl7fhir_fmh_status"),
    }
    assert [(i.rule, i.place.row) for i in drafted.issues] == [("etl.redcap-header", 1), ("etl.redcap-row-width", 83)]


def test_the_dictionary_it_checks_against_is_that_of_a_csv_reader(shared: Path):
    path = shared / "data/sites/redcap/dictionary_rarelink_2_0_7.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        names = [row[0] for row in csv.reader(file)][1:]
    from masterkey_etl.redcap import dictionary

    assert [f.name for f in dictionary.read(path).fields] == names and len(names) == 108


def test_the_smallest_sample_regroups_as_its_authors_expect(shared: Path, tmp_path: Path):
    from .conftest import dictionary_text

    source = shared / "data/sites/redcap"
    fields = [
        {"name": "record_id", "form": "demographics"},
        {"name": "demographics_name", "form": "demographics", "identifier": "y"},
        {"name": "demographics_dob", "form": "demographics", "validation": "date_ymd"},
        {"name": "visit_date", "form": "visit", "validation": "date_ymd"},
        {"name": "visit_weight", "form": "visit", "validation": "number"},
    ]
    p = Project(tmp_path, dictionary_text(*fields))
    export = source / "flat_sample.json"
    got = p.read(p.begin(export), export)
    expected = json.loads((source / "flat_sample_grouped_expected.json").read_text(encoding="utf-8"))
    columns = [got.model.columns[i].id for i in got.model.group_positions("visit")]
    for record, want in zip(got.records, expected, strict=True):
        assert record.values[got.model.index["demographics_dob"]] == want["demographics_dob"]
        items = [dict(zip(columns, item.values, strict=True)) for item in record.groups["visit"]]
        assert [(i["visit_date"], i["visit_weight"], int(i["visit_instance"])) for i in items] == [
            (w["visit_date"], w["visit_weight"], w["redcap_repeat_instance"]) for w in want["repeated_elements"]
        ]
    assert got.issues == [] and got.fatal == []
