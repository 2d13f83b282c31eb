"""FHIR JSON: what comes back is what came, and what would be lost is refused with its place."""

from __future__ import annotations

import copy
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir import json
from masterkey_fhir.issue import Place

NUMBERS = ["1.10", "0.010", "-0.0", "1e2", "1.0E-7", "0.0000001", "1E+2", "12345678901234567890.123456", "-5", "0"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_come_back_digit_for_digit(number: str) -> None:
    text = f'{{"value":{number}}}'.encode()
    assert json.dumps(json.loads(text)) == text


def test_a_fraction_or_exponent_is_a_decimal_and_a_whole_number_an_int() -> None:
    value = json.loads('{"a":1.10,"b":1e2,"c":3,"d":18446744073709551616}')
    assert [type(v) for v in (value["a"], value["c"], value["d"])] == [Decimal, int, int]
    assert value["b"] == Decimal(100)
    assert json.dumps(value) == b'{"a":1.10,"b":1e2,"c":3,"d":18446744073709551616}'


def test_an_exponent_survives_copies() -> None:
    value = json.loads('{"b":1.0e2}')
    assert json.dumps(copy.deepcopy(value)) == b'{"b":1.0e2}'
    assert json.dumps(pickle.loads(pickle.dumps(value))) == b'{"b":1.0e2}'


def test_a_computed_decimal_has_no_exponent() -> None:
    assert json.dumps({"a": Decimal("1E+2"), "b": Decimal("1E-7")}) == b'{"a":100,"b":0.0000001}'


REFUSED: list[tuple[str | bytes, str, str]] = [
    ('{"a":1,"a":2}', "fhir.json-duplicate", "a"),
    ('{"a" :1,\n"b":[{"x":1,"x":1}]}', "fhir.json-duplicate", "b[0].x"),
    ('{"t":"\\u003a","a":1,"a":2}', "fhir.json-duplicate", "a"),
    ('{"t":"\\u003A","a":1,"a":2}', "fhir.json-duplicate", "a"),
    ('{"a":{"c":1},"a":{"c":1,"d:":"\\":"}}', "fhir.json-duplicate", "a"),
    ('{"resourceType":"Patient","_birthDate":{},"_birthDate":{}}', "fhir.json-duplicate", "Patient.birthDate"),
    (
        '{"resourceType":"Observation","valueQuantity":{"value":1,"value":2}}',
        "fhir.json-duplicate",
        "Observation.value.value",
    ),
    (
        '{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Patient","id":"a","id":"b"}}]}',
        "fhir.json-duplicate",
        "Bundle.entry[0].resource.id",
    ),
    ('{"a b":1,"a b":2}', "fhir.json-duplicate", ""),
    ('{"a":NaN}', "fhir.json-constant", "a"),
    ('{"a":[1,-Infinity]}', "fhir.json-constant", "a[1]"),
    ('{"a":1e401}', "fhir.json-number", "a"),
    ('{"a":1e99999999999999999999}', "fhir.json-number", "a"),
    ('{"a":-1E-4000}', "fhir.json-number", "a"),
    ('{"a":' + "9" * 401 + "}", "fhir.json-number", "a"),
    ('{"a":' + "9" * 5000 + "}", "fhir.json-number", "a"),
    ('{"a":0.' + "9" * 401 + "}", "fhir.json-number", "a"),
    ('{"a":"\\ud800"}', "fhir.json-surrogate", "a"),
    ('{"\\udc00":1}', "fhir.json-surrogate", ""),
    ('{"a":"\ud800"}', "fhir.json-surrogate", "a"),
    ('{"a":' + "[" * 300 + "]" * 300 + "}", "fhir.json-depth", ""),
    ('{"a":' * 20_000, "fhir.json-depth", ""),
    ("[1]", "fhir.json-object", ""),
    ('"a"', "fhir.json-object", ""),
    ("null", "fhir.json-object", ""),
    ("", "fhir.json-syntax", ""),
    ('{"a":1', "fhir.json-syntax", ""),
    ('{"a":1}}', "fhir.json-syntax", ""),
    ("{'a':1}", "fhir.json-syntax", ""),
    ('{"a":01}', "fhir.json-syntax", ""),
    ('{"a":"\t"}', "fhir.json-syntax", ""),
    ('{"a":"x\x00"}', "fhir.json-syntax", ""),
    (b'{"a":"\xff"}', "fhir.json-encoding", ""),
    ('{"a":"é"}'.encode("utf-16"), "fhir.json-encoding", ""),
]


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: str(row[0])[:40])
def test_what_would_be_lost_is_refused(row: tuple[str | bytes, str, str]) -> None:
    text, rule, expression = row
    value, found = json.parse(text, Place("s", "f.json", 3))
    assert value is None
    assert [(i.rule, i.place.expression) for i in found] == [(rule, expression)]
    assert (found[0].place.site, found[0].place.file, found[0].place.row) == ("s", "f.json", 3)
    with pytest.raises(json.JsonError):
        json.loads(text)


def test_all_faults_at_once() -> None:
    _, found = json.parse('{"a":1,"a":NaN,"b":["\\ud800",1e999]}')
    assert [i.rule for i in found] == [
        "fhir.json-duplicate",
        "fhir.json-constant",
        "fhir.json-surrogate",
        "fhir.json-number",
    ]


def test_no_text_of_the_input_in_an_issue() -> None:
    for text in ('{"Tanaka 1970":1,"Tanaka 1970":2}', '{"a":"Tanaka 1970}', '{"a":Tanaka}', '"Tanaka"'):
        _, found = json.parse(text)
        assert found
        assert "Tanaka" not in "".join(map(str, found))


@pytest.mark.parametrize(
    "text",
    ['{"a":"\\":","b":1}', '{"a":"::","b:":" : "}', '{"a":"\\\\u003a"}', '{"a":"\\u003a"}', '{"a":"\\u003c:"}'],
)
def test_colons_in_text_are_no_duplicates(text: str) -> None:
    assert json.loads(text) == json._STRICT.decode(text)


def test_a_byte_order_mark_is_ignored() -> None:
    assert json.loads(b"\xef\xbb\xbf{}") == json.loads("\ufeff{}") == {}


def test_depth_is_bounded_alike_on_both_ways() -> None:
    at_most = '{"a":' + "[" * (json.MAX_DEPTH - 1) + "]" * (json.MAX_DEPTH - 1) + "}"
    assert json.dumps(json.loads(at_most)) == at_most.encode()
    with pytest.raises(json.JsonError):
        json.loads(at_most.replace("[", "[[", 1).replace("]", "]]", 1))


UNWRITABLE: list[tuple[Any, str, str]] = [
    ({"a": object()}, "fhir.json-unwritable", "a"),
    ({"a": [Decimal("NaN")]}, "fhir.json-unwritable", "a[0]"),
    ({"a": "\ud800"}, "fhir.json-surrogate", "a"),
    ({1: "a"}, "fhir.json-unwritable", ""),
]


@pytest.mark.parametrize("row", UNWRITABLE, ids=lambda row: row[1] + row[2])
def test_what_json_can_not_hold_is_named(row: tuple[Any, str, str]) -> None:
    value, rule, expression = row
    with pytest.raises(json.JsonError) as caught:
        json.dumps(value)
    assert [(i.rule, i.place.expression) for i in caught.value.issues] == [(rule, expression)]


def test_pretty() -> None:
    assert json.dumps({"a": Decimal("1.0")}, pretty=True) == b'{\n  "a": 1.0\n}'


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=8
)


@given(st.dictionaries(st.text(), values, max_size=5))
@settings(max_examples=80, deadline=None)
def test_round_trip(value: dict[str, Any]) -> None:
    text = json.dumps(value)
    again = json.loads(text)
    assert again == value
    assert json.dumps(again) == text


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123456789.eE-+tfn\\u \n', max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_value_or_issues(text: str | bytes) -> None:
    value, found = json.parse(text)
    assert (value is None) == bool(found)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c:", '"']), values), max_size=5))
@settings(max_examples=80, deadline=None)
def test_the_quick_way_never_overlooks_a_duplicate(pairs: list[tuple[str, Any]]) -> None:
    text = "{" + ",".join(json.dumps({k: v}).decode()[1:-1] for k, v in pairs) + "}"
    unique = len({k for k, _ in pairs}) == len(pairs)
    assert unique or json._quick(text) is None
    assert (not json.parse(text)[1]) == unique
