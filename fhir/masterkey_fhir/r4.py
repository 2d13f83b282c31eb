"""The one doorway to fhir.resources: typed building of R4 resources in Python, and a second opinion.

    from masterkey_fhir import r4

    patient = r4.Patient(name=[r4.HumanName(family="Yamada", given=["Hanako"])], gender="female")
    patient.birthDate = "1980-02"
    r4.dump(patient)         # a dict, judged by masterkey_fhir.check

fhir.resources 8 has models of R4B (4.3.0), not of R4 (4.0.1): what differs is listed in `DIFFERENCES`, types that
R4 does not have are refused, and `dump` lets nothing out that our own judge refuses. It is never the judge nor
the writer of what a hospital sent: it rounds decimals, rewrites times and knows no required bindings.

The package is imported when a type is first asked for (0.5 s).
"""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from masterkey_fhir.check import check
from masterkey_fhir.definitions import resource_types, types
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.json import Where, root


class R4Error(MasterkeyError, AttributeError):
    """Not a type of R4, or a model that is no valid R4; its Issues say what."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which fhir.resources 8 differs from FHIR R4 4.0.1."""

    kind: str  # "type missing" | "type added" | "element missing" | "element added" | "behaviour"
    name: str
    note: str = ""


# --- what differs (tests/fhir/test_r4_doorway.py computes the first four again from the installed package) ---

_TYPES_MISSING = """
EffectEvidenceSynthesis RiskEvidenceSynthesis MedicinalProduct MedicinalProductAuthorization
MedicinalProductContraindication MedicinalProductIndication MedicinalProductIngredient
MedicinalProductInteraction MedicinalProductManufactured MedicinalProductPackaged
MedicinalProductPharmaceutical MedicinalProductUndesirableEffect SubstanceNucleicAcid SubstancePolymer
SubstanceProtein SubstanceReferenceInformation SubstanceSourceMaterial SubstanceSpecification SubstanceAmount
"""

_TYPES_ADDED = """
AdministrableProductDefinition Citation ClinicalUseDefinition EvidenceReport Ingredient
ManufacturedItemDefinition MedicinalProductDefinition NutritionProduct PackagedProductDefinition
RegulatedAuthorization SubscriptionStatus SubscriptionTopic SubstanceDefinition CodeableReference RatioRange
"""

_ELEMENTS_MISSING = {
    "ElementDefinition": "defaultValueMeta fixedMeta patternMeta",
    "ElementDefinition.example": "valueMeta",
    "Evidence": "copyright effectivePeriod exposureBackground exposureVariant jurisdiction name outcome "
    "shortTitle subtitle topic",
    "EvidenceVariable": "approvalDate copyright effectivePeriod jurisdiction lastReviewDate topic type",
    "EvidenceVariable.characteristic": "definitionDataRequirement definitionTriggerDefinition "
    "participantEffectiveDateTime participantEffectiveDuration participantEffectivePeriod "
    "participantEffectiveTiming usageContext",
    "Extension": "valueMeta",
}

_ELEMENTS_ADDED = {
    "ActivityDefinition": "subjectCanonical",
    "ElementDefinition": "defaultValueCodeableReference defaultValueRatioRange fixedCodeableReference "
    "fixedRatioRange patternCodeableReference patternRatioRange",
    "ElementDefinition.example": "valueCodeableReference valueRatioRange",
    "Evidence": "assertion certainty citeAsMarkdown citeAsReference statistic studyType synthesisType "
    "variableDefinition",
    "EvidenceVariable": "actual category characteristicCombination handling",
    "EvidenceVariable.characteristic": "device method",
    "Extension": "valueCodeableReference valueRatioRange",
    "PlanDefinition": "subjectCanonical",
    "PlanDefinition.action": "subjectCanonical",
}

_BEHAVIOUR = {
    "decimal": "its JSON writer goes through float: 1.10 becomes 1.1; `dump` keeps the digits",
    "time": "fractions of seconds and offsets are rewritten: .123 as .123000, +00:00 as Z",
    "required binding": "not checked: status 'banana' is accepted",
    "id": "65 characters are accepted",
    "uri": "blanks inside are accepted",
    "boolean and integer": "'true', '2', 0, 1, 'yes' are taken and turned into values",
    "empty array and null": "dropped in silence",
    "duplicate key": "the last one wins",
    "base64Binary": "what is no base64 is stored as an empty string",
    "unknown resource type": "in contained or Bundle.entry: KeyError instead of a ValidationError",
    "_valueDateTime": "an Extension whose value has only extensions is refused, though it is valid",
    "reference target": "a wrong type is accepted",
    "ext-1": "an extension with value and nested extensions is accepted",
    "narrative": "a script in the XHTML is accepted",
}

DIFFERENCES: tuple[Difference, ...] = (
    *(Difference("type missing", name) for name in _TYPES_MISSING.split()),
    *(Difference("type added", name) for name in _TYPES_ADDED.split()),
    *(Difference("element missing", f"{t}.{n}") for t, names in _ELEMENTS_MISSING.items() for n in names.split()),
    *(Difference("element added", f"{t}.{n}") for t, names in _ELEMENTS_ADDED.items() for n in names.split()),
    *(Difference("behaviour", name, note) for name, note in _BEHAVIOUR.items()),
)

RESHAPED = ("Evidence", "EvidenceVariable")  # the R4B models can't hold the R4 resource


# --- typed building ---------------------------------------------------------------------------------------


def __getattr__(name: str) -> Any:
    """The model class of an R4 type or backbone: `r4.Observation`, `r4.ObservationComponent`."""
    if name.startswith("_"):
        raise AttributeError(name)
    return _model(name)


def __dir__() -> list[str]:
    return [*globals(), *sorted(_class_names())]


@cache
def _model(name: str) -> Any:
    path = _class_names().get(name)
    if path is None:
        raise R4Error(issue("fhir.not-r4", Place(), name=name))
    module = import_module(f"fhir.resources.R4B.{path.partition('.')[0].lower()}")
    return getattr(module, name)


@cache
def _class_names() -> dict[str, str]:
    """Class name -> type or backbone path: ObservationComponent -> Observation.component."""
    absent = {*_TYPES_MISSING.split(), *RESHAPED}
    kinds = ("resource", "complex-type", "backbone")
    return {
        class_name(t.name): t.name
        for t in types().values()
        if t.kind in kinds and not t.abstract and t.name.partition(".")[0] not in absent
    }


def class_name(path: str) -> str:
    """fhir.resources' class of a type or backbone."""
    first, *rest = path.split(".")
    return first + "".join(part[0].upper() + part[1:] for part in rest)


def dump(model: Any) -> dict[str, Any]:
    """R4 JSON of a model as `masterkey_fhir.json` would have parsed it.

    Raises R4Error with all Issues when a resource is no valid R4 (a code outside its required value set, an
    element that only R4B has, a time without zone, ...). A datatype model is dumped unjudged.
    """
    out = _object(model)
    found = [i for i in check(out) if i.is_error] if "resourceType" in out else []
    if found:
        raise R4Error(*found)
    return out


def _object(model: Any) -> dict[str, Any]:
    """fhir.resources' own dump turns decimals into floats: so the attributes are read one by one."""
    out = {"resourceType": model.get_resource_type()} if model.has_resource_base() else {}
    for json_name, attribute in _attributes(model.__class__):
        value = getattr(model, attribute)
        if value is not None:
            out[json_name] = _plain(value)
    return out


@cache
def _attributes(model_class: Hashable) -> list[tuple[str, str]]:
    """(JSON name, attribute) in the order of the standard: ("class", "class_fhir"), ("_status", "status__ext")."""
    kind: Any = model_class
    by_json = {(f.alias or name): name for name, f in kind.model_fields.items()}
    names = [n for element in kind.elements_sequence() for n in (element, "_" + element)]
    return [(n, by_json[n]) for n in names if n in by_json]


def _plain(value: Any) -> Any:
    if hasattr(value.__class__, "model_fields"):
        return _object(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, dt.datetime | dt.time):
        return _time_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    return value


def _time_text(value: dt.datetime | dt.time) -> str:
    """Without the zeros that isoformat appends to a fraction; UTC as Z."""
    day, zone = "", ""
    if isinstance(value, dt.datetime):
        day = value.date().isoformat() + "T"
        zone = value.isoformat()[len(value.replace(tzinfo=None).isoformat()) :].replace("+00:00", "Z")
    clock = value.replace(tzinfo=None).isoformat().removeprefix(day)
    return day + (clock.rstrip("0") if "." in clock else clock) + zone


# --- the second opinion -----------------------------------------------------------------------------------


def second_opinion(resource: dict[str, Any]) -> list[Issue]:
    """What fhir.resources' R4B model says to a resource; never a verdict, and [] is no proof (see DIFFERENCES).

    A type it has no model of gives one information Issue. Never raises.
    """
    name = root(resource)
    if name not in _class_names() or name not in resource_types():
        return [issue("fhir.second-opinion-none", Place(expression=name))]
    try:
        _model(name).model_validate(resource)
    except KeyError:  # an unknown resource type below: http://hl7.org/fhir/R4/resourcelist.html
        return [issue("fhir.second-opinion", Place(expression=name), kind="KeyError")]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        return list(_opinions(resource, error))
    return []


def _opinions(resource: Any, error: Any) -> Iterator[Issue]:
    """One Issue per error of pydantic, without its message: that one quotes the value."""
    one = {"loc": (), "type": type(error).__name__}
    details: list[dict[str, Any]] = error.errors() if hasattr(error, "errors") else [one]
    for entry in details:
        place = Place(expression=_expression(resource, entry["loc"]))
        yield issue("fhir.second-opinion", place, kind=str(entry["type"]))


def _expression(resource: Any, location: Iterable[str | int]) -> str:
    where, value = Where.top(resource), resource
    for step in location:
        value = _below(value, step)
        where = where.step(step, value)
    return where.path


def _below(value: Any, step: str | int) -> Any:
    try:
        return value[step]
    except (LookupError, TypeError):
        return None
