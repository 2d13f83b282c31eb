"""A small CDM of two sites, clean (`clean`) or with violations of every check planted beside (`seeded`).

What the checks must find in it is counted in `check_oracle`.
"""

from __future__ import annotations

import csv
import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb

from masterkey_omop import schema
from masterkey_omop.vocabulary import bindings

AS_OF = date(2026, 11, 25)
SITES = {1: "jp_ncch", 2: "th_siriraj"}
Row = dict[str, Any]
Data = dict[str, list[Row]]


def concept(name: str) -> int:
    return bindings()[name].concept.id


REGIMEN = concept("episode.treatment_regimen")
FIRST = concept("episode.disease_first_occurrence")
RESPONSE = concept("loinc.response_to_cancer_treatment")
TMB = concept("loinc.tumor_mutation_burden")
LIVER = concept("modifier.metastasis_to_the_liver")
MODIFIERS = {b.concept.id for n, b in bindings().items() if n.startswith("modifier.")}
METASTASES = {b.concept.id for n, b in bindings().items() if n.startswith("modifier.metastasis")}
TABLES = [
    "condition_occurrence",
    "procedure_occurrence",
    "drug_exposure",
    "measurement",
    "observation",
    "specimen",
    "episode",
]
FIELD = {t: concept(f"field.{t}.{t}_id") for t in TABLES}
TABLE_OF = {field: table for table, field in FIELD.items()}
DATES = {
    "condition_occurrence": "condition_start_date",
    "drug_exposure": "drug_exposure_start_date",
    "procedure_occurrence": "procedure_date",
    "specimen": "specimen_date",
    "episode": "episode_start_date",
    "measurement": "measurement_date",
    "observation": "observation_date",
    "death": "death_date",
}


class Builder:
    """Rows of a CDM under construction; required columns that no check reads are filled with 0."""

    def __init__(self) -> None:
        self.data: Data = {t: [] for t in (*TABLES, "person", "observation_period", "death", "episode_event")}
        self.data |= {"care_site": [], "cdm_source": [], "masterkey.component": []}
        self.data |= {"masterkey.detail": [], "masterkey.panel_report": []}
        self._next = Counter[str]()

    def add(self, table: str, **values: Any) -> int:
        key = f"{table}_id"
        self._next[table] += 1
        if key in schema.tables().get(table, schema.tables()["person"]).fields:
            values.setdefault(key, self._next[table])
        self.data[table].append(values)
        return int(values.get(key, self._next[table]))

    def person(self, number: int, site: int, **changes: Any) -> int:
        """A clean patient: diagnosis, specimen, two lines with drugs, response, metastasis, TMB, last
        contact."""
        start = date(2020, 1, 10) + timedelta(days=number * 11)
        person = {"gender_concept_id": concept("gender.female"), "year_of_birth": 1950 + number % 40}
        person |= {"care_site_id": site, "person_source_value": f"p{number}"} | changes
        who = self.add("person", person_id=number, **person)
        condition = self.add("condition_occurrence", person_id=who, condition_start_date=start,
                             condition_source_value="SARC", condition_concept_id=0)  # fmt: skip
        disease = self.add("episode", person_id=who, episode_concept_id=FIRST, episode_start_date=start)
        self.add("episode_event", episode_id=disease, event_id=condition,
                 episode_event_field_concept_id=FIELD["condition_occurrence"])  # fmt: skip
        sampled = start + timedelta(days=3)
        tested = self.add("specimen", person_id=who, specimen_date=sampled)
        self.panel(who, "ncc-oncopanel", tested, sampled)
        self.report(who, sampled, "ncc-oncopanel", 50 + number % 3)
        self.detail(who, "person", who, "age_at_registration", 50)
        for line in (1, 2):
            self.line(who, disease, line, start + timedelta(days=100 * line))
        if number % 10 == 0:
            last = self.data["episode"][-1]
            last["episode_end_date"] = None
            self.detail(who, "episode", last["episode_id"], "ongoing", "継続中")
        self.add("measurement", person_id=who, measurement_concept_id=LIVER, measurement_date=start,
                 measurement_source_value="metastasis-site", measurement_event_id=condition,
                 meas_event_field_concept_id=FIELD["condition_occurrence"])  # fmt: skip
        self.add("measurement", person_id=who, measurement_concept_id=TMB, measurement_date=start,
                 value_as_number=float(number % 30), unit_source_value="1/Mb")  # fmt: skip
        self.add("masterkey.component", person_id=who, resource_type="Observation", fhir_id=f"v{number}", number=1,
                 code="81258-6", value_number=0.01 * (number % 90))  # fmt: skip
        self.add("masterkey.component", person_id=who, resource_type="Observation", fhir_id=f"v{number}", number=2,
                 code="82121-5", value_number=500.0)  # fmt: skip
        self.add("observation_period", person_id=who, observation_period_start_date=start,
                 observation_period_end_date=start + timedelta(days=900))  # fmt: skip
        return who

    def detail(self, who: int, table: str, row_id: int, name: str, value: Any) -> None:
        self.add("masterkey.detail", person_id=who, table_name=table, row_id=row_id, name=name, value=str(value))

    def panel(self, who: int, code: str | None, specimen: int | None, day: date = date(2021, 3, 1)) -> None:
        """The panel as the clinical file has it."""
        self.add("observation", person_id=who, observation_concept_id=0, observation_source_value="panel",
                 observation_date=day, value_source_value=code, observation_event_id=specimen,
                 obs_event_field_concept_id=specimen and FIELD["specimen"])  # fmt: skip

    def report(self, who: int, sampled: date | None, panel: str | None, age: int | None) -> None:
        """The report of a panel, with its own specimen."""
        specimen = sampled and self.add("specimen", person_id=who, specimen_date=sampled)
        number = len(self.data["masterkey.panel_report"]) + 1
        self.add("masterkey.panel_report", panel_report_id=number, person_id=who, specimen_id=specimen,
                 panel_code=panel)  # fmt: skip
        if age is not None:
            self.detail(who, "masterkey.panel_report", number, "age_at_report", age)

    def line(self, who: int, disease: int | None, number: int | None, start: date, **changes: Any) -> int:
        values: Row = {"episode_concept_id": REGIMEN, "episode_number": number, "episode_start_date": start}
        values |= {"episode_end_date": start + timedelta(days=60), "episode_parent_id": disease} | changes
        episode = self.add("episode", person_id=who, **values)
        drug = self.add("drug_exposure", person_id=who, drug_concept_id=1, drug_exposure_start_date=start,
                        drug_exposure_end_date=start + timedelta(days=50))  # fmt: skip
        self.add("episode_event", episode_id=episode, event_id=drug,
                 episode_event_field_concept_id=FIELD["drug_exposure"])  # fmt: skip
        self.add("observation", person_id=who, observation_concept_id=RESPONSE, observation_event_id=episode,
                 observation_date=start + timedelta(days=40), obs_event_field_concept_id=FIELD["episode"])  # fmt: skip
        return episode


def clean(persons: int = 40) -> Builder:
    """A cohort without a defect."""
    builder = Builder()
    builder.add("cdm_source", cdm_source_name="test", cdm_source_abbreviation="t", cdm_holder="t")
    for site, name in SITES.items():
        builder.add("care_site", care_site_id=site, care_site_name=name, care_site_source_value=name)
    for number in range(1, persons + 1):
        builder.person(number, 1 + number % 2)
    return builder


def seeded() -> Data:
    """The clean cohort and, for every check, violations of another number at each site."""
    b = clean()
    start = date(2021, 3, 1)
    b.add("cdm_source", cdm_source_name="second", cdm_source_abbreviation="t", cdm_holder="t")  # OM09
    for number, changes in enumerate(
        (
            {"person_source_value": None},  # ID01.present
            {"person_source_value": "p2"},  # ID01.unique, at the site of p2
            {"person_source_value": "p4"},
            {"year_of_birth": 1899},  # DM01, DM03
            {"year_of_birth": 2563},  # a Buddhist year
            {"gender_concept_id": concept("gender.unknown")},  # DM02
            {"year_of_birth": AS_OF.year + 1},
            {"year_of_birth": AS_OF.year},
            {"year_of_birth": 2023 - 110},
            {"year_of_birth": 2023 - 111},
            {"year_of_birth": 1900},
        ),
        101,
    ):
        b.person(number, 1, **changes)
    bare = [b.add("person", person_id=200 + n, gender_concept_id=0, year_of_birth=1980, care_site_id=1 + n % 2,
                  person_source_value=f"bare{n}") for n in range(3)]  # DX01  # fmt: skip
    for who in bare[:2]:  # TX10, TX01, DT05.drug, OM06
        b.add("drug_exposure", person_id=who, drug_concept_id=0, drug_exposure_start_date=start,
              drug_exposure_end_date=start - timedelta(days=1))  # fmt: skip
    b.add("drug_exposure", person_id=1, drug_concept_id=1, drug_exposure_start_date=start,
          drug_exposure_end_date=start)  # one day is no negative duration  # fmt: skip
    for who in (1, 2, 3):
        b.add("death", person_id=who, death_date=date(2024, 5, who), cause_concept_id=1)
    b.add("death", person_id=3, death_date=date(2024, 6, 1), cause_source_value="unknown")  # DT15
    b.add("death", person_id=4, death_date=date(2024, 6, 1), cause_concept_id=0)  # EP10
    for who, table in ((1, "specimen"), (2, "specimen"), (3, "procedure_occurrence"), (3, "condition_occurrence")):
        extra = {"condition_source_value": "SARC"} if table == "condition_occurrence" else {}
        b.add(table, person_id=who, **{DATES[table]: date(2024, 5, 20)}, **extra)  # DT06
    b.add("measurement", person_id=5, measurement_concept_id=1, measurement_date=AS_OF + timedelta(days=1))  # DT02
    b.add("observation", person_id=6, observation_concept_id=1, observation_date=date(2563, 1, 1))
    b.add("specimen", person_id=6, specimen_date=AS_OF)  # today is not the future
    b.add(
        "condition_occurrence", person_id=7, condition_start_date=date(2025, 1, 1), condition_source_value="x"
    )  # DT03
    b.add("episode", person_id=8, episode_concept_id=FIRST, episode_start_date=start,
          episode_end_date=start - timedelta(days=5))  # DT05.episode  # fmt: skip
    for copies, who in ((1, 9), (2, 10)):  # ID07
        for _ in range(copies):
            b.add("measurement", person_id=who, measurement_concept_id=LIVER, measurement_event_id=who,
                  measurement_date=date(2020, 1, 10) + timedelta(days=who * 11),
                  meas_event_field_concept_id=FIELD["condition_occurrence"])  # fmt: skip
    _lines(b, start)
    _links(b, start)
    _ends(b)
    _contradictions(b, start)
    for who, value in ((20, 1.5), (21, -0.1), (22, 1.0), (23, 0.0), (24, None)):  # GN06
        b.add("masterkey.component", person_id=who, resource_type="Observation", fhir_id=f"w{who}", number=1,
              code="81258-6", value_number=value)  # fmt: skip
    for who, tmb, unit in (
        (20, 101.0, "1/Mb"),
        (21, -1.0, "1/Mb"),
        (22, 5.0, None),
        (23, None, "1/Mb"),
        (24, 100.0, "x"),
    ):
        b.add("measurement", person_id=who, measurement_concept_id=TMB, measurement_date=start, value_as_number=tmb,
              unit_source_value=unit)  # GN09  # fmt: skip
    for who, text in ((25, "sarcoma, call 03-1234-5678"), (26, "123456789"), (27, "a@b.example"), (28, "12345678"),
                      (29, "8936/3-C16.8"), (30, "090-1234-5678")):  # CO03  # fmt: skip
        b.add("condition_occurrence", person_id=who, condition_start_date=start, condition_source_value=text)
    return b.data


def _lines(b: Builder, start: date) -> None:
    late = start + timedelta(days=400)
    b.line(11, None, 4, late)  # TX05: a gap after 2
    b.line(12, None, None, late)  # no number
    b.line(13, None, 0, late)  # not positive; also the new first
    b.line(14, None, 3, date(2020, 1, 1))  # starts before line 2
    b.line(15, None, 2, late + timedelta(days=1))  # a tie is no gap
    b.line(16, None, 3, late, episode_end_date=None)
    b.line(17, None, 3, late, episode_end_date=late + timedelta(days=99))
    b.line(17, None, 4, late + timedelta(days=84))  # TX06: overlaps by 15 days
    b.line(18, None, 3, late, episode_end_date=late + timedelta(days=99))
    b.line(18, None, 4, late + timedelta(days=85))  # by 14 days


def _links(b: Builder, start: date) -> None:
    """OM01, OM02, OM04, OM05, MK01."""
    link: list[tuple[int, int | None, int | None]] = [
        (31, 999999, FIELD["condition_occurrence"]),  # no such row
        (32, 32, None),  # half filled
        (33, None, FIELD["episode"]),
        (34, 35, FIELD["condition_occurrence"]),  # of another person
        (35, 35, 4711),  # no such field
        (36, 36, FIELD["condition_occurrence"]),
    ]
    for who, event, field in link:
        b.add("measurement", person_id=who, measurement_concept_id=2, measurement_date=start,
              measurement_event_id=event,
              meas_event_field_concept_id=field)  # fmt: skip
    b.add("measurement", person_id=37, measurement_concept_id=LIVER, measurement_date=start)
    b.add("measurement", person_id=38, measurement_concept_id=LIVER, measurement_date=start, measurement_event_id=1,
          meas_event_field_concept_id=FIELD["specimen"])  # fmt: skip
    b.add("observation", person_id=37, observation_concept_id=RESPONSE, observation_date=start)
    b.add("observation", person_id=38, observation_concept_id=RESPONSE, observation_date=start,
          observation_event_id=38, obs_event_field_concept_id=FIELD["condition_occurrence"])  # fmt: skip
    b.add("measurement", person_id=39, measurement_concept_id=RESPONSE, measurement_date=start)
    b.add("episode_event", episode_id=1, event_id=888888, episode_event_field_concept_id=FIELD["drug_exposure"])
    b.add("episode_event", episode_id=777777, event_id=1, episode_event_field_concept_id=FIELD["drug_exposure"])
    b.add("episode_event", episode_id=1, event_id=2, episode_event_field_concept_id=FIELD["condition_occurrence"])
    for who, parent in ((31, 666666), (32, 1), (33, None)):
        b.add("episode", person_id=who, episode_concept_id=FIRST, episode_start_date=start, episode_parent_id=parent)
    own = b.add("episode", person_id=34, episode_concept_id=FIRST, episode_start_date=start)
    b.data["episode"][-1]["episode_parent_id"] = own  # its own parent
    early = next(e for e in b.data["episode"] if e["person_id"] == 36)
    b.add("episode", person_id=36, episode_concept_id=FIRST, episode_start_date=date(2019, 1, 1),
          episode_parent_id=early["episode_id"])  # fmt: skip


def _ends(b: Builder) -> None:
    """DT06 and DT06.end, OM06: the day itself, and the day after."""
    for who in (1, 2):
        died = date(2024, 5, who)
        b.add("specimen", person_id=who, specimen_date=died)  # on the day of death is not after it
        for days in range(who + 1):
            b.add("drug_exposure", person_id=who, drug_concept_id=1, drug_exposure_start_date=date(2024, 1, 1),
                  drug_exposure_end_date=died + timedelta(days=days))  # fmt: skip
    b.add("procedure_occurrence", person_id=3, procedure_date=date(2024, 1, 1), procedure_end_date=date(2024, 5, 4))
    b.add("procedure_occurrence", person_id=4, procedure_date=date(2024, 1, 1))  # no end is not judged
    b.add("episode", person_id=4, episode_concept_id=FIRST, episode_start_date=date(2024, 1, 1),
          episode_end_date=date(2024, 6, 2))  # fmt: skip
    for table in ("measurement", "observation"):
        for who in (5, 6, 7):
            first = next(p for p in b.data["observation_period"] if p["person_id"] == who)
            for days in (-1, 0):
                b.add(table, person_id=who, **{f"{table}_concept_id": 1}, **{
                    DATES[table]: first["observation_period_start_date"] + timedelta(days=days)})  # fmt: skip
            for days in range(who - 4):
                b.add(table, person_id=who, **{f"{table}_concept_id": 1}, **{
                    DATES[table]: first["observation_period_end_date"] + timedelta(days=days)})  # fmt: skip


def _contradictions(b: Builder, start: date) -> None:
    """DM03 without dates of registration, TX09.ongoing, MK02 to MK05."""
    late = b.add("condition_occurrence", person_id=104, condition_start_date=start, condition_source_value="SARC")
    b.detail(104, "condition_occurrence", late, "date_from", "registration")  # no age at diagnosis: not judged
    b.detail(104, "specimen", late, "method", "biopsy")
    b.detail(105, "condition_occurrence", 105, "clinical_diagnosis", "x")
    for who, name, value in ((21, "ongoing", "継続中"), (22, "status", "in-progress"), (23, "ongoing", "1"),
                             (24, "ongoing", "継続していない"), (25, "status", "completed")):  # fmt: skip
        line = next(e for e in b.data["episode"] if e["person_id"] == who and e["episode_concept_id"] == REGIMEN)
        b.detail(who, "episode", line["episode_id"], name, value)
        b.detail(who, "drug_exposure", line["episode_id"] + 1, "status", "in-progress")
    for who, item, answer in ((21, "metastasis", "N"), (22, "metastasis", "N"), (23, "metastasis", "unknown"),
                              (24, "smoking", "N"), (23, "metastasis", "N")):  # fmt: skip
        b.add("measurement", person_id=who, measurement_concept_id=0, measurement_source_value=item,
              measurement_date=start, value_source_value=answer)  # fmt: skip
    b.report(21, date(2000, 1, 1), "foundationone-cdx", 53)
    b.report(22, date(2000, 1, 1), None, 47)
    b.report(23, None, "foundationone-cdx", None)
    b.report(24, date(2000, 1, 1), "guardant360-cdx", 47)
    b.panel(24, "guardant360-cdx", None)  # a second test of the clinical file
    bare = b.add("specimen", person_id=200, specimen_date=start)
    b.detail(200, "specimen", bare, "date_from", "registration")
    b.panel(200, None, bare)
    b.report(200, start, "ncc-oncopanel", 90)  # nothing of the clinical file to compare with


def write(path: Path, data: Data) -> Path:
    """The rows as a CDM in DuckDB, schema from the specification."""
    with duckdb.connect(str(path)) as connection:
        for statement in schema.ddl("duckdb"):
            connection.execute(statement)
        connection.execute("CREATE SCHEMA masterkey")
        for statement in schema.ddl("duckdb", schema="masterkey", version="side"):
            connection.execute(statement)
        for table, rows in data.items():
            _fill(connection, table, rows)
    return path


DEFAULTS = {"integer": 0, "date": date(2020, 1, 1), "float": 0.0}


def cells(table: str, rows: list[Row]) -> list[list[Any]]:
    """The rows of a table in the order of its columns."""
    version = "side" if table.startswith("masterkey.") else schema.VERSION
    fields = schema.tables(version)[table.removeprefix("masterkey.")].fields.values()
    return [[_cell(f, row) for f in fields] for row in rows]


def _fill(connection: duckdb.DuckDBPyConnection, table: str, rows: list[Row]) -> None:
    if not rows:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".csv", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(cells(table, rows))
        stream.flush()
        connection.execute(f"COPY {table} FROM '{stream.name}' (HEADER false, NULL '')")


def _cell(field: schema.Field, row: Row) -> Any:
    value = row.get(field.name)
    return DEFAULTS.get(field.type, "x") if value is None and field.required else value
