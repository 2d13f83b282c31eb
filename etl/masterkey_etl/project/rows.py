"""The core of the projection: the resources of one patient -> CDM rows with symbolic keys. Pure.

Four passes, each of which has an SQL form: (1) every view row meets its edges; (2) facts of the patient and
values copied from other rows; (3) facts over finished rows (first and last event); (4) references to rows
that don't exist become null, and a row that lacks a required field is set aside with its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from masterkey_etl.project.census import Census
from masterkey_etl.project.lookups import NOTHING, Finder, Found, finder, template
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
from masterkey_etl.project.values import day, instant, number, reference, whole
from masterkey_omop.keys import Key
from masterkey_omop.schema import Field, Table
from masterkey_omop.vocabulary import Vocabulary

Row = list[Any]  # in the order of the table's fields; keys are `Key`s until the writer resolves them
Values = tuple[Any, ...]  # a row of a view, with the reference to the resource itself appended
Get = Callable[[Values, list[Found]], Any]
Later = Callable[["Emitted", "Patient"], Any]
Fit = Callable[[Any, "Emitted"], Any]  # a value as a field takes it


@dataclass(slots=True)
class Emitted:
    """A row on its way into `table`, and what the CDM has no place for (`notes`)."""

    edge: CompiledEdge
    key: Key | None
    row: Row
    values: Values
    found: list[Found]
    notes: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def note(self, side: str, *cells: Any) -> None:
        self.notes.append((side, cells))


@dataclass(slots=True)
class Patient:
    """What is known of one patient while the rows are made."""

    site: str
    id: str
    facts: dict[str, str] = field(default_factory=dict)
    rows: list[Emitted] = field(default_factory=list)
    by_key: dict[Key, Emitted] = field(default_factory=dict)
    primary: dict[tuple[str, str], Emitted] = field(default_factory=dict)

    def index(self) -> None:
        self.by_key = {e.key: e for e in self.rows if e.key}
        self.primary = {}
        for emitted in self.rows:
            if emitted.key and not emitted.key.slot:
                self.primary.setdefault((emitted.key.type, emitted.key.id), emitted)


@dataclass(slots=True)
class CompiledEdge:
    edge: Edge
    table: Table
    name: str  # with the prefix of tables beside the CDM
    positions: Mapping[str, int]
    table_key: int | None
    is_personal: bool
    when: tuple[tuple[int, frozenset[str | None]], ...]
    present: tuple[int, ...]
    domains: tuple[tuple[int, frozenset[str]], ...]
    slot: Callable[[Values], str | None]
    constants: Row  # what every row of this edge starts with
    plain: tuple[tuple[int, int, Fit], ...]  # (position, view column, fit)
    now: tuple[tuple[int, Get, Fit], ...]  # (position, value, fit)
    later: tuple[tuple[int, int, Later, Fit], ...]  # (pass, position, value, fit)
    settled: int  # the pass after which the row is complete
    lookups: tuple[int, ...]
    keys: tuple[int, ...]  # positions that may refer to other rows of the patient
    ladders: tuple[tuple[str, int, bool, int | None], ...]  # (field, look-up, has rungs, text column)
    details: tuple[tuple[str, int], ...]
    required: tuple[int, ...]
    date: int | None  # the field that dates an event of this table
    end: int | None


@dataclass(slots=True)
class CompiledView:
    map: ViewMap
    finders: tuple[Finder, ...]
    edges: tuple[CompiledEdge, ...]
    facts: tuple[tuple[Fact, int, tuple[tuple[int, frozenset[str | None]], ...]], ...]


@dataclass(slots=True)
class Context:
    """The compiled maps of a run, and what it counted."""

    site: str
    maps: Maps
    words: Vocabulary
    census: Census = field(default_factory=Census)
    views: dict[str, tuple[CompiledView, ...]] = field(default_factory=dict)
    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.views = {t: tuple(compile_view(v, m.facts, self) for v in m.views) for t, m in self.maps.resources.items()}


# ---- compilation ------------------------------------------------------------------------------------


def compile_view(view: ViewMap, facts: Iterable[Fact], context: Context) -> CompiledView:
    at = {name: i for i, name in enumerate(view.names)} | {SELF: len(view.names)}
    order = {name: i for i, name in enumerate(view.lookups)}
    finders = tuple(finder(lookup, view.names, context.maps, context.words) for lookup in view.lookups.values())
    edges = tuple(_compile_edge(e, view, at, order, context.words) for e in view.edges)
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
    from masterkey_omop.vocabulary import bindings

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


# ---- one patient ------------------------------------------------------------------------------------


def rows_for_patient(patient_id: str, resources: Iterable[dict[str, Any]], context: Context) -> dict[str, list[Row]]:
    """The rows of one patient by table (`masterkey.<name>` beside the CDM), keys still symbolic.

    `patient_id` may be "" for resources that belong to nobody (Organization). Rows are in the order of the
    resources; the same resources give the same rows.
    """
    patient = Patient(context.site, patient_id)
    out: dict[str, list[Row]] = defaultdict(list)
    shapes: Counter[int] = Counter()
    for resource in resources:
        shapes[context.census.shape_of(resource)] += 1
        if not _emit(resource, patient, context):
            _not_placed(out, patient, resource.get("resourceType", ""), resource.get("id", ""), "", "no edge takes it")
    _facts_of_rows(patient, out, context)
    person = Key("person", "Patient", patient_id) if patient_id else None
    _write(patient, person, out)
    out["masterkey.census"] = [[person, shape, n] for shape, n in sorted(shapes.items())]
    return dict(out)


def _emit(resource: dict[str, Any], patient: Patient, context: Context) -> int:
    """Rows of one resource; how many."""
    kind, id = resource.get("resourceType", ""), resource.get("id", "")
    own, made = f"{kind}/{id}", 0
    for view in context.views.get(kind, ()):
        for row in view.map.view.rows(resource):
            values = (*row, own)
            _take_facts(view, values, patient)
            made += _meet(view, values, kind, id, patient, context.words)
    return made


def _take_facts(view: CompiledView, values: Values, patient: Patient) -> None:
    for fact, i, when in view.facts:
        value = values[i]
        if value is not None and all(values[j] in admitted for j, admitted in when):
            known = patient.facts.get(fact.name)
            pick = min if fact.take == "first" else max
            patient.facts[fact.name] = str(value) if known is None else pick(known, str(value))


def _meet(view: CompiledView, values: Values, kind: str, id: str, patient: Patient, words: Vocabulary) -> int:
    made = 0
    found = [NOTHING] * len(view.finders)
    asked: set[int] = set()
    for edge in view.edges:
        if (made and edge.edge.otherwise) or not _admits(edge, values):
            continue
        for i in edge.lookups:
            if i not in asked:
                asked.add(i)
                found[i] = view.finders[i](values)
        if edge.domains and not _in_domain(edge, found, words):
            continue
        patient.rows.append(_row_of(edge, values, found, kind, id))
        made += 1
    return made


def _in_domain(edge: CompiledEdge, found: list[Found], words: Vocabulary) -> bool:
    return all(words.concept(found[i].concept).domain in wanted for i, wanted in edge.domains)


def _admits(edge: CompiledEdge, values: Values) -> bool:
    for i, admitted in edge.when:
        if values[i] not in admitted:
            return False
    return None not in [values[i] for i in edge.present]


def _row_of(edge: CompiledEdge, values: Values, found: list[Found], kind: str, id: str) -> Emitted:
    row = edge.constants.copy()
    key = None
    if edge.table_key is not None:
        key = row[edge.table_key] = Key(edge.name, kind, id, edge.slot(values) or "")
    emitted = Emitted(edge, key, row, values, found)
    for i, position, fit in edge.plain:
        if (value := values[position]) is not None:
            row[i] = fit(value, emitted)
    for i, get, fit in edge.now:
        if (value := get(values, found)) is not None:
            row[i] = fit(value, emitted)
    for name, position in edge.details:
        if values[position] is not None:
            emitted.note("detail", name, str(values[position]))
    for column, i, has_rungs, text in edge.ladders:
        hit = found[i]
        if has_rungs:
            emitted.note("rung", column, hit.rung or "none", hit.system or None, hit.code or None)
        for further in hit.more:
            emitted.note("detail", f"{column}_also", str(further))
        if hit.unmapped:
            emitted.note("unmapped", column, hit.system, hit.code, None if text is None else values[text])
    return emitted


# ---- what a field takes -----------------------------------------------------------------------------


def fitting(target: Field) -> Fit:
    """A value as the field takes it; what does not fit whole is kept whole beside the CDM."""
    if target.type == "integer" and target.name.endswith("_id"):
        return lambda value, emitted: value  # a key or a concept id, made here
    if target.type == "date":
        return partial(_fit_date, target.name, target.name.endswith("end_date") or target.name == "death_date")
    if target.type == "datetime":
        return lambda value, emitted: instant(str(value))  # without a time there is only the date field
    if target.type in ("integer", "float"):
        return partial(_fit_number, target.name, whole if target.type == "integer" else number)
    return partial(_fit_text, target.name, target.length)


def _fit_number(name: str, convert: Callable[[Any], Any], value: Any, emitted: Emitted) -> Any:
    fitted = convert(value)
    if fitted is None:
        emitted.note("full_value", name, str(value))
    return fitted


def _fit_text(name: str, length: int | None, value: Any, emitted: Emitted) -> str:
    text = value if type(value) is str else str(value)
    if length is None or len(text) <= length:
        return text
    emitted.note("full_value", name, text)
    return text[:length]


def _fit_date(name: str, last: bool, value: Any, emitted: Emitted) -> str | None:
    text = str(value)
    found = day(text, last)
    if found is None:
        emitted.note("full_value", name, text)
        return None
    if found.partial:
        emitted.note("partial_date", name, text)
    return found.text


# ---- the later passes -------------------------------------------------------------------------------


def _facts_of_rows(patient: Patient, out: dict[str, list[Row]], context: Context) -> None:
    _merge_keyless(patient)
    patient.index()
    waiting = [e for e in patient.rows if e.edge.later]
    for step in (1, 2, 3):
        if step == 3:
            _event_facts(patient)
        for emitted in waiting:
            for wanted, i, value, fit in emitted.edge.later:
                if wanted == step and (found := value(emitted, patient)) is not None:
                    emitted.row[i] = fit(found, emitted)
        _drop_incomplete(patient, [e for e in patient.rows if e.edge.settled == step], out)
    while _dangling(patient):
        _drop_incomplete(patient, patient.rows, out)


def _event_facts(patient: Patient) -> None:
    starts = [v for e in patient.rows if e.edge.date is not None and (v := e.row[e.edge.date])]
    ends = [v for e in patient.rows if e.edge.end is not None and (v := e.row[e.edge.end])]
    if starts:
        patient.facts["first_event"] = min(starts)
        patient.facts["last_event"] = max([*starts, *ends])


def _drop_incomplete(patient: Patient, settled: list[Emitted], out: dict[str, list[Row]]) -> None:
    """Set aside those of the finished rows that lack a required field."""
    incomplete = [e for e in settled if None in [e.row[i] for i in e.edge.required]]
    for emitted in incomplete:
        kind, name_id = emitted.values[-1].split("/", 1)
        names = [name for i, name in enumerate(emitted.edge.table.fields) if i in emitted.edge.required]
        lacks = [name for name in names if emitted.row[emitted.edge.positions[name]] is None]
        _not_placed(out, patient, kind, name_id, emitted.edge.name, "no " + ", ".join(lacks))
    if incomplete:
        gone = {id(e) for e in incomplete}
        patient.rows = [e for e in patient.rows if id(e) not in gone]
        patient.index()


def _merge_keyless(patient: Patient) -> None:
    """One row of DEATH per person: the first edge's, completed by the later ones."""
    first: dict[str, Emitted] = {}
    kept = []
    for emitted in patient.rows:
        known = first.setdefault(emitted.edge.name, emitted) if emitted.edge.name == "death" else emitted
        if known is emitted:
            kept.append(emitted)
        else:
            known.row = [a or (b if b is not None else a) for a, b in zip(known.row, emitted.row, strict=True)]
            known.notes += emitted.notes
    patient.rows = kept


def _dangling(patient: Patient) -> bool:
    """References to rows that were never made or were set aside become null; whether there were any."""
    found = False
    for emitted in patient.rows:
        row = emitted.row
        for i in emitted.edge.keys:
            if row[i] is not None and row[i] not in patient.by_key:
                row[i] = None
                found = True
    return found


def _not_placed(out: dict[str, list[Row]], patient: Patient, kind: str, id: str, table: str, reason: str) -> None:
    person = Key("person", "Patient", patient.id) if patient.id else None
    out["masterkey.not_placed"].append([person, patient.site, kind, id, table, reason])


def _write(patient: Patient, person: Key | None, out: dict[str, list[Row]]) -> None:
    exists = person in patient.by_key if person else True
    origin, site = out["masterkey.origin"], patient.site
    for emitted in patient.rows:
        edge, key = emitted.edge, emitted.key
        kind, id = emitted.values[-1].split("/", 1)
        if edge.is_personal and not exists:
            _not_placed(out, patient, kind, id, edge.name, "the person has no row")
            continue
        out[edge.name].append(emitted.row)
        if key is None and edge.name == "death":
            key = person
        if key is not None:
            origin.append([person, edge.name, key, site, kind, id, key[3]])
            for side, cells in emitted.notes:
                out[SIDE + side].append([person, edge.name, key, *cells])
