"""What is checked in is what the tables of mappings/registry say; form, models and maps fit each other."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import compile_map, load_map
from masterkey_etl.templates_out import shipped
from masterkey_etl.templates_out.form import LANGUAGES, Form

FILES = shipped.files()
MAPS = [name for name in FILES if name.startswith("sites/")]


def table(root: Path, name: str) -> list[dict[str, str]]:
    with (root / "mappings" / "registry" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_generated_files_are_those_checked_in(repository_root: Path):
    found = {name: (repository_root / "mappings" / name).read_text(encoding="utf-8") for name in FILES}
    different = [name for name in FILES if found[name] != FILES[name]]
    assert different == [], "run `python -m masterkey_etl.templates_out.shipped`"


def test_nothing_generated_is_left_over(repository_root: Path):
    mappings = repository_root / "mappings"
    there = [*mappings.glob("sources/registry_*/*.yaml"), *mappings.glob("sites/_common/registry_*.yaml")]
    assert {p.relative_to(mappings).as_posix() for p in there} == set(FILES)


@pytest.mark.parametrize("name", MAPS)
def test_each_map_loads_and_uses_every_column(repository_root: Path, name: str):
    found = load_map(repository_root / "mappings" / name)
    compiled = compile_map(found, SourceModel.load(found.source), Concepts.load(None))
    assert compiled.static_issues == ()


def test_every_item_of_the_registry_is_in_the_form_or_set_aside_with_a_reason(repository_root: Path, the_form: Form):
    aside = {r["item"]: r["reason"] for r in table(repository_root, "template_set_aside.csv")}
    asked = {i.item for i in the_form.items if i.item}
    markers = {r["code"] for r in table(repository_root, "choices.csv") if r["list"] == "marker"}
    items = {r["id"] for r in table(repository_root, "items.csv")}
    assert items - asked - markers == aside.keys()
    assert not aside.keys() & (asked | markers) and all(aside.values())


def test_every_answer_with_a_concept_table_has_its_concept(the_form: Form):
    topics = Concepts.load(None).topics
    lists = {i.topic: i.choices for i in the_form.items if i.topic}
    without = {"yes", "line_phase", "laterality", "tumour_depth", "disease_extent"}
    assert {name for name in lists if name not in topics} == without
    for name, choices in lists.items():
        if name not in without:
            known = topics[name].by_code
            assert [c.code for c in choices if c.code not in known] == [], name


def test_english_and_japanese_are_complete_others_fall_back(the_form: Form):
    assert set(LANGUAGES) == {"en", "ja", "th", "vi", "id", "ms"}
    for group, words in the_form.texts["en"].items():
        if isinstance(words, dict):
            assert the_form.texts["ja"][group].keys() == words.keys(), group
    assert len(the_form.texts["ja"]["instructions"]) == len(the_form.texts["en"]["instructions"])
    for item in the_form.items:
        assert item.labels["en"] and item.labels["ja"], item.column
        assert all(c.labels["en"] and c.labels["ja"] for c in item.choices)
        assert all(item.label(language) for language in LANGUAGES)
    sex = next(i for i in the_form.items if i.column == "sex")
    assert sex.label("ms") == "Jantina" and the_form.text("ms", "words", "optional") == "optional"


def test_headings_of_every_language_are_columns(the_form: Form):
    for part in the_form.parts:
        model = SourceModel.load(f"{shipped.WORKBOOK}/{part.name}")
        for language in LANGUAGES:
            header = [shipped.heading(i, language) + " *" for i in part.items if i.column in model.index]
            match = model.match(header)
            assert match.extra == () and match.found == len(header), (part.name, language)


def test_shapes_are_those_of_the_reviewed_map(repository_root: Path):
    """Registry items, extensions and systems that the templates write are those of the site map of the exporter."""
    import re

    reviewed = (repository_root / "mappings/sites/jp_ncch/case.yaml").read_text(encoding="utf-8")
    items = {r["id"] for r in table(repository_root, "items.csv")}
    common = FILES["sites/_common/registry_redcap.yaml"]
    urls = set(re.findall(r'url: "([^"]+)"', common))
    assert urls <= set(re.findall(r'url: "([^"]+)"', reviewed))
    pattern = r'code: \{coding: (\[\{system: "urn:masterkey:fhir:CodeSystem:registry-item", code: ([a-z0-9-]+), .*\])\}'
    known = {code: text for text, code in re.findall(pattern, reviewed)}
    for text, code in re.findall(pattern, common):
        assert code in items
        if code in known:
            assert text.replace('"', "") == known[code].replace('"', ""), code
