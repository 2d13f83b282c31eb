"""What goes wrong in real files of this layout, planted at stated rates; each planting is one line of the key.

The kinds were measured (site-formats 5.4, 4.2, 4.3); rates are per patient and lower than in the measured file
where that file was made by shuffling (outcome code against label there: 30 %).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple

from masterkey_etl.synth.ccat import ORGANS, Row, day
from masterkey_etl.synth.cohort import Patient
from masterkey_etl.synth.identifiers import KINDS

Spot = tuple[int, str, str]  # index of the row within the patient's rows, column id, planted value
Plant = Callable[[Random, Patient, list[Row], dict[str, int]], Iterable[Spot]]

FREE_TEXT = (
    "diagnosis_text",
    "clinical_diagnosis_text",
    "specimen_diagnosis_text",
    "specimen_site_other",
    "cancer_site_other",
    "hereditary_disease_other",
    "trial_number",
    "before_regimen",
    "before_drug_typed",
    "before_regimen_change",
    "after_regimen",
    *(MASKED := ("facility_id", "registration_id")),
)


FOUND_BY = "etl.text-masked"  # a name or number in a free text


@dataclass(frozen=True, slots=True)
class Dirt:
    """`rate` of patients who get it, in `column`. `finds` is the rule that must notice it, `also` (joined by blanks)
    those that tell of the same cell too."""

    kind: str
    rate: float
    column: str
    finds: str
    plant: Plant
    also: str = ""


class Finding(NamedTuple):
    """What was planted: `row` is an index within the patient's rows."""

    kind: str
    row: int
    column: str
    value: str
    finds: str
    also: str = ""


def plant_all(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> Iterator[Finding]:
    """Spoil a patient's rows in place; yields what was done. No column is spoilt twice."""
    touched: set[str] = set()
    for dirt in CASE_DIRT:
        if rng.random() < dirt.rate and dirt.column not in touched:
            for row, column, value in dirt.plant(rng, patient, rows, at):
                touched.add(dirt.column)
                yield Finding(dirt.kind, row, column, value, dirt.finds, dirt.also)


def identifier(rng: Random, rows: list[Row], at: dict[str, int]) -> Finding:
    """Plant one identifier in a free text or id column; a text that stands there stays in front.

    Every row that said the same says it with the identifier, as a join of tables would make it.
    """
    kind, make = rng.choice(KINDS)
    column, index = rng.choice(FREE_TEXT), rng.randrange(len(rows))
    i, value = at[column], make(rng)
    before = rows[index][i]
    null = before in ("NA", "")
    text = value if null or before.startswith("*") else f"{before} {value}"
    part = at.get(f"{column.split('_')[0]}_start", at["hash_id"])  # a line of therapy, else the patient
    same = [
        n
        for n, row in enumerate(rows)
        if row[part] == rows[index][part] and (row[i] == before or (null and row[i] in ("NA", "")))
    ]
    for n in same:
        rows[n][i] = text
    finds = "" if column in MASKED else FOUND_BY  # those columns are set aside whole
    return Finding(f"identifier-{kind}", same[0], column, value, finds)


def scatter_empty(rng: Random, row: Row) -> None:
    """Some nulls are empty instead of `NA`."""
    for i in rng.sample(range(len(row)), 6):
        if row[i] == "NA":
            row[i] = ""


# -- one function per kind: spoil, and say where ------------------------------------------------------


def _everywhere(rows: list[Row], at: dict[str, int], column: str, text: str) -> list[Spot]:
    for row in rows:
        row[at[column]] = text
    return [(0, column, text)]


def _swap_code(column: str, codes: tuple[str, str]) -> Plant:
    """The code of one answer beside the label of the other, in every row."""

    def plant(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
        now = rows[0][at[column]]
        return _everywhere(rows, at, column, codes[now == codes[0]]) if now in codes else []

    return plant


def _drop_code(column: str) -> Plant:
    """A filled label without its code."""

    def plant(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
        return _everywhere(rows, at, column, "NA") if rows[0][at[column]] != "NA" else []

    return plant


def _wrong_site(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    i = at["metastasis_site"]
    if rows[0][i] == "NA":
        return []
    wrong = rng.choice([c for c in ORGANS.values() if c != rows[0][i]])
    label = rows[0][i + 1]
    for row in rows:
        if row[i + 1] == label:
            row[i] = wrong
    return [(0, "metastasis_site", wrong)]


def _response_code(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    """C18213 (stable disease) beside PR or PD."""
    i = at["before_response"]
    first = next((n for n, row in enumerate(rows) if row[i + 1] in ("PR", "PD")), None)
    if first is None:
        return []
    label, start = rows[first][i + 1], rows[first][at["before_start"]]
    for row in rows:
        if row[i + 1] == label and row[at["before_start"]] == start:
            row[i] = "C18213"
    return [(first, "before_response", "C18213")]


def _line_code(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    """Code 2 beside the third and every later line."""
    i = at["before_line"]
    spoilt = [n for n, row in enumerate(rows) if row[i] in ("3", "4")]
    for n in spoilt:
        rows[n][i] = "2"
    return [(spoilt[0], "before_line", "2")] if spoilt else []


def _changes(column: str, pairs: tuple[tuple[str, str], tuple[str, str]]) -> Plant:
    """A patient column that differs in the last row (code and label together)."""

    def plant(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
        if len(rows) < 2:
            return []
        i = at[column]
        rows[-1][i], rows[-1][i + 1] = pairs[rows[0][i + 1] == pairs[0][1]]
        return [(len(rows) - 1, column, rows[-1][i])]

    return plant


def _age_changes(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    if len(rows) < 2:
        return []
    rows[-1][at["age"]] = str(patient.age + 1)
    return [(len(rows) - 1, "age", rows[-1][at["age"]])]


def _treated_before(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    if not patient.before:
        return []
    return _everywhere(rows, at, "diagnosis_date", day(patient.before[0].start + rng.randint(5, 200)))


def _buddhist(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    year, rest = rows[0][at["diagnosis_date"]].split("/", 1)
    return _everywhere(rows, at, "diagnosis_date", f"{int(year) + 543}/{rest}")


def _impossible(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    year = rows[0][at["specimen_date"]].split("/")[0]
    return _everywhere(rows, at, "specimen_date", f"{year}/2/30")


def _treated_dead(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    """The last line ends after the death."""
    if patient.death is None or not patient.after:
        return []
    return _everywhere(rows, at, "after_end", day(patient.death + rng.randint(3, 60)))


def _unlisted(rng: Random, patient: Patient, rows: list[Row], at: dict[str, int]) -> list[Spot]:
    return _everywhere(rows, at, "smoking", "3")


_SEX = (("1", "男"), ("2", "女"))
_ECOG = (("0", "0"), ("1", "1"))
_PAIR, _ROWS, _ORDER = "etl.code-label-disagree", "etl.changes-between-rows", "etl.dates-disordered"
CASE_DIRT = (
    Dirt("outcome-code", 0.10, "outcome", _PAIR, _swap_code("outcome", ("C28554", "C37987"))),
    Dirt("panel-code", 0.12, "panel", _PAIR, _swap_code("panel", ("1", "3"))),
    Dirt("metastasis-code", 0.10, "metastasis", _PAIR, _swap_code("metastasis", ("0", "1"))),
    Dirt("metastasis-site-code", 0.15, "metastasis_site", _PAIR, _wrong_site),
    Dirt("response-code", 0.10, "before_response", _PAIR, _response_code),
    Dirt("line-code", 0.30, "before_line", _PAIR, _line_code),
    Dirt("option-without-code", 0.20, "option_offered", "etl.code-missing", _drop_code("option_offered")),
    Dirt("sex-changes", 0.01, "sex", _ROWS, _changes("sex", _SEX), _ROWS),
    Dirt("ecog-changes", 0.01, "ecog", _ROWS, _changes("ecog", _ECOG), _ROWS),
    Dirt("age-changes", 0.005, "age", _ROWS, _age_changes),
    Dirt("buddhist-year", 0.004, "diagnosis_date", "etl.buddhist-year", _buddhist),
    Dirt("treatment-before-diagnosis", 0.05, "diagnosis_date", _ORDER, _treated_before),
    Dirt("impossible-date", 0.004, "specimen_date", "etl.value-refused", _impossible),
    Dirt("treatment-after-death", 0.03, "after_end", _ORDER, _treated_dead),
    Dirt("unlisted-code", 0.005, "smoking", "etl.code-undeclared", _unlisted, "etl.no-concept"),
)
