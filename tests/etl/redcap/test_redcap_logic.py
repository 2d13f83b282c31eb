"""Branching logic: what one row decides, and what it does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl.redcap.logic import NotEvaluableError, checkbox_column, parse

CASES = [
    ("[sex] = '2'", {"sex": "2"}, True),
    ("[sex] = '2'", {"sex": "1"}, False),
    ('[a] <> ""', {"a": "x"}, True),
    ('[a] <> ""', {}, False),
    ("[a] != 'b' and [c] = 'd'", {"a": "x", "c": "d"}, True),
    ("[a] = '1' or [b] = '1' and [c] = '1'", {"a": "1"}, True),  # and binds tighter
    ("([a] = '1' or [b] = '1') and [c] = '1'", {"a": "1"}, False),
    ("[age] >= 18", {"age": "9"}, False),  # as numbers, not as texts
    ("[age] >= 18", {"age": "18.0"}, True),
    ("[race(-2)] = '1'", {"race____2": "1"}, True),
    ("[x] <> '' or \n[y] <> ''", {"y": "1"}, True),
    ("[a] = [b]", {"a": "k", "b": "k"}, True),
    ("[A] = 'it'", None, None),
    ("[event_1_arm_1][sex] = '2'", None, None),
    ("datediff([a],[b],'y') > 3", None, None),
    ("[current-instance] = 1", None, None),
    ("[a] = '1' and", None, None),
    ("([a] = '1'", None, None),
    ("[a]", None, None),
    ("not [a] = '1'", None, None),
    ("", None, None),
]


@pytest.mark.parametrize(("text", "row", "expected"), CASES)
def test_branching_logic(text: str, row: dict[str, str] | None, expected: bool | None):
    if row is None:
        with pytest.raises(NotEvaluableError):
            parse(text)
    else:
        assert parse(text).holds(row) is expected


@given(st.text(alphabet="[]()'\"ab1 =<>!andor", max_size=40))
def test_any_text_is_evaluated_or_refused(text: str):
    try:
        logic = parse(text)
    except NotEvaluableError:
        return
    assert logic.holds(dict.fromkeys(logic.fields, "1")) in (True, False)


def test_deep_nesting_is_refused_not_a_traceback():
    with pytest.raises(NotEvaluableError):
        parse("(" * 100_000)


def test_checkbox_columns_spell_minus_as_underscore():
    assert checkbox_column("race", "-2") == "race____2"
    assert checkbox_column("race", "A1") == "race___a1"
