"""What a site would type into the templates for the synthetic cohort: facts per part, from `synth.cohort`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from datetime import date
from typing import TYPE_CHECKING

from masterkey_etl.templates_out.dictionary import columns_of_export
from masterkey_etl.templates_out.form import KEY, Form
from masterkey_etl.templates_out.shipped import heading

if TYPE_CHECKING:
    from masterkey_etl.synth.cohort import Line, Patient

Row = dict[str, str]
Rows = dict[str, list[Row]]  # part -> its rows
SITES = {
    "肺": "lung",
    "肝": "liver",
    "骨": "bone",
    "脳": "cns-brain",
    "リンパ節": "lymphoid",
    "その他": "other",
    "乳": "breast",
}


def facts(patient: Patient, number: str) -> Rows:
    """One patient as rows of the parts; `number` is the patient's number at the hospital."""
    out: Rows = {
        "patient": [_patient(patient)],
        "diagnosis": [_diagnosis(patient)],
        "background": [_background(patient)],
        "metastasis": [{"metastasis_site": SITES[s]} for s in patient.sites],
        "family": [
            {"family_no": str(n), "family_relation": "sibling", "family_cancer": SITES[organ], "family_age_decade": age}
            for n, (organ, age) in enumerate(patient.family, 1)
        ],
        "specimen": [_specimen(patient)],
        "line": [_line(n, line, line in patient.after) for n, line in enumerate((*patient.before, *patient.after), 1)],
        "expert_panel": _panel(patient),
    }
    return {part: [{KEY: number, **row} for row in rows] for part, rows in out.items() if rows}


def _patient(p: Patient) -> Row:
    return {
        "sex": "female" if p.female else "male",
        "age": str(p.age),
        "birth_year": str(date.fromordinal(p.registered).year - p.age),
        "registered": day(p.registered),
        "vital_status": "dead" if p.death else "alive",
        "death_date": day(p.death),
        "last_alive": day(p.last_alive),
        "cause_of_death": ("primary-disease" if p.primary_death else "other-disease") if p.death else "",
    }


def _diagnosis(p: Patient) -> Row:
    return {
        "oncotree": p.entity.code,
        "oncotree_version": "2020_04_01",
        "diagnosis_date": day(p.diagnosis),
        "stage": p.stage or "unknown",
        "metastasis": "yes" if p.sites else "no",
    }


def _background(p: Patient) -> Row:
    return {
        "ecog": str(p.ecog),
        "smoking": "yes" if p.smoker else "no",
        "smoking_years": str(p.smoking_years or ""),
        "smoking_per_day": str(p.smoker or ""),
        "family_history": "yes" if p.family else "no",
    }


def _specimen(p: Patient) -> Row:
    return {
        "specimen_type": "ffpe",
        "specimen_date": day(p.specimen),
        "tumour_content": str(p.tumour_content),
        "analysis_failed": "yes" if p.failed else "no",
        "panel": "foundationone-cdx" if p.foundation else "ncc-oncopanel",
    }


def _line(number: int, line: Line, after: bool) -> Row:
    return {
        "line_number": str(number),
        "phase": "after-panel" if after else "before-panel",
        "regimen": line.drugs,
        "drugs": line.drugs.replace(",", ";"),
        "label_use": "on-label" if line.on_label else "off-label",
        "line_start": day(line.start),
        "line_end": day(line.end),
        "ongoing": "" if line.end else "yes",
        "stop_reason": line.stop,
        "response": line.response,
        "stop_event": line.event[0] if line.event else "",
        "stop_event_grade": "3" if line.event else "",
        "grade3": "yes" if line.event else "no",
    }


def _panel(p: Patient) -> list[Row]:
    if p.panel_day is None:
        return []
    yes = {True: "yes", False: "no"}
    return [
        {"expert_panel_date": day(p.panel_day), "option_offered": yes[p.offered], "option_given": yes[p.given]},
    ]


def day(ordinal: int | None) -> str:
    return date.fromordinal(ordinal).isoformat() if ordinal else ""


def together(patients: Iterable[Rows]) -> Rows:
    """The rows of many patients, part by part."""
    out: Rows = {}
    for rows in patients:
        for part, found in rows.items():
            out.setdefault(part, []).extend(found)
    return out


def sheet_csv(form: Form, part_name: str, rows: Iterable[Mapping[str, str]], language: str = "en") -> str:
    """One sheet as the CSV a spreadsheet program saves of it."""
    part = next(p for p in form.parts if p.name == part_name)
    key = next(i for i in form.items if i.column == KEY)
    items = [key, *(i for i in part.items if i.column != KEY)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([heading(i, language) for i in items])
    writer.writerows([row.get(i.column, "") for i in items] for row in rows)
    return out.getvalue()


def redcap_csv(form: Form, rows: Rows) -> str:
    """The flat export of a REDCap project with the same facts."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns_of_export(form), restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(flat(form, rows))
    return out.getvalue()


def flat(form: Form, rows: Rows) -> list[Row]:
    """One row per patient with the single parts, then one per instance of the repeating ones."""
    base: dict[str, Row] = {}
    more: dict[str, list[Row]] = {}
    instances: dict[tuple[str, str], int] = {}
    for part in form.parts:
        for row in rows.get(part.name, ()):
            number, complete = row[KEY], {f"{part.name}_complete": "2"}
            if not part.repeats:
                base.setdefault(number, {}).update(row | complete)
                continue
            n = instances[number, part.name] = instances.get((number, part.name), 0) + 1
            place = {"redcap_repeat_instrument": part.name, "redcap_repeat_instance": str(n)}
            more.setdefault(number, []).append(row | place | complete)
    return [row for number, first in base.items() for row in (first, *more.get(number, ()))]


__all__ = ["Rows", "day", "facts", "flat", "redcap_csv", "sheet_csv", "together"]
