"""What each check must find, by plain Python.

`EXPECTED[check](data)` says from the plain description of the rule, not from its SQL, which rows are judged
and which violate: pairs (person_id or None, violated).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from typing import Any

from seeded_cdm import (
    AS_OF,
    DATES,
    FIELD,
    METASTASES,
    MODIFIERS,
    REGIMEN,
    RESPONSE,
    SITES,
    TABLE_OF,
    TABLES,
    TMB,
    Data,
    Row,
)

Judged = Iterator[tuple[int | None, bool]]


def _events(data: Data, *tables: str) -> Iterator[tuple[str, Row, date]]:
    for table in tables:
        for row in data[table]:
            yield table, row, row[DATES[table]]


def _repeated(rows: list[Row], *fields: str) -> Judged:
    counts = Counter(tuple(r.get(f) for f in fields) for r in rows)
    for r in rows:
        yield r["person_id"], counts[tuple(r.get(f) for f in fields)] > 1


def _ages(data: Data) -> Judged:
    births = {p["person_id"]: p["year_of_birth"] for p in data["person"]}
    dated_otherwise = _details(data, "condition_occurrence", "date_from")
    for c in data["condition_occurrence"]:
        if c["condition_occurrence_id"] in dated_otherwise:
            continue
        yield c["person_id"], not 0 <= c["condition_start_date"].year - births[c["person_id"]] <= 110


def _last_contacts(data: Data) -> Judged:
    last = {o["person_id"]: o["observation_period_end_date"] for o in data["observation_period"]}
    for c in data["condition_occurrence"]:
        if c["person_id"] in last:
            yield c["person_id"], last[c["person_id"]] < c["condition_start_date"]


def _order(data: Data, table: str, first: str, later: str) -> Judged:
    for r in data[table]:
        if r.get(first) and r.get(later):
            yield r["person_id"], r[later] < r[first]


def _details(data: Data, table: str, *names: str) -> dict[int, list[str]]:
    """row id -> its details of these names."""
    found: dict[int, list[str]] = {}
    for d in data["masterkey.detail"]:
        if d["table_name"] == table and d["name"] in names:
            found.setdefault(d["row_id"], []).append(d["value"])
    return found


def _deaths(data: Data) -> dict[int, date]:
    died: dict[int, date] = {}
    for d in data["death"]:
        died[d["person_id"]] = min(d["death_date"], died.get(d["person_id"], date.max))
    return died


def _ends_after_death(data: Data) -> Judged:
    died = _deaths(data)
    ends = {"drug_exposure": "drug_exposure_end_date", "procedure_occurrence": "procedure_end_date"}
    for table, field in {**ends, "episode": "episode_end_date"}.items():
        for row in data[table]:
            if row.get(field) and row["person_id"] in died:
                yield row["person_id"], row[field] > died[row["person_id"]]


def _ongoing(data: Data) -> Judged:
    marks = _details(data, "episode", "ongoing", "status")
    for e in data["episode"]:
        said = marks.get(e["episode_id"], [])
        if e["episode_concept_id"] == REGIMEN and {"継続中", "1", "in-progress"} & set(said):
            yield e["person_id"], e.get("episode_end_date") is not None


def _of_item(data: Data, item: str) -> list[Row]:
    return [o for o in data["observation"] if o.get("observation_source_value") == item]


def _metastatic_sites(data: Data) -> Judged:
    none = {
        o["person_id"]
        for o in data["measurement"]
        if o.get("measurement_source_value") == "metastasis" and o["value_source_value"] == "N"
    }
    for m in data["measurement"]:
        if m.get("measurement_source_value") == "metastasis-site":
            yield m["person_id"], m["person_id"] in none


def _specimens_agree(data: Data) -> Judged:
    dates = {s["specimen_id"]: s["specimen_date"] for s in data["specimen"]}
    undated = _details(data, "specimen", "date_from")
    for r in data["masterkey.panel_report"]:
        own = [o for o in _of_item(data, "panel") if o["person_id"] == r["person_id"]]
        case = [o["observation_event_id"] for o in own if o["observation_event_id"] is not None]
        days = {dates[s] for s in case if s not in undated}
        if r["specimen_id"] is not None and days:
            yield r["person_id"], dates[r["specimen_id"]] not in days


def _panels_agree(data: Data) -> Judged:
    for r in data["masterkey.panel_report"]:
        named = {o["value_source_value"] for o in _of_item(data, "panel") if o["person_id"] == r["person_id"]} - {None}
        if r["panel_code"] and named:
            yield r["person_id"], r["panel_code"] not in named


def _ages_agree(data: Data) -> Judged:
    at_registration = _details(data, "person", "age_at_registration")
    at_report = _details(data, "masterkey.panel_report", "age_at_report")
    for r in data["masterkey.panel_report"]:
        case, report = at_registration.get(r["person_id"]), at_report.get(r["panel_report_id"])
        if case and report:
            yield r["person_id"], abs(int(case[0]) - int(report[0])) > 2


def _after_death(data: Data) -> Judged:
    died = _deaths(data)
    tables = ("condition_occurrence", "drug_exposure", "procedure_occurrence", "specimen", "episode")
    for _, row, when in _events(data, *tables):
        if row["person_id"] in died:
            yield row["person_id"], when > died[row["person_id"]]


def _line_order(data: Data) -> Judged:
    lines: dict[int, list[Row]] = {}
    for e in data["episode"]:
        if e["episode_concept_id"] == REGIMEN:
            lines.setdefault(e["person_id"], []).append(e)
    for who, own in lines.items():
        numbered = sorted(
            own, key=lambda e: (e["episode_number"] is not None, e["episode_number"] or 0, e["episode_start_date"])
        )
        for before, e in zip([None, *numbered], numbered, strict=False):
            number = e["episode_number"]
            previous = before["episode_number"] if before else None
            wrong = number is None or number < 1
            wrong = wrong or (previous is None and number > 1) or (previous is not None and number - previous > 1)
            yield who, wrong or bool(before and e["episode_start_date"] < before["episode_start_date"])


def _overlaps(data: Data) -> Judged:
    lines = [e for e in data["episode"] if e["episode_concept_id"] == REGIMEN]
    for e in lines:
        if e["episode_end_date"] is None:
            continue
        later = [
            o for o in lines
            if o["person_id"] == e["person_id"] and (o["episode_number"] or 0) > (e["episode_number"] or 0)
            and e["episode_number"] is not None
        ]  # fmt: skip
        limit = e["episode_end_date"] - timedelta(days=14)
        yield e["person_id"], any(o["episode_start_date"] < limit for o in later)


def _index(data: Data) -> dict[tuple[str, int], int]:
    return {(t, r[f"{t}_id"]): r["person_id"] for t in TABLES for r in data[t]}


def _linked(data: Data) -> Iterator[tuple[Row, Any, Any]]:
    for m in data["measurement"]:
        yield m, m.get("measurement_event_id"), m.get("meas_event_field_concept_id")
    for o in data["observation"]:
        yield o, o.get("observation_event_id"), o.get("obs_event_field_concept_id")


def _links_hold(data: Data) -> Judged:
    index = _index(data)
    for row, event, field in _linked(data):
        if event is not None or field is not None:
            yield row["person_id"], index.get((TABLE_OF.get(field, ""), event)) != row["person_id"]


def _events_hold(data: Data) -> Judged:
    index = _index(data)
    for e in data["episode_event"]:
        owner = index.get(("episode", e["episode_id"]))
        target = index.get((TABLE_OF.get(e["episode_event_field_concept_id"], ""), e["event_id"]))
        yield owner, owner is None or target != owner


def _parents(data: Data) -> Judged:
    episodes = {e["episode_id"]: e for e in data["episode"]}
    for e in data["episode"]:
        if e.get("episode_parent_id") is None:
            continue
        p = episodes.get(e["episode_parent_id"])
        wrong = p is None or p["person_id"] != e["person_id"] or p["episode_start_date"] > e["episode_start_date"]
        yield e["person_id"], wrong or p is e or (p or {}).get("episode_parent_id") == e["episode_id"]


def _in_period(data: Data) -> Judged:
    spans = [
        (o["person_id"], o["observation_period_start_date"], o["observation_period_end_date"])
        for o in data["observation_period"]
    ]
    tables = [t for t in DATES if t != "death"]
    for _, row, when in _events(data, *tables):
        yield row["person_id"], not any(who == row["person_id"] and a <= when <= z for who, a, z in spans)


def _modifiers(data: Data) -> Judged:
    allowed = {FIELD["condition_occurrence"], FIELD["episode"], FIELD["procedure_occurrence"]}
    for m in data["measurement"]:
        if m["measurement_concept_id"] in MODIFIERS:
            field = m.get("meas_event_field_concept_id")
            yield m["person_id"], m.get("measurement_event_id") is None or field not in allowed


def _or(value: float | None, instead: float) -> float:
    return instead if value is None else value


def _responses(data: Data) -> Judged:
    for row, event, field in _linked(data):
        if RESPONSE in (row.get("observation_concept_id"), row.get("measurement_concept_id")):
            yield row["person_id"], event is None or field != FIELD["episode"]


CONTACT = re.compile(r"\d{9}|\d-\d{4}-\d{4}|\d{3}-\d{4}-\d|@.+\..")

EXPECTED: dict[str, Callable[[Data], Judged]] = {
    "ID01.present": lambda d: ((p["person_id"], p["person_source_value"] is None) for p in d["person"]),
    "ID01.unique": lambda d: _repeated(
        [p for p in d["person"] if p["person_source_value"] is not None], "care_site_id", "person_source_value"
    ),
    "ID07": lambda d: _repeated(
        [m for m in d["measurement"] if m["measurement_concept_id"] in METASTASES],
        "person_id", "measurement_concept_id", "measurement_date",
    ),
    "DM01": lambda d: ((p["person_id"], not 1900 <= p["year_of_birth"] <= AS_OF.year) for p in d["person"]),
    "DM02": lambda d: ((p["person_id"], p["gender_concept_id"] not in (8507, 8532, 0)) for p in d["person"]),
    "DM03": _ages,
    "DT02": lambda d: ((r["person_id"], when > AS_OF) for _, r, when in _events(d, *DATES)),
    "DT03": _last_contacts,
    "DT05.drug": lambda d: _order(d, "drug_exposure", "drug_exposure_start_date", "drug_exposure_end_date"),
    "DT05.episode": lambda d: _order(d, "episode", "episode_start_date", "episode_end_date"),
    "DT06": _after_death,
    "DT06.end": _ends_after_death,
    "DT15": lambda d: _repeated(d["death"], "person_id"),
    "DX01": lambda d: (
        (p["person_id"], p["person_id"] not in {c["person_id"] for c in d["condition_occurrence"]}) for p in d["person"]
    ),
    "EP10": lambda d: (
        (r["person_id"], not r.get("cause_concept_id") and r.get("cause_source_value") is None) for r in d["death"]
    ),
    "TX01": lambda d: ((r["person_id"], r["drug_concept_id"] == 0) for r in d["drug_exposure"]),
    "TX05": _line_order,
    "TX06": _overlaps,
    "TX09.ongoing": _ongoing,
    "TX10": lambda d: (
        (r["person_id"], r["person_id"] not in {c["person_id"] for c in d["condition_occurrence"]})
        for r in d["drug_exposure"]
    ),
    "MK01": _responses,
    "MK02": _metastatic_sites,
    "MK03": _specimens_agree,
    "MK04": _panels_agree,
    "MK05": _ages_agree,
    "GN06": lambda d: (
        (c["person_id"], not 0 <= c["value_number"] <= 1)
        for c in d["masterkey.component"]
        if c["code"] == "81258-6" and c["value_number"] is not None
    ),
    "GN09": lambda d: (
        (m["person_id"], not m["unit_source_value"] or not 0 <= _or(m["value_as_number"], -1) <= 100)
        for m in d["measurement"]
        if m["measurement_concept_id"] == TMB
    ),
    "OM01": _links_hold,
    "OM02": _events_hold,
    "OM04": _parents,
    "OM05": _modifiers,
    "OM06": _in_period,
    "OM09": lambda d: iter([(None, len(d["cdm_source"]) != 1)]),
    "CO03": lambda d: (
        (c["person_id"], bool(CONTACT.search(c["condition_source_value"]))) for c in d["condition_occurrence"]
    ),
}  # fmt: skip


def expected(data: Data, check_id: str) -> dict[str, tuple[int, int]]:
    """site -> (denominator, violated), by plain Python."""
    site_of = {p["person_id"]: SITES[p["care_site_id"]] for p in data["person"]}
    out: dict[str, list[int]] = {}
    for who, violated in EXPECTED[check_id](data):
        counts = out.setdefault(site_of.get(who, "") if who is not None else "", [0, 0])
        counts[0] += 1
        counts[1] += violated
    return {site: (n, v) for site, (n, v) in out.items()}
