"""The published CATS files, read whole: counts against a recount of a few lines, and what the reference says of them.

Placeholders and schema violations: shared/reference/genomics.md 3.1, measured here on the files at hand.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.ledger import Ledger, balance
from masterkey_etl.readers import LocalFile, count_values, read_delivery, recognise
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.cases import case_keys
from masterkey_etl.template.checking import compiled
from masterkey_etl.template.compiled import CompiledMap, MapContext
from masterkey_fhir.check import check
from masterkey_fhir.issue import Issue, Place

Made = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def files(shared: Path) -> list[Path]:
    root = shared / "data/genomics/cats"
    sets = [
        p for p in sorted((root / "conversions").rglob("*cats_format.json")) if "other_biomarker.json" not in p.name
    ]
    found = [*sorted((root / "aggregation").glob("*.cats")), *sets]
    assert len(found) == 26
    return found


@pytest.fixture(scope="module")
def cats_map() -> CompiledMap:
    return compiled(folder("mappings") / "sites/jp_ncch/cats.yaml", None, Concepts.load(None))


def recount(value: Any) -> Iterator[Any]:
    """Every leaf, by the standard library alone."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from recount(inner)
    else:
        yield value


def mapped(path: Path, map_: CompiledMap) -> tuple[Made, list[Issue], Ledger, dict[str, int]]:
    """A file through reader, map and ledger."""
    issues: list[Issue] = []
    ledger = Ledger(map_.model, Place("jp_ncch", path.name))
    ctx = MapContext("jp_ncch", case_keys("jp_ncch"), ledger.place, issues)
    reading = read_delivery(LocalFile(path), map_.model, ledger, issues.append)
    made = [one for record in map_.run(reading, ctx, ledger) for one in record]
    with path.open("rb") as stream:
        rows, fatal = ledger.close(count_values(stream, map_.model))
    assert not fatal, [str(i) for i in fatal]
    return made, issues, ledger, dict(balance(rows))


@pytest.fixture(scope="module")
def read_all(files: list[Path], cats_map: CompiledMap) -> dict[Path, Any]:
    return {path: mapped(path, cats_map) for path in files}


def test_every_file_is_recognised_by_its_content(files: list[Path]) -> None:
    assert {recognise(LocalFile(path)).id for path in files} == {"cats/1.3.0"}


def test_every_leaf_is_accounted_for(read_all: dict[Path, Any]) -> None:
    for path, (_, _, ledger, totals) in read_all.items():
        leaves = sum(1 for _ in recount(json.loads(path.read_text(encoding="utf-8-sig"))))
        assert sum(totals.values()) == ledger.values_read == leaves
        assert totals["unmapped"] == 0
    assert sum(ledger.values_read for _, _, ledger, _ in read_all.values()) == 8755


def test_findings_are_all_there(read_all: dict[Path, Any]) -> None:
    wanted: Counter[str] = Counter()
    for path in read_all:
        document = json.loads(path.read_text(encoding="utf-8-sig"))
        for name, block in (
            ("shortVariants", "short_variant"),
            ("copyNumberAlterations", "copy_number_change"),
            ("rearrangements", "rearrangement"),
        ):
            wanted[block] += sum(item["reported"] for item in document.get("variants", {}).get(name, []))
    found = Counter(block for made, *_ in read_all.values() for block, _ in made)
    assert wanted == Counter(short_variant=375, copy_number_change=108, rearrangement=17)
    assert {block: found[block] for block in wanted} == dict(wanted)
    assert found["tumour_mutational_burden"] == found["microsatellite_instability"] == 24


def test_resources_are_valid(read_all: dict[Path, Any]) -> None:
    for made, *_ in read_all.values():
        for _, resource in made:
            assert check(resource) == []


def texts(path: Path, name: str) -> list[str]:
    return re.findall(rf'"{name}"\s*:\s*"([^"]*)"', path.read_text(encoding="utf-8-sig"))


def told(read_all: dict[Path, Any], rule: str, field: str, part: str = "") -> int:
    issues = [i for _, found, _, _ in read_all.values() for i in found if (i.rule, i.place.field) == (rule, field)]
    return sum(i.count for i in issues if part in str(i))


def test_placeholders_and_violations_are_told_and_counted(read_all: dict[Path, Any]) -> None:
    units = sum(texts(path, "unit").count("absolute copy number") for path in read_all)
    assert told(read_all, "etl.doubted", "cn_unit_1", "since 1.2.1") == units == 102
    assert told(read_all, "etl.doubted", "cn_value_1", "placeholder") == 102  # 0.0 in every one
    assert told(read_all, "etl.doubted", "sv_transcript", "counts up") == 366  # of 368 in the aggregation samples
    assert told(read_all, "etl.leaf-elsewhere", "bm_metric_1") == 9  # type for metricType
    assert told(read_all, "etl.doubted", "bm_state", "text null") == 2
    assert told(read_all, "etl.doubted", "bm_state", "stable is a word") == 5
    assert told(read_all, "etl.doubted", "re_type") == sum(
        texts(p, "rearrangementType").count("FUSION") for p in read_all
    )
    assert told(read_all, "etl.value-refused", "sv_alternate_depth") == 1  # 15.9 reads


def test_no_transcript_stands_beside_a_change_that_is_not_its_own(read_all: dict[Path, Any]) -> None:
    for path, (made, *_) in read_all.items():
        if path.suffix == ".cats":
            texts_ = json.dumps([r for block, r in made if block == "consequence"])
            assert "NM_" not in texts_


VARIANT = {
    "itemId": "variant-1", "chromosome": "1", "position": 5, "referenceAllele": "A", "alternateAllele": "C",
    "alternateAlleleFrequency": 0.5, "sampleItemId": "s", "transcripts": [],
}  # fmt: skip
DOCUMENT = {
    "metaData": {"schemaVersion": "1.2.1", "referenceGenome": {"grcRelease": "GRCh37"}},
    "testInfo": {"testId": "t", "testType": "tumor-only", "panelName": "p", "panelVersion": "1"},
    "sequencingSamples": [{"itemId": "s", "tumorOrNormal": "tumor", "nucleicAcid": "DNA"}],
}


@pytest.fixture
def own(tmp_path: Path, cats_map: CompiledMap) -> Callable[..., Any]:
    def make(**changes: Any) -> Any:
        path = tmp_path / "own.json"
        path.write_text(json.dumps({**DOCUMENT, **changes}), encoding="utf-8")
        return mapped(path, cats_map)

    return make


def test_items_that_are_not_reported_stay_out_and_in_the_ledger(own: Callable[..., Any]) -> None:
    variants = {"shortVariants": [{**VARIANT, "reported": True}, {**VARIANT, "itemId": "variant-2", "reported": False}]}
    made, _, _, totals = own(variants=variants)
    assert [block for block, _ in made].count("short_variant") == 1
    assert totals["set_aside"] >= 7
    assert totals["unmapped"] == 0


def test_what_the_report_hides_is_not_shown(own: Callable[..., Any]) -> None:
    meta = {**DOCUMENT["metaData"], "configOptions": {"hideAlleleFrequency": True, "hideTmbValue": True}}
    metrics = [{"value": 7.5, "unit": "Muts/Mb", "metricType": "TMB"}]
    tmb = {"itemId": "b", "biomarkerType": "TMB", "biomarkerMetrics": metrics, "sampleItemId": "s", "reported": True}
    variants = {"shortVariants": [{**VARIANT, "reported": True}]}
    made, issues, _, _ = own(metaData=meta, variants=variants, otherBiomarkers=[tmb])
    said = json.dumps([r for _, r in made], default=str)
    assert "81258-6" not in said
    assert "7.5" not in said
    assert not [i for i in issues if i.rule == "etl.value-unused"]


def meta(version: str = "1.2.1", **genome: str) -> dict[str, Any]:
    return {"metaData": {"schemaVersion": version, "referenceGenome": genome}}


def variant(without: str = "", **more: Any) -> dict[str, Any]:
    kept = {k: v for k, v in VARIANT.items() if k != without}
    return {"variants": {"shortVariants": [{**kept, "reported": True, **more}]}}


MSI = {"itemId": "b", "biomarkerType": "MSI", "sampleItemId": "s", "reported": True}
NO_METRIC = {"otherBiomarkers": [{**MSI, "biomarkerMetrics": [{"value": 1, "unit": "%"}]}]}


@pytest.mark.parametrize(
    ("changes", "rule", "field"),
    [
        (meta("9.9", grcRelease="GRCh37"), "etl.code-undeclared", "schema_version"),
        (meta(), "etl.leaf-missing", "assembly"),
        (meta("1.0", name="GRCh37", patch="13"), "etl.doubted", "assembly_patch"),
        (meta(grcRelease="GRCh37.p13"), "etl.code-undeclared", "assembly"),
        (variant(testMethod="DNA-seq"), "etl.doubted", "sv_test_method"),
        (variant("sampleItemId"), "etl.leaf-missing", "sv_sample"),
        (NO_METRIC, "etl.doubted", "bm_metric_1"),
        ({"somethingNew": 1}, "etl.leaf-unknown", "somethingNew"),
    ],
)
def test_each_violation_is_told(own: Callable[..., Any], changes: dict[str, Any], rule: str, field: str) -> None:
    _, issues, _, _ = own(**changes)
    assert [i for i in issues if (i.rule, i.place.field) == (rule, field)]


def test_the_model_reads_every_path_of_the_schema(shared: Path) -> None:
    """Nothing the published schema allows is unknown to the source model."""
    model = SourceModel.load("cats/1.3.0")
    schema = json.loads((shared / "data/genomics/cats/schema_v1.2.1.json").read_text(encoding="utf-8"))
    known = {re.sub(r"\[[0-9]+\]", "", p) for c in model.columns for p in model.leaf_paths(c.position)}
    known |= {i.path for i in model.ignored}
    paths = set(leaf_paths(schema, schema, ""))
    assert paths - known == set()


def leaf_paths(schema: Any, node: Any, path: str) -> Iterator[str]:
    if "$ref" in node:
        node = {**schema["definitions"][node["$ref"].rpartition("/")[2]], **node}
    if "properties" in node:
        for name, inner in node["properties"].items():
            yield from leaf_paths(schema, inner, f"{path}.{name}" if path else name)
    elif isinstance(node.get("items"), dict):
        yield from leaf_paths(schema, node["items"], path)
    else:
        yield path
