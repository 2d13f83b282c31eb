"""A REDCap data dictionary: 18 columns, one row per field (linkml-redcap, redcap_data_dictionary.linkml.yaml).

Columns are taken by position, because first headers are found damaged (rarelink 2.0.7 has `1` there); what deviates
is an Issue and the rest is kept.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from masterkey_etl.header import header_key
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

HEADERS = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label",
    "Choices, Calculations, OR Slider Labels", "Field Note", "Text Validation Type OR Show Slider Number",
    "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?",
    "Field Annotation",
)  # fmt: skip
API_HEADERS = (  # the same columns as the API names them
    "field_name", "form_name", "section_header", "field_type", "field_label", "select_choices_or_calculations",
    "field_note", "text_validation_type_or_show_slider_number", "text_validation_min", "text_validation_max",
    "identifier", "branching_logic", "required_field", "custom_alignment", "question_number", "matrix_group_name",
    "matrix_ranking", "field_annotation",
)  # fmt: skip
_OPEN, _CHOSEN = ("text", "notes", "calc", "slider", "file", "sql"), ("radio", "dropdown", "checkbox")
TYPES = frozenset((*_OPEN, *_CHOSEN, "yesno", "truefalse", "descriptive"))
WITH_CHOICES = frozenset(_CHOSEN)
ENCODINGS = ("utf-8-sig", "cp932", "cp874", "cp1252")  # a spreadsheet program saves in the local code page
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAG = re.compile(r"<[^>]*>")


class DictionaryError(MasterkeyError):
    """The file can't be read as a REDCap data dictionary."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `choices`: code -> label, in order; `row`: of the dictionary."""

    name: str
    form: str
    type: str
    label: str
    choices: dict[str, str]
    calculation: str
    note: str
    validation: str
    min: str
    max: str
    identifier: bool
    branching: str
    required: bool
    annotation: str
    ontology: str  # an ontology searched while typing: `BIOPORTAL:ICD10CM`
    row: int


@dataclass(slots=True)
class Dictionary:
    """All fields that are named and of a known type, in order; the first is the record's key."""

    fields: list[Field] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)

    @property
    def forms(self) -> list[str]:
        return list(dict.fromkeys(f.form for f in self.fields))

    @property
    def key(self) -> str:
        return self.fields[0].name


def read(path: Path) -> Dictionary:
    """Read a dictionary. Raises DictionaryError (etl.redcap-no-dictionary); other deviations are its `issues`."""
    return parse(decoded(path.read_bytes()), path.name)


def parse(text: str, file: str = "dictionary") -> Dictionary:
    """The same from its text."""
    csv.field_size_limit(1 << 24)
    rows = list(_numbered(text))
    if not rows or not _is_dictionary(rows[0][1]):
        raise DictionaryError(issue("etl.redcap-no-dictionary", Place(file=file)))
    out = Dictionary()
    reader = _Reader(file, out)
    reader.header(rows[0][1])
    for number, cells in rows[1:]:
        reader.row(number, cells)
    reader.whole()
    if not out.fields:
        raise DictionaryError(issue("etl.redcap-no-dictionary", Place(file=file)))
    return out


def decoded(data: bytes) -> str:
    """The text of a file by the first of ENCODINGS that fits; what none can read is `U+FFFD`."""
    for encoding in ENCODINGS:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    return data.decode("utf-8", "replace")


def _numbered(text: str) -> Iterator[tuple[int, list[str]]]:
    """Rows that aren't blank, counted like a spreadsheet."""
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text.replace("\0", ""), newline="")), 1):
            if any(c.strip() for c in cells):
                yield number, cells
    except csv.Error:
        return  # a quote that never ends: what stands before it was read, `whole` tells what is missing


def _is_dictionary(header: Sequence[str]) -> bool:
    return sum(_known(i, name) for i, name in enumerate(header)) * 2 >= len(HEADERS)


def _known(position: int, name: str) -> bool:
    if position >= len(HEADERS):
        return False
    return header_key(name) in (header_key(HEADERS[position]), header_key(API_HEADERS[position]))


class _Reader:
    def __init__(self, file: str, out: Dictionary) -> None:
        self.file, self.out = file, out
        self.names: set[str] = set()

    def tell(self, rule: str, row: int | None, field_: str = "", **facts: str | int) -> None:
        found = issue(rule, Place(file=self.file, row=row, field=field_))
        self.out.issues.append(replace(found, facts=facts))

    def header(self, names: Sequence[str]) -> None:
        for i, expected in enumerate(HEADERS):
            if i >= len(names) or not _known(i, names[i]):
                self.tell("etl.redcap-header", 1, position=i + 1, expected=expected)

    def row(self, number: int, cells: list[str]) -> None:
        if len(cells) != len(HEADERS):
            self.tell("etl.redcap-row-width", number, found=len(cells), expected=len(HEADERS))
        cells = [c.strip() for c in (*cells, *[""] * len(HEADERS))[: len(HEADERS)]]
        name = cells[0]
        if not _NAME.fullmatch(cells[1]):
            self.tell("etl.redcap-form-name", number, name if _NAME.fullmatch(name) else "")
            cells[1] = re.sub(r"[^a-z0-9]+", "_", f"form_{cells[1].lower()}").strip("_")
        if not _NAME.fullmatch(name):
            self.tell("etl.redcap-name", number)
        elif name in self.names:
            self.tell("etl.redcap-name-twice", number, name)
        elif cells[3] not in TYPES:
            self.tell("etl.redcap-type", number, name)
        else:
            self.names.add(name)
            self.out.fields.append(self.field(number, cells))

    def field(self, row: int, cells: list[str]) -> Field:
        name, form, _, type_, label, third, note, validation, low, high, identifier, branching, required, *rest = cells
        choices = self.choices(row, name, third) if type_ in WITH_CHOICES else dict(FIXED.get(type_, {}))
        calculation = third if type_ == "calc" else ""
        ontology = third if third.startswith("BIOPORTAL:") else ""
        return Field(
            name, form, type_, plain(label), choices, calculation, plain(note), validation.lower(), low, high,
            identifier.lower() == "y", branching, required.lower() == "y", rest[-1], ontology, row,
        )  # fmt: skip

    def choices(self, row: int, name: str, text: str) -> dict[str, str]:
        """`code, label | code, label`: the first comma separates, labels may hold more of them."""
        out: dict[str, str] = {}
        for part in filter(None, (p.strip() for p in text.split("|"))):
            code, comma, label = part.partition(",")
            if not comma:
                code, _, label = part.partition(" ")
                self.tell("etl.redcap-choice", row, name)
            if not code.strip():
                self.tell("etl.redcap-choice", row, name)
                continue
            if code.strip() in out:
                self.tell("etl.redcap-choice-twice", row, name)
            out.setdefault(code.strip(), plain(label) or code.strip())
        if not out:
            self.tell("etl.redcap-no-choices", row, name)
        return out

    def whole(self) -> None:
        """What only the whole dictionary shows: forms stand together, the first field is the key."""
        fields = self.out.fields
        runs = [f.form for i, f in enumerate(fields) if i == 0 or fields[i - 1].form != f.form]
        for form in sorted({f for f in runs if runs.count(f) > 1}):
            self.tell("etl.redcap-form-scattered", None, form)
        if fields and fields[0].type != "text":
            self.tell("etl.redcap-key", fields[0].row, fields[0].name)


FIXED = {"yesno": {"1": "Yes", "0": "No"}, "truefalse": {"1": "True", "0": "False"}}


def plain(text: str) -> str:
    """A label without its HTML, on one line."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())


__all__ = ["Dictionary", "DictionaryError", "Field", "parse", "plain", "read"]
