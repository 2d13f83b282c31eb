"""A patient as a partner site would send it: the registry's workbook filled in, or the REDCap project's flat export.

Facts as `templates_out.filled` gives them; the dirt is that of forms typed by hand (site-formats 4.2, 4.6, 11.1).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from random import Random

from masterkey_etl.synth import dirt
from masterkey_etl.synth.cohort import Patient
from masterkey_etl.synth.identifiers import KINDS
from masterkey_etl.synth.key import KeyWriter, Planted
from masterkey_etl.synth.xlsx import Book, Cell, day, number
from masterkey_etl.templates_out.filled import Rows, facts, flat
from masterkey_etl.templates_out.form import KEY, Form, Part, form
from masterkey_etl.templates_out.shipped import heading

Row = dict[str, str]
Spoil = Callable[[Random, Row], str]  # the value to plant, "-" for none here, "" to empty the field
NONE = "-"
BOTH = ("redcap", "workbook")


@dataclass(frozen=True, slots=True)
class FormDirt:
    """`rate` of rows of `part` that get it in `column`."""

    kind: str
    rate: float
    part: str
    column: str
    finds: str
    spoil: Spoil
    layouts: tuple[str, ...] = BOTH
    also: str = ""


@dataclass(frozen=True, slots=True)
class Spot:
    """What was planted in the n-th row of a part."""

    dirt: FormDirt
    n: int
    value: str


def _buddhist(rng: Random, row: Row) -> str:
    year, rest = row["diagnosis_date"].split("-", 1)
    return f"{int(year) + 543}-{rest}"


def _impossible(rng: Random, row: Row) -> str:
    return f"{row['specimen_date'][:4]}-02-30"


def _hidden(rng: Random, row: Row) -> str:
    return str(rng.randint(5, 40)) if row["smoking"] == "no" else NONE


def _word(rng: Random, row: Row) -> str:
    return rng.choice(("unknown", "lost to follow-up", "?")) if row["last_alive"] else NONE


def _always(*values: str) -> Spoil:
    return lambda rng, row: rng.choice(values)


REFUSED, EMPTY = "etl.value-refused", "etl.required-empty"  # a required value that is refused is missing then
FORM_DIRT = (
    FormDirt("buddhist-year", 0.03, "diagnosis", "diagnosis_date", "etl.buddhist-year", _buddhist, also=EMPTY),
    FormDirt("impossible-date", 0.03, "specimen", "specimen_date", REFUSED, _impossible),
    FormDirt("word-for-date", 0.03, "patient", "last_alive", REFUSED, _word),
    FormDirt("number-in-words", 0.02, "patient", "age", REFUSED, _always("about 60", "60-65"), also=EMPTY),
    FormDirt("out-of-range", 0.03, "specimen", "tumour_content", REFUSED, _always("250", "101", "-5")),
    FormDirt(
        "unlisted-code", 0.03, "background", "alcohol", "etl.code-undeclared", _always("9"), also="etl.no-concept"
    ),
    FormDirt("hidden-field", 0.05, "background", "smoking_years", "etl.field-hidden", _hidden),
    FormDirt("required-empty", 0.05, "expert_panel", "option_given", EMPTY, _always("")),
    FormDirt("error-cell", 0.02, "background", "smoking_per_day", REFUSED, _always("#REF!"), ("workbook",)),
    FormDirt("formula-without-result", 0.02, "patient", "birth_year", REFUSED, _always("=2020-61"), ("workbook",)),
)
REPEATED = FormDirt(
    "row-repeated",
    0.05,
    "line",
    "redcap_repeat_instrument",
    "etl.row-repeated",
    _always(""),
    ("redcap",),
    "etl.same-id",
)
CHANGES = FormDirt(
    "changes-between-rows", 0.03, "patient", "age", "etl.changes-between-rows", _always(""), ("workbook",)
)
KEYLESS = FormDirt("row-without-key", 0.03, "line", "", "etl.record-key-missing", _always(""), ("workbook",))


def spoil(rng: Random, rows: Rows, layout: str) -> Iterator[Spot]:
    """Spoil a patient's rows in place; no column is spoilt twice."""
    for d in FORM_DIRT:
        for n, row in enumerate(rows.get(d.part, ()) if layout in d.layouts else ()):
            if rng.random() < d.rate and (value := d.spoil(rng, row)) != NONE:
                row[d.column] = value
                yield Spot(d, n, value)


def identifier(rng: Random, rows: Rows) -> Spot | None:
    """A name or number behind the regimen's words; None where the patient has no regimen."""
    kind, make = rng.choice(KINDS)
    lines = rows.get("line", ())
    if not lines:
        return None
    n, value = rng.randrange(len(lines)), make(rng)
    lines[n]["regimen"] = f"{lines[n]['regimen']} {value}"
    found = FormDirt(f"identifier-{kind}", 0.0, "line", "regimen", dirt.FOUND_BY, _always(""))
    return Spot(found, n, value)


class _Site:
    """What both layouts share: numbers of patients, spoiling, lines of the key."""

    layout = ""

    def __init__(self, site: str, rng: Random, key: KeyWriter) -> None:
        self._rng, self._key, self._site = rng, key, site
        self._form, self._patients = form(), 0

    def _spoilt(self, patient: Patient, identifiers: int) -> tuple[Rows, list[Spot]]:
        self._patients += 1
        rows = facts(patient, f"{self._patients:08d}")
        spots = list(spoil(self._rng, rows, self.layout))
        spots += [s for _ in range(identifiers) if (s := identifier(self._rng, rows))]
        return rows, spots

    def _tell(self, spot: Spot, file: str, row: int, record: str) -> None:
        d = spot.dirt
        self._key.add(Planted(file, row, d.column, d.kind, spot.value, self.layout, record, d.finds, 1, d.also))


class Redcap(_Site):
    """One flat export per site: a row per patient, then one per instance of a repeating instrument."""

    layout = "redcap"

    def __init__(self, out: Path, site: str, rng: Random, key: KeyWriter) -> None:
        super().__init__(site, rng, key)
        self._name, self._rows = f"{site}/redcap_export.csv", 0
        self._file = (out / self._name).open("w", encoding="utf-8", newline="")
        self._csv = csv.DictWriter(self._file, _redcap_columns(self._form), restval="", lineterminator="\r\n")
        self._csv.writeheader()

    def add(self, patient: Patient, identifiers: int) -> None:
        rows, spots = self._spoilt(patient, identifiers)
        written = flat(self._form, rows)
        for spot in (*spots, *self._repeated(written)):
            at = _place(written, spot.dirt.part, spot.n, self._form)
            self._tell(spot, self._name, self._rows + 2 + at, written[0][KEY])
        self._csv.writerows(written)
        self._rows += len(written)

    def _repeated(self, written: list[Row]) -> Iterator[Spot]:
        """The second line gets the instance of the first."""
        lines = [row for row in written if row.get("redcap_repeat_instrument") == "line"]
        if len(lines) > 1 and self._rng.random() < REPEATED.rate:
            lines[1]["redcap_repeat_instance"] = "1"
            yield Spot(REPEATED, 1, "1")

    def close(self) -> dict[str, int]:
        self._file.close()
        return {self._name: self._rows}


def _redcap_columns(found: Form) -> list[str]:
    columns = [KEY, "redcap_repeat_instrument", "redcap_repeat_instance"]
    for part in found.parts:
        columns += [i.column for i in part.items if i.column != KEY]
        columns.append(f"{part.name}_complete")
    return columns


def _place(written: list[Row], part: str, n: int, found: Form) -> int:
    """The row of a patient that holds the n-th row of a part."""
    if not next(p for p in found.parts if p.name == part).repeats:
        return 0
    return [i for i, row in enumerate(written) if row.get("redcap_repeat_instrument") == part][n]


class Workbook(_Site):
    """One workbook per site, a sheet per part that holds rows."""

    layout = "workbook"

    def __init__(self, out: Path, site: str, rng: Random, key: KeyWriter) -> None:
        super().__init__(site, rng, key)
        self._name = f"{site}/registry_workbook.xlsx"
        self._parts = {p.name: _columns(p) for p in self._form.parts}
        self._dates = frozenset(i.column for i in self._form.items if i.type == "date")
        self._numbers = frozenset(i.column for i in self._form.items if i.type in ("integer", "quantity"))
        self._book = Book(out / self._name, list(self._parts))
        labels = {i.column: heading(i, "en") for i in self._form.items}
        for name, columns in self._parts.items():
            self._book.add(name, [labels[c] for c in columns])

    def add(self, patient: Patient, identifiers: int) -> None:
        rows, spots = self._spoilt(patient, identifiers)
        spots += self._more(rows)
        for name, columns in self._parts.items():
            first = self._book.rows[name] + 1
            for row in rows.get(name, ()):
                self._book.add(name, [self._cell(c, row.get(c, "")) for c in columns])
            for spot in spots:
                if spot.dirt.part == name:
                    record = self._record(name, rows[name][spot.n]) if spot.dirt is not KEYLESS else ""
                    self._tell(spot, f"{self._name}!{name}", first + spot.n, record)

    def _more(self, rows: Rows) -> Iterator[Spot]:
        """Rows added: the patient once more with another age, a line that nobody can assign."""
        patients, lines = rows["patient"], rows.get("line", [])
        if patients[0]["age"].isdigit() and self._rng.random() < CHANGES.rate:
            patients.append({**patients[0], "age": str(int(patients[0]["age"]) + 1)})
            yield Spot(CHANGES, 1, patients[1]["age"])
        if lines and self._rng.random() < KEYLESS.rate:
            lines.append({**lines[0], KEY: ""})
            yield Spot(KEYLESS, len(lines) - 1, "")

    def _record(self, name: str, row: Row) -> str:
        part = next(p for p in self._form.parts if p.name == name)
        return "|".join(row[k] for k in part.keys)

    def _cell(self, column: str, text: str) -> Cell | str:
        """As a spreadsheet keeps what was typed."""
        if text.startswith("#"):
            return Cell("error", text)
        if text.startswith("="):
            return Cell("formula", text[1:])
        if column in self._dates and (ordinal := _ordinal(text)):
            return day(ordinal)
        return number(text) if column in self._numbers else text

    def close(self) -> dict[str, int]:
        self._book.close()
        return {f"{self._name}!{name}": n - 1 for name, n in self._book.rows.items() if n > 1}


def _columns(part: Part) -> list[str]:
    return [KEY, *(i.column for i in part.items if i.column != KEY)]


def _ordinal(text: str) -> int | None:
    try:
        return date.fromisoformat(text).toordinal()
    except ValueError:
        return None


__all__ = ["FORM_DIRT", "Redcap", "Workbook"]
