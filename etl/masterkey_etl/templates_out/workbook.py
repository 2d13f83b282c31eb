"""The form as an empty XLSX: a guide, one sheet per part with drop-downs and explanations, the code lists.

A sheet's first row holds a column's name and, below it in the same cell, its meaning in the language asked for; any
of these headings is read back. Cells are text, so that numbers keep their zeros and dates their precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_etl.files import replacing
from masterkey_etl.templates_out.form import KEY, Choice, Form, Item, Part
from masterkey_etl.templates_out.shipped import heading

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

LISTS = "lists"
ROWS = 5000  # rows with drop-downs
_NEEDED = {"mandatory": "FFE08A", "recommended": "E3EEF9", "optional": "F2F2F2"}  # fill of a heading
_PROMPT, _TITLE = 255, 32  # characters Excel allows in an input message and its title


def write(path: Path, form: Form, language: str = "en", minimum: bool = False) -> None:
    """Write an empty workbook. Raises WorkspaceError when the file can't be written."""
    with replacing(path) as out:
        build(form, language, minimum).save(out)


def build(
    form: Form,
    language: str = "en",
    minimum: bool = False,
    rows: Mapping[str, Iterable[Mapping[str, str]]] | None = None,
) -> Workbook:
    """The workbook; `rows` fills it."""
    from openpyxl import Workbook

    book = Workbook()
    guide = book.active
    assert guide is not None
    _guide(guide, form, language, minimum)
    lists = book.create_sheet(LISTS)
    places = _lists(lists, form)
    for part in parts_of(form, minimum):
        sheet = book.create_sheet(part.name)
        _sheet(sheet, form, part, language, minimum, places)
        _fill(sheet, form, part, (rows or {}).get(part.name, ()))
    _codes(book.create_sheet(form.text(language, "sheet", "codes")), form, language)
    book.move_sheet(lists, len(book.sheetnames))
    lists.sheet_state = "hidden"
    return book


def parts_of(form: Form, minimum: bool) -> list[Part]:
    """With `minimum` those that hold an item the registry can't do without."""
    return [p for p in form.parts if not minimum or any(_is_needed(i, p) for i in p.items)]


def _is_needed(item: Item, part: Part) -> bool:
    return item.obligation == "mandatory" and bool(item.item) and item.column != part.key


def items_of(form: Form, part: Part) -> list[Item]:
    """The columns of a sheet: the patient number first."""
    key = next(i for i in form.items if i.column == KEY)
    return [key, *(i for i in part.items if i.column != KEY)]


# -- sheets ------------------------------------------------------------------------------------------


def _sheet(sheet: Worksheet, form: Form, part: Part, language: str, minimum: bool, places: Mapping[str, str]) -> None:
    from openpyxl.utils import get_column_letter

    for number, item in enumerate(items_of(form, part), 1):
        letter = get_column_letter(number)
        _heading(sheet, number, form, item, language)
        sheet.column_dimensions[letter].width = max(14, min(30, len(item.label(language)) + 4))
        sheet.column_dimensions[letter].hidden = minimum and item.obligation != "mandatory"
        _validation(sheet, letter, form, item, language, places)
    sheet.row_dimensions[1].height = 48
    sheet.freeze_panes = "B2"
    sheet.sheet_properties.tabColor = "4472C4"


def _heading(sheet: Worksheet, number: int, form: Form, item: Item, language: str) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill

    star = " *" if item.obligation == "mandatory" else ""
    cell: Any = sheet.cell(row=1, column=number, value=heading(item, language) + star)
    cell.font = Font(bold=True)
    cell.alignment = Alignment(wrap_text=True, vertical="top")
    cell.fill = PatternFill("solid", fgColor=_NEEDED[item.obligation])


def _validation(
    sheet: Worksheet, letter: str, form: Form, item: Item, language: str, places: Mapping[str, str]
) -> None:
    """The drop-down of a list, and what is said when a cell is chosen."""
    from openpyxl.worksheet.datavalidation import DataValidation

    if item.topic:
        rule = DataValidation(type="list", formula1=places[item.topic], allow_blank=True)
        rule.showErrorMessage = item.closed
    else:
        rule = DataValidation(allow_blank=True)
    rule.showInputMessage = True
    rule.promptTitle = item.column[:_TITLE]
    rule.prompt = explanation(form, item, language)[:_PROMPT]
    sheet.add_data_validation(rule)
    rule.add(f"{letter}2:{letter}{ROWS}")
    sheet.column_dimensions[letter].number_format = "@"


def explanation(form: Form, item: Item, language: str) -> str:
    """What belongs into a column, in one line."""
    kind = form.text(language, "kinds", item.type).format(unit=item.unit)
    parts = [item.label(language), kind, form.text(language, "words", item.obligation)]
    if item.min or item.max:
        parts.insert(2, f"{item.min}–{item.max}")
    if item.open:
        parts.append(form.text(language, "words", "more"))
    return "; ".join(parts)


def _fill(sheet: Worksheet, form: Form, part: Part, rows: Iterable[Mapping[str, str]]) -> None:
    columns = [i.column for i in items_of(form, part)]
    for number, row in enumerate(rows, 2):
        for at, column in enumerate(columns, 1):
            if text := row.get(column, ""):
                cell = sheet.cell(row=number, column=at, value=text)
                cell.number_format = "@"


def _guide(sheet: Worksheet, form: Form, language: str, minimum: bool) -> None:
    from openpyxl.styles import Alignment, Font

    sheet.title = form.text(language, "sheet", "guide")
    title: Any = sheet.cell(row=1, column=1, value=form.text(language, "words", "title"))
    title.font = Font(bold=True, size=14)
    lines = [*form.instructions(language), ""]
    for part in parts_of(form, minimum):
        many = form.text(language, "words", "many_rows" if part.repeats else "one_row")
        lines.append(f"{part.name}: {form.text(language, 'parts', part.name)} ({many})")
    for number, line in enumerate(lines, 3):
        cell: Any = sheet.cell(row=number, column=1, value=line)
        cell.alignment = Alignment(wrap_text=True, vertical="top")
    sheet.column_dimensions["A"].width = 110


def _codes(sheet: Worksheet, form: Form, language: str) -> None:
    """Every list with the meaning of its codes."""
    words = [form.text(language, "words", w) for w in ("answers", "code", "meaning")]
    _rows(sheet, [words, *((n, c.code, c.label(language)) for n, cs in lists_of(form).items() for c in cs)])
    for letter, width in (("A", 24), ("B", 28), ("C", 60)):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes = "A2"


def _lists(sheet: Worksheet, form: Form) -> dict[str, str]:
    """The codes of each list in a column of its own; gives the ranges that drop-downs point at."""
    from openpyxl.utils import get_column_letter

    places = {}
    for number, (name, choices) in enumerate(lists_of(form).items(), 1):
        letter = get_column_letter(number)
        for row, choice in enumerate(choices, 1):
            sheet.cell(row=row, column=number, value=choice.code).number_format = "@"
        places[name] = f"{LISTS}!${letter}$1:${letter}${len(choices)}"
    return places


def lists_of(form: Form) -> dict[str, tuple[Choice, ...]]:
    return {i.topic: i.choices for i in form.items if i.topic}


def _rows(sheet: Worksheet, rows: Iterable[Sequence[str]]) -> None:
    for number, row in enumerate(rows, 1):
        for column, text in enumerate(row, 1):
            sheet.cell(row=number, column=column, value=text).number_format = "@"


__all__ = ["build", "explanation", "items_of", "lists_of", "parts_of", "write"]
