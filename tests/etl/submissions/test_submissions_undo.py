"""Undo: one delivery back, as new versions, with a preview; what rests on it is named."""

from __future__ import annotations

from typing import Any

import pytest

from masterkey_etl import submissions
from masterkey_etl.submissions import SubmissionError

ONE, TWO = "1 male 1950-01-02 sarcoma", "2 female 1960-01-01 glioma"
CORRECTED = "1 male 1951-01-02 sarcoma"


def test_undo_of_a_correction_brings_the_version_before_back(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    before = tiny.state()
    tiny.cases(CORRECTED, TWO)
    preview = submissions.take_back(tiny.data, 2, dry_run=True)
    assert preview.changes.resources == {("Patient", "changed"): 1}
    assert tiny.values()["Patient"] == ["1951-01-02", "1960-01-01"], "a preview changes nothing"
    act = submissions.take_back(tiny.data, 2)
    assert tiny.state() == before and act.number == 3
    assert act.changes.as_dict() == preview.changes.as_dict()
    kinds = [(s["kind"], s["state"]) for s in submissions.listed(tiny.data)]
    assert kinds == [("load", "stored"), ("load", "undone by 3"), ("undo", "stored")]


def test_history_grows_and_each_version_tells_its_delivery(tiny: Any) -> None:
    tiny.cases(ONE)
    tiny.cases(CORRECTED)
    submissions.take_back(tiny.data, 2)
    (name,) = [n for n in tiny.state() if n.startswith("Patient/")]
    repository = tiny.repository
    versions = repository.history("my_nci", "Patient", name.partition("/")[2])
    whose = [repository.source("my_nci", v.type, v.id, v.version).submission for v in versions]
    repository.close()
    assert [v.version for v in versions] == [3, 2, 1] and whose == [1, 2, 1]


def test_undo_of_the_first_deletes_and_the_cdm_follows(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    assert tiny.cdm("SELECT count(*) FROM person") == [(2,)]
    preview = submissions.take_back(tiny.data, 1, dry_run=True)
    assert preview.changes.cdm["person"] == (2, 0) and preview.changes.resources["Organization", "deleted"] == 1
    submissions.take_back(tiny.data, 1)
    assert tiny.state() == {} and tiny.cdm("SELECT count(*) FROM person") == [(0,)]


def test_loading_again_after_an_undo_is_a_delivery_again_with_the_same_keys(tiny: Any) -> None:
    tiny.cases(ONE)
    before, person = tiny.state(), tiny.cdm("SELECT * FROM person")
    submissions.take_back(tiny.data, 1)
    again = tiny.cases(ONE)
    assert again.stored[0].submission == 3 and not again.stored[0].repeat
    assert tiny.state() == before and tiny.cdm("SELECT * FROM person") == person


def test_later_deliveries_of_the_file_are_named_and_refuse(tiny: Any) -> None:
    tiny.cases(ONE)
    tiny.cases(CORRECTED)
    tiny.reports("1 positive")
    with pytest.raises(SubmissionError) as refused:
        submissions.take_back(tiny.data, 1)
    assert {i.facts["who"] for i in refused.value.issues} == {"delivery 2 (case.csv)", "delivery 3 (report.csv)"}
    submissions.take_back(tiny.data, 1, with_later=True)
    assert tiny.state() == {} and [s["state"] for s in submissions.listed(tiny.data)][:3] == ["undone by 4"] * 3


def test_a_report_speaks_of_the_patient_who_would_go(tiny: Any) -> None:
    tiny.cases(ONE)
    tiny.reports("1 positive")
    with pytest.raises(SubmissionError, match=r"report\.csv"):
        submissions.take_back(tiny.data, 1)
    submissions.take_back(tiny.data, 2)
    submissions.take_back(tiny.data, 1)
    assert tiny.state() == {}


def test_what_another_file_says_the_same_stands_as_its_own(tiny: Any) -> None:
    tiny.cases(ONE, name="january.csv")
    tiny.cases(ONE, TWO, name="february.csv")
    before = tiny.state()
    submissions.take_back(tiny.data, 1)
    assert tiny.state() == before
    submissions.take_back(tiny.data, 2)
    assert tiny.state() == {}


def test_undo_closes_what_it_opened_and_opens_what_it_closed(tiny: Any) -> None:
    tiny.cases(ONE)
    tiny.cases("1 male 1950-99-99 sarcoma")
    assert "etl.correction-refused" in tiny.issues()
    submissions.take_back(tiny.data, 2)
    assert tiny.issues() == []
    tiny.cases("1 male 1950-99-99 sarcoma")
    tiny.cases(CORRECTED)
    assert tiny.issues() == []
    submissions.take_back(tiny.data, 5)
    assert "etl.correction-refused" in tiny.issues()


def test_an_issue_that_a_standing_delivery_has_is_open_after_an_undo(tiny: Any) -> None:
    wrong = ["1 bad 1950-01-02 sarcoma", "2 bad 1950-01-02 sarcoma"]
    tiny.cases(*wrong)
    before = tiny.issues()
    tiny.cases("1 male 1950-01-02 sarcoma", "2 male 1950-01-02 sarcoma")
    tiny.cases(wrong[0], "2 male 1950-01-02 sarcoma")
    submissions.take_back(tiny.data, 2, with_later=True)
    assert before and tiny.issues() == before
    submissions.take_back(tiny.data, 1)
    assert tiny.issues() == []


def test_an_issue_that_a_later_delivery_changed_is_open_after_its_undo(tiny: Any) -> None:
    tiny.cases("1 bad 1950-01-02 sarcoma")
    before = tiny.issues()
    repository = tiny.repository
    with repository.writing() as writer:
        for found in repository.issues("open", "my_nci"):
            writer.answer_issue(found.id, "confirmed", "", "site")
    repository.close()
    tiny.cases("1 worse 1950-01-02 sarcoma")
    assert "fhir.code" in tiny.issues()  # another value: the answer is void
    submissions.take_back(tiny.data, 2)
    assert "fhir.code" in tiny.issues() and sorted(tiny.issues() + tiny.issues("answered")) == before


def test_undo_takes_a_release_back_and_loading_again_releases_again(tiny: Any) -> None:
    tiny.reports("1 positive")
    tiny.cases(ONE)
    whole = tiny.state()
    submissions.take_back(tiny.data, 2)
    assert tiny.values() == {} and tiny.issues() == ["etl.patient-unknown"]
    assert [status for status, _ in tiny.ledger(1)] == ["set_aside"]
    tiny.cases(ONE)
    assert tiny.state() == whole and tiny.issues() == []


def test_an_undo_and_an_unknown_one_are_refused(tiny: Any) -> None:
    tiny.cases(ONE)
    submissions.take_back(tiny.data, 1)
    for number, words in ((1, "already"), (2, "load the file again"), (9, "no delivery")):
        with pytest.raises(SubmissionError, match=words):
            submissions.take_back(tiny.data, number)


def test_what_came_through_the_api_and_speaks_of_it_refuses(tiny: Any) -> None:
    tiny.cases(ONE)
    (patient,) = [n for n in tiny.state() if n.startswith("Patient/")]
    repository = tiny.repository
    with repository.writing() as writer:
        writer.put("my_nci", {"resourceType": "Flag", "id": "f", "subject": {"reference": patient}})
    repository.close()
    with pytest.raises(SubmissionError, match="FHIR API"):
        submissions.take_back(tiny.data, 1, with_later=True)
