"""Steps run as one function answer as the same steps taken one by one, siblings and odd arrays included."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_fhir.fhirpath import compile

_TEXT = st.one_of(st.none(), st.sampled_from(["a", "b", ""]))
_EXTRA = st.one_of(st.none(), st.just({"id": "x"}), st.just({"extension": [{"url": "u", "valueCode": "c"}]}))


@st.composite
def codings(draw: st.DrawFn) -> dict[str, Any]:
    out = {"code": draw(_TEXT), "_code": draw(_EXTRA), "display": draw(_TEXT)}
    return {k: v for k, v in out.items() if v is not None}


@st.composite
def names(draw: st.DrawFn) -> dict[str, Any]:
    given = draw(st.lists(st.sampled_from(["x", "y"]), max_size=3))
    out: dict[str, Any] = {"given": given} if given else {}
    if given and draw(st.booleans()):
        out["_given"] = draw(st.lists(_EXTRA, min_size=len(given), max_size=len(given)))
    return out | draw(st.sampled_from([{}, {"family": "F"}, {"_family": {"id": "f"}}]))


_CODEABLE = st.fixed_dictionaries({}, optional={"coding": st.lists(codings(), max_size=3), "text": st.just("t")})
_PATIENT = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "name": st.one_of(names(), st.lists(names(), max_size=3)),
        "maritalStatus": _CODEABLE,
        "communication": st.lists(st.fixed_dictionaries({}, optional={"language": _CODEABLE}), max_size=2),
        "birthDate": st.just("2000"),
        "_birthDate": st.just({"id": "b"}),
    },
)


@pytest.mark.parametrize(
    ("fused", "stepwise"),
    [
        ("name.given", "name.select(given)"),
        ("name.family", "name.select(family)"),
        ("maritalStatus.coding.code", "maritalStatus.select(coding).select(code)"),
        ("communication.language.coding.code", "communication.select(language).select(coding).select(code)"),
        ("communication.language.text", "communication.select(language.text)"),
        ("name.given.first()", "name.select(given).take(1)"),
        ("name.family.first()", "name.select(family)[0]"),
        ("maritalStatus.coding.first().code", "maritalStatus.select(coding).take(1).select(code)"),
        ("communication.language.coding.first()", "communication.select(language).select(coding)[0]"),
        ("name.where(family.exists()).given.first()", "name.where(family.exists()).select(given)[0]"),
        ("birthDate.id | name.family.id", "select(birthDate).select(id) | name.select(family).select(id)"),
    ],
)
@settings(max_examples=40, deadline=None)
@given(patient=_PATIENT)
def test_fused_equals_stepwise(fused: str, stepwise: str, patient: dict[str, Any]) -> None:
    for suffix in ("", ".count()", ".select($this.hasValue())", ".extension('u').value"):
        if fused.startswith(("maritalStatus.coding.first", "communication.language.coding.first")) and "ext" in suffix:
            continue
        assert compile(f"({fused}){suffix}")(patient) == compile(f"({stepwise}){suffix}")(patient)
