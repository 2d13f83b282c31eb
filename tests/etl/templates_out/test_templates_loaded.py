"""What a site fills in loads without a map of its own, and the CDM holds what was filled in."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import openpyxl
import pytest

from masterkey_etl import assessment, containers, loading
from masterkey_etl.readers import LocalFile, recognise
from masterkey_etl.synth.cohort import Patient
from masterkey_etl.templates_out import filled, questionnaire, workbook
from masterkey_etl.templates_out.form import Form
from masterkey_fhir.check import check
from masterkey_fhir.issue import Issue

SITE = "vn_nci"  # a site that has no map


def csv_sheets(folder: Path, form: Form, rows: filled.Rows) -> None:
    for n, part in enumerate(form.parts, 1):
        if part.name in rows:
            path = folder / f"{n:02d}_{part.name}.csv"
            path.write_text(filled.sheet_csv(form, part.name, rows[part.name], "ja"), encoding="utf-8-sig")


def redcap_export(folder: Path, form: Form, rows: filled.Rows) -> None:
    (folder / "export.csv").write_text(filled.redcap_csv(form, rows), encoding="utf-8")


def answers(folder: Path, form: Form, rows: filled.Rows) -> None:
    numbers = [row["patient_id"] for row in rows["patient"]]
    entries = [{"resource": response(form, rows, number)} for number in numbers]
    assert [i for e in entries for i in check(e["resource"])] == []
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    (folder / "answers.json").write_text(json.dumps(bundle, ensure_ascii=False), encoding="utf-8")


def response(form: Form, rows: filled.Rows, number: str) -> dict[str, Any]:
    """The answers of one patient as an application would send them."""
    groups = []
    for part in form.parts:
        for row in rows.get(part.name, ()):
            if row["patient_id"] == number:
                kinds = {i.column: "code" if i.choices else i.type for i in part.items}
                items = [
                    {"linkId": column, "answer": [answer(kinds[column], text)]}
                    for column, text in row.items()
                    if text and column in kinds
                ]
                groups.append({"linkId": f"part.{part.name}", "item": items})
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": questionnaire.URL,
        "status": "completed",
        "item": groups,
    }


def answer(kind: str, text: str) -> dict[str, Any]:
    if kind == "code":
        return {"valueCoding": {"system": questionnaire.ANSWERS, "code": text}}
    if kind == "integer":
        return {"valueInteger": int(text)}
    return (
        {"valueDecimal": int(text)} if kind == "quantity" else {f"value{'Date' if kind == 'date' else 'String'}": text}
    )


def whole_workbook(folder: Path, form: Form, rows: filled.Rows) -> None:
    workbook.build(form, "ja", rows=rows).save(folder / "registry.xlsx")


WAYS = {"csv": csv_sheets, "redcap": redcap_export, "answers": answers, "workbook": whole_workbook}


@pytest.fixture(scope="module", params=sorted(WAYS))
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, the_form: Form, rows: filled.Rows
) -> tuple[loading.LoadReport, duckdb.DuckDBPyConnection]:
    root = tmp_path_factory.mktemp(request.param)
    folder = root / SITE
    folder.mkdir()
    WAYS[request.param](folder, the_form, rows)
    report = loading.load(root / "data", [folder])
    return report, duckdb.connect(str(assessment.published_cdm(root / "data")), read_only=True)


Loaded = tuple[loading.LoadReport, duckdb.DuckDBPyConnection]


def asked(loaded: Loaded, sql: str) -> list[tuple[Any, ...]]:
    return loaded[1].execute(sql).fetchall()


def test_it_loads_whole_without_an_issue(loaded: Loaded, rows: filled.Rows):
    report, _ = loaded
    assert [str(i) for i in report.issues] == [] and report.exit_code == 0
    for stored in report.stored:
        assert sum(row.n for row in stored.ledger) == stored.values
        assert not [row for row in stored.ledger if row.status in ("unmapped", "rejected")]


def test_persons_are_the_patients(loaded: Loaded, patients: list[Patient]):
    found = Counter(asked(loaded, "SELECT gender_concept_id, year_of_birth FROM person"))
    sexes = {True: 8532, False: 8507}  # the CDM's own: FEMALE, MALE
    assert found == Counter((sexes[p.female], date.fromordinal(p.registered).year - p.age) for p in patients)
    deaths = asked(loaded, "SELECT death_date FROM death")
    assert Counter(d for (d,) in deaths) == Counter(date.fromordinal(p.death) for p in patients if p.death)


def test_conditions_are_the_diagnoses(loaded: Loaded, patients: list[Patient]):
    found = asked(loaded, "SELECT condition_source_value, condition_start_date FROM condition_occurrence")
    assert Counter(found) == Counter((p.entity.code, date.fromordinal(p.diagnosis)) for p in patients)


def test_episodes_are_the_lines(loaded: Loaded, patients: list[Patient]):
    sql = (
        "SELECT episode_number, episode_start_date, episode_end_date, episode_source_value FROM episode "
        "WHERE episode_number IS NOT NULL"
    )
    lines = [(n, x) for p in patients for n, x in enumerate((*p.before, *p.after), 1)]
    expected = Counter(
        (n, date.fromordinal(x.start), date.fromordinal(x.end) if x.end else None, x.drugs) for n, x in lines
    )
    assert Counter(asked(loaded, sql)) == expected
    drugs = asked(loaded, "SELECT count(*) FROM drug_exposure")
    assert drugs == [(sum(len(x.drugs.split(",")) for _, x in lines),)]


def test_each_way_gives_the_same_rows(loaded: Loaded, rows: filled.Rows):
    tables = ("person", "condition_occurrence", "episode", "drug_exposure", "observation", "measurement", "specimen")
    found = {t: asked(loaded, f"SELECT count(*) FROM {t}")[0][0] for t in tables}
    assert found["specimen"] == len(rows["specimen"])
    assert _COUNTS.setdefault("all", found) == found


_COUNTS: dict[str, dict[str, int]] = {}


def test_responses_and_stages_arrive_as_concepts(loaded: Loaded, patients: list[Patient]):
    sql = "SELECT value_source_value, count(*) FROM measurement WHERE measurement_source_value = '{}' GROUP BY 1"
    responses = dict(asked(loaded, sql.format("best-response")))
    assert responses == Counter(x.response for p in patients for x in (*p.before, *p.after))


def test_each_sheet_is_recognised_as_itself(the_form: Form, rows: filled.Rows, tmp_path: Path):
    csv_sheets(tmp_path, the_form, rows)
    for path in sorted(tmp_path.iterdir()):
        assert recognise(LocalFile(path)).id == f"registry_workbook/{path.stem[3:]}"


def test_a_workbook_in_a_zip_gives_its_sheets_and_an_empty_one_is_told(
    the_form: Form, rows: filled.Rows, tmp_path: Path
):
    workbook.build(the_form, rows=rows).save(tmp_path / "a.xlsx")
    workbook.write(tmp_path / "empty.xlsx", the_form)
    with zipfile.ZipFile(tmp_path / "both.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.xlsx", "monthly/a.xlsx")
        archive.write(tmp_path / "empty.xlsx", "empty.xlsx")
        archive.writestr("note.csv", "x\n1\n")
    found: list[Issue] = []
    members = [m for m in containers.members(tmp_path / "both.zip", SITE, None, found.append) if m is not None]
    names = [m.name for m in members]
    assert names == [
        *(f"both.zip!monthly/a.xlsx!{p.name}" for p in the_form.parts if p.name in rows),
        "both.zip!note.csv",
    ]
    assert [(i.rule, i.place.file) for i in found] == [("etl.container-empty", "both.zip!empty.xlsx")]
    alone = list(containers.members(tmp_path / "empty.xlsx", SITE, None, found.append))
    assert alone == [] and found[-1].place.file == "empty.xlsx"


def test_another_workbook_stays_what_it_is(tmp_path: Path):
    book = openpyxl.Workbook()
    book.active.append(["a", "b"])
    book.save(tmp_path / "other.xlsx")
    data = (tmp_path / "other.xlsx").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip", "w") as archive:
        archive.writestr("other.xlsx", data)
    assert list(containers.members(tmp_path / "other.xlsx", SITE, None, print)) == [None]
    (opened,) = [m.open().read() for m in containers.members(tmp_path / "one.zip", SITE, None, print) if m]
    assert opened == data
