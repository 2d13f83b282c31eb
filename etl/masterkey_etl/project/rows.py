"""The core of the projection: the resources of one patient -> CDM rows with symbolic keys. Pure.

Four passes, each of which has an SQL form: (1) every view row meets its edges; (2) facts of the patient and
values copied from other rows; (3) facts over finished rows (first and last event); (4) references to rows
that don't exist become null, and a row that lacks a required field is set aside with its reason.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from masterkey_etl.project.census import Census
from masterkey_etl.project.compile import compile_view
from masterkey_etl.project.lookups import NOTHING, Found
from masterkey_etl.project.maps import SIDE, Maps
from masterkey_etl.project.model import CompiledEdge, CompiledView, Emitted, Patient, Row, Values
from masterkey_omop.keys import Key
from masterkey_omop.vocabulary import Vocabulary


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
        self.views = {
            t: tuple(compile_view(v, m.facts, self.maps, self.words) for v in m.views)
            for t, m in self.maps.resources.items()
        }


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
        merged = is_merged(resource)
        if merged or not _emit(resource, patient, context):
            why = "it was merged into another Patient" if merged else "no edge takes it"
            _not_placed(out, patient, resource.get("resourceType", ""), resource.get("id", ""), "", why)
    _facts_of_rows(patient, out, context)
    person = Key("person", "Patient", patient_id) if patient_id else None
    _write(patient, person, out)
    out["masterkey.census"] = [[person, shape, n] for shape, n in sorted(shapes.items())]
    return dict(out)


def is_merged(resource: dict[str, Any]) -> bool:
    """A Patient that another one replaces is no person (http://hl7.org/fhir/R4/patient.html#links)."""
    return resource.get("resourceType") == "Patient" and any(
        link.get("type") == "replaced-by" for link in resource.get("link", ())
    )


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
