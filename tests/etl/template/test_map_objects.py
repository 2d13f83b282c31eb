"""What a map emits: pruning, lists, conditions, repetition, references, ids."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_etl.keyed import keyed
from masterkey_etl.record import Record

Make = Callable[..., Record]

PATIENT = """
  patient:
    resourceType: Patient
    id: = id(pid)
    gender: = sex.translate('sex')
    maritalStatus: {coding: [{system: "urn:x", code: = tumour}], text: = note}
    contact:
      - relationship: [{text: kin}]
        gender: = smoker.translate('sex')
    deceasedDateTime: = died
"""


def test_empty_leaves_disappear_with_the_literals_beside_them(workshop: Any, make_record: Make) -> None:
    patient = workshop.map(PATIENT, make_record(sex="1")).one("patient")
    assert {k: v for k, v in patient.items() if k != "id"} == {"resourceType": "Patient", "gender": "male"}


def test_members_keep_the_order_of_the_map(workshop: Any, make_record: Make) -> None:
    patient = workshop.map(PATIENT, make_record(sex="2", tumour="A", died="2020/1/2", note="n")).one("patient")
    assert list(patient) == ["resourceType", "id", "gender", "maritalStatus", "deceasedDateTime"]
    assert patient["maritalStatus"] == {"coding": [{"system": "urn:x", "code": "A"}], "text": "n"}


def test_a_block_whose_values_are_all_empty_is_not_emitted(workshop: Any, make_record: Make) -> None:
    text = (
        PATIENT
        + """
  weight:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: weight}
    subject: = reference(patient)
    valueQuantity: = weight.quantity('kg', 'kg')
"""
    )
    assert workshop.map(text, make_record(sex="1")).of("weight") == []
    (found,) = workshop.map(text, make_record(weight="61.0")).of("weight")
    assert found["valueQuantity"] == {
        "value": Decimal("61.0"),
        "unit": "kg",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    }
    assert str(found["valueQuantity"]["value"]) == "61.0"  # digits kept


def test_when_decides_alone(workshop: Any, make_record: Make) -> None:
    text = """
  seen:
    $when: = seen.exists()
    $else: never seen
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: seen}
    valueString: = note
"""
    assert workshop.map(text, make_record(seen="2020/1/2")).one("seen")["code"] == {"text": "seen"}
    assert workshop.map(text, make_record(note="x")).of("seen") == []


def test_references_in_and_out_of_a_group(workshop: Any, make_record: Make) -> None:
    text = """
  patient:
    resourceType: Patient
    id: = id(pid)
  line:
    $each: lines
    resourceType: Procedure
    id: = id(pid, line)
    status: completed
    subject: = reference(patient)
    code: {text: = drug}
    performedDateTime: = started
    report: [= reference(report)]
  drug:
    $each: [lines, "= drug.split('+')"]
    resourceType: MedicationStatement
    id: = id(pid, line, item)
    status: unknown
    subject: = reference(patient)
    medicationCodeableConcept: {text: = item.trim()}
    partOf: [= reference(line)]
  report:
    resourceType: DiagnosticReport
    id: = id(pid)
    status: final
    code: {text: summary}
    subject: = reference(patient)
    conclusion: = note
    result: [= reference(seen)]
  seen:
    $each: lines
    $when: = started.exists()
    $else: no date
    resourceType: Observation
    id: = id(pid, line)
    status: final
    code: {text: start}
    effectiveDateTime: = started
"""
    lines = (("1", "a + b", "2020/1/1"), ("2", "c", ""))
    out = workshop.map(text, make_record(lines, note="x"))
    assert [r["medicationCodeableConcept"]["text"] for r in out.of("drug")] == ["a", "b", "c"]
    ids = {r["code"]["text"]: r["id"] for r in out.of("line")}
    assert [r["partOf"] for r in out.of("drug")] == [
        [{"reference": f"Procedure/{ids[k]}"}] for k in ("a + b", "a + b", "c")
    ]
    (seen,) = out.of("seen")
    assert out.one("report")["result"] == [{"reference": f"Observation/{seen['id']}"}]
    assert {r["report"][0]["reference"] for r in out.of("line")} == {f"DiagnosticReport/{out.one('report')['id']}"}
    assert out.closing == [] and out.issues == []


def test_a_reference_to_what_was_not_emitted_gives_nothing(workshop: Any, make_record: Make) -> None:
    text = """
  line:
    $when: = died.exists()
    $else: alive
    resourceType: Procedure
    id: = id(pid)
    status: completed
    performedDateTime: = died
  event:
    resourceType: AdverseEvent
    id: = id(pid)
    actuality: actual
    event: {text: = note}
    suspectEntity: [{instance: = reference(line)}]
"""
    assert "suspectEntity" not in workshop.map(text, make_record(note="n")).one("event")
    assert len(workshop.map(text, make_record(note="n", died="2020")).one("event")["suspectEntity"]) == 1


def test_each_inside_an_object(workshop: Any, make_record: Make) -> None:
    text = """
  summary:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: summary}
    component:
      - code: {text: first}
        valueInteger: = age
      - $each: lines
        $when: = line != 2
        $else: the second line is not wanted
        code: {text: = drug}
        valueInteger: = line
      - $each: = note.split(';')
        $as: part
        code: {text: = part}
        valueBoolean: true
"""
    out = workshop.map(text, make_record((("1", "a", ""), ("2", "b", "")), age="5", note="x;y"))
    assert [(c["code"]["text"], list(c.values())[1]) for c in out.one("summary")["component"]] == [
        ("first", 5), ("a", 1), ("x", True), ("y", True),
    ]  # fmt: skip
    assert out.status("drug") == {"mapped": 1, "set_aside": 1}
    assert out.reasons("drug") == ["the second line is not wanted"]


def test_generated_names_never_collide(workshop: Any, make_record: Make) -> None:
    """A literal set per column position, beside list flags of the same numbers."""
    tests = "\n".join(
        f"      - {{$when: \"= tumour in ('{n}' | 'A')\", $else: no, code: {{text: '{n}'}}, valueInteger: = age}}"
        for n in range(40)
    )
    text = f"""
  all:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {{text: all}}
    component:
{tests}
      - $each: lines
        $when: = drug in ('a' | 'b')
        $else: another drug
        code: {{text: = drug}}
        valueInteger: = line
"""
    out = workshop.map(text, make_record((("1", "a", ""), ("2", "z", "")), tumour="A", age="3"))
    assert [c["code"]["text"] for c in out.one("all")["component"]] == [*map(str, range(40)), "a"]
    assert out.status("drug") == {"mapped": 1, "set_aside": 1} and out.issues == []


def test_leaves_of_an_each_name_the_columns_behind_it(workshop: Any) -> None:
    text = """
  drug:
    $each: [lines, "= drug.split('+')"]
    resourceType: Observation
    id: = id(pid, line, item)
    status: final
    code: {text: = item.trim()}
"""
    by_path = {leaf.path: leaf.columns for leaf in workshop.compile(text).leaves("drug")}
    assert by_path == {"Observation.id": ("pid", "line", "drug"), "Observation.code.text": ("drug",)}


def test_let_and_external_and_extends(workshop: Any, make_record: Make) -> None:
    workshop.write(
        """
  base:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: base}
    valueInteger: = born
  gone:
    resourceType: Patient
    id: = id(pid)
""",
        "let: {born: = seen.year() - age}\nset_aside: [{columns: [note], reason: base}]",
        name="base.yaml",
    )
    text = """
  gone: {$drop: true}
  own:
    $let: {twice: = born + born}
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: own}
    subject: = reference(elsewhere)
    valueInteger: = twice
    note: [{text: = note}]
"""
    rest = "extends: base.yaml\nexternal: {elsewhere: {resourceType: Patient, id: = id(pid)}}"
    out = workshop.map(text, make_record(seen="2020/3/4", age="20", note="n"), rest=rest)
    assert sorted(b for b, _ in out.made) == ["base", "own"]
    assert (out.one("base")["valueInteger"], out.one("own")["valueInteger"]) == (2000, 4000)
    assert out.one("own")["subject"]["reference"].startswith("Patient/")
    assert out.status("note") == {"mapped": 1}  # what is used is not set aside by the base


def test_a_block_without_columns_comes_once(workshop: Any, make_record: Make) -> None:
    text = PATIENT + "    managingOrganization: = reference(hospital)\n"
    text += "  hospital: {resourceType: Organization, id: = id(%site), name: = %site}\n"
    out = workshop.map(text, make_record(sex="1"), make_record(pid="P2", sex="2"))
    assert len(out.of("hospital")) == 1 and len(out.of("patient")) == 2
    assert {p["managingOrganization"]["reference"] for p in out.of("patient")} == {
        f"Organization/{out.one('hospital')['id']}"
    }


def test_equal_resources_of_a_record_are_one_and_different_ones_are_told(workshop: Any, make_record: Make) -> None:
    text = """
  line:
    $each: lines
    resourceType: Procedure
    id: = id(pid, line)
    status: completed
    code: {text: = drug}
"""
    same = workshop.map(text, make_record((("1", "a", ""), ("1", "a", "2020/1/1"))))
    assert len(same.of("line")) == 1 and "etl.same-id" not in same.rules
    other = workshop.map(text, make_record((("1", "a", ""), ("1", "b", ""))))
    assert [r["code"]["text"] for r in other.of("line")] == ["a"]
    assert "etl.same-id" in other.rules
    assert other.status("drug") == {"mapped": 1, "rejected": 1}


def test_a_block_without_an_id_is_told(workshop: Any, make_record: Make) -> None:
    text = "\n  x: {resourceType: Observation, id: = id(note), status: final, code: {text: x}, valueInteger: = age}\n"
    out = workshop.map(text, make_record(age="3"))
    assert out.made == [] and "etl.no-id" in out.rules
    assert out.status("age") == {"unmapped": 1}


# -- ids


def test_an_id_is_hmac_sha256(workshop: Any, make_record: Make, site_keys: Any) -> None:
    found = workshop.map(PATIENT, make_record(pid="P7", sex="1")).one("patient")["id"]
    text = "7:aa_site|7:patient|2:P7"
    digest = hmac.new(site_keys.current("id").secret, text.encode(), hashlib.sha256).digest()
    alphabet = base64.b32encode(bytes(range(32)))  # any text: only its letters are wanted
    letters = "abcdefghijklmnopqrstuvwxyz234567"
    assert set(alphabet.decode().rstrip("=").lower()) <= set(letters)
    assert found == "".join(letters[b & 31] for b in digest[:26])


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_other_parts_give_another_id(a: list[str], b: list[str]) -> None:
    from masterkey_etl.template.runtime import framed

    name = keyed(b"k" * 32)
    assert (name(framed(*a)) == name(framed(*b))) == (a == b)


def test_ids_differ_by_site_block_and_part_and_stay(workshop: Any, make_record: Make) -> None:
    compiled = workshop.compile(PATIENT.replace("patient:", "a:") + PATIENT.replace("patient:", "b:").lstrip("\n"))
    one, again = (workshop.run(compiled, make_record(sex="1")) for _ in range(2))
    other = workshop.run(compiled, make_record(sex="1"), site="bb_site")
    assert one.made == again.made
    assert len({r["id"] for out in (one, other) for _, r in out.made}) == 4


# -- pruning, whatever the record holds

CELL = st.sampled_from(["", "", "1", "2", "A", "x;y", ";", " ", "0", "true", "2020", "2020/2/30", "-", "ﾃｽﾄ"])
EVERYTHING = (
    PATIENT
    + """
  all:
    $when: = note.exists() or sex != '0'
    resourceType: Observation
    id: = id(pid)
    status: = iif(died.exists(), 'final', 'registered')
    category:
      - coding: [= tumour.coding('double')]
      - text: = (note & ' ' & tumour).trim()
    code: = sex.codeable('sex')
    valueString: = note.substring(2).replace('y', '')
    note:
      - {text: = note.split(';').first()}
      - $each: lines
        text: = drug & line
    component:
      - code: {text: a}
        valueQuantity: {value: = weight, unit: kg}
      - $when: = smoker
        $else: not a smoker
        code: {text: b}
"""
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cells=st.fixed_dictionaries(dict.fromkeys(("sex", "age", "weight", "died", "smoker", "tumour", "note"), CELL)),
    lines=st.lists(st.tuples(CELL, CELL, CELL).filter(any), max_size=3),
)
def test_nothing_empty_is_ever_emitted_and_the_ledger_balances(
    workshop: Any, make_record: Make, cells: dict[str, str], lines: list[tuple[str, str, str]]
) -> None:
    compiled = _once(workshop)
    out = workshop.run(compiled, make_record(tuple(lines), **cells))
    for _, resource in out.made:
        json.dumps(resource, default=str)
        assert _empties(resource) == []
    used_or_told = {"etl.silent-loss"}
    assert {i.rule for i in out.closing} <= used_or_told and not any(
        i.rule == "etl.ledger-overdrawn" for i in out.closing
    )


_compiled: dict[int, Any] = {}


def _once(workshop: Any) -> Any:
    if id(workshop) not in _compiled:
        _compiled[id(workshop)] = workshop.compile(EVERYTHING)
    return _compiled[id(workshop)]


def _empties(value: Any, path: str = "") -> list[str]:
    if value is None or value == "" or value == [] or value == {}:
        return [path]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for k, v in items for p in _empties(v, f"{path}.{k}")]


@pytest.mark.parametrize("name", ["patient", "all"])
def test_leaves_name_line_and_columns(workshop: Any, name: str) -> None:
    found = workshop.compile(EVERYTHING).leaves(name)
    text = (workshop.folder / "mappings" / "small.yaml").read_text(encoding="utf-8").splitlines()
    assert found and all(leaf.expression in text[leaf.line - 1].replace('"', "") for leaf in found)
    by_path = {leaf.path: leaf.columns for leaf in found}
    if name == "all":
        assert by_path["Observation.code"] == ("sex", "sex_label")
        assert by_path["Observation.$when"] == ("sex", "sex_label")
        assert by_path["Observation.id"] == ("pid",)
