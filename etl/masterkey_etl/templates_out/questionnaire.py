"""The form as a FHIR R4 Questionnaire (http://hl7.org/fhir/R4/questionnaire.html)."""

from __future__ import annotations

from typing import Any

from masterkey_etl.templates_out.form import KEY, Form, Item, Part
from masterkey_etl.templates_out.workbook import explanation, parts_of

URL = "urn:masterkey:fhir:Questionnaire:registry"
ANSWERS = "urn:masterkey:fhir:CodeSystem:registry-answer"
GROUP = "part."  # before the name of a part: a column may have that name too
ITEMS = "urn:masterkey:fhir:CodeSystem:registry-item"
_TYPES = {"identifier": "string", "text": "string", "integer": "integer", "quantity": "decimal", "date": "date"}
_MINIMUM = "http://hl7.org/fhir/StructureDefinition/minValue"  # http://hl7.org/fhir/R4/extension-minvalue.html
_MAXIMUM = "http://hl7.org/fhir/StructureDefinition/maxValue"

Json = dict[str, Any]


def build(form: Form, language: str = "en", minimum: bool = False) -> Json:
    """One group per part; a part with several rows per patient repeats."""
    return {
        "resourceType": "Questionnaire",
        "id": "registry",
        "url": URL,
        "name": "RegistryForm",
        "title": form.text(language, "words", "title"),
        "status": "active",
        "subjectType": ["Patient"],
        "language": language,
        "item": [_group(form, part, language, minimum) for part in parts_of(form, minimum)],
    }


def _group(form: Form, part: Part, language: str, minimum: bool) -> Json:
    items = [i for i in part.items if not minimum or i.obligation == "mandatory"]
    out: Json = {"linkId": f"{GROUP}{part.name}", "text": form.text(language, "parts", part.name), "type": "group"}
    out |= {"repeats": True} if part.repeats else {}
    return out | {"item": [_item(form, i, language) for i in items]}


def _item(form: Form, item: Item, language: str) -> Json:
    out: Json = {"linkId": item.column}
    extension = _bounds(item)
    out |= {"extension": extension} if extension else {}
    out |= {"code": [{"system": ITEMS, "code": item.item}]} if item.item and item.column != KEY else {}
    out |= {"text": item.label(language), "type": _type(item)}
    out |= _asked_when(form, item)
    out |= {"required": item.required}
    if item.choices:
        out["answerOption"] = [
            {"valueCoding": {"system": ANSWERS, "code": c.code, "display": c.label(language)}} for c in item.choices
        ]
    out["item"] = [_help(form, item, language)]
    return out


def _type(item: Item) -> str:
    if item.choices:
        return "open-choice" if item.open else "choice"
    return _TYPES.get(item.type, "string")


def _bounds(item: Item) -> list[Json]:
    kind = "valueInteger" if item.type == "integer" else "valueDecimal"
    found = ((_MINIMUM, item.min), (_MAXIMUM, item.max)) if _type(item) in ("integer", "decimal") else ()
    return [{"url": url, kind: int(text)} for url, text in found if text]


def _asked_when(form: Form, item: Item) -> Json:
    """`[smoking] = 'yes'` as enableWhen."""
    if not item.asked_when:
        return {}
    column, _, answer = item.asked_when.partition(" = ")
    name, code = column.strip("[]"), answer.strip("'")
    return {"enableWhen": [{"question": name, "operator": "=", "answerCoding": {"system": ANSWERS, "code": code}}]}


def _help(form: Form, item: Item, language: str) -> Json:
    return {"linkId": f"{item.column}.help", "text": explanation(form, item, language), "type": "display"}


__all__ = ["ANSWERS", "GROUP", "URL", "build"]
