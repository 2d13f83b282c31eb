"""Every check against counts from plain Python, on a clean CDM and on one with planted defects, by both
runners."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from masterkey_validation import catalogue, expectations, run
from masterkey_validation.catalogue import Check

sys.path.insert(0, str(Path(__file__).parent))
import check_oracle as oracle
import seeded_cdm as cdm

CHECKS = catalogue.load()
IDS = [c.id for c in CHECKS]


@pytest.fixture(scope="module")
def planted() -> cdm.Data:
    return cdm.seeded()


@pytest.fixture(scope="module")
def database(planted: cdm.Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cdm.write(tmp_path_factory.mktemp("cdm") / "seeded.duckdb", planted)


@pytest.fixture(scope="module")
def by_sql(database: Path) -> dict[str, Any]:
    return _grouped(run.run_duckdb(database, CHECKS, as_of=cdm.AS_OF))


@pytest.fixture(scope="module")
def by_gx(database: Path) -> dict[str, Any]:
    return _grouped(expectations.run_gx(database, CHECKS, as_of=cdm.AS_OF))


def _grouped(results: list[Any]) -> dict[str, Any]:
    grouped: dict[str, Any] = {}
    for result in results:
        grouped.setdefault(result.check_id, {})[result.site] = result
    return grouped


def _counts(results: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {site: (r.denominator, r.violated) for site, r in results.items()}


def test_the_catalogue_has_a_count_by_plain_python_for_every_check() -> None:
    assert set(oracle.EXPECTED) == set(IDS)
    assert len(IDS) == len(set(IDS)) >= 20
    assert [c.id for c in catalogue.suite("core")] == IDS


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_counts_are_those_of_plain_python(check: Check, by_sql: dict[str, Any], planted: cdm.Data) -> None:
    wanted = oracle.expected(planted, check.id)
    assert sum(v for _, v in wanted.values()) >= 1, "no violation is planted"
    assert sum(n - v for n, v in wanted.values()) >= (0 if check.id == "OM09" else 1), "nothing passes"
    assert _counts(by_sql[check.id]) == wanted


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_great_expectations_counts_the_same(check: Check, by_sql: dict[str, Any], by_gx: dict[str, Any]) -> None:
    assert _counts(by_gx[check.id]) == _counts(by_sql[check.id])
    assert {s: r.status for s, r in by_gx[check.id].items()} == {s: r.status for s, r in by_sql[check.id].items()}


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_failing_rows_are_ids_and_as_many_as_counted(check: Check, by_sql: dict[str, Any], database: Path) -> None:
    rows = run.failing_rows(database, check, as_of=cdm.AS_OF)
    assert len(rows) == sum(r.violated for r in by_sql[check.id].values())
    assert {r.site for r in rows} <= set(by_sql[check.id])
    assert len(run.failing_rows(database, check, as_of=cdm.AS_OF, most=1)) == 1


def test_a_clean_cohort_passes_every_check(tmp_path: Path) -> None:
    data = cdm.clean().data
    data["death"].append({"person_id": 1, "death_date": cdm.date(2024, 1, 1), "cause_concept_id": 1})
    results = run.run_duckdb(cdm.write(tmp_path / "clean.duckdb", data), CHECKS, as_of=cdm.AS_OF)
    assert [(r.check_id, r.status, r.message) for r in results if r.status != "passed"] == []


def test_the_registry_rules_keep_their_ids(shared: Path) -> None:
    """An id with the form of a registry rule is one (`DT05.drug` is rule DT05 on drugs); MK is ours."""
    import csv

    with (shared / "data/quality/registry_rules.csv").open(encoding="utf-8") as stream:
        rules = {row["id"]: row for row in csv.DictReader(stream)}
    for check in CHECKS:
        if not check.id.startswith("MK"):
            rule = rules[check.id.partition(".")[0]]
            assert check.severity == rule["severity"], check.id
            assert check.category == rule["kahn_category"].partition("/")[0], check.id


test_the_registry_rules_keep_their_ids = pytest.mark.shared(test_the_registry_rules_keep_their_ids)


def _broken(check: Check, sql: str) -> Check:
    from dataclasses import replace

    return replace(check, sql=sql)


def test_an_error_is_a_result_of_its_own_and_the_rest_goes_on(database: Path) -> None:
    wrong = _broken(CHECKS[0], "SELECT nothing FROM @cdm_database_schema.person")
    lacking = _broken(CHECKS[0], "SELECT FOO(1) AS violated FROM @cdm_database_schema.person")
    for runner in (run.run_duckdb, expectations.run_gx):
        rows = _broken(CHECKS[5], wrong.sql)
        results = runner(database, [wrong if runner is run.run_duckdb else rows, CHECKS[3]], as_of=cdm.AS_OF)
        assert results[0].status == "error"
        assert "nothing" in results[0].message
        assert results[1].status in ("passed", "failed")
    assert "FOO" in run.run_duckdb(database, [lacking])[0].message


def test_a_table_that_is_not_there_makes_a_check_not_applicable(tmp_path: Path) -> None:
    path = cdm.write(tmp_path / "foreign.duckdb", cdm.clean(4).data)
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP SCHEMA masterkey CASCADE")
    check = next(c for c in CHECKS if c.id == "GN06")
    for runner in (run.run_duckdb, expectations.run_gx):
        [result] = runner(path, [check])
        assert (result.status, result.message) == ("not_applicable", "not in this CDM: masterkey.component")


def test_a_threshold_is_a_share_and_off_by_one_is_seen(by_sql: dict[str, Any]) -> None:
    check = next(c for c in CHECKS if c.id == "TX01")
    assert check.threshold == 20
    assert check.passes(100, 20)
    assert not check.passes(100, 21)
    assert check.passes(0, 0)
    strict = CHECKS[0]
    assert strict.passes(10, 0)
    assert not strict.passes(1_000_000, 1)
    assert {r.status for r in by_sql["TX01"].values()} == {"passed"}, "violations below the threshold pass"


def test_no_result_holds_a_value_of_a_record(by_sql: dict[str, Any], by_gx: dict[str, Any]) -> None:
    for grouped in (by_sql, by_gx):
        text = json.dumps([r.as_dict() for results in grouped.values() for r in results.values()])
        for value in ("03-1234-5678", "a@b.example", "123456789", 'p2"'):
            assert value not in text


def test_what_great_expectations_gives_back_is_stripped() -> None:
    class Raw:
        success = False
        result = {  # noqa: RUF012
            "element_count": 3,
            "unexpected_count": 1,
            "partial_unexpected_list": ["secret"],
            "unexpected_list": ["secret"],
            "unexpected_index_list": [1],
            "partial_unexpected_counts": [{"value": "secret"}],
        }

    assert expectations.stripped(Raw) == {"element_count": 3, "unexpected_count": 1, "success": False}


def test_great_expectations_never_opens_a_connection(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[Any] = []

    def refuse(*address: Any, **_: Any) -> Any:
        tried.append(address)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    results = expectations.run_gx(database, [CHECKS[0], CHECKS[5]], as_of=cdm.AS_OF)
    assert {r.status for r in results} <= {"passed", "failed"}
    assert tried == []


def test_the_suite_is_also_a_file_of_great_expectations(tmp_path: Path) -> None:
    path = expectations.write_suite(CHECKS, tmp_path / "core.json", as_of=cdm.AS_OF)
    suite = json.loads(path.read_text())
    assert [e["meta"]["check_id"] for e in suite["expectations"]] == IDS
    gx = expectations.great_expectations()
    assert len(gx.ExpectationSuite(name="again", expectations=suite["expectations"]).expectations) == len(IDS)


def test_a_wrong_row_of_the_catalogue_is_named(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    header = catalogue.folder("checks.csv").read_text().splitlines()
    (tmp_path / "checks.csv").write_text("\n".join([header[0], header[1].replace("not_null", "magic")]))
    with pytest.raises(catalogue.CatalogueError, match=r"registration_number_present.sql is missing.*kind is one of"):
        catalogue.load(tmp_path)


def test_a_suite_that_names_no_check_is_refused(tmp_path: Path) -> None:
    import shutil

    shutil.copytree(catalogue.folder("checks"), tmp_path / "checks")
    shutil.copy(catalogue.folder("checks.csv"), tmp_path / "checks.csv")
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites/mine.yaml").write_text("checks: [DT06, DT99]")
    with pytest.raises(catalogue.CatalogueError, match="DT99"):
        catalogue.suite("mine", tmp_path)


def test_every_page_says_why_and_what_to_do() -> None:
    for check in CHECKS:
        assert check.page.startswith(f"# {check.id} · {check.title['en']}")
        assert "**Why.**" in check.page
        assert "**What to do.**" in check.page


def test_the_site_is_the_one_that_sent_the_person(tmp_path: Path) -> None:
    """A person posted without a hospital has no care site; who sent it is known all the same."""
    data = cdm.clean(3).data
    data["person"][0]["care_site_id"] = None
    who = data["person"][0]["person_id"]
    data["masterkey.origin"] = [
        {
            "person_id": who,
            "table_name": "person",
            "row_id": who,
            "site": "my_nci",
            "resource_type": "Patient",
            "fhir_id": "a",
            "slot": "-",
        }
    ]
    path = cdm.write(tmp_path / "sent.duckdb", data)
    check = next(c for c in CHECKS if c.id == "DM01")
    for runner in (run.run_duckdb, expectations.run_gx):
        by_site = {r.site: r.denominator for r in runner(path, [check], as_of=cdm.AS_OF)}
        assert by_site["my_nci"] == 1 and sum(by_site.values()) == 3 and "" not in by_site
