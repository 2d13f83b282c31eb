"""Expressions of the map language against the FHIRPath engine, which is held to the official suite, as oracle."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from masterkey_etl.record import Record
from masterkey_fhir.fhirpath import FhirPathError
from masterkey_fhir.fhirpath import compile as fhirpath

Make = Callable[..., Record]

BLOCK = """
  x:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {{text: x}}
    {leaf}: {value}
"""
LEAF = {
    "string": "valueString",
    "integer": "valueInteger",
    "boolean": "valueBoolean",
    "decimal": "valueQuantity",
    "date": "valueDateTime",
}


def evaluate(workshop: Any, record: Record, expression: str, type_: str) -> Any:
    """The value of one leaf, None when it is empty."""
    quoted = '"= ' + expression.replace("\\", "\\\\").replace('"', '\\"') + '"'
    value = f"{{value: {quoted}}}" if type_ == "decimal" else quoted
    made = workshop.map(BLOCK.format(leaf=LEAF[type_], value=value), record).of("x")
    found = made[0].get(LEAF[type_]) if made else None
    return found["value"] if type_ == "decimal" and found is not None else found


# -- golden


@pytest.mark.parametrize(
    ("expression", "type_", "expected"),
    [
        ("seen.year() - age", "integer", 1958),
        ("seen", "date", "2019-11"),
        ("started", "date", None),
        ("coalesce(died, seen)", "date", "2019-11"),
        ("note.split(';')[1].trim()", "string", "b"),
        ("note.split(';').last()", "string", "c"),
        ("note.split(';').count()", "integer", 3),
        ("note.split(';').join('/')", "string", "a/ b/c"),
        ("'6.3Muts/Mb'.replaceMatches(' ?Muts/Mb', '').toDecimal()", "decimal", Decimal("6.3")),
        ("'0.21 (105/502)'.replaceMatches('^([0-9.]+) .*$', '$1').toDecimal()", "decimal", Decimal("0.21")),
        ("'１次'.normalise()", "string", "1次"),
        ("'2019/11/1'.date('%Y/%m/%d')", "date", "2019-11-01"),
        ("'2019-11'.date()", "date", "2019-11"),
        ("'x'.date('%Y')", "date", None),
        ("seen.month()", "integer", 11),
        ("seen.day()", "integer", None),
        ("weight.round(0)", "decimal", Decimal("62")),
        ("iif(died.exists(), 'dead', 'alive')", "string", "alive"),
        ("sex in ('1' | '2')", "boolean", True),
        ("tumour in ('1' | '2')", "boolean", None),
        ("sex.known('sex')", "boolean", True),
        ("sex.label()", "string", "男"),
        ("%site", "string", "aa_site"),
        ("smoker", "boolean", True),
        ("'a' & tumour & age", "string", "a61"),
        ("@2019-11 < @2019-12-01", "boolean", True),
        ("seen < @2019-11-30", "boolean", None),
        ("seen = @2019-11-30", "boolean", None),
        ("seen <= seen", "boolean", True),
        ("7 div 0", "integer", None),
    ],
)  # fmt: skip
def test_golden(workshop: Any, make_record: Make, expression: str, type_: str, expected: Any) -> None:
    workshop.model_text = workshop.model_text.replace("lines: [line, drug, started]", "lines: [line, drug]")
    record = Record(
        ["P1", "1", "男", "61", "61.5", "2019/11", "", "yes", "", "a; b;c", "", "", ""], 2, (2,), {"lines": []}
    )
    found = evaluate(workshop, record, expression, type_)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        ("valueCodeableConcept: = sex.codeable('sex')", {"coding": [{"code": "male"}], "text": "男"}),
        ("valueCodeableConcept: = sex_label.codeable('sex')", {"coding": [{"code": "male"}], "text": "男"}),
        ("valueCodeableConcept: = tumour.codeable('tumour', note)",
         {"coding": [{"system": "urn:icdo", "version": "v1", "code": "8000/3", "display": "Neoplasm"}], "text": "A"}),
        ("valueCodeableConcept: {coding: [= tumour.coding('double')]}",
         {"coding": [{"system": "urn:one", "code": "x", "display": "X"},
                     {"system": "urn:two", "code": "y", "display": "Y"}]}),
        ("valueCodeableConcept: {coding: ['= iif(tumour.known(\"x\"), tumour.coding(\"x\"))'], text: = note}", None),
    ],
)  # fmt: skip
def test_concepts(workshop: Any, make_record: Make, leaf: str, expected: Any) -> None:
    text = BLOCK.format(leaf="x", value="y").replace("x: y", leaf)
    if expected is None:
        text = text.replace('"x"', "'sex'").replace("['=", '["=').replace("')']", "')\"]").replace("'))'", "'))\"")
        expected = {"text": "v1"}
    found = workshop.map(text, make_record(sex="1", sex_label="男", tumour="A", note="v1"))
    assert found.one("x")["valueCodeableConcept"] == expected


def test_a_label_that_several_subjects_share_says_nothing(workshop: Any, make_record: Make) -> None:
    workshop.topics["sex"] += "3,男,skos:exactMatch,other,,,reviewed\n"
    text = BLOCK.format(leaf="valueString", value="= sex_label.translate('sex')")
    assert workshop.map(text, make_record(sex_label="男")).of("x") == []
    assert workshop.map(text, make_record(sex_label="女")).one("x")["valueString"] == "female"


def test_full_width_labels_are_found(workshop: Any, make_record: Make) -> None:
    workshop.topics["sex"] = "1次治療,,skos:exactMatch,1,,,reviewed\n"
    text = BLOCK.format(leaf="valueString", value="= sex_label.translate('sex')")
    assert workshop.map(text, make_record(sex_label="１次治療")).one("x")["valueString"] == "1"


def test_a_pseudonym_is_stable_by_purpose(workshop: Any, make_record: Make) -> None:
    def pseudonym(purpose: str, pid: str) -> str:
        text = BLOCK.format(leaf="valueString", value=f"= pid.pseudonym('{purpose}')")
        return str(workshop.map(text, make_record(pid=pid)).one("x")["valueString"])

    found = [pseudonym("a", "P1"), pseudonym("a", "P1"), pseudonym("b", "P1"), pseudonym("a", "P2")]
    assert found[0] == found[1] and len(set(found)) == 3
    assert all(len(f) == 26 and "P" not in f for f in found)


# -- against the oracle

TEXT = st.sampled_from(["", "a", "AbC", "b c", "12", "-3", "1.50", "x;y", "ab"])
NAMES = {"note": "string", "tumour": "string", "age": "integer", "weight": "decimal", "smoker": "boolean"}


def _strings(ints: Any, bools: Any, strings: Any) -> Any:
    return st.one_of(
        st.tuples(strings, strings).map(lambda p: f"({p[0]} & {p[1]})"),
        st.tuples(strings, strings).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(bools, strings, strings).map(lambda p: f"iif({p[0]}, {p[1]}, {p[2]})"),
        st.tuples(strings, st.integers(0, 3)).map(lambda p: f"{p[0]}.substring({p[1]})"),
        st.tuples(strings, st.integers(0, 3), st.integers(0, 2)).map(lambda p: f"{p[0]}.substring({p[1]}, {p[2]})"),
        strings.map(lambda s: f"{s}.upper()"),
        strings.map(lambda s: f"{s}.lower()"),
        strings.map(lambda s: f"{s}.trim()"),
        strings.map(lambda s: f"{s}.replace('b', 'zz')"),
        strings.map(lambda s: f"{s}.replaceMatches('[a-b]+', '<$0>')".replace("<$0>", "_")),
        strings.map(lambda s: f"{s}.split(';').first()"),
        ints.map(lambda i: f"{i}.toString()"),
    )


def _ints(ints: Any, strings: Any) -> Any:
    return st.one_of(
        st.tuples(ints, st.sampled_from("+-*"), ints).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(ints, st.sampled_from(["div", "mod"]), ints).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        strings.map(lambda s: f"{s}.length()"),
        strings.map(lambda s: f"{s}.indexOf('b')"),
        strings.map(lambda s: f"{s}.toInteger()"),
        ints.map(lambda i: f"({i}).abs()"),
        st.tuples(strings).map(lambda p: f"{p[0]}.split(';').count()"),
    )


def _bools(bools: Any, strings: Any, ints: Any) -> Any:
    compare = st.sampled_from(["=", "!=", "<", "<=", ">", ">=", "~", "!~"])
    return st.one_of(
        st.tuples(strings, compare, strings).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(ints, compare, ints).map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
        st.tuples(bools, st.sampled_from(["and", "or", "xor", "implies"]), bools).map(
            lambda p: f"({p[0]} {p[1]} {p[2]})"
        ),
        bools.map(lambda b: f"{b}.not()"),
        st.one_of(strings, ints).map(lambda x: f"{x}.exists()"),
        st.one_of(strings, ints).map(lambda x: f"{x}.empty()"),
        strings.map(lambda s: f"{s}.startsWith('a')"),
        strings.map(lambda s: f"{s}.endsWith('C')"),
        strings.map(lambda s: f"{s}.contains('b')"),
        strings.map(lambda s: f"{s}.matches('^[a-b]+$')"),
        strings.map(lambda s: f"({s} in ('a' | 'AbC'))"),
    )


STRINGS = st.deferred(
    lambda: st.one_of(st.sampled_from(["note", "tumour", "'ab'", "'B;c'"]), _strings(INTS, BOOLS, STRINGS))
)
INTS = st.deferred(lambda: st.one_of(st.sampled_from(["age", "0", "7", "(-2)"]), _ints(INTS, STRINGS)))
BOOLS = st.deferred(lambda: st.one_of(st.sampled_from(["smoker", "true", "false"]), _bools(BOOLS, STRINGS, INTS)))
NUMBERS = st.one_of(
    st.tuples(st.sampled_from(["weight", "1.50", "(-0.25)"]), st.sampled_from("+-*"), INTS)
    .map(lambda p: f"({p[0]} {p[1]} {p[2]})"),
    st.sampled_from(["weight.round(1)", "weight.abs()", "(-weight)", "weight.round(0)", "note.toDecimal()"]),
)  # fmt: skip
TYPED = st.one_of(
    STRINGS.map(lambda e: (e, "string")),
    INTS.map(lambda e: (e, "integer")),
    BOOLS.map(lambda e: (e, "boolean")),
    NUMBERS.map(lambda e: (e, "decimal")),
)
_SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SETTINGS
@given(typed=TYPED, note=TEXT, tumour=TEXT, age=st.sampled_from(["", "0", "3", "-4"]),
       weight=st.sampled_from(["", "61.50", "-0.5", "2"]), smoker=st.sampled_from(["", "yes", "no"]))  # fmt: skip
def test_as_fhirpath_says(
    workshop: Any, make_record: Make, typed: tuple[str, str], note: str, tumour: str, age: str, weight: str, smoker: str
) -> None:
    expression, type_ = typed
    assume(len(expression) < 400)
    document: dict[str, Any] = {"note": note, "tumour": tumour}
    document |= {"age": int(age)} if age else {}
    document |= {"weight": Decimal(weight)} if weight else {}
    document |= {"smoker": smoker == "yes"} if smoker else {}
    document = {k: v for k, v in document.items() if v != ""}
    try:
        expected = fhirpath(expression)(document)
    except FhirPathError:
        assume(False)
    wanted = expected[0] if expected and expected != [""] else None
    record = make_record(note=note, tumour=tumour, age=age, weight=weight, smoker=smoker)
    found = evaluate(workshop, record, expression, type_)
    assert (found, type(found)) == (wanted, type(wanted)) or (found == wanted and type_ == "decimal")


DATE = st.sampled_from(["@2019", "@2019-11", "@2019-12", "@2019-11-01", "@2019-11-30", "@2020-01-01"])


@_SETTINGS
@given(a=DATE, b=DATE, op=st.sampled_from(["=", "!=", "<", "<=", ">", ">="]))
def test_dates_of_any_precision_compare_as_fhirpath_says(
    workshop: Any, make_record: Make, a: str, b: str, op: str
) -> None:
    expected = fhirpath(f"{a} {op} {b}")({})
    assert evaluate(workshop, make_record(), f"{a} {op} {b}", "boolean") == (expected[0] if expected else None)
