"""Code/label pairs, collapsing by key, groups, and what the ledger says of them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl.readers import limits
from masterkey_etl.readers.pairs import code_for_message, judge
from masterkey_etl.source_model import Pair, SourceModel


def pair(winner: str) -> Pair:
    return Pair(code=0, label=1, codes={"1": "男", "2": "女"}, winner=winner)


@pytest.mark.parametrize(
    ("winner", "code", "label", "expected"),
    [
        ("code", "1", "男", ("1", "男", "")),
        ("label", "1", "男", ("男", "男", "")),
        ("code", "1", "女", ("1", "", "disagree")),
        ("label", "1", "女", ("女", "女", "disagree")),
        ("code", "1", "other", ("1", "", "disagree")),
        ("code", "3", "男", ("3", "男", "undeclared")),
        ("code", "", "女", ("2", "女", "code-missing")),
        ("code", "", "other", ("", "", "code-missing")),
        ("label", "", "女 ", ("女", "女 ", "code-missing")),
        ("code", "2", "", ("2", "", "")),
        ("label", "2", "", ("女", "", "label-missing")),
        ("label", "", "", ("", "", "")),
    ],
)
def test_verdicts(winner, code, label, expected):
    found = judge(pair(winner), code, label)
    assert (found.code, found.label, found.problem) == expected


def test_full_width_labels_agree():
    p = Pair(code=0, label=1, codes={"1": "1次治療"}, winner="code")
    assert judge(p, "1", "１次治療").problem == ""


def test_each_disagreement_is_an_issue_and_a_rejected_cell(read_text, good):
    got = read_text(good("a"), good("b").replace("1,男", "2,男"), good("c").replace("A,生存", "D,生存"))
    sex, outcome = [i for i in got.issues if i.rule == "etl.code-label-disagree"]
    assert (sex.place.row, sex.place.field, outcome.place.row, outcome.place.field) == (3, "sex", 4, "outcome")
    assert "code 2 means 女" in str(sex) and "says 男" in str(sex)
    assert sex.record and "b" not in sex.record
    assert (got.value(1, "sex"), got.value(1, "sex_label")) == ("2", "")
    assert (got.value(2, "outcome"), got.value(2, "outcome_label")) == ("生存", "生存")
    assert (got.cells("sex_label", "rejected"), got.cells("outcome", "rejected")) == (1, 1)


def test_a_new_code_is_named_and_goes_on(read_text, good):
    got = read_text(good("a").replace("1,男", "3,無回答"))
    assert "code 3 is not in the code list" in str(got.only("etl.code-undeclared"))
    assert got.value(0, "sex") == "3"


@pytest.mark.parametrize("code", ["山田花子", "0901234567", "Yamada", "1234", "H1234567", "HN12345"])
def test_what_may_be_a_person_is_not_named_as_a_code(code):
    assert code not in code_for_message(code)


@pytest.mark.parametrize("code", ["C62222", "C28554", "D34", "9", "T4"])
def test_a_code_is_named(code):
    assert code_for_message(code) == code


def test_a_missing_code_is_filled_from_its_label_and_stays_absent_in_the_ledger(read_text, good):
    got = read_text(good("a").replace("1,男", "NA,女"))
    assert got.only("etl.code-missing").count == 1
    assert got.value(0, "sex") == "2"
    assert got.cells("sex", "absent") == 1
    assert got.reading.ledger.cells(got.records[0], got.reading.model.index["sex"]) == 0


def test_rows_of_one_key_become_one_record_with_groups(read_text, good):
    got = read_text(good("a"), good("a").replace("R1,2019/1/2", "R2,2019/3/4"), good("a"), good("b"))
    a, b = got.records
    assert a.rows == (2, 3, 4)
    assert [(c.values, c.rows) for c in a.groups["lines"]] == [
        (["R1", "2019/1/2"], (2, 4)),
        (["R2", "2019/3/4"], (3,)),
    ]
    assert b.rows == (5,)
    assert got.rules == []


def test_an_empty_group_part_is_dropped(read_text, good):
    got = read_text(good("a").replace("R1,2019/1/2", "NA,"), good("a"))
    assert [c.values for c in got.records[0].groups["lines"]] == [["R1", "2019/1/2"]]


def test_keys_that_lie_apart_still_collapse(read_text, good):
    got = read_text(good("a"), good("b"), good("a"), good("c"), good("b"))
    assert {r.values[0]: r.rows for r in got.records} == {"a": (2, 4), "b": (3, 6), "c": (5,)}


def test_a_column_that_changes_between_rows_keeps_the_first_stated_value(read_text, good):
    got = read_text(good("a").replace(",60,", ",NA,"), good("a"), good("a").replace(",60,", ",61,"))
    found = got.only("etl.changes-between-rows")
    assert (found.place.row, found.place.field) == (4, "age")
    assert got.value(0, "age") == "60"
    age = got.reading.model.index["age"]
    assert (got.cells("age", "rejected"), got.cells("age", "absent")) == (1, 1)
    assert got.reading.ledger.cells(got.records[0], age) == 1


def test_a_key_of_very_many_rows_does_not_become_one_giant_record(read_text, good, monkeypatch):
    monkeypatch.setattr(limits, "ROWS_PER_RECORD", 3)
    got = read_text(*(good("********") for _ in range(5)))
    assert got.only("etl.key-of-many-rows").facts["rows"] == 5
    assert got.records[0].rows == (2, 3, 4)
    assert got.cells("age", "rejected") == 2


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.sampled_from([1, 3, 1000]))
def test_collapse_is_the_same_however_little_is_held(tiny_runner, keys, held):
    whole = tiny_runner(keys, 10**6)
    assert tiny_runner(keys, held) == whole
    assert dict(whole) == {k: tuple(n for n, key in enumerate(keys, 2) if key == k) for k in keys}


@pytest.fixture(scope="module")
def tiny_runner(tiny: SourceModel, header: str, good, run_bytes, tmp_path_factory):
    """Keys -> sorted (key, rows), with so many rows held in memory before the spill."""
    scratch = tmp_path_factory.mktemp("scratch")

    def runner(keys: list[str], held: int) -> list[tuple[str, tuple[int, ...]]]:
        with pytest.MonkeyPatch().context() as patch:
            patch.setattr(limits, "HELD_ROWS", held)
            got = run_bytes("\n".join((header, *map(good, keys))).encode(), tiny, scratch)
        assert list(scratch.iterdir()) == []
        return sorted((r.values[0], r.rows) for r in got.records)

    return runner


def test_many_key_runs_are_compared_part_by_part(monkeypatch, tmp_path):
    from masterkey_etl.readers.runs import scattered

    random.seed(4)
    keys = [(str(random.randrange(300)),) for _ in range(2000)]
    whole = scattered(iter(keys), None)
    monkeypatch.setattr(limits, "RUNS", 150)
    assert scattered(iter(keys), tmp_path) == whole
    assert list(tmp_path.iterdir()) == []
