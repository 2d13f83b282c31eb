"""What the closures answer on FHIR JSON: choice elements, siblings, services, errors."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from masterkey_fhir.definitions import resource_types, search_parameters, types
from masterkey_fhir.fhirpath import FhirPathError, Services, compile
from masterkey_fhir.json import loads

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o1",
    "status": "final",
    "_status": {"id": "s"},
    "code": {"coding": [{"system": "http://loinc.org", "code": "1-8"}, {"code": "local"}]},
    "subject": {"reference": "Patient/p1"},
    "focus": [{"reference": "#c"}, {"reference": "urn:uuid:x"}, {"type": "Group"}],
    "effectivePeriod": {"start": "2020-01", "end": "2020-02-03"},
    "valueQuantity": {"value": Decimal("1.50"), "unit": "mg", "system": "http://unitsofmeasure.org", "code": "mg"},
    "contained": [{"resourceType": "Condition", "id": "c", "code": {"text": "inside"}}],
    "component": [
        {"code": {"text": "a"}, "valueString": "x"},
        {"code": {"text": "b"}, "valueInteger": 0},
        {"code": {"text": "c"}, "_valueBoolean": {"extension": [{"url": "u", "valueCode": "unknown"}]}},
    ],
    "note": [{"text": "n"}],
}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": False,
    "birthDate": "1970-05",
    "_birthDate": {"extension": [{"url": "http://x/time", "valueDateTime": "1970-05-01T10:00:00+07:00"}]},
    "name": [{"given": [None, "B"], "_given": [{"extension": [{"url": "u"}]}, None], "family": "F"}],
    "deceasedBoolean": False,
}


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("Observation.value.value", [Decimal("1.50")]),
        ("value.unit", ["mg"]),
        ("value is Quantity", [True]),
        ("value.ofType(string)", []),
        ("effective.start", ["2020-01"]),
        ("effective.end > @2020-02", []),
        ("effective.end > @2020-01", [True]),
        ("component.value.ofType(integer)", [0]),
        ("component.value", ["x", 0]),
        ("component.value.exists().count()", [1]),
        ("component.where(value is boolean).value.extension.value", ["unknown"]),
        ("component.value.select($this.hasValue())", [True, True, False]),
        ("component.code.text", ["a", "b", "c"]),
        ("component[1].code.text", ["b"]),
        ("component.where($index > 0).code.text", ["b", "c"]),
        ("component.select(iif($index = 1, code.text, 'no'))", ["no", "b", "no"]),
        ("status", ["final"]),
        ("status.id", ["s"]),
        ("code.coding.where(system = 'http://loinc.org').code", ["1-8"]),
        ("code.coding.exists(code = 'local')", [True]),
        ("contained.code.text", ["inside"]),
        ("contained.ofType(Condition).id", ["c"]),
        ("subject.resolve() is Patient", [True]),
        ("subject.where(resolve() is Group).empty()", [True]),
        ("focus.where(resolve() is Condition).reference", ["#c"]),
        ("focus.resolve().code.text", ["inside"]),
        ("subject.getReferenceKey(Patient)", ["p1"]),
        ("subject.getReferenceKey(Group)", []),
        ("getResourceKey()", ["o1"]),
        ("%resource.id | %context.id", ["o1"]),
        ("value > 1 'mg' and value < 0.002 'g'", [True]),
        ("descendants().ofType(Coding).code", ["1-8", "local"]),
        ("children().count()", [14]),
        ("value.as(DateTime)", []),
        ("nonsense.more", []),
    ],
)
def test_observation(expression: str, result: list[Any]) -> None:
    assert compile(expression)(OBSERVATION) == result


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("active", [False]),
        ("deceased", [False]),
        ("deceased.not()", [True]),
        ("name.given", ["B"]),
        ("name.given.count()", [2]),
        ("name.given.first().hasValue()", [False]),
        ("birthDate.extension('http://x/time').value.hour", []),
        ("birthDate.extension('http://x/time').value.toString()", ["1970-05-01T10:00:00+07:00"]),
        ("birthDate < @1970", []),
        ("birthDate <= @1971", [True]),
        ("birthDate + 1 year", ["1971-05"]),
        ("birthDate is date and (birthDate is Date).not()", [True]),
        ("DomainResource.active", [False]),
        ("Encounter.status", []),
        ("name.family = {}", []),
        ("name.select(family | given).count()", [3]),
    ],
)
def test_patient(expression: str, result: list[Any]) -> None:
    assert [str(v) if not isinstance(v, str | bool | int) else v for v in compile(expression)(PATIENT)] == result


def test_a_datetime_written_for_the_fhir_type_works_as_r4_writes_it() -> None:
    """R4's search parameter code-value-date says `value.as(DateTime)`."""
    resource = {"resourceType": "Observation", "valueDateTime": "2020"}
    assert compile("value.as(DateTime)")(resource) == ["2020"]
    assert compile("value.as(DateTime)", strict=True)(resource) == []


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("name.giben", "HumanName has no element 'giben'; it has id, extension, use"),
        ("Observation.value", "the input is Patient, not Observation"),
        ("name.give()", "there is no function give()"),
        ("name.first(1)", "first() takes 0 arguments"),
        ("active as Bool", "there is no type 'Bool'"),
        ("children().first()", "needs an order"),
        ("birthDate.substring(0, 4)", "substring() does not take date"),
        ("identifier.startsWith('x')", "startsWith() does not take Identifier"),
        ("deceased.unit", "none of boolean, dateTime has an element 'unit'"),
    ],
)
def test_strict_names_the_mistake(expression: str, reason: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        compile(expression, type_name="Patient", strict=True)
    assert caught.value.kind == "semantic"
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "expression",
    ["name.given.single()", "name.given + 'x'", "active < 1", "iif('x', 1, 2)", "(1|2).not()", "%none", "name.upper()"],
)
def test_execution_errors_hold_no_value(expression: str) -> None:
    with pytest.raises(FhirPathError) as caught:
        compile(expression)({"resourceType": "Patient", "active": True, "name": [{"given": ["Secret", "Name"]}]})
    assert caught.value.kind == "execution"
    assert "Secret" not in str(caught.value)


@pytest.mark.parametrize("broken", [{"name": "Secret"}, {"name": [["x"]]}, {"birthDate": {"a": 1}}, {"name": [5]}])
def test_json_of_another_shape_is_an_error_not_a_traceback(broken: dict[str, Any]) -> None:
    resource = {"resourceType": "Patient"} | broken
    for expression in ("name.given", "name.where(use = 'x').family", "birthDate < today()", "descendants().count()"):
        try:
            compile(expression)(resource)
        except FhirPathError as error:
            assert "Secret" not in str(error)


class World:
    def resolve(self, reference: str) -> dict[str, Any] | None:
        return {"resourceType": "Patient", "gender": "female"} if reference == "Patient/p1" else None

    def member_of(self, value_set: str, system: str | None, code: str) -> bool | None:
        return (system, code) == ("http://loinc.org", "1-8") if value_set == "urn:vs" else None

    def conforms_to(self, resource: dict[str, Any], profile: str) -> bool | None:
        return resource["status"] == "final" if profile == "urn:profile" else None


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("subject.resolve().gender", ["female"]),
        ("code.memberOf('urn:vs')", [True]),
        ("code.coding[1].memberOf('urn:vs')", [False]),
        ("code.memberOf('urn:other')", []),
        ("conformsTo('urn:profile')", [True]),
        ("conformsTo('http://hl7.org/fhir/StructureDefinition/Patient')", [False]),
    ],
)
def test_services(expression: str, result: list[Any]) -> None:
    world = World()
    services = Services(resolver=world, terminology=world, profiles=world)
    assert compile(expression)(OBSERVATION, services=services) == result


def test_constants_and_context() -> None:
    run = compile("code.text = %wanted and %resource.status = 'final'", type_name="Observation.component")
    assert run(OBSERVATION, context=OBSERVATION["component"][1], constants={"wanted": "b"}) == [True]
    assert run(OBSERVATION, context=OBSERVATION["component"][0], constants={"wanted": "b"}) == [False]
    assert compile("%list.count() + %one")({}, constants={"list": [1, 1], "one": 1}) == [3]


def test_positive_integers_are_numbers() -> None:
    """R4 publishes System.String for positiveInt."""
    claim = {"resourceType": "ClaimResponse", "item": [{"itemSequence": 2}]}
    assert compile("item.itemSequence = '2'")(claim) == [False]
    assert compile("item.itemSequence > 1", strict=True)(claim) == [True]
    assert compile("item.itemSequence.abs()", strict=True)(claim) == [2]


def test_json_that_is_no_fhir_has_its_own_names() -> None:
    assert compile("a.b.where(c > 1).c")({"a": [{"b": {"c": 1}}, {"b": {"c": 2}}]}) == [2]


def test_the_resource_is_left_alone() -> None:
    before = repr(OBSERVATION)
    found = compile("component")(OBSERVATION)
    found.clear()
    assert repr(OBSERVATION) == before


@pytest.mark.parametrize(
    ("div", "obeys"),
    [
        ('<div xmlns="http://www.w3.org/1999/xhtml"><p>ok &amp; &nbsp;</p></div>', True),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><img src="#a" alt="x"/></div>', True),
        ('<div xmlns="http://www.w3.org/1999/xhtml"> <p/> </div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><p onclick="x">y</p></div>', False),
        ('<div xmlns="http://www.w3.org/1999/xhtml"><a href="javascript:x">y</a></div>', False),
        ('<!DOCTYPE d><div xmlns="http://www.w3.org/1999/xhtml">x</div>', False),
        ('<p xmlns="http://www.w3.org/1999/xhtml">x</p>', False),
        ("<div>x</div>", False),
        ("<div", False),
    ],
)
def test_html_checks(div: str, obeys: bool) -> None:
    resource = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    assert compile("text.div.htmlChecks()")(resource) == [obeys]


def test_every_invariant_and_search_parameter_of_r4_compiles() -> None:
    n = 0
    for kind in types().values():
        own = [(kind.name, c.expression) for c in kind.constraints]
        inner = [(t, c.expression) for e in kind.elements.values() for c in e.constraints for t in e.types]
        for name, expression in own + inner:
            compile(expression, type_name=name)
            n += 1
    for name in resource_types():
        for parameter in search_parameters(name).values():
            for expression in (parameter.expression, *(c[1] for c in parameter.components)):
                if expression:
                    compile(expression).bind(name)
                    n += 1
    assert n > 4000


@pytest.mark.shared
def test_invariants_hold_on_the_examples_of_the_standard(shared: Path) -> None:
    """The root invariants of R4's own examples: evaluated, true or empty."""
    broken = []
    for file in sorted((shared / "data" / "fhir" / "r4-examples").glob("*.json")):
        resource = loads(file.read_bytes())
        kind = types().get(resource.get("resourceType", ""))
        for constraint in kind.constraints if kind else ():
            found = compile(constraint.expression, type_name=resource["resourceType"])(resource)
            if found not in ([], [True]) and constraint.severity == "error":
                broken.append(f"{file.name} {constraint.key}")
    assert broken == []
