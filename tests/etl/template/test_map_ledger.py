"""What becomes of each value: the six statuses, their reasons, their Issues, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_etl.record import Record

Make = Callable[..., Record]

FULL = """
  patient:
    resourceType: Patient
    id: = id(pid)
    gender: = sex.translate('sex')
    deceasedDateTime: = died
  status:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: status}
    subject: = reference(patient)
    effectiveDateTime: = seen
    valueInteger: = age
    component:
      - code: {text: weight}
        valueQuantity: = weight.quantity('kg', 'kg')
      - code: {text: smoker}
        valueBoolean: = smoker
  tumour:
    $when: = tumour != '-'
    $else: no tumour
    resourceType: Condition
    id: = id(pid)
    subject: = reference(patient)
    code: = tumour.codeable('tumour')
    note: [{text: = note}]
  line:
    $each: lines
    resourceType: Procedure
    id: = id(pid, line, drug)
    status: completed
    subject: = reference(patient)
    code: {text: = drug}
    performedDateTime: = started
    extension: [{url: "urn:line", valueInteger: = line}]
"""


def test_mapped_translated_absent(workshop: Any, make_record: Make) -> None:
    out = workshop.map(FULL, make_record(sex="1", age="4", tumour="A"), make_record(pid="P2", sex="2"))
    assert (out.status("sex"), out.status("tumour")) == ({"translated": 2}, {"absent": 1, "translated": 1})
    assert (out.status("age"), out.status("pid")) == ({"absent": 1, "mapped": 1}, {"mapped": 2})
    assert out.issues == [] and out.closing == []


def test_no_concept_is_unmapped_and_told_once_per_record_and_column(workshop: Any, make_record: Make) -> None:
    out = workshop.map(FULL, make_record(sex="7", tumour="B"))
    assert (out.status("sex"), out.status("tumour")) == ({"unmapped": 1}, {"unmapped": 1})
    assert out.reasons("sex") == ["no concept in concepts/sex.csv"]
    (issue,) = [i for i in out.issues if i.place.field == "sex"]
    assert (issue.rule, issue.facts["value"], issue.place.row) == ("etl.no-concept", "'7'", 2)
    assert issue.record and "P1" not in issue.record
    assert out.one("tumour")["code"] == {"text": "B"}  # the source's own text travels on


ITEMS = """
  x:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: x}
    component:
      - $each: = note.split(',')
        code: {coding: ["= item.trim().coding('tumour')"], text: = item}
  y:
    $each: [lines, "= drug.split(',')"]
    resourceType: Observation
    id: = id(pid, item)
    status: final
    code: {coding: ["= item.coding('tumour')"], text: = item}
"""


def test_what_an_item_lacks_is_told_under_the_column_it_came_from(workshop: Any, make_record: Make) -> None:
    lines = (("1", "A,B,C", ""), ("2", "A", ""), ("3", "D", ""))
    out = workshop.map(ITEMS, make_record(lines, note="A, ,Yamada"))
    assert (out.status("note"), out.status("drug")) == ({"unmapped": 3}, {"unmapped": 2, "translated": 1})
    assert [(i.rule, i.place.field, i.count) for i in out.issues] == [
        ("etl.no-concept", "drug", 2),
        ("etl.no-concept", "note", 1),
    ]
    assert [c["code"]["text"] for c in out.one("x")["component"]] == ["A", " ", "Yamada"]
    assert "Yamada" not in str(out.issues)
    assert workshop.map(ITEMS, make_record((("1", "A", ""),), note="A, ")).rules == []


def test_only_the_value_that_was_looked_up_lacks_a_concept(workshop: Any, make_record: Make) -> None:
    text = "\n  x: {resourceType: Observation, id: = id(pid), status: final,\n"
    text += "      code: '= coalesce(tumour, note).codeable(''tumour'')'}\n"
    out = workshop.map(text, make_record(tumour="B", note="n"))
    assert [(i.rule, i.place.field) for i in out.issues] == [
        ("etl.no-concept", "tumour"),
        ("etl.value-unused", "note"),
    ]


def test_a_candidate_row_is_not_used(workshop: Any, make_record: Make) -> None:
    assert workshop.map(FULL, make_record(sex="9")).status("sex") == {"unmapped": 1}


def test_else_gives_the_reason(workshop: Any, make_record: Make) -> None:
    out = workshop.map(FULL, make_record(sex="1", tumour="-", note="secret"))
    assert out.of("tumour") == []
    assert (out.status("note"), out.reasons("note")) == ({"set_aside": 1}, ["no tumour"])
    assert out.status("tumour") == {"set_aside": 1}
    assert out.issues == []


def test_without_else_the_value_is_reported_and_an_empty_condition_too(workshop: Any, make_record: Make) -> None:
    text = FULL.replace("    $else: no tumour\n", "")
    out = workshop.map(text, make_record(sex="1", tumour="-", note="Yamada"))
    assert (out.status("note"), out.rules) == ({"unmapped": 1}, ["etl.value-unused", "etl.value-unused"])
    assert not any("Yamada" in str(i) for i in out.issues)
    assert workshop.map(text, make_record(sex="1", note="x")).rules == ["etl.condition-empty", "etl.value-unused"]


def test_a_value_another_block_uses_is_mapped_whatever_else_says(workshop: Any, make_record: Make) -> None:
    text = (
        FULL
        + """
  second:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: note}
    valueString: = note
"""
    )
    assert workshop.map(text, make_record(tumour="-", note="n")).status("note") == {"mapped": 1}


def test_the_branch_not_taken_is_unused(workshop: Any, make_record: Make) -> None:
    text = "\n  x: {resourceType: Observation, id: = id(pid), status: final, code: {text: x},\n"
    text += "      valueDateTime: '= coalesce(died, seen)'}\n"
    out = workshop.map(text, make_record(died="2020/1/1", seen="2019/1/1"))
    assert (out.status("died"), out.status("seen")) == ({"mapped": 1}, {"unmapped": 1})
    text = text.replace("coalesce(died, seen)", "iif(smoker, died, seen)")
    out = workshop.map(text, make_record(died="2020/1/1", seen="2019/1/1", smoker="no"))
    assert (out.one("x")["valueDateTime"], out.status("died")) == ("2019-01-01", {"unmapped": 1})


def test_what_cannot_be_read_is_rejected(workshop: Any, make_record: Make) -> None:
    out = workshop.map(FULL, make_record((("x", "d", "2020/2/30"),), age="many", died="yesterday"))
    assert [out.status(c) for c in ("age", "died", "line", "started")] == [{"rejected": 1}] * 4
    assert {i.rule for i in out.issues} == {"etl.not-readable"} and out.closing == []


def test_cells_of_a_collapsed_record_count_each(workshop: Any, make_record: Make) -> None:
    lines = (("1", "a", "2020/1/1"), ("2", "b", ""), ("3", "", "2020/1/1"))
    out = workshop.map(FULL, make_record(lines, sex="7", note="n", tumour="-"))
    assert out.status("sex") == {"unmapped": 3} and out.status("note") == {"set_aside": 3}
    assert out.status("drug") == {"absent": 1, "mapped": 2}
    assert out.status("started") == {"absent": 1, "mapped": 2}
    assert [i.count for i in out.issues] == [1] and out.closing == []


def test_set_aside_columns_have_their_reason(workshop: Any, make_record: Make) -> None:
    text = FULL.replace("    note: [{text: = note}]\n", "")
    out = workshop.map(text, make_record(note="n"), rest="set_aside: [{columns: [note], reason: free text}]")
    assert (out.status("note"), out.reasons("note")) == ({"set_aside": 1}, ["free text"])


LEAVES = [
    line
    for line in FULL.splitlines()
    if "= " in line and " id:" not in line and "reference" not in line and "$" not in line
]


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda v: v.strip())
def test_a_deleted_leaf_is_a_silent_loss_that_names_its_column(workshop: Any, make_record: Make, leaf: str) -> None:
    """Delete any leaf: the column is named before any data, and with its number of values after."""
    whole = workshop.compile(FULL)
    assert whole.static_issues == ()
    text = FULL.replace(leaf + "\n", "" if "        " not in leaf else "        valueString: none\n")
    less = workshop.compile(text)
    named = {i.facts["column"] for i in less.static_issues}
    gone = {whole.model.columns[p].id for p in whole.used - less.used}
    assert named == gone
    full = make_record(
        (("1", "d", "2020/1/1"),),
        sex="1",
        sex_label="男",
        age="1",
        weight="1.5",
        seen="2020/1/1",
        died="2021/1/1",
        smoker="1",
        tumour="A",
        note="n",
    )
    lost = {i.facts["column"]: i.facts["lost"] for i in workshop.run(less, full, full).closing}
    assert lost == dict.fromkeys(gone, 2)
    elsewhere = ("= line}", "= drug}", "= tumour.")  # those columns are in an id or a condition too
    assert gone or any(e in leaf for e in elsewhere)


CELL = st.sampled_from(["", "", "1", "2", "A", "-", "x", "2020/1/1", "2020/2/30", "no", "1.50"])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.fixed_dictionaries(
        dict.fromkeys(("sex", "sex_label", "age", "weight", "seen", "died", "smoker", "tumour", "note"), CELL)
    ),
    lines=st.lists(st.tuples(CELL, CELL, CELL).filter(any), max_size=4, unique=True),
)
def test_every_value_ends_in_the_ledger_once(
    workshop: Any, make_record: Make, cells: dict[str, str], lines: list[tuple[str, str, str]]
) -> None:
    """Rows x columns = lines of the ledger, whatever the record holds; and a value that shows nowhere is told."""
    compiled = _compiled.setdefault(str(workshop.folder), None) or workshop.compile(FULL)
    _compiled[str(workshop.folder)] = compiled
    out = workshop.run(compiled, make_record(tuple(lines), **cells))
    assert out.closing == []
    assert sum(r.n for r in out.rows) == max(1, len(lines)) * 13
    emitted = repr(out.made)
    for column in ("note", "tumour"):
        if set(out.status(column)) == {"mapped"}:
            assert repr(cells[column]) in emitted


_compiled: dict[str, Any] = {}
