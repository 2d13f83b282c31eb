"""A draft of the map of a REDCap project: it loads and loses nothing; what a person must decide is marked `?`.

Where a project names variables by code (rarelink: `loinc_48004_6`, `snomedct_184099003`, answers `loinc_la6668-3`),
the code is read out of the name; the line stays marked, since a name is no proof.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from masterkey_etl.redcap.model import ROWS
from masterkey_etl.source_model import Column, SourceModel

_HEAD = """# Drafted from the REDCap data dictionary of the project. A line with ? is a decision that nobody has taken
# yet: replace the text by a code, the Observation by the resource that says it better, then run `masterkey map check`.
source: {source}
resources:
  patient_:
    resourceType: Patient
    id: = id({key})
"""
_VALUES = {
    "integer": "valueInteger: = {id}",
    "decimal": "valueQuantity: {{value: = {id}}}",
    "date": "valueDateTime: = {id}",
    "flag": "valueBoolean: = {id}",
}
_LONGEST = 20  # answers that are written into the map with their labels
_SYSTEMS = {"snomedct": "http://snomed.info/sct", "loinc": "http://loinc.org"}


def draft(model: SourceModel, form_of: Mapping[str, str]) -> str:
    """The text of the map; every column is used once or set aside with its reason."""
    out = [_HEAD.format(source=model.id, key=model.key[0])]
    own = [c for c in model.columns if c.position not in model.group_of and c.id not in model.key]
    form = ""
    for c in filter(_clinical, own):
        if form_of.get(c.id, form) != form:
            form = form_of[c.id]
            out.append(f"\n  # ---- {form}")
        out += _observation(c, model.key[0])
    for name in model.groups:
        if name != ROWS:
            out += _group(model, name)
    out += _aside(model)
    return "\n".join(out) + "\n"


def _clinical(c: Column) -> bool:
    return c.personal != "identifier" and not _is_state(c) and not c.id.startswith("redcap_")


def _is_state(c: Column) -> bool:
    return c.id.endswith("_complete") and c.note == "state of the form"


def _observation(c: Column, key: str) -> Iterator[str]:
    yield f"  {c.id}:"
    yield from (f"    # ? {line}" for line in _about(c))
    yield f"    $when: = {c.id}.exists()"
    yield f"    $else: no {c.id} stated"
    yield "    resourceType: Observation"
    yield f"    id: = id({key})"
    yield "    status: final"
    yield f"    code: {_code(c)}  # ? code"
    yield "    subject: = reference(patient_)"
    yield from (f"    {line}" for line in _value(c))


def _group(model: SourceModel, name: str) -> Iterator[str]:
    """One Observation per instance of a form, a component per field."""
    columns = [model.columns[p] for p in model.group_positions(name)]
    copies = [c.id for c in columns if c.copy_of is not None]
    shown = [c for c in columns if _clinical(c) and c.copy_of is None]
    yield f"\n  # ---- {name}: one per instance"
    yield f"  {name}:"
    yield f"    $each: {name}"
    if shown:
        filled = " or ".join(f"{c.id}.exists()" for c in shown)
        yield f"    $when: = ({filled}) and {' & '.join(copies)} != ''"
        yield "    $else: the form was opened and left empty"
    yield "    resourceType: Observation"
    yield f"    id: = id({', '.join([model.key[0], *copies])})"
    yield "    status: final"
    yield f"    code: {{text: {name}}}  # ? code"
    yield "    subject: = reference(patient_)"
    yield from ("    component:",) if shown else ()
    for c in shown:
        yield from (f"      # ? {line}" for line in _about(c))
        yield f"      - code: {_code(c)}  # ? code"
        yield from (f"        {line}" for line in _value(c))


def _about(c: Column) -> Iterator[str]:
    if c.note:
        yield _line(c.note)
    if c.codes:
        yield _line("codes: " + " | ".join(f"{code} = {label}" for code, label in c.codes.items()))


def _value(c: Column) -> Sequence[str]:
    if c.type != "code":
        return [_VALUES.get(c.type, "valueString: = {id}").format(id=c.id)]
    systems = [s for s in _SYSTEMS if any(code.startswith(f"{s}_") for code in c.codes)]
    if not systems:
        return [f"valueCodeableConcept: {{text: {_label(c)}}}  # ? {c.id}.codeable('topic')"]
    lines = ["valueCodeableConcept:  # ? codes read out of the answers", "  coding:"]
    for s in systems:
        lines += [
            f"    - $when: = {c.id}.startsWith('{s}_')",
            f"      $else: an answer without {s} code",
            f"      system: {_SYSTEMS[s]}",
            f"      code: = {c.id}.replace('{s}_', '').upper()",
        ]
    return [*lines, f"  text: {_label(c)}"]


def _label(c: Column) -> str:
    """The label of the answer, which a reader (and `protect`) knows better than its code; long lists keep the code."""
    text = c.id
    if len(c.codes) <= _LONGEST:
        for code, label in reversed(list(c.codes.items())):
            text = f"iif({c.id} = {_literal(code)}, {_literal(label)}, {text})"
    return json.dumps(f"= {text}", ensure_ascii=False)


def _literal(text: str) -> str:
    """A FHIRPath string (N1 2.1.1)."""
    escaped = "".join(c if c.isprintable() else " " for c in text).replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _code(c: Column) -> str:
    """The code that a variable's name carries, else the name as text."""
    loinc = re.fullmatch(r"loinc_(\d+)_(\d)", c.id)
    if loinc:
        return f'{{coding: [{{system: "{_SYSTEMS["loinc"]}", code: "{loinc[1]}-{loinc[2]}"}}], text: {c.id}}}'
    snomed = re.fullmatch(r"snomedct_(\d{6,18})", c.id)
    if snomed:
        return f'{{coding: [{{system: "{_SYSTEMS["snomedct"]}", code: "{snomed[1]}"}}], text: {c.id}}}'
    return f"{{text: {c.id}}}"


def _aside(model: SourceModel) -> Iterator[str]:
    """What the draft does not use, by reason."""
    key = set(model.key)
    left = [c for c in model.columns if c.id not in key and c.copy_of is None]
    reasons = {
        "identifies a person  # ? an identifier": [c for c in left if c.personal == "identifier"],
        "state of the form in the data entry, nothing about the patient": [c for c in left if _is_state(c)],
        "where the row stands; each item of a form carries its own event and instance": [
            c for c in left if c.id in model.groups.get(ROWS, ()) or c.id == "redcap_data_access_group"
        ],
    }
    if any(reasons.values()):
        yield "\nset_aside:"
    for reason, columns in reasons.items():
        if columns:
            yield f"  - columns: [{', '.join(c.id for c in columns)}]"
            yield f"    reason: {reason}"


def _line(text: str) -> str:
    return " ".join(text.split())[:400]


__all__ = ["draft"]
