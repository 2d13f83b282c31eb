"""Every mistake a map can hold is found before any data comes: rule, file, line and what is valid there."""

from __future__ import annotations

from typing import Any

import pytest

from masterkey_etl.template import MapError, load_map

PATIENT = """
  patient:
    resourceType: Patient
    id: = id(pid)
"""  # the line after this text is line 6 of the file


def patient(line: str) -> str:
    return PATIENT + f"    {line}\n"


MISTAKES = [
    # rule, line, a valid alternative that must be named, map
    ("etl.map-element", 6, "gender", patient("gendr: = sex.translate('sex')")),
    ("etl.map-element", 6, "birthDate", patient("birtDate: = seen")),
    ("etl.map-element", 3, "Patient", "\n  p: {resourceType: Patent, id: = id(pid)}\n"),
    ("etl.map-shape", 6, "a list", patient("name: {text: x}")),
    ("etl.map-shape", 6, "no list", patient("gender: [male]")),
    ("etl.map-shape", 6, "no object", patient("gender: {text: x}")),
    ("etl.map-type", 6, "boolean", patient("active: = age")),
    ("etl.map-type", 6, "boolean", patient("active: maybe")),
    ("etl.map-type", 6, "date", patient("birthDate: 2019/11/01")),
    ("etl.map-type", 6, "female", patient("gender: femal")),
    ("etl.map-name", 6, "weight", patient("gender: = weigth.toString()")),
    ("etl.map-group", 6, "lines", patient("gender: = drug")),
    ("etl.map-function", 6, "translate", patient("gender: = sex.translat('sex')")),
    ("etl.map-function", 6, "coalesce", patient("gender: = sex | note")),
    ("etl.map-function", 6, "coalesce", patient("gender: = sex.where($this = '1')")),
    ("etl.map-function", 6, "coalesce", patient("gender: = 4 'mg'")),
    ("etl.map-argument", 6, "example", patient("gender: = note.substring()")),
    ("etl.map-argument", 6, "example", patient("gender: = note.substring('1')")),
    ("etl.map-argument", 6, "example", patient("gender: = note.matches('(')")),
    ("etl.map-argument", 6, "example", patient("gender: = note.split(';')[age]")),
    ("etl.map-argument", 6, "example", patient("gender: = note.split(';').upper()")),
    ("etl.map-argument", 6, "example", patient("gender: = iif(sex, 'a', 'b')")),
    ("etl.map-argument", 6, "example", patient("gender: = iif(sex = '1', 'a', age)")),
    ("etl.map-argument", 6, "example", patient("gender: = seen + age")),
    ("etl.map-argument", 6, "example", patient("gender: = tumour.translate('double')")),
    ("etl.map-argument", 6, "example", patient("gender: = sex in (note | '1')")),
    ("etl.map-argument", 6, "example", patient("gender: = id(pid)")),
    ("etl.map-argument", 6, "example", patient("gender: = note.label()")),
    ("etl.map-compare", 6, "'1'", patient("active: = sex = 1")),
    ("etl.map-topic", 6, "sex", patient("gender: = sex.translate('sexx')")),
    ("etl.map-expression", 6, "a term", patient("gender: = sex.translate(")),
    ("etl.yaml", 6, "quote", patient("contact: [{gender: = iif(sex = '1', 'male')}]")),
    ("etl.map-expression", 6, "quote", patient("name: [{given: [= note.substring(0, 1)]}]")),
    ("etl.map-personal", 6, "pseudonym", patient("generalPractitioner: [{display: = pid}]")),
    ("etl.map-personal", 6, "pseudonym", patient("contact: [{gender: = pid.upper()}]")),
    ("etl.map-key", 6, "$when", patient("$whn: = sex.exists()")),
    ("etl.map-shape", 6, "a text", patient("$else: no reason without a condition")),
    ("etl.map-argument", 6, "example", patient("$when: = sex")),
    ("etl.map-reference", 6, "patient", patient("link: [{other: = reference(pateint), type: seealso}]")),
    ("etl.map-reference", 6, "Organization", patient("managingOrganization: = reference(patient)")),
    ("etl.map-reference", 6, "subject", patient("gender: = reference(patient)")),
    ("etl.map-missing", 3, "id", "\n  p: {resourceType: Patient}\n"),
    ("etl.map-missing", 3, "resourceType", "\n  p: {gender: male}\n"),
    ("etl.map-key", 3, "small letters", "\n  My Block: {resourceType: Patient, id: = id(pid)}\n"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "line", "named", "text"), MISTAKES, ids=lambda v: str(v)[:60].strip())
def test_a_mistake_is_named_with_line_and_alternatives(
    workshop: Any, rule: str, line: int, named: str, text: str
) -> None:
    with pytest.raises(MapError) as raised:
        workshop.compile(text)
    found = {i.rule: i for i in raised.value.issues}
    assert rule in found, [str(i) for i in raised.value.issues]
    assert (found[rule].place.file, found[rule].place.row) == ("mappings/small.yaml", line)
    assert named in str(found[rule])
    assert found[rule].remedy("ja") and found[rule].remedy("ja") != found[rule].remedy("en")


def test_one_run_names_every_mistake(workshop: Any) -> None:
    with pytest.raises(MapError) as raised:
        workshop.compile(patient("gendr: x") + "    active: = age\n    photo: {url: x}\n")
    assert [(i.rule, i.place.row) for i in raised.value.issues] == [
        ("etl.map-element", 6),
        ("etl.map-type", 7),
        ("etl.map-shape", 8),
    ]


@pytest.mark.parametrize(
    ("rule", "rest"),
    [
        ("etl.map-set-aside", "set_aside: [{columns: [nosuch], reason: x}]"),
        ("etl.map-set-aside", "set_aside: [{columns: [pid], reason: x}]"),
        ("etl.map-missing", "set_aside: [{columns: [age]}]"),
        ("etl.map-missing", "set_aside: [{reason: nothing}]"),
        ("etl.map-key", "setaside: [{columns: [age], reason: x}]"),
        ("etl.map-shape", "let: [a]"),
        ("etl.map-argument", "let: {age: = 1}"),
        ("etl.map-name", "let: {years: = agee}"),
    ],
)
def test_a_mistake_outside_of_the_blocks(workshop: Any, rule: str, rest: str) -> None:
    with pytest.raises(MapError) as raised:
        workshop.compile(PATIENT, rest)
    assert [i.rule for i in raised.value.issues] == [rule]


@pytest.mark.parametrize(
    ("text", "rule", "word"),
    [
        ("a: [", "etl.yaml", ""),
        ("", "etl.map-missing", "source"),
        ("- a", "etl.map-missing", "source"),
        ("source: x/1\nsource: y/1\nresources: {}", "etl.yaml", "twice"),
        ("source: small/1\nresources:\n  p:\n    x: = a.b('c': 1)", "etl.yaml", "quote"),
        ("source: small/1\nextends: nowhere.yaml\nresources: {}", "etl.map-extends", "nowhere"),
        ("source: small/1\nextends: small.yaml", "etl.map-extends", "itself"),
    ],
)
def test_a_file_that_is_no_map(workshop: Any, text: str, rule: str, word: str) -> None:
    path = workshop.write("{}")
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MapError) as raised:
        load_map(path)
    assert rule in [i.rule for i in raised.value.issues]
    assert word in str(raised.value)


def test_a_reference_into_another_each_is_refused(workshop: Any) -> None:
    text = (
        PATIENT
        + """
  one:
    $each: lines
    resourceType: Procedure
    id: = id(pid, line)
    status: completed
    subject: = reference(patient)
  two:
    $each: = note.split(';')
    resourceType: Observation
    id: = id(pid, item)
    status: final
    code: {text: = item}
    partOf: [= reference(one)]
"""
    )
    with pytest.raises(MapError) as raised:
        workshop.compile(text)
    assert [i.rule for i in raised.value.issues] == ["etl.map-reference"]


def test_several_resources_need_a_list(workshop: Any) -> None:
    text = (
        PATIENT
        + """
  one:
    $each: lines
    resourceType: Procedure
    id: = id(pid, line)
    status: completed
    subject: = reference(patient)
  two:
    resourceType: Condition
    id: = id(pid)
    subject: = reference(patient)
    asserter: = reference(patient)
    stage: [{assessment: [= reference(one)]}]
"""
    )
    with pytest.raises(MapError) as raised:
        workshop.compile(text)
    assert {i.rule for i in raised.value.issues} == {"etl.map-reference"}
