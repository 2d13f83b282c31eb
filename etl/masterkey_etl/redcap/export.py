"""What a flat export shows that its dictionary does not say: what repeats, events, raw or labelled, missing codes."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from masterkey_etl.header import header_key
from masterkey_etl.redcap.dictionary import Dictionary, Field, decoded
from masterkey_etl.redcap.logic import checkbox_column
from masterkey_etl.redcap.model import EVENT, INSTRUMENT, LABELLED, Shape

Row = Mapping[str, str]


def look(path: Path, dictionary: Dictionary, missing: tuple[str, ...] = ()) -> Shape:
    """The shape of the project, from one of its exports (CSV, or JSON rows of the API)."""
    header, rows = _rows(path)
    return shape_of(header, rows, dictionary, missing, path.name)


def shape_of(
    header: list[str], rows: Iterable[Row], dictionary: Dictionary, missing: tuple[str, ...], source: str
) -> Shape:
    """Forms repeat when they are named as repeating, or filled in more than one event."""
    labelled = header_key(LABELLED[INSTRUMENT]) in map(header_key, header) or not _has_names(header, dictionary)
    event_column = LABELLED[EVENT] if labelled else EVENT
    instrument_column = LABELLED[INSTRUMENT] if labelled else INSTRUMENT
    named: dict[str, None] = {}
    events: dict[str, None] = {}
    filled: dict[str, set[str]] = {}
    fields = {} if labelled else _columns_of_forms(dictionary)
    for row in rows:
        if instrument := row.get(instrument_column, ""):
            named[instrument] = None
        if event := row.get(event_column, ""):
            events[event] = None
            for form, columns in fields.items():
                if any(row.get(c) for c in columns):
                    filled.setdefault(form, set()).add(event)
    repeating = {f for f in dictionary.forms if _is_named(f, named)} | {f for f, at in filled.items() if len(at) > 1}
    ordered = tuple(f for f in dictionary.forms if f in repeating)
    return Shape(ordered, tuple(events), missing, labelled, frozenset(header), source)


def _has_names(header: list[str], dictionary: Dictionary) -> bool:
    """More of the header are variable names than labels."""
    keys = set(header)
    names = sum(c in keys for f in dictionary.fields for c in _exported(f))
    return names >= sum(f.label in keys for f in dictionary.fields)


def _columns_of_forms(dictionary: Dictionary) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {form: [] for form in dictionary.forms}
    for f in dictionary.fields:
        if f.name != dictionary.key and f.type not in ("descriptive", "checkbox"):
            out[f.form].append(f.name)
    return out


def _exported(f: Field) -> Iterator[str]:
    if f.type == "checkbox":
        yield from (checkbox_column(f.name, code) for code in f.choices)
    elif f.type != "descriptive":
        yield f.name


def _is_named(form: str, named: Iterable[str]) -> bool:
    """An instrument is named by its form, in a labelled export by its title."""
    return header_key(form) in map(header_key, named)


def _rows(path: Path) -> tuple[list[str], Iterator[Row]]:
    text = decoded(path.read_bytes())
    if text.lstrip()[:1] == "[":
        found = json.loads(text)
        rows = [{k: "" if v is None else str(v) for k, v in r.items()} for r in found if isinstance(r, dict)]
        return list(dict.fromkeys(k for r in rows for k in r)), iter(rows)
    reader = csv.DictReader(text.splitlines(keepends=True), restval="")
    return list(reader.fieldnames or ()), ({str(k): str(v) for k, v in r.items()} for r in reader)


__all__ = ["look", "shape_of"]
