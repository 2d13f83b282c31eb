"""The workbook of a site: out, filled in, and back; and everything that happens to a workbook on the way."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook

from masterkey_etl import answers, issue_sheets
from masterkey_etl.issue_sheets import COLUMNS, Imported, SheetError
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place, issue
from masterkey_fhir.store import IssueFilter, Repository

SITE, OTHER = "jp_ncch", "my_nci"
Edit = Callable[[Any], None]
CONFIRMED = "確認済み・正しい"
LATER = "訂正して再送する"


class Desk:
    """A workspace with Issues of two sites, its workbooks, and what comes back."""

    def __init__(self, root: Path) -> None:
        self.root, self.out = root / "data", root / "out"
        self.workspace = Workspace.open(self.root, create=True)
        self.repository = Repository.open(self.workspace.repository_url)

    def deliver(self, site: str, *values: str) -> None:
        """One Issue a record, about these values."""
        found = [
            issue("etl.value-refused", Place(site, "=case.csv", n, "sex"), record=f"r{n}", problem=f"={v}")
            for n, v in enumerate(values, 2)
        ]
        with self.repository.writing() as writer:
            number = writer.begin_submission(site, "=case.csv", "-".join(values), 1)
            writer.record_issues(site, number, found, scope="f")

    def exported(self, site: str = SITE, **options: Any) -> Path:
        (done,) = issue_sheets.export(self.root, self.out, site=site, **options)
        return done.path

    def back(self, edit: Edit, of: str = SITE, **options: Any) -> Imported:
        """Export, let `edit` change the sheet of Issues, import."""
        path = self.exported(of)
        book = load_workbook(path)
        edit(book.worksheets[1])
        book.save(path)
        return issue_sheets.take(self.root, path, **options)

    def states(self, site: str = SITE) -> dict[str, tuple[str, str]]:
        found = self.repository.find_issues(IssueFilter(site=site))
        return {k.issue.record: (k.state, k.answer) for k in found}

    def dump(self) -> str:
        with self.repository._engine.connect() as c:
            names = ("issue", "issue_event", "counter")
            return repr([[tuple(r) for r in c.exec_driver_sql(f"SELECT * FROM {n}")] for n in names])


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the first deliveries, made once."""
    root = tmp_path_factory.mktemp("delivered")
    found = Desk(root)
    for site in (SITE, OTHER):
        found.deliver(site, "Ann", "Ben", "Cid", "Dan")
    found.repository.close()
    return root


@pytest.fixture
def desk(delivered: Path, tmp_path: Path) -> Iterator[Desk]:
    shutil.copytree(delivered, tmp_path, dirs_exist_ok=True)
    found = Desk(tmp_path)
    yield found
    found.repository.close()


def cell(sheet: Any, row: int, name: str) -> Any:
    return sheet.cell(row, COLUMNS.index(name) + 1)


def answer(sheet: Any, row: int, said: str = CONFIRMED, text: str = "") -> None:
    cell(sheet, row, "answer").value = said
    cell(sheet, row, "text").value = text or None


def rules(done: Imported) -> list[tuple[str, int | None]]:
    return [(i.rule, i.place.row) for i in done.refused]


# -- the round trip ---------------------------------------------------------------------------------------------


def test_a_workbook_goes_out_and_comes_back(desk: Desk) -> None:
    def fill(sheet: Any) -> None:
        answer(sheet, 2)
        answer(sheet, 3, LATER, "stage")
        answer(sheet, 4, "Not available here")  # another language's word is as good

    done = desk.back(fill)
    assert (done.answered, done.unanswered, done.refused) == (3, 1, [])
    assert desk.states() == {
        "r2": ("answered", "confirmed"),
        "r3": ("answered", "will-correct"),
        "r4": ("answered", "not-available"),
        "r5": ("open", ""),
    }
    assert set(desk.states(OTHER).values()) == {("open", "")}


def test_importing_twice_changes_nothing(desk: Desk) -> None:
    desk.back(lambda sheet: answer(sheet, 2, text="stage"))
    before = desk.dump()
    again = issue_sheets.take(desk.root, desk.out / f"{SITE}-issues.xlsx")
    assert (again.answered, again.same, again.refused) == (0, 1, []) and desk.dump() == before


def test_what_stands_in_the_workbook(desk: Desk) -> None:
    book = load_workbook(desk.exported())
    assert book.sheetnames == ["記入方法", "問題一覧", "masterkey"] and book["masterkey"].sheet_state == "hidden"
    sheet = book["問題一覧"]
    shown = [[c.value for c in row][:7] for row in sheet.iter_rows(min_row=1, max_row=2)]
    assert shown == [
        ["番号", "記録（仮名）", "ファイル", "行", "列・要素", "種別", "内容"],
        ["1", "r2", "=case.csv", "2", "sex", "エラー", "値を取り込みません: =Ann"],
    ]
    assert sheet.protection.sheet and not cell(sheet, 2, "answer").protection.locked
    assert all(cell(sheet, 2, c).protection.locked for c in COLUMNS if c not in ("answer", "text"))
    assert sheet.data_validations.dataValidation[0].formula1 == "masterkey!$A$1:$A$3"
    assert "個人を示すもの" in book["記入方法"].cell(4, 1).value


def test_a_text_that_begins_like_a_formula_is_a_text(desk: Desk) -> None:
    path = desk.exported()
    sheet = load_workbook(path).worksheets[1]
    assert cell(sheet, 2, "file").data_type == "s" and cell(sheet, 2, "file").quotePrefix
    with zipfile.ZipFile(path) as packed:
        assert not any(b"<f>" in packed.read(name) for name in packed.namelist() if "worksheets" in name)


def test_the_language_is_the_sites_or_as_asked(desk: Desk) -> None:
    assert load_workbook(desk.exported(OTHER)).sheetnames[0] == "Instructions"
    assert load_workbook(desk.exported(language="en")).sheetnames[0] == "Instructions"


def test_errors_come_first_and_the_rest_waits(desk: Desk) -> None:
    (done,) = issue_sheets.export(desk.root, desk.out, site=SITE, most=3)
    assert (done.rows, done.more) == (3, 1)


def test_an_export_without_open_issues_writes_nothing(desk: Desk) -> None:
    desk.deliver(SITE)
    assert issue_sheets.export(desk.root, desk.out, site=SITE) == [] and not list(desk.out.glob("jp*"))


# -- what happens to rows -----------------------------------------------------------------------------------------


def test_sorted_rows_and_moved_columns_are_taken(desk: Desk) -> None:
    def shuffle(sheet: Any) -> None:
        answer(sheet, 2)
        rows = [[c.value for c in row][::-1] for row in sheet.iter_rows()]
        for number, row in enumerate([rows[0], *rows[:0:-1]], 1):
            for column, said in enumerate(row, 1):
                sheet.cell(number, column).value = said

    done = desk.back(shuffle)
    assert (done.answered, done.refused) == (1, []) and desk.states()["r2"][0] == "answered"


def test_deleted_rows_stay_open(desk: Desk) -> None:
    def cut(sheet: Any) -> None:
        answer(sheet, 4)
        sheet.delete_rows(2, 2)

    assert desk.back(cut).answered == 1 and desk.states()["r2"] == ("open", "")


@pytest.mark.parametrize("column", [c for c in COLUMNS if c not in ("answer", "text")])
def test_a_changed_cell_refuses_its_row_alone(desk: Desk, column: str) -> None:
    def edit(sheet: Any) -> None:
        answer(sheet, 2)
        answer(sheet, 3)
        cell(sheet, 2, column).value = "4" if column == "id" else "x"

    done = desk.back(edit)
    assert rules(done) == [("etl.sheet-altered", 2)] and done.answered == 1
    assert desk.states()["r2"] == ("open", "") and desk.states()["r3"][0] == "answered"


def test_answers_under_the_wrong_question_are_refused(desk: Desk) -> None:
    def swap(sheet: Any) -> None:
        answer(sheet, 2)
        answer(sheet, 3)
        codes = [cell(sheet, n, "check").value for n in (3, 2)]
        for n, code in zip((2, 3), codes, strict=True):
            cell(sheet, n, "check").value = code

    assert rules(desk.back(swap)) == [("etl.sheet-altered", 2), ("etl.sheet-altered", 3)]


def test_a_row_that_stands_there_twice(desk: Desk) -> None:
    def copy(sheet: Any, said: str) -> None:
        answer(sheet, 2)
        for column in range(1, len(COLUMNS) + 1):
            sheet.cell(9, column).value = sheet.cell(2, column).value
        answer(sheet, 9, said)

    assert desk.back(lambda sheet: copy(sheet, CONFIRMED)).answered == 1
    desk.deliver(SITE, "Eve", "Fay", "Gus", "Hal")
    done = desk.back(lambda sheet: copy(sheet, LATER))
    assert rules(done) == [("etl.sheet-twice", 2), ("etl.sheet-twice", 9)] and desk.states()["r2"] == ("open", "")


def test_merged_cells_formulas_errors_and_own_words(desk: Desk) -> None:
    def edit(sheet: Any) -> None:
        answer(sheet, 2)
        sheet.merge_cells("J2:J3")
        answer(sheet, 4, '=HYPERLINK("http://x","y")')
        cell(sheet, 5, "text").value = "stage"
        answer(sheet, 5, "maybe")

    done = desk.back(edit)
    merged, formula = ("etl.sheet-merged", 2), ("etl.sheet-formula", 4)
    assert rules(done) == [merged, ("etl.sheet-merged", 3), formula, ("etl.sheet-choice", 5)] and not done.answered
    assert all(i.remedy("ja") and i.place.file == f"{SITE}-issues.xlsx" for i in done.refused)


def test_a_remark_without_an_answer_is_told(desk: Desk) -> None:
    def edit(sheet: Any) -> None:
        cell(sheet, 2, "text").value = "stage"

    assert rules(desk.back(edit)) == [("etl.sheet-remark-only", 2)]


def test_a_remark_that_looks_like_a_formula_stays_a_text(desk: Desk) -> None:
    def edit(sheet: Any) -> None:
        answer(sheet, 2, text="x")
        cell(sheet, 2, "text").value = "=1+1"
        cell(sheet, 2, "text").data_type = "s"

    assert desk.back(edit).answered == 1


# -- time and place -----------------------------------------------------------------------------------------------


def test_a_later_delivery_outdates_and_closes_rows(desk: Desk) -> None:
    path = desk.exported()
    book = load_workbook(path)
    for row in (2, 3, 4):
        answer(book.worksheets[1], row)
    book.save(path)
    desk.deliver(SITE, "Ann", "changed")
    done = issue_sheets.take(desk.root, path)
    assert (done.answered, done.settled, rules(done)) == (1, 1, [("etl.sheet-outdated", 3)])


def test_a_workbook_of_another_site(desk: Desk) -> None:
    with pytest.raises(SheetError, match="another site"):
        desk.back(lambda sheet: answer(sheet, 2), OTHER, site=SITE)
    foreign = [c.value for c in load_workbook(desk.exported(OTHER)).worksheets[1][2]]

    def paste(sheet: Any) -> None:
        for column, said in enumerate(foreign, 1):
            sheet.cell(2, column).value = said
        answer(sheet, 2)

    assert rules(desk.back(paste)) == [("etl.sheet-altered", 2)] and desk.states(OTHER)["r2"] == ("open", "")


def test_a_sheet_moved_into_a_book_of_its_own_needs_the_site(desk: Desk, tmp_path: Path) -> None:
    rows = [[c.value for c in row] for row in load_workbook(desk.exported()).worksheets[1].iter_rows()]
    book, path = Workbook(), tmp_path / "own.xlsx"
    for row in (["Thank you", None], *rows):
        book.active.append(row)  # type: ignore[union-attr]
    answer(book.active, 3)
    book.save(path)
    with pytest.raises(SheetError, match="hidden sheet is gone"):
        issue_sheets.take(desk.root, path)
    assert issue_sheets.take(desk.root, path, site=SITE).answered == 1


def test_a_code_made_with_an_older_key_is_still_good(desk: Desk) -> None:
    path = desk.exported()
    desk.workspace.key_file.rotate(SITE, "record")
    book = load_workbook(path)
    answer(book.worksheets[1], 2)
    book.save(path)
    assert issue_sheets.take(desk.root, path).answered == 1


# -- files that are no workbook -------------------------------------------------------------------------------------


def packed(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/"), content)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "etl.sheet-unreadable"),
        (b"no zip", "etl.sheet-unreadable"),
        (packed(a=b"x"), "etl.sheet-unreadable"),
        (packed(a=bytes(65 << 20)), "etl.sheet-large"),
        (packed(**{"a.xml": b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'}), "etl.sheet-unreadable"),
        (packed(**{"a.xml": b'<mergeCell ref="A1:XFD1048576"/>'}), "etl.sheet-unreadable"),
    ],
)
def test_what_is_no_workbook(desk: Desk, tmp_path: Path, content: bytes, rule: str) -> None:
    path = tmp_path / "x.xlsx"
    path.write_bytes(content)
    with pytest.raises(SheetError) as error:
        issue_sheets.take(desk.root, path)
    assert [i.rule for i in error.value.issues] == [rule]


def test_another_workbook_and_no_file(desk: Desk, tmp_path: Path) -> None:
    Workbook().save(tmp_path / "other.xlsx")
    for name, rule in (("other.xlsx", "etl.sheet-header"), ("absent.xlsx", "etl.path-absent")):
        with pytest.raises(SheetError) as error:
            issue_sheets.take(desk.root, tmp_path / name, site=SITE)
        assert error.value.issues[0].rule in (rule, "etl.unreadable")


def test_a_cell_far_below_costs_nothing(desk: Desk) -> None:
    def edit(sheet: Any) -> None:
        answer(sheet, 2)
        sheet.cell(1_048_576, 1).value = "end"

    done = desk.back(edit)
    assert done.answered == 1 and rules(done) == [("etl.sheet-altered", 1_048_576)]


# -- languages and remarks ------------------------------------------------------------------------------------------


def test_another_language_by_message_file(desk: Desk) -> None:
    folder = desk.workspace.overlay / "messages"
    folder.mkdir(parents=True)
    said = {"sheet.answer": "Jawaban Anda", "sheet.confirmed": "Benar", "sheet.fact": "{n}", "sheet.nothing": "x"}
    rule = {"etl.value-refused": {"fact": "nilai ditolak: {problem}", "remedy": "salah {tempat}"}}
    (folder / "id.yaml").write_text(json.dumps(said | rule), encoding="utf-8")
    texts = answers.texts(desk.workspace, "id")
    ill = "fhir.message-placeholders"
    assert [i.rule for i in texts.problems] == [ill, "fhir.message-unknown", ill]
    path = desk.exported(language="id")
    sheet = load_workbook(path).worksheets[1]
    assert (cell(sheet, 1, "answer").value, cell(sheet, 1, "fact").value) == ("Jawaban Anda", "What was found")
    assert cell(sheet, 2, "fact").value == "nilai ditolak: =Ann"
    book = load_workbook(path)
    answer(book.worksheets[1], 2, "benar")
    book.save(path)
    assert issue_sheets.take(desk.root, path).answered == 1


def test_a_registry_keeps_known_words_of_a_remark(desk: Desk) -> None:
    assert desk.workspace.role == "registry"
    found, masked = answers.answer(desk.root, 1, "confirmed", "Yamada Taro 12345678\nstage", "physician")
    assert masked and "Yamada" not in found.answer_text and "12345678" not in found.answer_text


def test_a_site_node_keeps_a_remark_without_control_characters(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path / "s", create=True, role="site")
    assert answers.remark(workspace, "Dr Yamada\0\r\n\ud800 ok\x1b[2J") == ("Dr Yamada   ok[2J", 0)


def test_roles_and_answers(desk: Desk) -> None:
    for kind, by in (("accepted", "site"), ("confirmed", "Dr Yamada"), ("nothing", "steward")):
        with pytest.raises(answers.AnswerError, match="can't give this answer") as error:
            answers.answer(desk.root, 1, kind, "", by)
        assert "Yamada" not in str(error.value)
    with pytest.raises(answers.AnswerError, match="more than 2000"):
        answers.answer(desk.root, 1, "confirmed", "x" * 2001, "site")
