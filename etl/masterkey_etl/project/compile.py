"""Maps -> closures: an edge as what it writes at once, and what waits for the patient's other rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from masterkey_etl.project.fields import fitting
from masterkey_etl.project.lookups import Found, finder, template
from masterkey_etl.project.maps import (
    EVENT_FACTS,
    SELF,
    SIDE,
    Edge,
    Expression,
    Fact,
    Maps,
    ViewMap,
    all_of,
    target_tables,
)
from masterkey_etl.project.model import CompiledEdge, CompiledView, Emitted, Fit, Get, Later, Patient, Row, Values
from masterkey_etl.project.values import reference
from masterkey_omop.keys import Key
from masterkey_omop.schema import Field
from masterkey_omop.vocabulary import Vocabulary, bindings


def compile_view(view: ViewMap, facts: Iterable[Fact], maps: Maps, words: Vocabulary) -> CompiledView:
    """One view of a map with its look-ups, edges and facts."""
    at = {name: i for i, name in enumerate(view.names)} | {SELF: len(view.names)}
    order = {name: i for i, name in enumerate(view.lookups)}
    finders = tuple(finder(lookup, view.names, maps, words) for lookup in view.lookups.values())
    edges = tuple(_compile_edge(e, view, at, order, words) for e in view.edges)
    mine = tuple((f, at[f.column], _conditions(f.when, at)) for f in facts if f.view == view.name)
    return CompiledView(view, finders, edges, mine)


def _conditions(
    when: Mapping[str, tuple[str | None, ...]], at: Mapping[str, int]
) -> tuple[tuple[int, frozenset[str | None]], ...]:
    return tuple((at[column], frozenset(admitted)) for column, admitted in when.items())


def _compile_edge(
    edge: Edge, view: ViewMap, at: Mapping[str, int], order: Mapping[str, int], words: Vocabulary
) -> CompiledEdge:
    table = target_tables()[edge.table]
    positions = {name: i for i, name in enumerate(table.fields)}
    constants: Row = [None] * len(positions)
    plain: list[tuple[int, int, Fit]] = []
    now: list[tuple[int, Get, Fit]] = []
    later: list[tuple[int, int, Later, Fit]] = []
    for column, expression in edge.columns.items():
        i, target = positions[column], table.fields[column]
        if (step := _step(expression)) > 0:
            later.append((step, i, _later(expression, at, order, words), fitting(target)))
        elif expression.verb in ("value", "binding"):
            constants[i] = _get(expression, at, order, words, True)((), [])
        elif expression.verb == "column":
            plain.append((i, at[expression.argument], fitting(target)))
        else:
            now.append((i, _get(expression, at, order, words, target.required), fitting(target)))
    dates = [n for n in table.fields if n.endswith("_date") and "end" not in n and n != "verbatim_end_date"]
    ends = [n for n in table.fields if n.endswith("end_date") and n != "verbatim_end_date"]
    is_event = table.is_personal and edge.table not in NO_EVENTS and not edge.table.startswith(SIDE)
    return CompiledEdge(
        edge=edge,
        table=table,
        name=edge.table,
        positions=positions,
        table_key=positions[table.key] if table.key else None,
        is_personal=table.is_personal,
        when=_conditions(edge.when, at),
        present=tuple(at[c] for c in edge.present),
        domains=tuple((order[name], frozenset(wanted)) for name, wanted in edge.domains.items()),
        slot=template(edge.slot, at, bare_is_column=False),
        constants=constants,
        plain=tuple(plain),
        now=tuple(now),
        later=tuple(sorted(later, key=lambda item: item[0])),
        settled=max([1, *(item[0] for item in later)]),
        lookups=tuple(sorted({order[name] for name in _lookups_of(edge)})),
        keys=tuple(
            positions[n] for n, f in table.fields.items() if _refers(f) and n not in (table.key, "care_site_id")
        ),
        ladders=tuple(_ladders(edge, view, order, at)),
        details=tuple((name, at[column]) for name, column in edge.details.items()),
        required=tuple(positions[f.name] for f in table.fields.values() if f.required and f.name != table.key),
        date=positions[dates[0]] if is_event and dates else None,
        end=positions[ends[0]] if is_event and ends else None,
    )


NO_EVENTS = ("person", "observation_period", "death")  # tables whose dates are not events of the abstraction


def _refers(field: Field) -> bool:
    """May this field name another row? Concepts are no rows of the patient, FHIR ids are texts."""
    return field.type == "integer" and field.name.endswith("_id") and not field.name.endswith("concept_id")


def _lookups_of(edge: Edge) -> set[str]:
    verbs = ("concept", "source_concept", "value_concept")
    return {e.argument for e in all_of(edge.columns.values()) if e.verb in verbs} | set(edge.domains)


def _ladders(
    edge: Edge, view: ViewMap, order: Mapping[str, int], at: Mapping[str, int]
) -> Iterable[tuple[str, int, bool, int | None]]:
    for column, expression in edge.columns.items():
        for used in (expression, *expression.parts):
            if used.verb == "concept":
                lookup = view.lookups[used.argument]
                ladder = any(a.rung for a in lookup.alternatives)
                yield column, order[used.argument], ladder, at[lookup.text] if lookup.text else None


def _step(expression: Expression) -> int:
    """The pass in which an expression can be evaluated: 0 at once, 1 facts, 2 other rows, 3 finished rows."""
    if expression.verb == "fact":
        return 3 if expression.argument in EVENT_FACTS else 1
    own = 2 if expression.verb in ("from", "event", "event_field") else 0
    return max([own, *(_step(p) for p in expression.parts)])


def _get(
    expression: Expression, at: Mapping[str, int], order: Mapping[str, int], words: Vocabulary, required: bool
) -> Get:
    """An expression that needs only the row of the view. A concept of no code is 0 only where required."""
    verb, argument = expression.verb, expression.argument
    if verb == "column":
        i = at[argument]
        return lambda values, found: values[i]
    if verb in ("value", "binding"):
        constant = words.binding(argument) if verb == "binding" else argument
        return lambda values, found: constant
    if verb in ("concept", "source_concept", "value_concept"):
        i, part = order[argument], {"concept": 0, "source_concept": 1, "value_concept": 2}[verb]
        if required:
            return lambda values, found: found[i][part]
        return lambda values, found: found[i][part] if found[i].code else None
    if verb == "row":
        return _row(argument, at[expression.options.get("of", SELF)], str(expression.options.get("slot", "")))
    if verb == "choose":
        i = at[argument]
        chosen = {str(k): words.binding(str(v)) for k, v in expression.options.get("bindings", {}).items()}
        return lambda values, found: chosen.get(str(values[i]), 0)
    if verb == "first" and all(p.verb == "column" for p in expression.parts):
        return _first_column(tuple(at[p.argument] for p in expression.parts))
    parts = [_get(p, at, order, words, required) for p in expression.parts]
    return _combine(verb, parts)


def _row(table: str, i: int, slot: str) -> Get:
    @lru_cache(maxsize=4096)
    def key(text: str) -> Key | None:
        target = reference(text)
        return Key(table, target[0], target[1], slot) if target else None

    return lambda values, found: key(values[i]) if values[i] else None


def _first_column(positions: tuple[int, ...]) -> Get:
    def get(values: Values, found: list[Found]) -> Any:
        for i in positions:
            if values[i] is not None:
                return values[i]
        return None

    return get


def _combine(verb: str, parts: list[Get]) -> Get:
    if verb == "first":
        return lambda values, found: next((v for p in parts if (v := p(values, found)) is not None), None)
    pick = min if verb == "earliest" else max
    return lambda values, found: pick((v for p in parts if (v := p(values, found)) is not None), default=None)


def _later(expression: Expression, at: Mapping[str, int], order: Mapping[str, int], words: Vocabulary) -> Later:
    """An expression that needs the patient: facts, or rows of other resources."""
    verb, argument = expression.verb, expression.argument
    if _step(expression) == 0:
        get = _get(expression, at, order, words, True)
        return lambda emitted, patient: get(emitted.values, emitted.found)
    if verb == "fact":
        return lambda emitted, patient: patient.facts.get(argument)
    if verb == "event":
        return lambda emitted, patient: _target(emitted, patient, at[argument], "event")
    if verb == "event_field":
        fields = _field_concepts(words)
        return lambda emitted, patient: fields.get(_target(emitted, patient, at[argument], "table") or "")
    if verb == "from":
        return _from(at[argument], expression.options)
    parts = [_later(p, at, order, words) for p in expression.parts]
    if verb == "first":
        return partial(_first_later, parts)
    pick = min if verb == "earliest" else max
    return lambda emitted, patient: pick((v for p in parts if (v := p(emitted, patient)) is not None), default=None)


def _first_later(parts: list[Later], emitted: Emitted, patient: Patient) -> Any:
    for part in parts:
        if (value := part(emitted, patient)) is not None:
            return value
    return None


def _field_concepts(words: Vocabulary) -> dict[str, int]:
    """Table -> the concept of its key field, by the bindings named `field.<table>.<key>` (omop.md 1.1)."""
    out = {}
    for name, table in target_tables().items():
        binding = f"field.{name}.{table.key}"
        if binding in bindings():
            out[name] = words.binding(binding)
    return out


def _target(emitted: Emitted, patient: Patient, i: int, part: str) -> Any:
    """The first row that the resource a reference names became: its key or its table."""
    target = reference(emitted.values[i]) if emitted.values[i] else None
    row = patient.primary.get(target) if target else None
    if row is None or row.key is None:
        return None
    return row.key if part == "event" else row.key.table


def _from(i: int, options: Mapping[str, Any]) -> Later:
    stated = options["field"]
    fields = [tuple(f.split(".", 1)) for f in (stated if isinstance(stated, list) else [stated])]
    slot = str(options.get("slot", ""))

    def get(emitted: Emitted, patient: Patient) -> Any:
        target = reference(emitted.values[i]) if emitted.values[i] else None
        if not target:
            return None
        for table, name in fields:
            row = patient.by_key.get(Key(table, *target, slot))
            value = row.row[row.edge.positions[name]] if row else None
            if value is not None:
                return value
        return None

    return get
