"""The SqlRender layer: parameters, defaults, conditions with precedence, nesting, places of errors."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_omop.ohdsi_sql import OhdsiSqlError, parameters, render
from masterkey_omop.ohdsi_sql.template import trace

TEXT = "{DEFAULT @a = '123'} SELECT * FROM t WHERE x = @a AND {@b == 'blaat'}?{y = 1234}:{x = 1};"

# The documented behaviour of SqlRender (https://ohdsi.github.io/SqlRender/articles/UsingSqlRender.html).
CASES: list[tuple[str, dict[str, Any], str]] = [
    (TEXT, {"a": "abc"}, "SELECT * FROM t WHERE x = abc AND x = 1;"),
    (TEXT, {"a": "abc", "b": ""}, "SELECT * FROM t WHERE x = abc AND x = 1;"),
    (TEXT, {"b": "blaat"}, "SELECT * FROM t WHERE x = 123 AND y = 1234;"),
    ("SELECT 1 {@a}?{WHERE x = 1}", {"a": False}, "SELECT 1 "),
    ("SELECT 1 {@a}?{WHERE x = 1}", {"a": True}, "SELECT 1 WHERE x = 1"),
    ("{1 IN (@a)}?{yes}:{no}", {"a": [1, 2, 3]}, "yes"),
    ("{1 IN (@a)}?{yes}:{no}", {"a": (2, 3)}, "no"),
    ("{@a IN ('x', 'y')}?{yes}", {"a": "y"}, "yes"),
    ("WHERE id IN (@ids)", {"ids": [1, 2]}, "WHERE id IN (1,2)"),
    ("{'@a' == 'Yes' & @b IN (1)}?{both}:{none}", {"a": "Yes", "b": 1}, "both"),
    ("{@a != '' | @b <> 1}?{y}:{n}", {"a": "", "b": 2}, "y"),
    ("{@n < 10}?{few}:{many}", {"n": 9}, "few"),
    ("{@a}?{1{@b}?{2{@c}?{3}}:{4}}:{5}", {"a": 1, "b": 1, "c": 0}, "12"),
    ("{@a}?{1{@b}?{2{@c}?{3}}:{4}}:{5}", {"a": 1, "b": 0, "c": 1}, "14"),
    ("{@a}?{1}:{5}", {"a": "FALSE"}, "5"),
    ("#@prefix_1 @prefix", {"prefix": "tmp"}, "#tmp_1 tmp"),
    ("@a@b", {"a": "cdm", "b": ".person"}, "cdm.person"),
    ("@ab @a", {"a": "1", "ab": "2"}, "2 1"),
    ("{d '2020-01-01'} @@ROWCOUNT", {}, "{d '2020-01-01'} @@ROWCOUNT"),
    ("@x {@x == 1}?{a}:{b}", {}, "@x b"),
    ("{DEFAULT @a = 5}\n{DEFAULT @b = \"q\"}\nSELECT @a, '@b'", {}, "SELECT 5, 'q'"),
]


@pytest.mark.parametrize(("sql", "params", "expected"), CASES)
def test_renders(sql: str, params: dict[str, Any], expected: str) -> None:
    assert render(sql, params) == expected


VALUES = {"a": True, "b": False, "c": True}
PYTHON = {"&": "and", "|": "or", "!": "not "}


@pytest.mark.parametrize(
    "condition",
    [
        "@a | @b & @c",
        "(@a | @b) & @c",
        "!@a | @b",
        "!(@a | @b) & @c",
        "@a & @b | @c",
        "!!@a & !@b",
        "!@a & @b | !@c",
    ],
)
def test_precedence_is_that_of_every_language(condition: str) -> None:
    """`&` binds tighter than `|`, `!` tighter than both, parentheses decide: judged against Python for all
    values."""
    for values in itertools.product((True, False), repeat=3):
        given_values = dict(zip("abc", values, strict=True))
        python = condition
        for sign, word in PYTHON.items():
            python = python.replace(sign, f" {word} ")
        expected = eval(python.replace("@", "").strip(), {}, given_values)
        assert render(f"{{{condition}}}?{{T}}:{{F}}", given_values) == ("T" if expected else "F")


ERRORS = [
    ("SELECT 1\n {@a", {}, 2, 2, "no '}'"),
    ("SELECT 1\n }", {}, 2, 2, "no '{'"),
    ("x\n{@a & }?{y}", {"a": 1}, 2, 7, "missing"),
    ("{@a}?{y}", {"a": "maybe"}, 1, 2, "neither true nor false"),
    ("{(@a == 1}?{y}", {"a": 1}, 1, 10, "')' is missing"),
    ("{@a < 1}?{y}", {"a": "x"}, 1, 2, "order"),
    ("{@a == 1 2}?{y}", {"a": "x"}, 1, 10, "left over"),
    ("{@a == 'x}?{y}", {"a": "x"}, 1, 8, "quote"),
]


@pytest.mark.parametrize(("sql", "params", "line", "column", "what"), ERRORS)
def test_an_error_has_its_place(sql: str, params: dict[str, Any], line: int, column: int, what: str) -> None:
    with pytest.raises(OhdsiSqlError) as caught:
        render(sql, params)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert what in caught.value.what


def test_strict_refuses_what_has_no_value_and_what_is_not_used() -> None:
    with pytest.raises(OhdsiSqlError, match="@b has no value"):
        trace("{@b == 1}?{x}", {}, strict=True)
    with pytest.raises(OhdsiSqlError, match="@typo, which the text does not use"):
        trace("SELECT @a", {"a": 1, "typo": 2}, strict=True)


def test_parameters_are_listed_with_their_defaults() -> None:
    assert parameters("{DEFAULT @a = 'x'} @a {@b}?{1}") == {"a": "x", "b": None}


plain_text = st.text(st.characters(blacklist_characters="@{}", blacklist_categories=["Cs"]), max_size=30)


@given(plain_text, plain_text, st.booleans())
def test_a_choice_gives_one_side_whole(then: str, other: str, choice: bool) -> None:
    assert render(f"<{{@c}}?{{{then}}}:{{{other}}}>", {"c": choice}) == f"<{then if choice else other}>"


@given(plain_text, st.text(max_size=20), plain_text)
def test_a_value_is_put_in_once_and_never_read_again(before: str, value: str, after: str) -> None:
    assert render(f"{before}@p {after}", {"p": value}) == f"{before}{value} {after}"


@given(plain_text, plain_text)
def test_every_offset_has_an_origin(before: str, after: str) -> None:
    source = f"{before}{{1 == 1}}?{{@p!}}{after}#"
    rendered = trace(source, {"p": "a\nlong value"})
    line = rendered.text.count("\n") + 1
    column = len(rendered.text) - rendered.text.rfind("\n") - 1
    assert rendered.origin(line, column) == (source.count("\n") + 1, len(source) - source.rfind("\n") - 1)
