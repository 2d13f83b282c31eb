"""Concept tables, and what `masterkey map check | test | new` call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl import template
from masterkey_etl.concepts import Concepts
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import draft

HEAD = "subject_id,subject_label,predicate_id,object_id,object_system,object_label,confidence,status\n"


def table(folder: Path, rows: str, head: str = HEAD) -> Concepts:
    (folder / "concepts").mkdir(exist_ok=True, parents=True)
    (folder / "concepts" / "t.csv").write_text(head + rows, encoding="utf-8")
    return Concepts.load(None, folder)


# -- concept tables


@pytest.mark.parametrize(
    ("rows", "head", "word"),
    [
        (",,,a,,,,reviewed\n", HEAD, "subject_id is empty"),
        ("1,,,,,,,reviewed\n", HEAD, "object_id is empty"),
        ("1,,,a,,,,approved\n", HEAD, "reviewed, candidate, suggested"),
        ("1,,exact,a,,,,reviewed\n", HEAD, "skos:exactMatch"),
        ("1,,,a,,,2,reviewed\n", HEAD, "0 to 1"),
        ("1,,,a,,,,reviewed,more\n", HEAD, "more fields"),
        ("1,a\n", "subject_id,object_id\n", "status is missing"),
        ("1,a,reviewed,x\n", "subject_id,object_id,status,colour\n", "colour"),
        ('1,"a\n', HEAD, ""),
    ],
)
def test_a_mistake_in_a_table_is_named_and_the_rest_is_read(tmp_path: Path, rows: str, head: str, word: str) -> None:
    found = table(tmp_path, rows, head)
    assert [i.rule for i in found.issues] == ["etl.concept-table"]
    assert found.issues[0].place.file == "concepts/t.csv" and word in str(found.issues[0])


def test_only_reviewed_rows_are_used_and_all_are_loaded(tmp_path: Path) -> None:
    found = table(tmp_path, "1,,,a,,,,reviewed\n2,,,b,,,,candidate\n3,,,c,,,,suggested\n")
    assert len(found.topics["t"].rows) == 3 and list(found.table("t", False)) == ["1"]


def test_a_workspace_overlays_subject_by_subject(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    table(shipped, "1,,,a,,,,reviewed\n2,,,b,,,,reviewed\n")
    table(own, "2,,,other,,,,reviewed\n")
    found = Concepts.load(own, shipped).table("t", False)
    assert {k: v[0]["code"] for k, v in found.items()} == {"1": "a", "2": "other"}


def test_the_version_follows_everything_that_decides_the_output(workshop: Any) -> None:
    text = "\n  p: {resourceType: Patient, id: = id(pid), gender: \"= sex.translate('sex')\"}\n"
    first = workshop.compile(text).version
    assert workshop.compile(text).version == first
    workshop.topics["tumour"] += "B,,,x,,,reviewed\n"  # not used by this map
    assert workshop.compile(text).version == first
    workshop.topics["sex"] += "8,,,other,,,reviewed\n"
    assert workshop.compile(text).version != first
    assert workshop.compile(text + "    # a comment\n").version != first


# -- check, test, new


def test_what_ships_has_no_mistake() -> None:
    assert [str(i) for i in template.check()] == []


def test_the_shipped_cases_pass() -> None:
    results = template.test()
    assert results and [str(r) for r in results if not r.passed] == []


@pytest.mark.parametrize("source", ["ccat_case/2020_04", "ccat_report/2020_04"])
def test_a_draft_loads_and_loses_nothing(tmp_path: Path, source: str) -> None:
    path = template.new(source, tmp_path / "draft.yaml")
    assert template.check([path]) == []
    assert "?" in path.read_text(encoding="utf-8")


def test_a_draft_of_the_small_source(workshop: Any, make_record: Any) -> None:
    text = draft.draft(SourceModel.parse(workshop.model_text))
    (workshop.folder / "draft.yaml").write_text(text, encoding="utf-8")
    compiled = template.compile_map(
        template.load_map(workshop.folder / "draft.yaml"), workshop.model, workshop.concepts()
    )
    lines = (("1", "d", "2020/1/1"),)
    record = make_record(lines, sex="1", sex_label="男", age="3", weight="1.0", seen="2020", smoker="1", note="n")
    out = workshop.run(compiled, record)
    assert compiled.static_issues == () and out.closing == [] and out.issues == []
    assert "unmapped" not in {r.status for r in out.rows}


def case_folder(root: Path) -> Path:
    """A workspace with a source, a map and a case of its own."""
    own = root / "mappings"
    files = {
        "sources/tiny/1.yaml": 'format: tiny\nrevision: "1"\ntitle: t\ncitation: own\nrecord: r\nkey: [pid]\ncolumns:\n'
        "  - {id: pid, header: tiny pid, type: text, personal: identifier}\n"
        "  - {id: weight, header: tiny weight, type: decimal}\n"
        "  - {id: other, header: tiny other, type: text}\n",
        "sites/zz_site/tiny.yaml": "source: tiny/1\nresources:\n  w:\n    resourceType: Observation\n"
        "    id: = id(pid)\n"
        "    status: final\n    code: {text: weight}\n    valueQuantity: = weight.quantity('kg', 'kg')\n"
        "set_aside: [{columns: [other], reason: no use}]\n",
        "cases/zz_site/one/file.csv": "tiny pid,tiny weight,tiny other\nP1,61.0,x\nP2,heavy,\n",
    }
    for name, text in files.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text, encoding="utf-8")
    return own / "cases/zz_site/one"


def test_a_case_is_written_passes_and_shows_a_difference(tmp_path: Path) -> None:
    case = case_folder(tmp_path)
    (before,) = template.test([case], data=tmp_path)
    assert not before.passed and "fhir.json is missing" in str(before)
    (written,) = template.test([case], data=tmp_path, write=True)
    assert written.passed and written.resources == 1
    (again,) = template.test([case], data=tmp_path)
    assert again.passed and str(again).startswith("ok")
    assert "heavy" not in (case / "issues.csv").read_text(encoding="utf-8")
    expected = json.loads((case / "fhir.json").read_text(encoding="utf-8"))
    assert '"value":61.0' in (case / "fhir.json").read_text(encoding="utf-8").replace(" ", "")
    expected[0]["resource"]["valueQuantity"]["value"] = 62
    (case / "fhir.json").write_text(json.dumps(expected), encoding="utf-8")
    (case / "issues.csv").write_text("rule,field,row,count\n", encoding="utf-8")
    (changed,) = template.test([case], data=tmp_path)
    assert any("valueQuantity.value: expected 62, came 61.0" in d for d in changed.differences)
    assert any(d.startswith("Issue etl.") for d in changed.differences)


def test_a_case_of_a_broken_map_names_the_mistake(tmp_path: Path) -> None:
    case = case_folder(tmp_path)
    path = tmp_path / "mappings/sites/zz_site/tiny.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("weight.q", "wieght.q"), encoding="utf-8")
    (result,) = template.test([case], data=tmp_path)
    assert not result.passed and "weight" in str(result)
    assert [i.rule for i in template.check([path], data=tmp_path)] == ["etl.map-name"]


def test_a_forgotten_column_is_fatal(tmp_path: Path) -> None:
    case_folder(tmp_path)
    path = tmp_path / "mappings/sites/zz_site/tiny.yaml"
    path.write_text(path.read_text(encoding="utf-8").split("set_aside")[0], encoding="utf-8")
    (found,) = template.check([path], data=tmp_path)
    assert (found.rule, found.severity, found.place.field) == ("etl.silent-loss-static", "fatal", "other")
    assert "set_aside" in found.remedy()
