"""From a data dictionary to a source model: one column per exported column, code lists, groups for what repeats.

Names of the export's own columns and values: reference of REDCap's flat export (linkml-redcap,
redcap_record.linkml.yaml; rarelink 2.0.7).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from masterkey_etl.header import header_key
from masterkey_etl.redcap.dictionary import Dictionary, Field
from masterkey_etl.redcap.logic import checkbox_column

EVENT, INSTRUMENT, INSTANCE = "redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance"
PLACES = (EVENT, INSTRUMENT, INSTANCE)
LABELLED = {EVENT: "Event Name", INSTRUMENT: "Repeat Instrument", INSTANCE: "Repeat Instance"}
COMPLETE = {"0": "Incomplete", "1": "Unverified", "2": "Complete"}
ROWS = "redcap_rows"  # the group of the columns that place a row
_DATES = {  # a date is exported as year, month, day whatever the display form (ymd, mdy, dmy)
    "date": ["%Y-%m-%d", "%Y/%m/%d"],
    "datetime": ["%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M"],
    "datetime_seconds": ["%Y-%m-%d %H:%M:%S", "%Y/%m/%d %H:%M:%S"],
}
_PERSONAL = ("email", "phone", "ssn", "mrn", "zipcode", "postalcode", "vmrn", "name")
_PLAIN_TEXT = re.compile(r"(?:number|integer|time|date|datetime)\w*")

Column = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a dictionary does not say and an export shows. `repeating`: forms given several times per record."""

    repeating: tuple[str, ...] = ()
    events: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()  # missing data codes of the project
    labelled: bool = False
    present: frozenset[str] = frozenset()  # columns of the export; empty: no export was looked at
    source: str = ""  # what this was read from


@dataclass(slots=True)
class Draft:
    """A source model as plain data, in the order it is written."""

    columns: list[Column] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    form_of: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)  # columns that share a heading with another one


def draft(dictionary: Dictionary, shape: Shape) -> Draft:
    """The columns and groups of the export of this project."""
    out = Draft()
    known = {f.name for f in dictionary.fields}
    for form in dictionary.forms:
        _form(dictionary, form, shape, out, known)
    _places(shape, out)
    _only_unique(dictionary, shape, out)
    return out


def _form(dictionary: Dictionary, form: str, shape: Shape, out: Draft, known: set[str]) -> None:
    fields = [f for f in dictionary.fields if f.form == form]
    columns = [c for f in fields for c in _of_field(f, dictionary.key, shape)]
    columns.append(_complete(form, shape))
    if form in shape.repeating:
        copies = _copies(form, shape, known)
        out.groups[form] = [c["id"] for c in (*columns, *copies) if c["id"] != dictionary.key]
        columns += copies
    else:
        columns = [c | {"form": form} for c in columns]
    out.form_of |= {c["id"]: form for c in columns}
    out.columns += columns


def _complete(form: str, shape: Shape) -> Column:
    header = "Complete?" if shape.labelled else f"{form}_complete"
    return _coded({"id": f"{form}_complete", "header": header}, COMPLETE, shape) | {"note": "state of the form"}


def _copies(form: str, shape: Shape, known: set[str]) -> list[Column]:
    """Event and instance of each item, copied from the columns that the file has once."""
    wanted = [("event", EVENT)] if len(shape.events) > 1 else []
    wanted.append(("instance", INSTANCE))
    out = []
    for name, of in wanted:
        id_ = _free(f"{form}_{name}", known)
        out.append({"id": id_, "header": f"{form}: {of}", "type": "text", "copy_of": of, "optional": True})
    return out


def _free(name: str, known: set[str]) -> str:
    while name in known:
        name += "_"
    known.add(name)
    return name


def _places(shape: Shape, out: Draft) -> None:
    """The columns that say where a row belongs; they differ between the rows of a record, so they are a group."""
    names = [n for n in PLACES if _is_there(n, shape)]
    needed = {c["copy_of"] for c in out.columns if "copy_of" in c} | ({INSTRUMENT} if shape.repeating else set())
    names = [n for n in PLACES if n in names or n in needed]
    added: list[Column] = []
    for name in names:
        header = LABELLED[name] if shape.labelled else name
        added.append({"id": name, "header": header, "type": "text", "optional": True})
    if names:
        out.groups[ROWS] = names
    for name, personal in (("redcap_data_access_group", "none"), ("redcap_survey_identifier", "identifier")):
        if name in shape.present:
            added.append({"id": name, "header": name, "type": "text", "optional": True, "personal": personal})
    out.columns[1:1] = added  # behind the record's id, as an export has them


def _is_there(name: str, shape: Shape) -> bool:
    return name in shape.present or (shape.labelled and LABELLED[name] in shape.present)


def _only_unique(dictionary: Dictionary, shape: Shape, out: Draft) -> None:
    """Columns are found by their heading without punctuation: of those that then share one, the first is kept.

    A labelled export heads columns with the fields' labels: there none of them can be told apart.
    """
    keys = [header_key(c["header"]) for c in out.columns]
    alike = [c["id"] for i, c in enumerate(out.columns) if keys.count(keys[i]) > 1 and c["id"] != dictionary.key]
    kept = {k: c["id"] for c, k in reversed(list(zip(out.columns, keys, strict=True)))}
    left = set(alike) if shape.labelled else set(alike) - set(kept.values())
    out.left_out = sorted(left)
    out.columns = [c for c in out.columns if c["id"] not in left]
    out.groups = {g: stay for g, ids in out.groups.items() if (stay := [i for i in ids if i not in left])}


# -- one field ---------------------------------------------------------------------------------------


def _of_field(f: Field, key: str, shape: Shape) -> Iterator[Column]:
    if f.type == "descriptive":
        return  # a text on the form: not exported
    base: Column = {"id": f.name, "header": f.label if shape.labelled and f.label else f.name}
    if f.type == "checkbox":
        yield from _checkboxes(f, base, shape)
        return
    column = base | _typed(f, shape)
    if f.name == key:
        column |= {"type": "text", "personal": "identifier"}
        column.pop("required", None)
    yield column


def _checkboxes(f: Field, base: Column, shape: Shape) -> Iterator[Column]:
    for code, label in _boxes(f, shape):
        header = f"{base['header']} (choice={label})" if shape.labelled else checkbox_column(f.name, code)
        column = {"id": checkbox_column(f.name, code), "header": header}
        yield _coded(column, {"0": "Unchecked", "1": "Checked"}, shape) | _rules(f) | _boxed(f, code, label)


def _boxes(f: Field, shape: Shape) -> Iterator[tuple[str, str]]:
    """The choices; a project with missing data codes exports a box for each of those too."""
    yield from f.choices.items()
    yield from ((code, code) for code in shape.missing if code not in f.choices)


def _boxed(f: Field, code: str, label: str) -> Column:
    return {"note": _note(f, label)} | ({} if code in f.choices else {"optional": True})


def _typed(f: Field, shape: Shape) -> Column:
    """Type, code list and flags of a field."""
    out: Column = {"type": "text"}
    if f.choices:
        out = _coded({}, f.choices, shape)
    elif kind := _date_kind(f.validation):
        out = {"type": "date", "formats": _DATES[kind]}
    elif f.type == "slider" or f.validation == "integer":
        out = {"type": "integer", **_range(f)}
    elif f.validation.startswith("number") and "comma" not in f.validation:
        out = {"type": "decimal", **_range(f)}
    elif f.ontology:
        out = {"type": "code"}  # an open list: codes are not declared
    elif f.type == "calc" and not re.search("""['"]""", f.calculation):
        out = {"type": "decimal"}
    personal = _personal(f, out["type"])
    if personal != "none":
        out["personal"] = personal
    if "@NOMISSING" in f.annotation and shape.missing:
        out["null_tokens"] = [""]
    if note := _note(f, f.label):
        out["note"] = note
    return out | _rules(f)


def _coded(column: Column, choices: Mapping[str, str], shape: Shape) -> Column:
    """A labelled export holds the labels: they are the codes there."""
    codes = {label: label for label in choices.values()} if shape.labelled else dict(choices)
    return column | {"type": "code", "codes": codes}


def _date_kind(validation: str) -> str:
    found = re.fullmatch(r"(date|datetime|datetime_seconds)_(?:ymd|mdy|dmy)", validation)
    return found[1] if found else ""


def _range(f: Field) -> Column:
    out: Column = {}
    for name, text in (("min", f.min), ("max", f.max)):
        if re.fullmatch(r"-?\d+(?:\.\d+)?", text):
            out[name] = float(text) if "." in text else int(text)
    return out


def _personal(f: Field, type_: str) -> str:
    """What may identify a person: as the dictionary says; names, files and free text without being asked."""
    if f.identifier or f.type == "file" or f.validation.startswith(_PERSONAL):
        return "identifier" if type_ in ("text", "code") or f.identifier else "none"
    if f.type == "notes":
        return "free_text"
    open_text = type_ == "text" and f.type == "text" and not _PLAIN_TEXT.fullmatch(f.validation)
    return "free_text" if open_text else "none"


def _rules(f: Field) -> Column:
    out: Column = {}
    if f.required and f.type != "checkbox":
        out["required"] = True
    if f.branching:
        out["shown_when"] = " ".join(f.branching.split())
    return out


def _note(f: Field, label: str) -> str:
    parts = [label[:120]]
    if f.type == "calc":
        parts.append("calculated in REDCap")
    if f.ontology:
        parts.append(f.ontology)
    return "; ".join(p for p in parts if p)


# -- as YAML -----------------------------------------------------------------------------------------


def as_yaml(dictionary: Dictionary, shape: Shape, drafted: Draft, format_: str, revision: str, title: str) -> str:
    """The text of the source model: one line per column, so that a person can read and correct it."""
    head = [
        "# Drafted from a REDCap data dictionary; correct it where the project does otherwise.",
        f"format: {format_}",
        f"revision: {quoted(revision)}",
        f"title: {quoted(title)}",
        f"citation: {quoted('REDCap data dictionary of the project, ' + str(len(dictionary.fields)) + ' fields')}",
        "assumptions:",
        *(f"  - {{text: {quoted(t)}, reason: {quoted(r)}}}" for t, r in _assumptions(dictionary, shape, drafted)),
        "encoding: [utf-8-sig, cp932, cp874, cp1252]",
        f"null_tokens: {flow(['', *shape.missing])}",
        "record: patient",
        f"key: [{dictionary.key}]",
    ]
    if INSTRUMENT in {c["id"] for c in drafted.columns} and not shape.labelled:
        head.append(f"repeat_by: {INSTRUMENT}")
    groups = [f"  {name}: [{', '.join(ids)}]" for name, ids in drafted.groups.items()]
    columns = [f"  - {flow(c)}" for c in drafted.columns]
    return "\n".join([*head, *(["groups:", *groups] if groups else []), "columns:", *columns]) + "\n"


def _assumptions(dictionary: Dictionary, shape: Shape, drafted: Draft) -> Iterator[tuple[str, str]]:
    repeats = ", ".join(shape.repeating) or "none"
    yield (
        f"Forms given several times per record: {repeats}.",
        (f"read from {shape.source}" if shape.source else "the dictionary does not say it and no export was given"),
    )
    if shape.events:
        yield f"Events: {', '.join(shape.events)}.", f"read from {shape.source}"
    codes = ", ".join(shape.missing) or "none"
    yield f"Missing data codes: {codes}.", "named at drafting; the dictionary does not hold them"
    if drafted.left_out:
        yield (
            f"Left out: {', '.join(drafted.left_out)}.",
            "without punctuation their headings are those of other columns",
        )


def flow(value: Any) -> str:
    """YAML in flow form; flags are the words that the schema reads."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_name(k)}: {flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "[" + ", ".join(flow(v) for v in value) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else quoted(value)


def _name(key: str) -> str:
    return key if re.fullmatch("[a-z_]+", key) else quoted(key)


def quoted(text: str) -> str:
    """A plain scalar where YAML allows it, else JSON's quotes (which YAML reads), what is not printable escaped."""
    if re.fullmatch(r"[a-z][a-z0-9_]*", text):
        return text
    written = json.dumps(text, ensure_ascii=False)
    return "".join(map(_escaped, written))


def _escaped(c: str) -> str:
    if c.isprintable():
        return c
    number = 0xFFFD if 0xD800 <= ord(c) <= 0xDFFF else ord(c)  # a lone surrogate is no character
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


__all__ = ["Column", "Draft", "Shape", "as_yaml", "draft", "flow", "quoted"]
