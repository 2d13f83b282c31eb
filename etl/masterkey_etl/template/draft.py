"""`masterkey map new`: a map to start from. It loads and loses nothing; what a person must decide is marked `?`.

`gapped` is the careful one: what nobody has decided stays out of the resources.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from masterkey_etl.files import replacing
from masterkey_etl.source_model import Column, SourceModel

_VALUES = {
    "integer": "valueInteger: = {id}",
    "decimal": "valueQuantity: {{value: = {id}}}",
    "date": "valueDateTime: = {id}",
    "flag": "valueBoolean: = {id}",
}
_HEAD = """# Drafted from the source model. A line with ? is a decision that nobody has taken yet: replace the text
# by a code, the Observation by the resource that says it better, then run `masterkey map check`.
source: {source}
resources:
  patient:
    resourceType: Patient
    id: = id({key})
"""


def new(source: str, out: Path, *, data: Path | None = None) -> Path:
    """Write a draft for a source model (`<format>/<revision>`). Raises SourceModelError, WorkspaceError."""
    model = SourceModel.load(source, data / "mappings" if data is not None else None)
    with replacing(out) as file:
        file.write(draft(model).encode())
    return out


def draft(model: SourceModel) -> str:
    """The text of a map that uses every column once or sets it aside."""
    key = ", ".join(model.key) or "?"
    lines = [_HEAD.format(source=model.id, key=key)]
    own = [c for c in model.columns if c.position not in model.group_of and c.id not in model.key]
    for c in own:
        lines += _observation(c, key)
    for name in model.groups:
        lines += _group(model, name, key)
    lines += _set_aside([c for c in model.columns if not _has_place(c) and c.id not in model.key and c.type != "label"])
    return "\n".join(lines) + "\n"


GAP = "?"  # a reason that begins so is a gap: `map check` names it, `load` refuses the map
_GAPPED = """# Drafted by `masterkey inspect --draft`. Mapped is only what header and values agree on. Every entry of
# set_aside whose reason begins with {gap} is a gap: use the column in a leaf and take it out of the list, or write why
# it is not carried. `masterkey map check` names the gaps that are left.
source: {source}
resources:
  patient:
    resourceType: Patient
    id: = id({key})
"""


def gapped(model: SourceModel, leaves: Sequence[str], gaps: Mapping[str, str], *, key: str = "") -> str:
    """A map with these `leaves` of the Patient and these gaps (column id -> evidence); no key is a gap too."""
    lines = [_GAPPED.format(gap=GAP, source=model.id, key=key or GAP).rstrip()]
    if not key:
        lines[0] += f"  # {GAP} the columns that name a patient, parted by commas"
    lines += [f"    {leaf}" for leaf in leaves]
    lines += ["set_aside:"] if gaps else []
    for column, evidence in gaps.items():
        lines.append(f"  - {{columns: [{column}], reason: {json.dumps(f'{GAP} {evidence}', ensure_ascii=False)}}}")
    return "\n".join(lines) + "\n"


def _has_place(c: Column) -> bool:
    """Identifiers have no place in an Observation; labels come with their code."""
    return c.personal != "identifier" and c.type != "label"


def _observation(c: Column, key: str) -> Iterator[str]:
    if _has_place(c):
        yield f"  {c.id}:"
        yield f"    # ? {_comment(c.header)}"
        yield f"    $when: = {c.id}.exists()"
        yield f"    $else: no {c.id} stated"
        yield "    resourceType: Observation"
        yield f"    id: = id({key})"
        yield "    status: final"
        yield f"    code: {{text: {c.id}}}  # ? code"
        yield "    subject: = reference(patient)"
        yield f"    {_value(c)}"


def _group(model: SourceModel, name: str, key: str) -> Iterator[str]:
    """One Observation per item, a component per column."""
    columns = [model.columns[p] for p in model.group_positions(name)]
    shown = [c for c in columns if _has_place(c)]
    if not shown:
        return
    parts = ", ".join([key, *(c.id for c in columns if c.type != "label")])
    yield f"  {name}:"
    yield f"    $each: {name}"
    yield "    resourceType: Observation"
    yield f"    id: = id({parts})  # ? the columns that tell two items apart"
    yield "    status: final"
    yield f"    code: {{text: {name}}}  # ? code"
    yield "    subject: = reference(patient)"
    yield "    component:"
    for c in shown:
        yield f"      - code: {{text: {c.id}}}  # ? code: {_comment(c.header)}"
        yield f"        {_value(c)}"


def _value(c: Column) -> str:
    if c.type == "code":
        text = f"{c.id}.label()" if c.label else c.id
        return f"valueCodeableConcept: {{text: = {text}}}  # ? {c.id}.codeable('topic')"
    return _VALUES.get(c.type, "valueString: = {id}").format(id=c.id)


def _set_aside(columns: Sequence[Column]) -> Iterator[str]:
    if columns:
        yield "set_aside:"
        yield f"  - {{columns: [{', '.join(c.id for c in columns)}], reason: identifies a person}}  # ? an identifier"


def _comment(text: str) -> str:
    return " ".join(text.split())


__all__ = ["GAP", "draft", "gapped", "new"]
