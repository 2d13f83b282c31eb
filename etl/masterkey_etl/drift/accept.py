"""Acceptance: a new revision of the source model in the overlay, dated, by whom; the one before is kept beside it.

Only what a source model can say is written: other names, wider formats, codes (unmapped until a concept is
reviewed), words for nothing, columns that are no longer sent. The lines of other columns stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from masterkey_etl import changes
from masterkey_etl.drift.compare import Difference
from masterkey_etl.free_text import Words
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.source_model import Column, SourceModel, model_file

_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def accept(model: SourceModel, found: Sequence[Difference], site: str, overlay: Path, by: str) -> list[str]:
    """Write the revision; returns what it says, one line each (empty: nothing a source model can say).

    Raises WorkspaceError when it can't be written, SourceModelError when the result has mistakes (a bug).
    """
    edits = _edits(model, found, overlay)
    encoding = _encoding(model, found)
    before = model_file(model.id, overlay).read_text(encoding="utf-8")
    after = _header(found, site, by) + _with_columns(_with_encoding(before, encoding), edits)
    SourceModel.parse(after, model.id)
    place = overlay / "sources" / model.format / f"{model.revision}.yaml"
    changes.write(place.parent / "history" / f"{model.revision}.{_digest(before)}.yaml", before)
    changes.write(place, after)
    what = f"accepted drift of {site}: " + "; ".join(map(_say, found))
    changes.note(overlay, by, what, f"{model.id} {_digest(before)}", f"{model.id} {_digest(after)}")
    return [f"{column}: {', '.join(sorted(edit))}" for column, edit in edits.items()] + (
        [f"encoding: {encoding}"] if encoding else []
    )


def _say(d: Difference) -> str:
    return f"{d.column or 'file'}: {d.kind}, {d.before} -> {d.now}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _header(found: Sequence[Difference], site: str, by: str) -> str:
    """Comments that stand first in the file: when, by whom, what."""
    plain = " ".join((by or changes.UNNAMED).split())
    lines = [f"# Revision of {date.today().isoformat()} by {plain}: what {site} sends now, accepted"]
    lines += [f"#   {' '.join(_say(d).split())}" for d in found]
    return "\n".join(lines) + "\n"


# -- what a source model can say --------------------------------------------------------------------------------------

Edit = dict[str, Any]


def _edits(model: SourceModel, found: Sequence[Difference], overlay: Path) -> dict[str, Edit]:
    """Per column the keys that change."""
    from masterkey_etl.identity import Policy

    words = Policy.load(overlay).words
    edits: dict[str, Edit] = {}
    for d in found:
        if d.kind in _SAID:
            c = model.column(d.column)
            facts = {**d.facts, "declared": sorted(model.nulls[c.position])}
            edits.setdefault(d.column, {}).update(_SAID[d.kind](c, facts, edits.get(d.column, {}), words))
    return {column: edit for column, edit in edits.items() if edit}


def _alias(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    return {"aliases": [*c.aliases, facts["now"]]}


def _optional(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    return {"optional": "true"}


def _code(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    """Into a closed list, under its label when that is known; an open list (no codes) needs nothing."""
    code, label = str(facts["code"]), str(facts["label"])
    known = bool(label) and (code_for_message(label) == label or words.cleaned(label)[1] == 0)
    if not c.codes or not code or (c.label is not None and not known):
        return {}
    return {"codes": {**c.codes, **edit.get("codes", {}), code: label if known else code}}


def _formats(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    """The new ways to write a date first; an old one that reads the same text otherwise (day, month) goes."""
    if "calendar" not in facts:
        return {}
    new = list(facts["formats"])
    swapped = {_swapped(f) for f in new}
    kept = [f for f in c.formats if f not in new and f not in swapped]
    return {"formats": [*new, *kept], "calendar": facts["calendar"]}


def _swapped(format_: str) -> str:
    return format_.replace("%d", "\0").replace("%m", "%d").replace("\0", "%m")


def _token(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    if not facts["token"]:
        return {}
    return {"null_tokens": [*edit.get("null_tokens", facts["declared"]), facts["token"]]}


def _type(c: Column, facts: Mapping[str, Any], edit: Edit, words: Words) -> Edit:
    return {"type": facts["type"]} if "type" in facts else {}


_SAID: Mapping[str, Callable[[Column, Mapping[str, Any], Edit, Words], Edit]] = {
    "renamed": _alias,
    "column-missing": _optional,
    "split": _optional,
    "code-new": _code,
    "date-format": _formats,
    "null-token": _token,
    "type": _type,
}


def _encoding(model: SourceModel, found: Sequence[Difference]) -> str:
    names = [str(d.facts.get("encoding", "")) for d in found if d.kind == "encoding"]
    return next((n for n in names if n and n not in model.encoding), "")


# -- the text ---------------------------------------------------------------------------------------------------------


def _with_columns(text: str, edits: Mapping[str, Edit]) -> str:
    """The text with the columns named in `edits` written anew; every other line as it is."""
    node: Any = yaml.compose(text, Loader=_Loader)
    columns = next(value for key, value in node.value if key.value == "columns")
    for column in reversed(columns.value):
        entries = {key.value: _plain(value) for key, value in column.value}
        if edit := edits.get(entries.get("id", "")):
            text = text[: column.start_mark.index] + _flow({**entries, **edit}) + text[_end(column) :]
    return text


def _with_encoding(text: str, name: str) -> str:
    if not name:
        return text
    node: Any = yaml.compose(text, Loader=_Loader)
    for key, value in node.value:
        if key.value == "encoding":
            names = [*_plain(value), name]
            return text[: value.start_mark.index] + _flow(names) + text[_end(value) :]
    return f"encoding: [utf-8-sig, {name}]\n{text}"


def _end(node: Any) -> int:
    """Where a node's own text ends; a block's mark lies behind the comments that follow it."""
    if isinstance(node, yaml.ScalarNode) or node.flow_style:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if isinstance(last, tuple) else last)


def _plain(node: Any) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {key.value: _plain(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    return node.value


def _flow(value: Any) -> str:
    """One line of YAML; scalars are quoted as JSON does, ids and words stay bare."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    text = str(value)
    return text if text.isascii() and text.replace("_", "").isalpha() else json.dumps(text, ensure_ascii=False)


__all__ = ["accept"]
