"""The real export recomputed: csv module and the prose of the references, then equality with the CDM, row by row.

Nothing here reads a map, a source model or a concept table. Columns stand by their position, as site-formats.md 5.4
counts them; concept ids are those of omop.md. The node is a site's, so a person keeps the hash id of the file.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from masterkey_etl import assessment, loading
from masterkey_etl.workspace import Workspace

pytestmark = pytest.mark.shared

Row = list[str]
Patients = dict[str, list[Row]]
Query = Callable[[str], Counter[tuple[Any, ...]]]

# -- positions of the clinical file, 0-based
HASH, SEX, AGE, REGISTERED, DIAGNOSED = 2, 4, 5, 30, 32
ONCOTREE, SPECIMEN_DATE, NORMAL_DATE = 12, 79, 88
METASTASIS, SITE_CODE, SITE_LABEL = 96, 97, 98
PANEL_DATE, OUTCOME, LAST_ALIVE, DIED, CAUSE = 306, 363, 364, 365, 367
BEFORE = {"line": 269, "regimen": 274, "drug": 276, "start": 282, "end": 283, "stop": 287, "best": 289}
AFTER = {"line": 314, "regimen": 317, "drug": 321, "start": 332, "end": 333, "stop": 339, "best": 341}
EVENTS = (REGISTERED, DIAGNOSED, SPECIMEN_DATE, NORMAL_DATE, PANEL_DATE, 282, 283, 290, 332, 333, 346, 300, 356, 365)
# -- positions of the report
SAMPLED, KIND, MARKER, FRACTION, EVIDENCE, LEVEL, DRUG, TMB = 9, 29, 32, 35, 48, 51, 52, 59
PLACE = (55, 56, 57, 58)  # chromosome, position, reference, alternate

MALE, FEMALE = 8507, 8532
ORGAN = {"肺": "C12468", "肝": "C12392", "骨": "C12366", "脳": "C12438", "リンパ節": "C13252"}
ECOG = {"0": 4175026, "1": 4173614}
RESPONSE = {"CR": 1633363, "PR": 1635152, "SD": 1635506, "PD": 0, "NE": 0}  # no verified id for PD (omop.md 1.2)
STOPPED = {"計画通り終了": "planned", "無効中止": "ineffective", "不明": "unknown"}


def stated(text: str) -> str | None:
    """NFKC of a label; `NA` and empty are both null."""
    return None if text in ("", "NA") else unicodedata.normalize("NFKC", text)


def day(text: str) -> date | None:
    return None if stated(text) is None else datetime.strptime(text, "%Y/%m/%d").date()


def by_patient(path: Path) -> Patients:
    with path.open(encoding="utf-8-sig", newline="") as file:
        _header, *body = csv.reader(file)
    out: Patients = {}
    for row in body:
        out.setdefault(row[HASH], []).append(row)
    return out


@pytest.fixture(scope="module")
def export(shared: Path) -> Path:
    return shared / "data" / "genomics" / "ccat_export"


@pytest.fixture(scope="module")
def clinical(export: Path) -> Patients:
    return by_patient(export / "sample_clinical.csv")


@pytest.fixture(scope="module")
def reports(export: Path) -> Patients:
    return by_patient(export / "sample_report.csv")


@pytest.fixture(scope="module")
def cdm(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterable[Query]:
    """Rows of the published CDM, counted; `{p}` of a query is the hash id of the person."""
    data = tmp_path_factory.mktemp("site")
    Workspace.open(data, create=True, role="site")
    loading.load(data, [export / "sample_clinical.csv", export / "sample_report.csv"], site="jp_ncch")
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as connection:

        def rows(sql: str) -> Counter[tuple[Any, ...]]:
            return Counter(connection.execute(sql).fetchall())

        yield rows


def lines(rows: Iterable[Row]) -> Iterable[tuple[str, Row, dict[str, int]]]:
    """The lines of therapy of a patient: each row holds at most one before and one after the panel."""
    for row in rows:
        for phase, at in (("before-panel", BEFORE), ("after-panel", AFTER)):
            if any(stated(row[at[k]]) for k in ("line", "regimen", "start")):
                yield phase, row, at


def number(label: str) -> int:
    """`１次治療`, `3次治療`: the code folds the 2nd, 3rd and 4th line, the label does not."""
    return int(re.sub(r"\D", "", unicodedata.normalize("NFKC", label)))


# -- who


def test_person(cdm: Query, clinical: Patients) -> None:
    expected = Counter(
        (p, {"男": MALE, "女": FEMALE}[rows[0][SEX]], int(rows[0][REGISTERED][:4]) - int(rows[0][AGE]), None, None)
        for p, rows in clinical.items()
    )
    found = cdm(
        "SELECT person_source_value, gender_concept_id, year_of_birth, month_of_birth, day_of_birth FROM person"
    )
    assert found == expected and len(found) == 66


def test_death_and_its_cause(cdm: Query, clinical: Patients) -> None:
    """The label of the outcome and the date agree in every row; the code disagrees in 19 of them."""
    dead = {p: rows[0] for p, rows in clinical.items() if stated(rows[0][OUTCOME]) == "死亡"}
    assert all((stated(rows[0][DIED]) is None) == (p not in dead) for p, rows in clinical.items())
    assert {row[CAUSE] for row in dead.values()} == {"原病死"}
    expected = Counter((p, day(row[DIED]), "primary-disease") for p, row in dead.items())
    sql = "SELECT person_source_value, death_date, cause_source_value FROM death JOIN person USING (person_id)"
    assert cdm(sql) == expected


def test_observed_from_the_first_event_to_the_last_known_alive(
    cdm: Query, clinical: Patients, reports: Patients
) -> None:
    """omop.md 1.4. The day the database was updated or the file cut is no contact with the patient."""
    expected: Counter[tuple[Any, ...]] = Counter()
    for p, rows in clinical.items():
        dates = [day(row[i]) for row in rows for i in EVENTS] + [day(row[SAMPLED]) for row in reports[p]]
        ends = day(rows[0][DIED]) or day(rows[0][LAST_ALIVE])
        expected[p, min(d for d in dates if d), ends] += 1
    sql = (
        "SELECT person_source_value, observation_period_start_date, observation_period_end_date"
        " FROM observation_period JOIN person USING (person_id)"
    )
    assert cdm(sql) == expected


def test_registration_is_a_day_of_the_patient_the_database_update_is_not(cdm: Query, clinical: Patients) -> None:
    cut = {row[368] for rows in clinical.values() for row in rows}
    assert cut == {"2024年8月29日"}
    sql = (
        "SELECT person_source_value, observation_source_value, observation_date, value_as_string FROM observation"
        " JOIN person USING (person_id) WHERE observation_source_value IN ('registration', 'database-update')"
    )
    expected = Counter(
        (p, item, day(rows[0][REGISTERED]), value)
        for p, rows in clinical.items()
        for item, value in (("registration", None), ("database-update", "2024-08-29"))
    )
    assert cdm(sql) == expected


# -- the tumour


def test_diagnosis(cdm: Query, clinical: Patients) -> None:
    """Dated at diagnosis, else when it was known: at registration."""
    expected = Counter(
        (p, rows[0][ONCOTREE], day(rows[0][DIAGNOSED]) or day(rows[0][REGISTERED])) for p, rows in clinical.items()
    )
    sql = (
        "SELECT person_source_value, condition_source_value, condition_start_date"
        " FROM condition_occurrence JOIN person USING (person_id)"
    )
    assert cdm(sql) == expected


def test_metastasis_by_label_each_site_once(cdm: Query, clinical: Patients) -> None:
    """A code says nothing in this column (one stands beside 3 to 4 labels): without a label it makes no site
    for a patient who has none."""
    sites = {(p, ORGAN[label]) for p, rows in clinical.items() for r in rows if (label := stated(r[SITE_LABEL]))}
    for p, rows in clinical.items():
        codes = {r[SITE_CODE] for r in rows if stated(r[SITE_CODE]) and not stated(r[SITE_LABEL])}
        sites |= {(p, code) for code in codes if stated(rows[0][METASTASIS]) != "なし"}
    sql = (
        "SELECT person_source_value, value_source_value FROM measurement JOIN person USING (person_id)"
        " WHERE measurement_source_value = '{}'"
    )
    assert cdm(sql.format("metastasis-site")) == Counter(sites)
    present = Counter((p, {"あり": "Y", "なし": "N"}[rows[0][METASTASIS]]) for p, rows in clinical.items())
    assert cdm(sql.format("metastasis")) == present


def test_ecog_of_the_first_row(cdm: Query, clinical: Patients) -> None:
    expected = Counter((p, ECOG[rows[0][40]]) for p, rows in clinical.items())
    sql = (
        "SELECT person_source_value, value_as_concept_id FROM measurement JOIN person USING (person_id)"
        " WHERE measurement_source_value = 'ecog'"
    )
    assert cdm(sql) == expected


# -- treatment


def test_lines(cdm: Query, clinical: Patients) -> None:
    expected = {
        (p, phase, number(row[at["line"]]), day(row[at["start"]]), day(row[at["end"]]), row[at["regimen"]],
         STOPPED.get(stated(row[at["stop"]]) or ""))
        for p, rows in clinical.items() for phase, row, at in lines(rows)
    }  # fmt: skip
    sql = (
        "SELECT person_source_value, phase, episode_number, e.episode_start_date, e.episode_end_date,"
        " episode_source_value, t.stop_reason FROM episode e JOIN masterkey.treatment_line t USING (episode_id)"
        " JOIN person p ON p.person_id = e.person_id WHERE episode_concept_id = 32531"
    )
    assert cdm(sql) == Counter(expected) and len(expected) == 134


def test_best_response_by_label_on_its_line(cdm: Query, clinical: Patients) -> None:
    expected = Counter(
        (p, number(row[at["line"]]), day(row[at["start"]]), best, RESPONSE[best])
        for p, rows in clinical.items() for _, row, at in lines(rows) if (best := stated(row[at["best"]]))
    )  # fmt: skip
    sql = (
        "SELECT person_source_value, episode_number, episode_start_date, value_source_value, value_as_concept_id"
        " FROM measurement m JOIN episode e ON e.episode_id = m.measurement_event_id JOIN person p"
        " ON p.person_id = m.person_id WHERE measurement_concept_id = 36305408 AND meas_event_field_concept_id = 756290"
    )
    assert cdm(sql) == expected


def test_drugs_of_each_line(cdm: Query, clinical: Patients) -> None:
    expected = Counter(
        (p, number(row[at["line"]]), drug.strip(), day(row[at["start"]]), day(row[at["end"]]))
        for p, rows in clinical.items() for _, row, at in lines(rows) for drug in row[at["drug"]].split(",")
    )  # fmt: skip
    sql = (
        "SELECT person_source_value, episode_number, drug_source_value, drug_exposure_start_date,"
        " drug_exposure_end_date FROM drug_exposure d JOIN episode_event v ON v.event_id = d.drug_exposure_id"
        " AND v.episode_event_field_concept_id = 1147094 JOIN episode USING (episode_id)"
        " JOIN person p ON p.person_id = d.person_id"
    )
    assert cdm(sql) == expected


def test_what_the_panel_decided_is_dated_at_the_panel(cdm: Query, clinical: Patients) -> None:
    answers = {"はい": "Y", "いいえ": "N", "投与した": "Y", "投与しなかった": "N", "死亡": "death"}
    answers["提示された治療薬以外の化学療法を行った"] = "other-chemotherapy"
    items = {"option-offered": 308, "option-given": 310, "option-not-given-reason": 337}
    expected = Counter(
        (p, item, day(rows[0][PANEL_DATE]), answers[label])
        for p, rows in clinical.items() for item, at in items.items() if (label := stated(rows[0][at]))
    )  # fmt: skip
    sql = (
        "SELECT person_source_value, observation_source_value, observation_date, value_source_value"
        " FROM observation JOIN person USING (person_id) WHERE observation_source_value LIKE 'option%'"
    )
    assert cdm(sql) == expected


# -- the report


def test_variants_with_the_fraction_stated_first(cdm: Query, reports: Patients) -> None:
    """One measurement per variant however many evidences it has; of two fractions the first stays (an Issue)."""
    expected: dict[tuple[Any, ...], float] = {}
    for p, rows in reports.items():
        for row in rows:
            if row[KIND] != "other_biomarker":
                fusion = row[KIND] == "fusion"
                marker = "::".join(row[MARKER].split("-")) if fusion else row[MARKER]
                chromosome, position, ref, alt = (stated(row[i]) for i in PLACE)
                key = (p, marker, chromosome, float(position) if position else None, ref, alt)
                expected.setdefault(key, float(row[FRACTION].split()[0]))
    sql = (
        "SELECT person_source_value, split_part(measurement_source_value, ' ', 1), chromosome, position,"
        " reference_allele, alternate_allele, CAST(value_as_number AS DOUBLE) FROM measurement m"
        " JOIN masterkey.variant v USING (measurement_id) JOIN person p ON p.person_id = m.person_id"
        " WHERE value_as_concept_id = 45879438"
    )
    assert cdm(sql) == Counter((*key, fraction) for key, fraction in expected.items())


def test_burden(cdm: Query, reports: Patients) -> None:
    expected = Counter((p, float(rows[0][TMB].removesuffix("Muts/Mb"))) for p, rows in reports.items())
    sql = (
        "SELECT person_source_value, CAST(value_as_number AS DOUBLE) FROM measurement JOIN person USING (person_id)"
        " WHERE measurement_concept_id = 1001563"
    )
    assert cdm(sql) == expected


def test_evidences_with_level_and_drug_on_their_variant(cdm: Query, reports: Patients) -> None:
    expected = Counter(
        (p, row[EVIDENCE], row[LEVEL], stated(row[DRUG]), row[MARKER].replace("-", "::"))
        for p, rows in reports.items() for row in rows if stated(row[EVIDENCE])
    )  # fmt: skip
    part = "(SELECT any_value(value_text) FROM masterkey.component c WHERE c.fhir_id = g.fhir_id AND c.code = '{}')"
    sql = (
        "SELECT person_source_value, CASE observation_source_value WHEN 'therapeutic-implication' THEN 'Predictive'"
        f" ELSE 'Oncogenic' END, {part.format('93044-6')}, {part.format('51963-7')}, split_part(v.marker, ' ', 1)"
        " FROM observation o JOIN masterkey.origin g ON g.table_name = 'observation' AND g.row_id = o.observation_id"
        " JOIN masterkey.variant v ON v.measurement_id = o.observation_event_id"
        " JOIN person p ON p.person_id = o.person_id WHERE observation_source_value LIKE '%-implication'"
    )
    assert cdm(sql) == expected
