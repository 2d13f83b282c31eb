"""Workbook, dictionary, Questionnaire, tables: what they hold, and that their readers take them back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import openpyxl
import pytest

from masterkey_api.cli import main
from masterkey_etl.readers import LocalFile
from masterkey_etl.redcap import dictionary as redcap_dictionary
from masterkey_etl.source_model import SourceModel
from masterkey_etl.templates_out import dictionary, filled, guide, questionnaire, sheets, workbook
from masterkey_etl.templates_out.form import Form
from masterkey_fhir.check import check


def test_the_workbook_has_a_sheet_per_part_with_drop_downs(tmp_path: Path, the_form: Form):
    path = tmp_path / "registry.xlsx"
    workbook.write(path, the_form, "ja")
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["説明", *(p.name for p in the_form.parts), "コード表", "lists"]
    assert book["lists"].sheet_state == "hidden"
    patient = book["patient"]
    headings = [c.value for c in patient[1]]
    assert (
        headings[:2] == ["patient_id\n施設の患者番号 *", "sex\n性別 *"]
        and headings[5] == "registered_before\nこれまでの登録の有無"
    )
    rules = {str(r.sqref).split(":")[0]: r for r in patient.data_validations.dataValidation}
    sex = rules["B2"]
    assert (sex.type, sex.showErrorMessage) == ("list", True) and "性別" in sex.prompt
    column = sex.formula1.split("$")[1]
    assert [c.value for c in book["lists"][column] if c.value] == ["male", "female", "unknown"]
    open_list = {str(r.sqref).split(":")[0]: r for r in book["specimen"].data_validations.dataValidation}["B2"]
    assert open_list.type == "list" and not open_list.showErrorMessage  # other answers may be typed


def test_the_minimum_hides_what_is_not_mandatory(tmp_path: Path, the_form: Form):
    path = tmp_path / "minimum.xlsx"
    workbook.write(path, the_form, "en", minimum=True)
    book = openpyxl.load_workbook(path)
    names = [n for n in book.sheetnames if n in {p.name for p in the_form.parts}]
    assert names == ["patient", "diagnosis", "background", "specimen", "line", "expert_panel"]
    patient = book["patient"]
    hidden = {c.value.split("\n")[0] for c in patient[1] if patient.column_dimensions[c.column_letter].hidden}
    assert hidden == {"birth_year", "registered_before", "case_relation", "cause_of_death"}


@pytest.mark.parametrize("language", ["en", "ja", "vi"])
def test_a_filled_workbook_gives_its_rows_back(tmp_path: Path, the_form: Form, rows: filled.Rows, language: str):
    path = tmp_path / "filled.xlsx"
    workbook.build(the_form, language, rows=rows).save(path)
    got = dict(sheets.members(LocalFile(path)))
    assert list(got) == [p.name for p in the_form.parts if p.name in rows]
    for part, data in got.items():
        found = list(csv.reader(io.StringIO(data.decode(), newline="")))
        expected = list(csv.reader(io.StringIO(filled.sheet_csv(the_form, part, rows[part], language), newline="")))
        assert found[1:] == expected[1:]


def test_what_a_spreadsheet_makes_of_cells_is_read_as_typed(tmp_path: Path, the_form: Form):
    from datetime import datetime

    book = workbook.build(the_form, rows={"patient": [{"patient_id": "007"}]})
    sheet = book["patient"]
    sheet.cell(row=4, column=1, value=12)  # a number, after a blank row
    sheet.cell(row=4, column=5, value=datetime(2020, 2, 3))
    sheet.cell(row=4, column=4, value=61.0)
    book.save(tmp_path / "typed.xlsx")
    data = dict(sheets.members(LocalFile(tmp_path / "typed.xlsx")))["patient"].decode()
    lines = list(csv.reader(io.StringIO(data, newline="")))
    assert [cells[0] for cells in lines[1:]] == ["007", "", "12"]  # rows keep their numbers
    assert lines[3][3:5] == ["61", "2020-02-03"]


def test_an_empty_workbook_holds_nothing_and_other_files_are_none(tmp_path: Path, the_form: Form):
    workbook.write(tmp_path / "empty.xlsx", the_form)
    assert sheets.is_registry_workbook(LocalFile(tmp_path / "empty.xlsx"))
    assert list(sheets.members(LocalFile(tmp_path / "empty.xlsx"))) == []
    other = openpyxl.Workbook()
    other.active.append(["a", "b"])
    other.save(tmp_path / "other.xlsx")
    (tmp_path / "broken.xlsx").write_bytes((tmp_path / "empty.xlsx").read_bytes()[:500])
    (tmp_path / "text.csv").write_text("patient_id,sex\n")
    for name in ("other.xlsx", "broken.xlsx", "text.csv"):
        assert not sheets.is_registry_workbook(LocalFile(tmp_path / name)), name


@pytest.mark.parametrize("minimum", [False, True])
@pytest.mark.parametrize("language", ["en", "ja", "vi"])
def test_the_dictionary_is_one_that_redcap_reads(the_form: Form, language: str, minimum: bool):
    found = redcap_dictionary.parse(dictionary.as_csv(the_form, language, minimum))
    assert found.issues == [] and found.key == "patient_id"
    assert [f.name for f in found.fields] == [i.column for i in the_form.items]  # hidden ones stay in the export
    hidden = {f.name for f in found.fields if "@HIDDEN" in f.annotation}
    assert hidden == ({i.column for i in the_form.items if i.obligation != "mandatory"} if minimum else set())
    by_name = {f.name: f for f in found.fields}
    assert by_name["death_date"].branching == "[vital_status] = 'dead'" and by_name["patient_id"].identifier
    model = SourceModel.load("registry_redcap/1")
    exported = {c.header for c in model.columns if c.copy_of is None}
    assert exported == set(dictionary.columns_of_export(the_form))


@pytest.mark.parametrize("minimum", [False, True])
@pytest.mark.parametrize("language", ["en", "ja", "th"])
def test_the_questionnaire_is_valid(the_form: Form, language: str, minimum: bool):
    found = questionnaire.build(the_form, language, minimum)
    assert check(found) == []
    groups = {g["linkId"]: g for g in found["item"]}
    assert groups["part.line"]["repeats"] is True and "repeats" not in groups["part.patient"]
    items = {i["linkId"]: i for g in found["item"] for i in g["item"]}
    kinds = items["sex"]["type"], items["panel" if minimum else "specimen_type"]["type"]
    assert kinds == ("choice", "open-choice")
    assert [a["valueCoding"]["code"] for a in items["sex"]["answerOption"]] == ["male", "female", "unknown"]
    links = [i["linkId"] for g in found["item"] for i in (g, *g["item"], *(h for x in g["item"] for h in x["item"]))]
    assert len(links) == len(set(links))  # http://hl7.org/fhir/R4/questionnaire.html que-2
    asked = {w["question"] for i in items.values() for w in i.get("enableWhen", ())}
    assert asked <= items.keys()


def test_the_tables_name_each_column_once(the_form: Form):
    body = guide.rows(the_form, "ja")
    assert [r[1] for r in body if r[0] == "line"] == ["patient_id", *(i.column for i in the_form.parts[8].items)]
    text = guide.as_markdown(the_form, "ja")
    assert "## 薬物療法の治療ライン" in text and "| before-panel | エキスパートパネル前 |" in text
    back = list(csv.reader(io.StringIO(guide.as_csv(guide.COLUMNS, body))))
    assert back == [list(guide.COLUMNS), *body]


COMMANDS = {"workbook": "a.xlsx", "redcap": "a.csv", "questionnaire": "a.json", "tables": "a.md"}


@pytest.mark.parametrize(("command", "name"), COMMANDS.items())
def test_commands_write_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str):
    out = tmp_path / name
    assert main(["template", command, str(out), "--language", "ja", "--set", "minimum", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(out)
    assert out.stat().st_size > 1000
    assert main(["template", command, str(tmp_path / "no" / "folder" / name)]) == 2
