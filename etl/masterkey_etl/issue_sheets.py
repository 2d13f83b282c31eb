"""Open Issues as a workbook for sites that work by e-mail, and the way back.

A workbook has a sheet of instructions, a sheet of Issues (one a row, all locked but answer and remark), and a hidden
one with the choices. A row stands for itself: its check code is keyed with the site's key over everything shown, so
rows may be sorted or left out, and a row that was edited, or comes from another site, is refused alone. Nothing in
it is evaluated: texts are written as texts whatever they begin with, and a formula is never an answer.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_etl import answers
from masterkey_etl.answers import AnswerError, sheet_words
from masterkey_etl.assessment import opened
from masterkey_etl.files import read_issue, replacing
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.workspace import Workspace
from masterkey_fhir import messages
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.messages import Texts
from masterkey_fhir.store import IssueFilter, JournalIssue, Repository, Writer
from masterkey_fhir.store.life import SITE_ANSWERS

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

COLUMNS = ("id", "record", "file", "row", "field", "severity", "fact", "remedy", "since", "answer", "text", "check")
OPEN_TO_EDIT = ("answer", "text")
SHOWN = tuple(c for c in COLUMNS if c not in (*OPEN_TO_EDIT, "check"))
WIDTHS = (8, 30, 24, 8, 22, 10, 60, 50, 12, 30, 40, 28)
MOST_ROWS = 2000  # in one workbook: what a person may still answer by hand
META = "masterkey"  # the hidden sheet
LARGEST = 64 << 20  # bytes of a returned workbook, unpacked
MEMBERS = 500
HEADER_WITHIN = 20  # rows in which the header is looked for
MOST_MERGED = 1_000_000  # cells in merged areas
_MERGED = re.compile(
    rb'<(?:\w+:)?mergeCell[^>]*\sref\s*=\s*["\']\$?([A-Z]{1,3})\$?([0-9]{1,7}):\$?([A-Z]{1,3})\$?([0-9]{1,7})'
)
_SEVERITIES = ("fatal", "error", "warning", "information")
_UNREADABLE = (
    *(ValueError, KeyError, TypeError, AttributeError, IndexError, SyntaxError, EOFError, OverflowError),
    *(NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error),
)


class SheetError(MasterkeyError):
    """A workbook that can't be taken at all."""


@dataclass(frozen=True)
class Exported:
    """A workbook that was written: its rows, and how many Issues wait for the next one."""

    site: str
    path: Path
    language: str
    rows: int
    more: int


@dataclass
class Imported:
    """What a returned workbook brought. `refused` are Issues with place and remedy; the rest is in."""

    file: str
    site: str
    answered: int = 0
    same: int = 0
    unanswered: int = 0
    settled: int = 0
    masked: int = 0
    refused: list[Issue] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        counts = {n: getattr(self, n) for n in ("answered", "same", "unanswered", "settled", "masked")}
        return {"file": self.file, "site": self.site, **counts, "refused": [i.as_outcome() for i in self.refused]}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a returned workbook, as texts by column; `formulas` are columns to fill in that hold one, or an error.

    A formula elsewhere is compared as it is written, like any text.
    """

    number: int
    cells: Mapping[str, str]
    formulas: tuple[str, ...] = ()
    merged: bool = False


# -- export -------------------------------------------------------------------------------------------------------


def export(
    data: Path, out: Path, *, site: str | None = None, language: str | None = None, most: int = MOST_ROWS
) -> list[Exported]:
    """One workbook for each site with open Issues that are its turn: `out/<site>-issues.xlsx`.

    `language`: of all workbooks; without it each site's own. Raises WorkspaceError (etl.site-unknown,
    etl.unwritable), MessagesError.
    """
    with opened(data) as (workspace, repository):
        names = [workspace.site(site).id] if site else repository.sites()
        out.mkdir(parents=True, exist_ok=True)
        return [done for name in names if (done := _export(workspace, repository, name, language, out, most))]


def _export(
    workspace: Workspace, repository: Repository, site: str, language: str | None, out: Path, most: int
) -> Exported | None:
    wanted = IssueFilter(site=site, state="open", turn="site")
    total = repository.count_issues(wanted)
    if not total:
        return None
    chosen = answers.texts(workspace, language or workspace.site(site).language)
    found = list(_gravest(repository, wanted, most))
    key = workspace.keys(site).current("record")
    rows = [_cells(k, key, chosen) for k in found]
    path = out / f"{site}-issues.xlsx"
    with replacing(path) as stream:
        build(site, rows, chosen, total - len(rows)).save(stream)
    return Exported(site, path, chosen.language, len(rows), total - len(rows))


def _gravest(repository: Repository, wanted: IssueFilter, most: int) -> Iterator[JournalIssue]:
    """The first `most`, errors before questions, oldest first."""
    left = most
    for severity in _SEVERITIES:
        found = repository.find_issues(replace(wanted, severity=severity), limit=left) if left else []
        left -= len(found)
        yield from found


def _cells(k: JournalIssue, key: Key, chosen: Texts) -> dict[str, str]:
    i = k.issue
    shown = {
        "id": str(k.id),
        "record": i.record,
        "file": i.place.file or k.file,
        "row": "" if i.place.row is None else str(i.place.row),
        "field": i.place.field or i.place.expression,
        "severity": chosen.word(f"sheet.{i.severity}"),
        "fact": chosen.fact(i),
        "remedy": chosen.remedy(i),
        "since": k.opened[:10],
    }
    shown = {name: _text(said) for name, said in shown.items()}
    return {**shown, "check": check_code(key, i.place.site, k.id, k.value, shown)}


def check_code(key: Key, site: str, id: int, value: int, shown: Mapping[str, str]) -> str:
    """Two keyed digests: of what is wrong now, and of that with everything the row shows."""
    about = key.digest("issue-sheet-value", site, str(id), str(value), size=6)
    return f"{about}-{_whole(key, site, about, shown)}"


def _whole(key: Key, site: str, about: str, shown: Mapping[str, str]) -> str:
    return key.digest("issue-sheet-row", site, about, *(shown.get(c, "") for c in SHOWN), size=8)


def build(site: str, rows: Sequence[Mapping[str, str]], chosen: Texts, more: int = 0) -> Workbook:
    """The workbook in memory. Each cell is a text; only answer and remark can be edited."""
    from openpyxl import Workbook

    book = Workbook()
    first = book.active
    assert first is not None
    _instructions(first, site, len(rows), more, chosen)
    sheet = book.create_sheet(chosen.word("sheet.title")[:31])
    _choices(book.create_sheet(META), site, chosen)
    _header(sheet, chosen)
    for number, cells in enumerate(rows, 2):
        for column, name in enumerate(COLUMNS, 1):
            _write(sheet, number, column, cells.get(name, ""), name in OPEN_TO_EDIT)
    _lock(sheet, len(rows) + 1, chosen)
    book.active = 1
    return book


def _instructions(sheet: Worksheet, site: str, rows: int, more: int, chosen: Texts) -> None:
    from openpyxl.styles import Alignment

    sheet.title = chosen.word("sheet.instructions")[:31]
    sheet.column_dimensions["A"].width = 110
    steps = sorted(name for name in sheet_words() if name.startswith("sheet.step-"))
    for number, name in enumerate(steps, 1):
        _write(sheet, number, 1, chosen.word(name, site=site, n=rows, more=more), False)
        sheet.cell(number, 1).alignment = Alignment(wrap_text=True, vertical="top")
    sheet.protection.sheet = True


def _choices(sheet: Worksheet, site: str, chosen: Texts) -> None:
    for number, kind in enumerate(SITE_ANSWERS, 1):
        _write(sheet, number, 1, chosen.word(f"sheet.{kind}"), False)
    for number, said in enumerate((site, chosen.language, datetime.now(UTC).isoformat(timespec="seconds")), 1):
        _write(sheet, number, 2, said, False)
    sheet.sheet_state = "hidden"
    sheet.protection.sheet = True


def _header(sheet: Worksheet, chosen: Texts) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for column, (name, width) in enumerate(zip(COLUMNS, WIDTHS, strict=True), 1):
        _write(sheet, 1, column, chosen.word(f"sheet.{name}"), False)
        cell = sheet.cell(1, column)
        cell.font = Font(bold=True)
        cell.fill = PatternFill("solid", start_color="FFF2CC" if name in OPEN_TO_EDIT else "D9E2F3")
        cell.alignment = Alignment(wrap_text=True, vertical="top")
        sheet.column_dimensions[get_column_letter(column)].width = width
    sheet.freeze_panes = "B2"


def _write(sheet: Worksheet, row: int, column: int, said: str, editable: bool) -> None:
    """A text, whatever it begins with: never a formula, number or date, also after it was edited in place."""
    from openpyxl.styles import Alignment, PatternFill, Protection

    cell = sheet.cell(row, column)
    cell.number_format = "@"
    if said:
        cell.value = said
        cell.data_type = "s"
        cell.quotePrefix = said[0] in "=+-@'"
    if row > 1:
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    if editable:
        cell.protection = Protection(locked=False)
        cell.fill = PatternFill("solid", start_color="FFFBEB")


def _lock(sheet: Worksheet, last: int, chosen: Texts) -> None:
    from openpyxl.utils import get_column_letter
    from openpyxl.worksheet.datavalidation import DataValidation

    choice = DataValidation(type="list", formula1=f"{META}!$A$1:$A${len(SITE_ANSWERS)}", allow_blank=True)
    choice.error = chosen.word("sheet.choose")[:255]
    choice.showErrorMessage = True
    sheet.add_data_validation(choice)
    letter = get_column_letter(COLUMNS.index("answer") + 1)
    choice.add(f"{letter}2:{letter}{max(last, 2)}")
    sheet.auto_filter.ref = f"A1:{get_column_letter(len(COLUMNS))}{last}"
    protection = sheet.protection
    protection.sheet = True
    protection.sort = protection.autoFilter = protection.formatColumns = protection.formatRows = False  # False: allowed


def _text(said: str) -> str:
    """One line without what XML can't hold; what comes back from a spreadsheet is the same."""
    return " ".join("".join(c if c.isprintable() or c in " \t\r\n" else "\ufffd" for c in said).split())[:8000]


# -- import -------------------------------------------------------------------------------------------------------


def take(data: Path, file: Path, *, site: str | None = None, by: str = "site") -> Imported:
    """The answers of a returned workbook; each row that can't be taken is told, the rest is in. Twice is once.

    Raises SheetError when the file is no workbook of ours, of an unknown or another site; AnswerError for `by`.
    """
    answers.may(SITE_ANSWERS[0], by)
    place = Place(site or "", file.name)
    with opened(data) as (workspace, repository):
        rows, said = read(file, place, headers(workspace))
        name = _site(workspace, said, site, place)
        done = Imported(file.name, name)
        checked = list(_checked(rows, workspace, repository, done))
        with repository.writing(agent="masterkey issues", holder=f"answers of {name}") as writer:
            for row, kind in _once(checked, done):
                _enter(writer, workspace, row, kind, by, done)
    return done


def _site(workspace: Workspace, said: str, given: str | None, place: Place) -> str:
    if given and said and given != said:
        raise SheetError(issue("etl.sheet-of-another-site", place, given=given))
    if not (given or said):
        raise SheetError(issue("etl.sheet-without-site", place))
    return workspace.site(given or said).id


def _checked(
    rows: Iterable[Row], workspace: Workspace, repository: Repository, done: Imported
) -> Iterator[tuple[Row, str]]:
    """Rows with an answer that are what was exported, with the kind of their answer."""
    keys, known = workspace.keys(done.site), choices(workspace)
    for row in rows:
        rule = _shape(row, known) or _genuine(row, keys, done.site)
        if rule is None and not row.cells.get("answer"):
            done.unanswered += 1
        elif rule or (rule := _current(row, keys, repository, done)):
            if rule != SETTLED:
                done.refused.append(_told(rule, row, done))
        else:
            yield row, known[_folded(row.cells["answer"])]


SETTLED = "settled"


def _shape(row: Row, known: Mapping[str, str]) -> str | None:
    """What is wrong with the form of a row: the rule, or None."""
    if row.merged:
        return "etl.sheet-merged"
    if row.formulas:
        return "etl.sheet-formula"
    said = row.cells.get("answer", "")
    if said and _folded(said) not in known:
        return "etl.sheet-choice"
    if row.cells.get("text") and not said:
        return "etl.sheet-remark-only"
    return None


def _genuine(row: Row, keys: SiteKeys, site: str) -> str | None:
    about, _, whole = row.cells.get("check", "").partition("-")
    possible = (_whole(key, site, about, row.cells) for key in keys.by_purpose["record"])
    same = [compare_digest(whole.encode(), p.encode()) for p in possible]
    return None if any(same) else "etl.sheet-altered"


def _current(row: Row, keys: SiteKeys, repository: Repository, done: Imported) -> str | None:
    """Is the question still the one that was asked?"""
    found = repository.issue(int(row.cells["id"]))
    if found is None or found[0].issue.place.site != done.site:
        return "etl.sheet-altered"
    k = found[0]
    if k.state == "closed":
        done.settled += 1
        return SETTLED
    about = row.cells["check"].partition("-")[0]
    parts = ("issue-sheet-value", done.site, str(k.id), str(k.value))
    return None if about in {key.digest(*parts, size=6) for key in keys.by_purpose["record"]} else "etl.sheet-outdated"


def _once(rows: Sequence[tuple[Row, str]], done: Imported) -> Iterator[tuple[Row, str]]:
    """A row that stands there twice counts once; with different answers, none of them."""
    by_id: dict[str, list[tuple[Row, str]]] = {}
    for row, kind in rows:
        by_id.setdefault(row.cells["id"], []).append((row, kind))
    for same in by_id.values():
        if len({(kind, row.cells.get("text", "")) for row, kind in same}) == 1:
            yield same[0]
        else:
            done.refused += [_told("etl.sheet-twice", row, done) for row, _ in same]


def _enter(writer: Writer, workspace: Workspace, row: Row, kind: str, by: str, done: Imported) -> None:
    try:
        kept, masked = answers.remark(workspace, row.cells.get("text", ""))
    except AnswerError as error:
        done.refused += [i.at(site=done.site, file=done.file, row=row.number) for i in error.issues]
        return
    done.masked += masked
    if writer.answer_issue(int(row.cells["id"]), kind, kept, by):
        done.answered += 1
    else:
        done.same += 1


def _told(rule: str, row: Row, done: Imported) -> Issue:
    return issue(rule, Place(done.site, done.file, row.number))


def choices(workspace: Workspace) -> dict[str, str]:
    """Every word for an answer, in every language, and the kinds themselves -> kind."""
    return {kind: kind for kind in SITE_ANSWERS} | _in_every_language(workspace, SITE_ANSWERS)


def headers(workspace: Workspace) -> dict[str, str]:
    """Every word for a column, in every language -> the column."""
    return _in_every_language(workspace, COLUMNS)


def _in_every_language(workspace: Workspace, names: Sequence[str]) -> dict[str, str]:
    known: dict[str, str] = {}
    for language in messages.languages(answers.message_folders(workspace)):
        chosen = answers.texts(workspace, language)
        known |= {_folded(chosen.word(f"sheet.{name}")): name for name in names}
    return known


def _folded(said: str) -> str:
    return " ".join(said.split()).casefold()


# -- reading a workbook -------------------------------------------------------------------------------------------


def read(file: Path, place: Place, names: Mapping[str, str]) -> tuple[list[Row], str]:
    """The rows below the header, and the site the workbook names ("" when the hidden sheet is gone).

    Raises SheetError: etl.sheet-unreadable, etl.sheet-large, etl.sheet-header.
    """
    _weigh(file, place)
    from openpyxl import load_workbook

    try:
        book = load_workbook(file, data_only=False, keep_links=False)
        for sheet in book.worksheets:
            if sheet.title != META and (columns := _find_header(sheet, names)):
                return list(_rows(sheet, *columns)), _meta_site(book)
    except _UNREADABLE:
        raise SheetError(issue("etl.sheet-unreadable", place)) from None
    raise SheetError(issue("etl.sheet-header", place))


def _weigh(file: Path, place: Place) -> None:
    """Look before opening: a zip of bounded size, whose XML declares no entities."""
    try:
        with zipfile.ZipFile(file) as packed:
            members = packed.infolist()
            if len(members) > MEMBERS or sum(m.file_size for m in members) > LARGEST:
                raise SheetError(issue("etl.sheet-large", place, most=LARGEST >> 20))
            if not all(_harmless(packed.read(m)) for m in members if m.filename.endswith((".xml", ".rels"))):
                raise SheetError(issue("etl.sheet-unreadable", place))
    except OSError as error:
        raise SheetError(read_issue(error, file, place)) from None
    except _UNREADABLE:
        raise SheetError(issue("etl.sheet-unreadable", place)) from None


def _harmless(xml: bytes) -> bool:
    """No entities, and no merged area that would become millions of cells."""
    return b"<!DOCTYPE" not in xml and sum(map(_cells_of, _MERGED.findall(xml))) <= MOST_MERGED


def _cells_of(area: tuple[bytes, bytes, bytes, bytes]) -> int:
    left, top, right, bottom = area
    return (abs(int(bottom) - int(top)) + 1) * (abs(_number(right) - _number(left)) + 1)


def _number(letters: bytes) -> int:
    """The number of a column: A is 1, AA is 27."""
    out = 0
    for letter in letters:
        out = out * 26 + letter - 64
    return out


def _find_header(sheet: Worksheet, names: Mapping[str, str]) -> tuple[int, dict[str, int]] | None:
    """The row of the header and the column of each name, in whatever language and order."""
    for number, cells in _by_row(sheet):
        found: dict[str, int] = {}
        for column, cell in cells.items():
            if name := names.get(_folded(_said(cell.value))):
                found.setdefault(name, column)
        if set(COLUMNS) <= found.keys():
            return number, found
        if number > HEADER_WITHIN:
            break
    return None


def _by_row(sheet: Worksheet) -> Iterator[tuple[int, dict[int, Any]]]:
    """The cells that are there, by row: asking for others would make them, a million rows of them."""
    rows: dict[int, dict[int, Any]] = {}
    for (row, column), cell in sheet._cells.items():
        rows.setdefault(row, {})[column] = cell
    yield from sorted(rows.items())


def _rows(sheet: Worksheet, header: int, columns: Mapping[str, int]) -> Iterator[Row]:
    merged = {n for area in sheet.merged_cells.ranges for n in range(area.min_row, area.max_row + 1)}
    for number, there in _by_row(sheet):
        cells = {name: there[column] for name, column in columns.items() if column in there}
        formulas = tuple(n for n in OPEN_TO_EDIT if n in cells and cells[n].data_type in ("f", "e"))
        texts = {name: _text(_said(cell.value)) for name, cell in cells.items() if name not in formulas}
        if number > header and (any(texts.values()) or formulas):
            yield Row(number, texts, formulas, number in merged)


def _said(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)


def _meta_site(book: Workbook) -> str:
    return _text(_said(book[META].cell(1, 2).value)) if META in book.sheetnames else ""
