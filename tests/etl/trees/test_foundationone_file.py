"""The published FoundationOne sample, read whole and balanced, from file to CDM."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.ledger import Ledger, LedgerRow, balance
from masterkey_etl.readers import LocalFile, count_values, read_delivery, recognise
from masterkey_etl.template.cases import case_keys
from masterkey_etl.template.checking import compiled
from masterkey_etl.template.compiled import MapContext
from masterkey_fhir.check import check
from masterkey_fhir.issue import Issue, Place

Read = tuple[list[tuple[str, dict[str, Any]]], list[Issue], list[LedgerRow], Any]


@pytest.fixture(scope="module")
def sample(shared: Path) -> Path:
    return shared / "data/genomics/foundationone/sample.xml"


@pytest.fixture(scope="module")
def report(sample: Path) -> Read:
    map_ = compiled(folder("mappings") / "sites/jp_ncch/foundationone.yaml", None, Concepts.load(None))
    issues: list[Issue] = []
    ledger = Ledger(map_.model, Place("jp_ncch", sample.name))
    ctx = MapContext("jp_ncch", case_keys("jp_ncch"), ledger.place, issues)
    reading = read_delivery(LocalFile(sample), map_.model, ledger, issues.append)
    made = [one for record in map_.run(reading, ctx, ledger) for one in record]
    with sample.open("rb") as stream:
        rows, fatal = ledger.close(count_values(stream, map_.model))
    assert not fatal, [str(i) for i in fatal]
    return made, issues, rows, reading


def test_it_is_recognised_by_its_content(sample: Path) -> None:
    assert recognise(LocalFile(sample)).id == "foundationone/2"


def test_every_leaf_is_accounted_for(sample: Path, report: Read) -> None:
    leaves = 0
    for element in ElementTree.parse(sample).iter():
        leaves += len(element.attrib)
        leaves += not len(element) and bool((element.text or "").strip() or not element.attrib)
    _, _, rows, reading = report
    assert sum(balance(rows).values()) == reading.counts.values == leaves == 1400


def test_48_short_variants_5_copy_number_alterations_1_rearrangement_tmb_msi(report: Read) -> None:
    made, issues, rows, _ = report
    genes = {r.column: r.n for r in rows if r.column in ("sv_gene", "cn_gene", "re_gene")}
    assert genes == {"sv_gene": 48, "cn_gene": 5, "re_gene": 1}
    blocks = Counter(block for block, _ in made)
    assert blocks["short_variant"] == 47  # the file has one variant twice, letter by letter
    assert [i.count for i in issues if i.rule == "etl.part-repeated"] == [1]
    assert (blocks["copy_number_change"], blocks["rearrangement"]) == (5, 1)
    by_block = dict(made)
    assert str(by_block["tumour_mutational_burden"]["valueQuantity"]["value"]) == "0.73"
    assert by_block["microsatellite_instability"]["valueCodeableConcept"]["text"] == "MSS"


def test_what_is_odd_in_it_is_told(report: Read) -> None:
    _, issues, _, _ = report
    found = {(i.rule, i.place.field) for i in issues}
    assert {("etl.doubted", c) for c in ("quality", "re_first", "re_second", "re_other_gene")} <= found
    assert ("etl.leaf-elsewhere", "re_gene") in found  # target-gene for targeted-gene
    assert not {i.rule for i in issues} & {"etl.leaf-unknown", "etl.value-unused", "etl.no-concept"}


def test_nothing_of_a_person_but_what_is_needed(report: Read) -> None:
    made, issues, _, _ = report
    said = str(made) + " ".join(map(str, issues))
    for name in ("Patient, Test", "Smith", "Public", "Vergilio", "ABC Oncology"):
        assert name not in said
    patient = dict(made)["patient"]
    assert set(patient) == {"resourceType", "id", "identifier", "gender", "birthDate"}


def test_resources_are_valid(report: Read) -> None:
    for _, resource in report[0]:
        assert check(resource) == []
