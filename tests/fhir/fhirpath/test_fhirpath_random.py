"""Whatever expression meets whatever resource: an answer or a FhirPathError, never anything else."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.fhirpath import FhirPathError, compile
from masterkey_fhir.fhirpath.functions import FUNCTIONS

_LITERAL_TEXT = """1 -2 0 2.50 'a' '' true {} @2020 @2020-02-29T10:00:00.5+07:00 @T10:30 4'mg' 3~days 1'a'
    2'Cel' $this $index %resource %ucum Patient String (1|2|1) 99999999999999999999.9"""
_LITERALS = st.sampled_from([t.replace("~", " ") for t in re.split(r"\s+", _LITERAL_TEXT)])
_NAME_TEXT = """name given family birthDate deceased active contact identifier extension value id contained code
    multipleBirth communication valueInteger period start"""
_NAMES = st.sampled_from(re.split(r"\s+", _NAME_TEXT))
_OPERATOR_TEXT = "+ - * / & div mod = != ~ !~ < <= > >= and or xor implies | in contains"
_OPERATORS = st.sampled_from(re.split(" ", _OPERATOR_TEXT))
_TYPES = st.sampled_from(["String", "boolean", "Patient", "FHIR.Quantity", "System.Date", "HumanName", "dateTime"])
_FUNCTIONS = st.sampled_from(sorted(FUNCTIONS))


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, _OPERATORS, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, _NAMES).map(lambda t: f"{t[0]}.{t[1]}"),
        st.tuples(inner, _FUNCTIONS, st.lists(inner, max_size=2)).map(lambda t: f"{t[0]}.{t[1]}({', '.join(t[2])})"),
        st.tuples(inner, st.sampled_from(["is", "as"]), _TYPES).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, _TYPES).map(lambda t: f"{t[0]}.ofType({t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]"),
        inner.map(lambda t: f"(-{t})"),
    )


_EXPRESSIONS = st.recursive(st.one_of(_LITERALS, _NAMES), _larger, max_leaves=8)
_SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-5, 2**40), st.decimals(allow_nan=False), st.just("x"))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(_NAMES, inner, max_size=2)),
    max_leaves=6,
)
_WHOLE: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "name": [{"given": ["A", None], "_given": [None, {"id": "g"}], "family": "F", "period": {"start": "2020"}}],
    "birthDate": "1970-05-01",
    "_birthDate": {"extension": [{"url": "u", "valueInteger": 3}]},
    "multipleBirthInteger": 2,
    "contained": [{"resourceType": "Observation", "valueQuantity": {"value": 5, "code": "mg"}}],
}
_RESOURCES = st.one_of(
    st.just(_WHOLE),
    st.dictionaries(_NAMES, _VALUES, max_size=4).map(lambda d: {"resourceType": "Patient"} | d),
    st.dictionaries(_NAMES, _VALUES, max_size=3),
)


@settings(max_examples=100, deadline=None)
@given(_EXPRESSIONS, _RESOURCES, st.booleans())
def test_an_answer_or_a_fhirpath_error(expression: str, resource: dict[str, Any], strict: bool) -> None:
    before = repr(resource)
    try:
        found = compile(expression, strict=strict)(resource)
        assert isinstance(found, list)
        assert None not in found
    except FhirPathError as error:
        assert error.issues
    assert repr(resource) == before
