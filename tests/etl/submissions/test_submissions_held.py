"""Set-aside resources hold what depends on them and release it; a refused correction leaves the last valid version."""

from __future__ import annotations

from typing import Any

from masterkey_etl import submissions
from masterkey_etl.standing import ASIDE, HELD


def test_a_report_before_its_case_waits_and_is_released_with_its_values(tiny: Any) -> None:
    first = tiny.reports("1 positive", "2 negative")
    assert first.exit_code == 1 and tiny.values() == {}
    assert tiny.issues() == ["etl.patient-unknown"] * 2
    assert tiny.ledger(1) == {("set_aside", HELD): 2}
    second = tiny.cases("1 male 1950-01-02 sarcoma")
    assert second.stored[0].counts["released"] == 1
    assert tiny.values() == {"Patient": ["1950-01-02"], "Condition": ["sarcoma"], "Observation": ["positive"]}
    assert tiny.ledger(1) == {("mapped", ""): 1, ("set_aside", HELD): 1}
    assert tiny.issues() == ["etl.patient-unknown"] and second.exit_code == 0
    assert submissions.show(tiny.data, 1)["waiting"][0]["waits_for"]


def test_released_in_the_cdm_and_told_from_its_own_delivery(tiny: Any) -> None:
    tiny.reports("1 positive")
    tiny.cases("1 male 1950-01-02 sarcoma")
    repository = tiny.repository
    (name,) = [n for n in tiny.state() if n.startswith("Observation/")]
    source = repository.source("my_nci", "Observation", name.partition("/")[2], 1)
    repository.close()
    assert source is not None and (source.submission, source.file, source.rows) == (1, "report.csv", (2,))
    assert len(tiny.cdm("SELECT * FROM person")) == 1


def test_an_invalid_parent_holds_and_its_correction_releases(tiny: Any) -> None:
    tiny.cases("1 male 1950-13-45 sarcoma", "2 male 1960-01-01 glioma")
    assert tiny.values() == {"Patient": ["1960-01-01"], "Condition": ["glioma"]}
    assert "etl.held" in tiny.issues()
    assert tiny.ledger(1) == {("mapped", ""): 1, ("set_aside", HELD): 1}
    assert submissions.listed(tiny.data)[0]["balanced"] is True
    tiny.cases("1 male 1950-12-05 sarcoma", "2 male 1960-01-01 glioma")
    assert tiny.values()["Condition"] == ["glioma", "sarcoma"] and tiny.issues() == []


def test_values_of_the_set_aside_resource_are_not_mapped(tiny: Any) -> None:
    tiny.cases("1 male 1950-13-45 sarcoma")
    repository = tiny.repository
    born = {(x.status, x.reason): x.n for x in repository.ledger(1) if x.column == "born"}
    repository.close()
    assert born == {("set_aside", ASIDE): 1}


def test_a_refused_correction_leaves_the_last_valid_version_and_is_marked(tiny: Any) -> None:
    tiny.cases("1 male 1950-01-02 sarcoma")
    before = tiny.state()
    tiny.cases("1 male 1950-99-99 osteosarcoma")
    assert tiny.state() == before
    assert {"etl.correction-refused", "etl.held"} <= set(tiny.issues())
    told = [i["rule"] for i in submissions.show(tiny.data, 2)["issues"]]
    assert "etl.correction-refused" in told
    tiny.cases("1 male 1950-01-03 osteosarcoma")
    assert tiny.values() == {"Patient": ["1950-01-03"], "Condition": ["osteosarcoma"]} and tiny.issues() == []


def test_the_same_bytes_again_change_nothing(tiny: Any) -> None:
    tiny.reports("1 positive")
    tiny.cases("1 male 1950-01-02 sarcoma")
    before, ledger = tiny.state(), tiny.ledger(1)
    again = tiny.reports("1 positive")
    assert again.stored[0].repeat and tiny.state() == before and tiny.ledger(1) == ledger
    repository = tiny.repository
    versions = [len(repository.history("my_nci", *name.split("/"))) for name in before]
    repository.close()
    assert versions == [1] * len(before)


def test_what_waits_no_longer_when_the_report_is_corrected_away(tiny: Any) -> None:
    tiny.reports("1 positive", "2 negative")
    tiny.reports("2 negative")
    tiny.cases("1 male 1950-01-02 sarcoma", "2 male 1951-01-02 glioma")
    assert tiny.values()["Observation"] == ["negative", "positive"], "an absent record is asked about, not dropped"
