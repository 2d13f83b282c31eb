"""The synthetic cohort: right layout, same bytes for a seed, flat memory, and a key that tells the truth."""

from __future__ import annotations

import csv
import json
import tracemalloc
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from masterkey_etl import synth as package
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import LocalFile, Reading
from masterkey_etl.source_model import SourceModel
from masterkey_etl.synth.cohort import CUT, Patient, draw
from masterkey_etl.synth.dirt import CASE_DIRT, Dirt
from masterkey_etl.synth.identifiers import my_number
from masterkey_etl.synth.tables import tables
from masterkey_fhir.check import check
from masterkey_fhir.issue import Issue, Place

FILES = {"ccat_case": 369, "ccat_report": 64}


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    package.synth(folder, patients=1500, seed=3, plant_identifiers=200)
    return folder


@pytest.fixture(scope="module")
def key(out: Path) -> list[dict[str, str]]:
    with (out / "key.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def case(out: Path) -> list[list[str]]:
    return rows_of(out / "jp_ncch" / "ccat_case.csv")


# -- layout


@pytest.mark.parametrize("name", FILES)
def test_every_row_has_the_columns_of_the_source_model(out: Path, name: str) -> None:
    header, *body = rows_of(out / "jp_ncch" / f"{name}.csv")
    model = SourceModel.load(f"{name}/2020_04")
    assert header == [c.header for c in model.columns]
    assert body and {len(r) for r in body} == {FILES[name]}


@pytest.mark.parametrize("name", FILES)
def test_the_bytes_are_those_of_an_export(out: Path, name: str) -> None:
    """site-formats 4.1: UTF-8 with BOM, CRLF, no newline at the end."""
    data = (out / "jp_ncch" / f"{name}.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbf") and not data.endswith(b"\n")
    assert data.count(b"\n") == data.count(b"\r\n") > 100


def test_as_many_patients_as_asked_for_in_one_folder_per_site(out: Path, case: list[list[str]]) -> None:
    assert [p.name for p in out.iterdir() if p.is_dir()] == ["jp_ncch"]
    assert len({r[2] for r in case[1:]}) == 1500
    assert {r[2] for r in rows_of(out / "jp_ncch" / "ccat_report.csv")[1:]} < {r[2] for r in case[1:]}


def test_null_is_written_both_ways(case: list[list[str]]) -> None:
    column = SourceModel.load("ccat_case/2020_04").index["clinical_diagnosis_text"]
    assert {"NA", ""} <= {r[column] for r in case[1:]}


# -- one seed, one cohort


def test_the_same_seed_gives_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        package.synth(tmp_path / name, patients=40, seed=seed)
    read = {n: {p.name: p.read_bytes() for p in (tmp_path / n).rglob("*.*") if p.is_file()} for n in "abc"}
    assert read["a"] == read["b"]
    assert all(read["a"][name] != read["c"][name] for name in read["a"])


def peak(folder: Path, patients: int) -> int:
    tracemalloc.start()
    package.synth(folder, patients=patients, seed=1, example=False)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


@pytest.mark.slow
def test_memory_does_not_grow_with_the_cohort(tmp_path: Path) -> None:
    package.synth(tmp_path / "warm", patients=1500, seed=2, example=False)  # fills the bounded cache of dates
    small, large = peak(tmp_path / "small", 500), peak(tmp_path / "large", 3000)
    assert large < small + 500_000


def test_progress_ends_with_everything_done(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    package.synth(tmp_path, patients=2500, seed=1, progress=lambda *at: told.append(at), example=False)
    assert told == [(1000, 2500), (2000, 2500), (2500, 2500)]


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"patients": 3, "plant_identifiers": -1}])
def test_a_cohort_of_nobody_is_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one patient"):
        package.synth(tmp_path, seed=1, **wrong)  # type: ignore[arg-type]


# -- courses make sense before they are spoilt


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    rng = Random(11)
    return [draw(rng, tables()) for _ in range(4000)]


def test_nothing_happens_in_the_wrong_order(patients: list[Patient]) -> None:
    for p in patients:
        end = p.death or p.last_alive
        assert end is not None and p.diagnosis <= p.specimen <= p.registered <= end <= CUT
        days = [p.diagnosis, *(d for line in p.before for d in (line.start, line.end or 0)), p.registered]
        assert days == sorted(days)
        assert p.panel_day is None or p.registered < p.panel_day < end
        for line in p.after:
            assert p.panel_day is not None and p.panel_day < line.start
            assert line.start <= (line.end or CUT) <= end or line.end is None
        assert not (p.given and not p.offered)


def test_the_cohort_has_the_published_shares(patients: list[Patient]) -> None:
    """ASCO 2024 abstr. 3024 (Japan), ESMO 2019, Okuma 2020: see masterkey_etl.synth.cohort."""
    n = len(patients)
    share = {g: 100 * k / n for g, k in Counter(p.entity.group for p in patients).items()}
    assert share["STS"] == pytest.approx(22.0, abs=2.5)
    assert share["CNS"] == pytest.approx(12.8, abs=2.0)
    assert share["H&N"] == pytest.approx(9.2, abs=2.0)
    assert share["NET"] == pytest.approx(7.3, abs=2.0)
    found = Counter(v.marker.marker for p in patients for v in p.variants)
    assert 100 * found["TP53"] / n == pytest.approx(32.4, abs=3)
    assert 100 * found["KRAS"] / n == pytest.approx(10.4, abs=2.5)
    assert sum(p.offered for p in patients) / n == pytest.approx(0.48, abs=0.04)
    assert sum(p.given for p in patients) / n == pytest.approx(0.195, abs=0.03)


def test_women_have_no_prostate_and_men_no_ovaries(patients: list[Patient]) -> None:
    for p in patients:
        assert p.female or p.entity.group != "Gyn"
        assert not p.female or p.entity.code != "NSGCT"


# -- the key


def test_the_key_names_cells_that_hold_what_it_says(key: list[dict[str, str]], case: list[list[str]]) -> None:
    at = SourceModel.load("ccat_case/2020_04").index
    assert len(key) > 500
    for line in key:
        assert line["file"] == "jp_ncch/ccat_case.csv"
        assert line["value"] in case[int(line["row"]) - 1][at[line["column"]]], line["kind"]


def test_as_many_identifiers_as_asked_for_and_every_kind_of_dirt(key: list[dict[str, str]]) -> None:
    kinds = Counter(line["kind"] for line in key)
    assert sum(n for kind, n in kinds.items() if kind.startswith("identifier-")) == 200
    assert {d.kind for d in CASE_DIRT} <= kinds.keys()


@pytest.fixture(scope="module")
def issues(out: Path) -> list[Issue]:
    """What the reader finds in the clinical file."""
    model, place = SourceModel.load("ccat_case/2020_04"), Place("jp_ncch", "ccat_case.csv")
    reading = Reading(LocalFile(out / "jp_ncch" / "ccat_case.csv"), model, Ledger(model, place))
    assert sum(1 for _ in reading) == 1500
    return reading.issues


FOUND_ONE_BY_ONE = [d for d in CASE_DIRT if d.finds not in ("etl.code-undeclared", "etl.code-missing")]


@pytest.mark.parametrize("dirt", FOUND_ONE_BY_ONE, ids=lambda d: d.kind)
def test_what_was_planted_is_found_and_nothing_else(
    dirt: Dirt, issues: list[Issue], key: list[dict[str, str]], case: list[list[str]]
) -> None:
    """Compared patient by patient: a fault stands in every row of a patient, the key names the first."""
    kinds = {d.kind for d in CASE_DIRT if d.column == dirt.column and d.finds == dirt.finds}
    planted = {case[int(k["row"]) - 1][2] for k in key if k["kind"] in kinds}
    found = {case[(i.place.row or 0) - 1][2] for i in issues if i.rule == dirt.finds and i.place.field == dirt.column}
    assert planted and planted == found


def test_undeclared_codes_are_counted(issues: list[Issue], case: list[list[str]]) -> None:
    column = SourceModel.load("ccat_case/2020_04").index["smoking"]
    found = [i for i in issues if i.rule == "etl.code-undeclared" and i.place.field == "smoking"]
    assert [i.count for i in found] == [sum(r[column] == "3" for r in case[1:])]


def test_a_planted_number_passes_its_own_check() -> None:
    from masterkey_etl.national import is_my_number

    rng = Random(4)
    assert all(is_my_number(my_number(rng)) for _ in range(50))


# -- the example for the API


def test_the_example_is_a_valid_transaction_that_refers_to_itself(out: Path) -> None:
    bundle = json.loads((out / "example-bundle.json").read_text(encoding="utf-8"))
    assert bundle["type"] == "transaction" and not check(bundle)
    resources = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    assert [r["resourceType"] for r in resources.values()] == ["Patient", "Condition", "Observation"]
    condition, observation = list(resources.values())[1:]
    assert resources[condition["subject"]["reference"]]["resourceType"] == "Patient"
    assert resources[observation["focus"][0]["reference"]] is condition
    assert all(e["request"]["ifNoneExist"] for e in bundle["entry"])
