"""Answers as a table: rows, columns and the independent count agree whatever is sent."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support_delivery import Bytes

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import count_values, read_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_etl.templates_out import response
from masterkey_etl.templates_out.form import form
from masterkey_etl.templates_out.questionnaire import URL

MODEL = SourceModel.load("registry_redcap/1")
VALUES = st.one_of(
    st.fixed_dictionaries({"valueString": st.text('ab ,"\n', max_size=4)}),
    st.fixed_dictionaries({"valueInteger": st.integers(-5, 200)}),
    st.fixed_dictionaries({"valueCoding": st.fixed_dictionaries({"code": st.sampled_from(["male", "yes", "odd"])})}),
    st.fixed_dictionaries({"valueQuantity": st.sampled_from([{"value": 0}, {"value": 7, "unit": "mg", "code": "mg"}])}),
    st.sampled_from([{"valueBoolean": True}, {}, {"valueCoding": {}}, {"extension": []}]),
)
QUESTIONS = st.sampled_from(["patient_id", "sex", "age", "line_number", "drugs", "unknown_question", "metastasis_site"])
ITEMS = st.lists(
    st.fixed_dictionaries({"linkId": QUESTIONS, "answer": st.one_of(st.lists(VALUES, max_size=2), st.none())}),
    max_size=4,
)
GROUPS = st.sampled_from(["part.patient", "part.line", "part.metastasis", "part.nowhere", "sex"])
RESPONSES = st.fixed_dictionaries(
    {
        "resourceType": st.sampled_from(["QuestionnaireResponse"] * 3 + ["Patient"]),
        "questionnaire": st.sampled_from([URL, f"{URL}|1", "http://example.org/other"]),
        "item": st.lists(st.fixed_dictionaries({"linkId": GROUPS, "item": ITEMS}), max_size=4),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RESPONSES, min_size=1, max_size=3), st.booleans())
def test_every_answer_is_a_cell_and_the_counts_agree(sent: list[dict[str, Any]], bundled: bool):
    document = {"resourceType": "Bundle", "entry": [{"resource": r} for r in sent]} if bundled else sent
    data = json.dumps(document).encode()
    table = list(csv.reader(io.TextIOWrapper(response.ResponseTable(Bytes(data)).open(), "utf-8", newline="")))
    counted = response.count(io.BytesIO(data))
    assert (counted.rows, counted.columns) == (len(table) - 1, len(table[0]))
    if b'"QuestionnaireResponse"' in data[:4096]:  # what decides that a file holds answers
        ledger = Ledger(MODEL)
        reading = read_delivery(Bytes(data), MODEL, ledger)
        for record in reading:
            assert record.rows
        assert (reading.counts.rows, reading.counts.values) == (
            counted.rows,
            count_values(Bytes(data).open(), MODEL).values,
        )


def test_values_are_written_as_a_site_would_type_them():
    first = [one("patient_id", {"valueString": "H1"}), one("sex", {"valueCoding": {"code": "male"}})]
    lines = [{"valueDate": "2020-01"}], [{"valueDecimal": "61.50"}]
    groups = [
        {"linkId": "part.patient", "item": [*first, one("sex", {"valueCoding": {"code": "female"}})]},
        {"linkId": "part.line", "item": [one("line_start", v) for v in lines[0]]},
        {"linkId": "part.line", "item": [one("height", v) for v in lines[1]]},
    ]
    found = response.rows(form(), {"resourceType": "QuestionnaireResponse", "item": groups})
    assert [r["patient_id"] for r in found] == ["H1"] * 3
    places = [(r["redcap_repeat_instrument"], r["redcap_repeat_instance"]) for r in found]
    assert places == [("", ""), ("line", "1"), ("line", "2")]
    assert (found[0]["sex"], found[1]["line_start"], found[2]["height"]) == ("male; female", "2020-01", "61.50")


def one(link: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"linkId": link, "answer": [value]}


def test_what_is_no_answer_to_this_form_is_not_taken():
    for text in (b"", b"{", b"[1, null]", b'{"resourceType": "QuestionnaireResponse", "item": "none"}'):
        assert list(response.responses(io.BytesIO(text))) == []
        assert response.count(io.BytesIO(text)).rows == 0


def test_a_quantity_is_its_number_and_unit_not_its_unit() -> None:
    answer = {"valueQuantity": {"value": 61, "unit": "years", "code": "a"}}
    item = {"linkId": "part.patient", "item": [{"linkId": "age", "answer": [answer]}]}
    (row,) = response.rows(form(), {"item": [item]})
    assert row["age"] == "61 years"
    answer["valueQuantity"] = {"value": 0}
    assert response.rows(form(), {"item": [item]})[0]["age"] == "0"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("valueReference", {"reference": "Patient/1"}),
        ("valueAttachment", {"data": "aGk="}),
        ("valueCoding", {"system": "urn:x"}),
        ("valueString", ["a"]),
    ],
)
def test_an_answer_that_no_cell_can_hold_is_told_and_counted(name: str, value: Any) -> None:
    patient = [one("patient_id", {"valueString": "H1"}), one("sex", {name: value})]
    resource = {"resourceType": "QuestionnaireResponse", "questionnaire": URL}
    data = json.dumps(resource | {"item": [{"linkId": "part.patient", "item": patient}]}).encode()
    ledger = Ledger(MODEL)
    reading = read_delivery(Bytes(data), MODEL, ledger)
    assert [r.values[MODEL.index["sex"]] for r in reading] == [""]
    assert [i.rule for i in reading.issues if "sex" in i.place.field or i.rule == "etl.column-new"]
    assert reading.counts.values == count_values(Bytes(data).open(), MODEL).values
