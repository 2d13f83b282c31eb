"""From a dictionary to records: types, code lists, repeating instruments, events, what is told."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_etl.concepts import Concepts
from masterkey_etl.ledger import balance
from masterkey_etl.redcap import dictionary, draft_map, model, project
from masterkey_etl.redcap.model import Shape
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import compile_map, load_map

from .conftest import Project

FIELDS: tuple[dict[str, str], ...] = (
    {"name": "record_id"},
    {"name": "sex", "type": "radio", "choices": "1, Male | 2, Female", "required": "y"},
    {"name": "born", "validation": "date_dmy"},
    {"name": "phone", "validation": "phone"},
    {"name": "mrn", "identifier": "y"},
    {"name": "age", "validation": "integer", "min": "0", "max": "120"},
    {"name": "race", "type": "checkbox", "choices": "1, A | -2, Not known, or refused"},
    {"name": "pregnant", "type": "yesno", "branching": "[sex] = '2'"},
    {"name": "bmi", "type": "calc", "choices": "[a]/[b]"},
    {"name": "remark", "type": "notes"},
    {"name": "intro", "type": "descriptive"},
    {"name": "visit_date", "form": "visit", "validation": "date_ymd"},
    {"name": "weight", "form": "visit", "validation": "number", "branching": "[visit_date] <> ''"},
)
BLANK = {
    "record_id": "", "redcap_repeat_instrument": "", "redcap_repeat_instance": "", "sex": "", "born": "", "phone": "",
    "mrn": "", "age": "", "race___1": "", "race____2": "", "pregnant": "", "bmi": "", "remark": "", "base_complete": "",
    "visit_date": "", "weight": "", "visit_complete": "",
}  # fmt: skip
BASE = BLANK | {"record_id": "1", "sex": "1", "race___1": "1", "race____2": "0", "base_complete": "2", "age": "40"}


def visit(n: int | str, weight: str = "60", date: str = "2020-01-01", record: str = "1") -> dict[str, str]:
    place = {"record_id": record, "redcap_repeat_instrument": "visit", "redcap_repeat_instance": n}
    return BLANK | place | {"visit_date": date, "weight": weight, "visit_complete": "2"}  # type: ignore[return-value]


def test_columns_say_what_the_dictionary_says(begun: Callable[..., Project], tmp_path: Path):
    found = dictionary.parse(begun(*FIELDS).dictionary.read_text())
    drafted = model.draft(found, Shape(missing=("-99",)))
    text = model.as_yaml(found, Shape(missing=("-99",)), drafted, "redcap_x", "1", "x")
    m = SourceModel.parse(text)
    assert m.key == ("record_id",) and m.null_tokens == ("", "-99")
    assert m.column("sex").codes == {"1": "Male", "2": "Female"} and m.column("sex").required
    assert m.column("race____2").codes == {"0": "Unchecked", "1": "Checked"}
    assert "Not known, or refused" in m.column("race____2").note  # the first comma separates
    assert (m.column("age").type, m.column("age").min, m.column("age").max) == ("integer", 0, 120)
    assert m.column("born").type == "date" and m.column("pregnant").shown_when == "[sex] = '2'"
    personal = {c.id: c.personal for c in m.columns if c.personal != "none"}
    assert personal == {"record_id": "identifier", "phone": "identifier", "mrn": "identifier", "remark": "free_text"}
    assert m.column("base_complete").codes == {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
    assert "intro" not in m.index


def test_two_instances_with_equal_values_stay_two(begun: Callable[..., Project]):
    p = begun(*FIELDS)
    path = p.export([BASE, visit(1), visit(2)])
    got = p.read(p.begin(path), path)
    assert [len(r.groups["visit"]) for r in got.records] == [2]
    said = {b: r["valueCodeableConcept"]["text"] for b, r in got.made if "valueCodeableConcept" in r}
    assert said == {"sex": "Male", "race___1": "Checked", "race____2": "Unchecked"}
    ids = [resource["id"] for block, resource in got.made if block == "visit"]
    assert len(set(ids)) == 2
    assert got.fatal == [] and sum(balance(got.rows).values()) == got.count.values == 3 * len(BLANK)
    assert got.issues == []


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_json_rows_are_the_same_table(begun: Callable[..., Project], suffix: str):
    p = begun(*FIELDS)
    rows = [BASE, visit(1), visit(2, "61.5"), BASE | {"record_id": "2"}]
    rows[1]["redcap_repeat_instance"] = 1  # type: ignore[assignment]  # a number in one sample, a text in another
    path = p.export(rows, f"export.{suffix}")
    got = p.read(p.begin(path), path)
    assert [len(r.groups["visit"]) for r in got.records] == [2, 0]
    assert Counter(b for b, _ in got.made)["visit"] == 2
    assert got.fatal == [] and got.issues == [] and got.count.rows == 4
    positions = got.model.group_positions("visit")
    weight = positions.index(got.model.index["weight"])
    assert [v.values[weight] for v in got.records[0].groups["visit"]] == ["60", "61.5"]


def test_what_deviates_from_the_dictionary_is_told_and_kept(begun: Callable[..., Project]):
    p = begun(*FIELDS)
    rows = [
        BASE | {"pregnant": "1"},  # hidden: sex is 1
        visit(1, date=""),  # weight is hidden without a date
        visit(1) | {"age": "41"},  # the instance again, and a value outside of the instrument
        BASE | {"record_id": "2", "sex": "3", "age": "400"},  # no such code; out of range
        BASE | {"record_id": "3", "sex": "", "pregnant": ""},  # required
        BLANK | {"record_id": "3", "redcap_repeat_instrument": "labs", "redcap_repeat_instance": "1"},
    ]
    path = p.export(rows)
    got = p.read(p.begin(path), path)
    where = {(i.rule, i.place.field, i.place.row) for i in got.issues}
    assert {
        ("etl.field-hidden", "pregnant", 2),
        ("etl.field-hidden", "weight", 3),
        ("etl.row-repeated", "redcap_repeat_instrument", 4),
        ("etl.outside-instrument", "age", 4),
        ("etl.code-undeclared", "sex", 5),
        ("etl.value-refused", "age", 5),
        ("etl.required-empty", "sex", 6),
        ("etl.repeat-unknown", "redcap_repeat_instrument", 7),
    } <= where
    assert got.fatal == [] and sum(balance(got.rows).values()) == got.count.values


def test_a_form_nobody_opened_lacks_nothing(begun: Callable[..., Project]):
    p = begun(*FIELDS, {"name": "cause", "form": "death", "required": "y"}, {"name": "place", "form": "death"})
    rows = [BASE | {"cause": "", "place": "", "death_complete": ""}]
    rows.append(rows[0] | {"record_id": "2", "place": "home"})
    path = p.export(rows)
    got = p.read(p.begin(path), path)
    assert [(i.place.field, i.place.row) for i in got.of("etl.required-empty")] == [("cause", 3)]


def test_logic_over_other_rows_is_said_to_be_not_evaluated(begun: Callable[..., Project]):
    p = begun(*FIELDS, {"name": "other", "form": "visit", "branching": "[sex] = '2'"})
    rows = [r | {"other": "x" if r["redcap_repeat_instrument"] else ""} for r in (BASE, visit(1))]
    path = p.export(rows)
    got = p.read(p.begin(path), path)
    assert [i.place.field for i in got.of("etl.branching-not-evaluated")] == ["other"]
    assert got.of("etl.field-hidden") == []


def test_events_make_items_of_the_forms_filled_in_several(begun: Callable[..., Project]):
    p = begun(*FIELDS)
    event = {"record_id": "1", "redcap_event_name": "baseline_arm_1"}
    first = event | {k: v for k, v in BASE.items() if k != "record_id"} | {"visit_date": "2020-01-01", "weight": "60"}
    second = first | {"redcap_event_name": "month_6_arm_1", "sex": "", "age": "", "race___1": "", "race____2": ""}
    second |= {"base_complete": ""}
    path = p.export([first, second])
    drafted = p.begin(path)
    got = p.read(drafted, path)
    assert drafted.groups == ("visit",)  # base is filled in one event only
    items = got.records[0].groups["visit"]
    event_at = got.model.group_positions("visit").index(got.model.index["visit_event"])
    assert [i.values[event_at] for i in items] == ["baseline_arm_1", "month_6_arm_1"]
    assert got.issues == [] and got.fatal == []


def test_missing_data_codes_are_absent_not_values(begun: Callable[..., Project]):
    p = begun(*FIELDS)
    path = p.export([BASE | {"age": "-99", "born": "-99"}])
    got = p.read(p.begin(path, missing=("-99",)), path)
    assert got.model.column("race____99").optional  # a box for the missing code, where the project has it
    assert ("age", "absent", "-99") in {(r.column, r.status, r.reason) for r in got.rows}
    assert got.issues == []


def test_labelled_export_is_read_by_its_labels(begun: Callable[..., Project]):
    fields = (
        {"name": "record_id", "label": "Record ID"},
        {"name": "sex", "type": "radio", "label": "<b>Sex</b> at birth", "choices": "1, Male | 2, Female"},
        {"name": "race", "type": "checkbox", "label": "Race", "choices": "1, A | 2, B"},
        {"name": "vdate", "form": "visit", "label": "Date", "validation": "date_ymd"},
    )
    p = begun(*fields)
    names = ("Repeat Instrument", "Repeat Instance", "Sex at birth", "Race (choice=A)", "Race (choice=B)", "Date")
    blank = {"Record ID": "1"} | dict.fromkeys(names, "")
    rows = [
        blank | {"Sex at birth": "Male", "Race (choice=A)": "Checked", "Race (choice=B)": "Unchecked"},
        blank | {"Repeat Instrument": "Visit", "Repeat Instance": "1", "Date": "2020-01-01"},
        blank | {"Repeat Instrument": "Visit", "Repeat Instance": "2", "Date": "2020-01-01"},
    ]
    path = p.export(rows)
    got = p.read(p.begin(path), path)
    assert len(got.records) == 1 and len(got.records[0].groups["visit"]) == 2
    assert got.records[0].values[got.model.index["sex"]] == "Male"
    assert got.fatal == [] and not [i for i in got.issues if i.is_error]


def test_a_broken_dictionary_is_told_line_by_line(tmp_path: Path, begun: Callable[..., Project]):
    p = begun(
        {"name": "record_id"},
        {"name": "Bad Name"},
        {"name": "stage", "type": "dropdown", "choices": "more_than_two More than 2 | b, B"},
        {"name": "stage", "type": "text"},
        {"name": "odd", "type": "rainbow"},
        {"name": "late", "form": "other"},
        {"name": "again", "form": "base", "type": "radio"},
    )
    text = p.dictionary.read_text().replace("Variable / Field Name", "1")
    found = dictionary.parse(text + "x,base,,text,a,b,c,,,,,,,,,,,,surplus\n")
    assert Counter(i.rule for i in found.issues) == {
        "etl.redcap-header": 1, "etl.redcap-name": 1, "etl.redcap-choice": 1, "etl.redcap-name-twice": 1,
        "etl.redcap-type": 1, "etl.redcap-no-choices": 1, "etl.redcap-form-scattered": 1, "etl.redcap-row-width": 1,
    }  # fmt: skip
    stage = next(f for f in found.fields if f.name == "stage")
    assert stage.choices == {"more_than_two": "More than 2", "b": "B"}


def test_columns_alike_but_for_punctuation_are_named_not_mixed(begun: Callable[..., Project]):
    p = begun({"name": "record_id"}, {"name": "a_1"}, {"name": "a1"}, {"name": "b"})
    path = p.export([{"record_id": "1", "a_1": "first", "a1": "second", "b": "x", "base_complete": "2"}])
    drafted = p.begin(path)
    assert [(i.rule, i.facts["columns"]) for i in drafted.issues] == [("etl.redcap-alike", "a1")]
    got = p.read(drafted, path)
    assert got.records[0].values[got.model.index["a_1"]] == "first"
    assert got.rules() == ["etl.column-repeated"] and got.fatal == []


def test_what_is_no_dictionary_is_refused(tmp_path: Path):
    with pytest.raises(dictionary.DictionaryError):
        dictionary.parse("a,b\n1,2\n")
    with pytest.raises(dictionary.DictionaryError):
        dictionary.parse("")


def test_drafts_are_not_overwritten_and_logged(begun: Callable[..., Project]):
    p = begun(*FIELDS)
    p.begin()
    with pytest.raises(project.ProjectError):
        p.begin()
    p.begin(revision="2", name="other", repeating=("visit",))
    lines = (p.overlay / "CHANGES.csv").read_text().splitlines()
    assert lines[0] == "date,by,what,from,to" and len(lines) == 3


def test_json_with_a_cut_end_is_read_up_to_it(begun: Callable[..., Project], tmp_path: Path):
    p = begun(*FIELDS)
    drafted = p.begin(p.export([BASE, visit(1)]))
    text = json.dumps([BASE, visit(1), visit(2)])
    path = tmp_path / "cut.json"
    path.write_text(text[:-40])
    got = p.read(drafted, path)
    assert "etl.json-broken" in got.rules() and got.count.rows == 2 and got.fatal == []


NAMES = st.sampled_from(["a", "b_1", "patient", "f", "loinc_1234_5", "snomedct_123456", "Bad", "", "id"])
TEXTS = st.sampled_from(["", "text", "it's \\ <b>so</b>", '"No": #', "\x85", "a\nb", "- {x: y}", "年齢"])
CHOICES = st.sampled_from(["", "1, A | 2", '1, it\'s \\ so | y, "No"', "snomedct_1, X | other, Y", "é|,", "-1, a, b"])
TYPES = st.sampled_from([*sorted(dictionary.TYPES), "rainbow"])
LOGIC = st.sampled_from(["", "[a] = '1'", "[b_1(2)] = '1' or", '"', "[e][a] > 3"])
CHECKS = st.sampled_from(["", "date_mdy", "integer", "number", "email", "datetime_seconds_ymd"])
ROWS = st.lists(st.tuples(NAMES, NAMES, TEXTS, TYPES, TEXTS, CHOICES, TEXTS, CHECKS, LOGIC), max_size=8)


@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_any_dictionary_gives_a_model_and_a_map(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]):
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([dictionary.HEADERS, ["record_id", "f", "", "text", *[""] * 14]])
    writer.writerows([*row[:8], "0", "x", "y", row[8], "y"] for row in rows)
    found = dictionary.parse(out.getvalue())
    shape = Shape(repeating=tuple(found.forms[1:]), missing=("-9",))
    drafted = model.draft(found, shape)
    read = SourceModel.parse(model.as_yaml(found, shape, drafted, "redcap_x", "1", "x"))
    assert read.key == ("record_id",) and len(read.columns) == len(drafted.columns)
    path = tmp_path_factory.mktemp("any") / "map.yaml"
    path.write_text(draft_map.draft(read, drafted.form_of), encoding="utf-8")
    assert compile_map(load_map(path), read, Concepts.load(None)).static_issues == ()
