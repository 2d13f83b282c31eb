"""Source models and maps that read the templates back, generated from mappings/registry and checked in.

`python -m masterkey_etl.templates_out.shipped` writes them; a test regenerates and compares. A block of
mappings/registry/blocks says `id(@)`: @ is what tells the items of its part apart (workbook: the key columns of the
sheet; REDCap: record and instance). Findings that are one registry item with one value have no block there: theirs
is made from the item list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from masterkey_etl.data import folder
from masterkey_etl.header import header_key
from masterkey_etl.redcap import dictionary as redcap_dictionary
from masterkey_etl.redcap import model as redcap_model
from masterkey_etl.templates_out import dictionary
from masterkey_etl.templates_out.form import KEY, LANGUAGES, Form, Item, Part, form

_MADE = (
    "# Generated from mappings/registry by masterkey_etl.templates_out.shipped: change those tables, not this file.\n"
)
WORKBOOK, REDCAP = "registry_workbook", "registry_redcap"
_OBSERVATION = re.compile(r"Observation\(registry-item#([a-z0-9-]+)\)\.(.+)")
_LOINC = {"ecog": '{system: "http://loinc.org", code: 89247-1, display: ECOG Performance Status score}'}
_SOCIAL = {"asbestos"}
_TYPES = {"identifier": "text", "quantity": "decimal"}


def files(root: Path | None = None) -> dict[str, str]:
    """Path below `mappings` -> text, of everything that is generated."""
    found = form(root)
    blocks = _Blocks((root or folder("mappings")) / "registry" / "blocks")
    out = {}
    for part in found.parts:
        out[f"sources/{WORKBOOK}/{part.name}.yaml"] = sheet_model(found, part)
        out[f"sites/_common/{WORKBOOK}_{part.name}.yaml"] = sheet_map(found, part, blocks)
    out[f"sources/{REDCAP}/1.yaml"] = redcap_source(found)
    out[f"sites/_common/{REDCAP}.yaml"] = redcap_map(found, blocks)
    return out


def write(root: Path) -> list[Path]:
    """Write them below a mappings folder."""
    paths = []
    for name, text in files(root).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


# -- source models -----------------------------------------------------------------------------------


def sheet_model(found: Form, part: Part) -> str:
    """One sheet of the workbook: headings in any language of the texts are its columns."""
    items = _with_key(found, part)
    columns = [redcap_model.flow(_column(item, part)) for item in items]
    head = [
        f"format: {WORKBOOK}",
        f"revision: {part.name}",
        f"title: {redcap_model.quoted('Registry workbook, sheet ' + part.name)}",
        "citation: mappings/registry/template.csv",
        "encoding: [utf-8-sig, cp932, cp874]",
        f"record: {part.name}",
        f"key: [{', '.join(part.keys)}]",
        "columns:",
    ]
    return _MADE + "\n".join([*head, *(f"  - {c}" for c in columns)]) + "\n"


def _with_key(found: Form, part: Part) -> list[Item]:
    """The part's columns, the patient number first."""
    key = next(i for i in found.items if i.column == KEY)
    return [key, *(i for i in part.items if i.column != KEY)]


def _column(item: Item, part: Part) -> redcap_model.Column:
    out: redcap_model.Column = {"id": item.column, "header": item.column}
    out["aliases"] = aliases(item)
    out["type"] = _TYPES.get(item.type, item.type)
    if item.closed:
        out["codes"] = {c.code: c.label("en") for c in item.choices}
    if item.type == "date":
        out["formats"] = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"]
    out |= {
        name: float(text) if "." in text else int(text) for name, text in (("min", item.min), ("max", item.max)) if text
    }
    if item.type in ("identifier", "text"):
        out["personal"] = "identifier" if item.type == "identifier" else "free_text"
    return out | _rules(item, part)


def _rules(item: Item, part: Part) -> redcap_model.Column:
    key = item.column in part.keys
    out: redcap_model.Column = {}
    if item.required and not key:
        out["required"] = True
    elif not key and item.obligation != "mandatory":
        out["optional"] = True
    return out | ({"shown_when": item.asked_when} if item.asked_when else {})


def aliases(item: Item) -> list[str]:
    """Headings of this column in the workbook, one per language."""
    found = {header_key(h): h for h in (heading(item, language) for language in LANGUAGES)}
    return [h.replace("\n", " ") for h in found.values()]


def heading(item: Item, language: str) -> str:
    """What stands in the first row of a sheet."""
    return f"{item.column}\n{item.label(language)}"


def redcap_source(found: Form) -> str:
    read = redcap_dictionary.parse(dictionary.as_csv(found))
    shape = redcap_model.Shape(tuple(dictionary.repeating(found)), source="mappings/registry/parts.csv")
    drafted = redcap_model.draft(read, shape)
    text = redcap_model.as_yaml(read, shape, drafted, REDCAP, "1", "Registry template in REDCap")
    return _MADE + text.split("\n", 1)[1]


# -- maps --------------------------------------------------------------------------------------------


class _Blocks:
    """The written blocks of mappings/registry/blocks, by part."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, part: Part) -> str:
        path = self.root / f"{part.name}.yaml"
        return path.read_text(encoding="utf-8").rstrip("\n") if path.exists() else ""

    def columns(self, part: Part) -> set[str]:
        """Columns that the part's written blocks use."""
        return set(re.findall(r"[a-z][a-z0-9_]*", self.of(part)))


def sheet_map(found: Form, part: Part, blocks: _Blocks) -> str:
    """The map of one sheet; what other sheets make is only pointed at."""
    columns = {i.column for i in _with_key(found, part)}
    body = "\n\n".join(_part(part, blocks)).replace("id(@", f"id({', '.join(part.keys)}")
    body = _without_dates(body, columns)
    outside = [f"  {name}: {{resourceType: {type_}, id: = id({KEY})}}" for name, type_ in _outside(body)]
    head = [f"source: {WORKBOOK}/{part.name}", *(["external:", *outside] if outside else []), "resources:", body]
    return _MADE + "\n".join(head) + "\n"


def _outside(body: str) -> Iterator[tuple[str, str]]:
    """Blocks that are referred to and stand in another sheet."""
    for name, type_ in (("patient", "Patient"), ("diagnosis", "Condition"), ("specimen", "Specimen")):
        if f"reference({name})" in body and not re.search(rf"^  {name}:$", body, re.MULTILINE):
            yield name, type_


def _without_dates(body: str, columns: set[str]) -> str:
    """A sheet can't date a finding by a column of another sheet: the CDM dates it at registration, which is that."""
    lines = body.split("\n")
    return "\n".join(x for x in lines if not (m := re.fullmatch(r" +effectiveDateTime: = (\w+)", x)) or m[1] in columns)


def redcap_map(found: Form, blocks: _Blocks) -> str:
    """The map of the whole project: one record per patient, repeating instruments as groups."""
    bodies = [_in_group(part, body) for part in found.parts for body in _part(part, blocks)]
    aside = [f"{part.name}_complete" for part in found.parts]
    keys = [part.key for part in found.parts if part.repeats and part.key not in blocks.columns(part)]
    tail = [
        "set_aside:",
        f"  - columns: [{', '.join(aside)}]",
        "    reason: state of the form in the data entry, nothing about the patient",
        f"  - columns: [{', '.join(redcap_model.PLACES[1:])}]",
        "    reason: where the row stands; each item of a form carries its own instance",
        f"  - columns: [{', '.join(keys)}]",
        "    reason: tells rows of a sheet apart; in REDCap the instance does",
    ]
    return _MADE + "\n".join([f"source: {REDCAP}/1", "resources:", "\n\n".join(bodies), "", *tail]) + "\n"


def _in_group(part: Part, body: str) -> str:
    """A block of a repeating instrument: once per instance, which is part of its identity."""
    if not part.repeats:
        return body.replace("id(@", f"id({KEY}")
    instance = f"{part.name}_instance"
    body = body.replace("id(@", f"id({KEY}, {instance}")
    name, rest = body.split("\n", 1)
    each = re.match(r'    \$each: "(.*)"\n', rest)
    rest = rest[each.end() :] if each else rest
    rest = re.sub(r"^    \$when: = (.*)$", rf"    $when: = (\1) and {instance} != ''", rest, flags=re.MULTILINE)
    scope = f'[{part.name}, "{each[1]}"]' if each else part.name
    return f"{name}\n    $each: {scope}\n{rest}"


def _part(part: Part, blocks: _Blocks) -> Iterator[str]:
    """The blocks of a part: those that are written, then one per item that has none."""
    written = blocks.of(part)
    if written:
        yield from re.split(r"\n\n(?=  \w)", written)
    for item in part.items:
        if _is_plain(item) and f"code: {item.item}," not in written:
            yield _finding(item)


def _is_plain(item: Item) -> bool:
    """One registry item with one value."""
    found = _OBSERVATION.fullmatch(item.element)
    return found is not None and found[2] in ("value[x]", "valueCodeableConcept", "valueQuantity")


def _finding(item: Item) -> str:
    code = f'{{system: "urn:masterkey:fhir:CodeSystem:registry-item", code: {item.item}, display: "{item.meaning}"}}'
    codings = ", ".join([code, *([_LOINC[item.item]] if item.item in _LOINC else [])])
    lines = [
        f"  {item.column}:",
        f"    $when: = {item.column}.exists()",
        "    resourceType: Observation",
        "    id: = id(@)",
        "    status: final",
    ]
    if item.item in _SOCIAL:
        system = "http://terminology.hl7.org/CodeSystem/observation-category"
        lines.append(f'    category: [{{coding: [{{system: "{system}", code: social-history}}]}}]')
    lines += [f"    code: {{coding: [{codings}]}}", "    subject: = reference(patient)"]
    lines += ["    focus: [= reference(diagnosis)]"] if item.about == "diagnosis" else []
    lines += [f"    effectiveDateTime: = {item.dated}"] if item.dated else []
    lines.append(f"    {_value(item)}")
    lines += ["    specimen: = reference(specimen)"] if item.about == "specimen" else []
    return "\n".join(lines)


def _value(item: Item) -> str:
    if item.type == "quantity":
        return f"valueQuantity: = {item.column}.quantity('{item.unit}', '{item.unit}')"
    topic = _TOPICS.get(item.topic, item.topic)
    if item.closed and topic:
        return f"valueCodeableConcept: = {item.column}.codeable('{topic}')"
    if item.open:
        known = f"iif({item.column}.known('{topic}'), {item.column}.coding('{topic}'))"
        return f'valueCodeableConcept: {{coding: ["= {known}"], text: = {item.column}}}'
    return f"valueCodeableConcept: {{text: = {item.column}}}"


_TOPICS = {"laterality": "", "tumour_depth": "", "disease_extent": ""}  # lists without a concept table


if __name__ == "__main__":
    for written in write(folder("mappings")):
        print(written.name)


__all__ = ["REDCAP", "WORKBOOK", "aliases", "files", "heading", "write"]
