"""Any JSON gives a verdict: never an exception, and the fast way and the explaining way agree."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir import json
from masterkey_fhir.check import check, check_json
from masterkey_fhir.check.objects import MOST_SHAPES, ObjectCheck, resource_check
from masterkey_fhir.definitions import resource_types, types


def _bases() -> dict[str, dict[str, Any]]:
    path = Path(__file__).with_name("test_check_mutants.py")
    spec = importlib.util.spec_from_file_location("mutants_for_fuzz", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, dict[str, Any]] = module.BASES
    return found


BASES = _bases()
NAMES = sorted({n for t in types().values() for e in t.elements.values() for n in e.json_names()})
keys = st.sampled_from(NAMES) | st.sampled_from(NAMES).map(lambda n: "_" + n) | st.text(max_size=5)
words = st.sampled_from(["final", "male", "2024-02-30", "Patient/1", "#a", "", " ", "http://x"]) | st.text(max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | words
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(keys, v, max_size=4), max_leaves=12)
names = st.sampled_from(sorted(resource_types()))
resources = st.builds(
    lambda name, rest: {"resourceType": name, **rest}, names, st.dictionaries(keys, values, max_size=6)
)


def agree(value: Any) -> None:
    """The fast filter says yes exactly when nothing can be explained."""
    judge = resource_check()
    explained = list(judge.explain(value))
    for _ in range(2):  # before and after the shapes are known
        fast = bool(judge.ok(value))
        assert not (fast and explained)
        assert len(check(value)) == min(len(explained), 1001)


@given(resources | values)
@settings(max_examples=100, deadline=None)
def test_any_json_gives_a_verdict(value: Any) -> None:
    agree(value)
    assert all(i.is_error for i in check(value))


def places(value: Any, way: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    steps = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [way, *(p for step, item in steps for p in places(item, (*way, step)))]


def put(value: Any, way: tuple[str | int, ...], new: Any) -> Any:
    if not way:
        return new
    value[way[0]] = put(value[way[0]], way[1:], new)
    return value


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_valid_resource_with_one_place_replaced(data: st.DataObject) -> None:
    resource = copy.deepcopy(BASES[data.draw(st.sampled_from(sorted(BASES)))])
    way = data.draw(st.sampled_from(places(resource)))
    agree(put(resource, way, data.draw(values)))


def test_valid_resources_take_the_fast_way_once_their_shape_is_known() -> None:
    for resource in BASES.values():
        check(resource)
        assert resource_check().ok(resource)


@given(st.text(max_size=200) | st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_text_gives_a_verdict(text: str | bytes) -> None:
    resource, found = check_json(text)
    assert found or resource is not None


def test_depth_gives_an_issue_and_no_exception() -> None:
    nested: Any = {"url": "http://x", "valueInteger": 1}
    for _ in range(5000):
        nested = {"url": "http://x", "extension": [nested]}
    found = check({"resourceType": "Patient", "extension": [nested]})
    assert [i.rule for i in found] == ["fhir.json-depth"]


def test_deep_text_that_json_allows_is_judged() -> None:
    text = '{"resourceType":"Questionnaire","status":"draft","item":['
    inner = '{"linkId":"1","type":"group","item":['
    many = 100
    whole = text + inner * many + '{"linkId":"1","type":"display"}' + "]}" * many + "]}"
    assert check_json(whole) == (json.loads(whole), [])
    broken = whole.replace('"display"', '"displayed"')
    (found,) = check_json(broken)[1]
    assert found.rule == "fhir.code"
    assert found.place.expression == "Questionnaire" + ".item[0]" * (many + 1) + ".type"


def test_shapes_are_bounded() -> None:
    coding = ObjectCheck(types()["HumanName"])
    for number in range(MOST_SHAPES + 50):
        order = [f"given{number}", "family"]
        coding.check.ok(dict.fromkeys(order, "x"))
    assert not coding.shapes  # faulty shapes are never kept
    from itertools import islice, permutations

    members = ["id", "use", "text", "family", "period", "given", "prefix"]
    for order_ in islice(permutations(members), MOST_SHAPES + 50):
        coding.check.ok(dict.fromkeys(order_, "x"))
    assert len(coding.shapes) == MOST_SHAPES
