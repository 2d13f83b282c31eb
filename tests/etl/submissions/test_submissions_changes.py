"""Snapshot and delta, deletions, merges: from the file to FHIR history and the CDM, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from masterkey_etl import submissions
from masterkey_etl.submissions import SubmissionError
from masterkey_etl.workspace import Workspace, WorkspaceError
from masterkey_fhir import json
from masterkey_fhir.store import Repository

ONE, TWO = "1 male 1950-01-02 sarcoma", "2 female 1960-01-01 glioma"


def answer(tiny: Any, rule: str, said: str) -> int:
    repository = tiny.repository
    found = [i for i in repository.issues("open", "my_nci") if i.issue.rule == rule]
    with repository.writing() as writer:
        for i in found:
            writer.answer_issue(i.id, said)
    repository.close()
    return len(found)


def test_a_record_absent_from_a_snapshot_is_asked_about_and_stays(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    before = tiny.state()
    tiny.cases(ONE)
    assert tiny.state() == before and tiny.issues() == ["etl.record-absent"]
    repository = tiny.repository
    (asked,) = repository.issues("open", "my_nci")
    repository.close()
    assert asked.turn == "site" and asked.issue.facts["n"] == 2
    tiny.cases(ONE, TWO)
    assert tiny.issues() == [], "sent again: the query closes"


def test_a_confirmed_answer_deletes_and_undo_brings_back(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    before = tiny.state()
    tiny.cases(ONE)
    assert submissions.delete_confirmed(tiny.data).number is None, "nothing without an answer"
    assert answer(tiny, "etl.record-absent", "confirmed") == 1
    preview = submissions.delete_confirmed(tiny.data, dry_run=True)
    assert preview.changes.cdm["person"] == (1, 0) and tiny.state() == before
    act = submissions.delete_confirmed(tiny.data)
    assert tiny.values() == {"Patient": ["1950-01-02"], "Condition": ["sarcoma"]} and tiny.issues() == []
    assert tiny.cdm("SELECT count(*) FROM person") == [(1,)]
    submissions.take_back(tiny.data, act.number or 0)
    assert tiny.state() == before and tiny.issues() == ["etl.record-absent"]


def test_what_another_file_says_of_a_deleted_patient_waits(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.reports("2 positive")
    before = tiny.state()
    tiny.cases(ONE)
    answer(tiny, "etl.record-absent", "confirmed")
    act = submissions.delete_confirmed(tiny.data)
    assert "Observation" not in tiny.values() and tiny.issues() == ["etl.patient-unknown"]
    submissions.take_back(tiny.data, act.number or 0)
    assert tiny.state() == before
    assert answer(tiny, "etl.record-absent", "confirmed") == 1, "asked again: the undo took back what the answer did"
    assert submissions.delete_confirmed(tiny.data).number is not None
    assert "Observation" not in tiny.values()
    tiny.cases(ONE, TWO)
    assert tiny.state() == before and tiny.issues() == []


def test_a_refused_value_takes_nothing_of_its_record_away(tiny: Any) -> None:
    path = tiny.data / "mappings" / "sites" / "my_nci" / "case.yaml"
    path.write_text(
        path.read_text().replace("    code: {text: = dx}", "    $when: = dx.exists()\n    code: {text: = dx}")
    )
    tiny.cases(ONE, TWO)
    rows = [{"pid": n, "sex": "male", "born": "1950-01-02", "dx": dx} for n, dx in (("1", "\0sarcoma"), ("2", ""))]
    report = tiny.load(tiny.write("case.csv", rows, ("pid", "sex", "born", "dx")))
    assert tiny.values()["Condition"] == ["sarcoma"], "the other one is said no more, by a sound row"
    assert report.stored[0].counts["deleted"] == 1 and "etl.not-withdrawn" in tiny.issues()


def test_absent_from_a_delta_means_nothing(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.reports("1 positive", "2 negative", name="delta.csv")
    before = tiny.state()
    tiny.reports("1 positive", name="delta.csv")
    assert tiny.state() == before and tiny.issues() == []


def test_a_row_that_says_deleted_deletes_its_record_and_its_values_are_told(tiny: Any) -> None:
    model = tiny.data / "mappings" / "sources" / "tiny_delta" / "1.yaml"
    model.write_text(model.read_text().replace("record:", "deleted: {change: gone}\nrecord:"))
    tiny.cases(ONE, TWO)
    tiny.reports("1 positive", "2 negative", name="delta.csv")
    report = tiny.reports("2 gone", name="delta.csv")
    assert tiny.values()["Observation"] == ["positive"] and report.exit_code == 0
    balance = {(x.column, x.status): x.n for x in report.stored[0].ledger}
    assert balance == {("pid", "set_aside"): 1, ("change", "set_aside"): 1}
    submissions.take_back(tiny.data, 3)
    assert tiny.values()["Observation"] == ["negative", "positive"]


def test_a_b_a_is_three_deliveries(tiny: Any) -> None:
    numbers = [tiny.cases(row).stored[0].submission for row in (ONE, "1 male 1951-01-02 sarcoma", ONE)]
    assert numbers == [1, 2, 3] and tiny.values()["Patient"] == ["1950-01-02"]


def merged(tiny: Any, *pairs: str, dry_run: bool = False) -> submissions.Act:
    rows = [dict(zip(("old", "new"), pair.split(), strict=True)) for pair in pairs]
    return submissions.merge(tiny.data, "my_nci", tiny.write("merge.csv", rows, ("old", "new")), dry_run=dry_run)


def test_a_merge_moves_everything_to_the_new_number(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.reports("1 positive")
    (kept,) = [row for row in tiny.cdm("SELECT person_id, year_of_birth FROM person ORDER BY 2") if row[1] == 1960]
    preview = merged(tiny, "1 2", dry_run=True)
    assert preview.changes.cdm["person"] == (2, 1) and preview.changes.resources["Observation", "changed"] == 1
    merged(tiny, "1 2")
    assert tiny.cdm("SELECT person_id, year_of_birth FROM person") == [kept]
    patients = {r["birthDate"]: r for t in tiny.state().values() if (r := json.loads(t))["resourceType"] == "Patient"}
    old, new = patients["1950-01-02"], patients["1960-01-01"]
    assert old["active"] is False and old["link"][0]["type"] == "replaced-by"
    assert new["link"] == [{"other": {"reference": f"Patient/{old['id']}"}, "type": "replaces"}]
    subjects = {r["subject"]["reference"] for t in tiny.state().values() if "subject" in (r := json.loads(t))}
    assert subjects == {f"Patient/{new['id']}"}


def test_what_is_sent_under_the_old_number_goes_to_the_new_one(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    merged(tiny, "1 2")
    before = tiny.state()
    tiny.cases(ONE, TWO, name="again.csv")
    assert tiny.state() == before
    tiny.reports("1 positive")
    assert tiny.cdm("SELECT count(*) FROM person") == [(1,)]
    assert len({json.loads(t)["subject"]["reference"] for n, t in tiny.state().items() if n[:3] in ("Con", "Obs")}) == 1


def test_a_snapshot_without_the_old_number_withdraws_what_it_made(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    merged(tiny, "1 2")
    tiny.cases(TWO)
    assert tiny.values()["Condition"] == ["glioma"] and tiny.issues() == []


def test_undo_of_a_merge_restores_both(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    before, persons = tiny.state(), tiny.cdm("SELECT * FROM person ORDER BY person_id")
    act = merged(tiny, "1 2")
    tiny.reports("1 positive")
    with pytest.raises(SubmissionError, match="after the merge"):
        submissions.take_back(tiny.data, act.number or 0)
    submissions.take_back(tiny.data, 3)
    submissions.take_back(tiny.data, act.number or 0)
    assert tiny.state() == before and tiny.cdm("SELECT * FROM person ORDER BY person_id") == persons


def test_pairs_that_cannot_be_merged_are_told_by_row_without_their_numbers(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    act = merged(tiny, "1 2", "777 2", "2 1", "2 2")
    told = {i.place.row: i.rule for i in act.issues if i.is_error}
    assert told == {3: "etl.merge-unknown", 4: "etl.merge-circle", 5: "etl.merge-circle"}
    assert not any("777" in str(i) for i in act.issues) and act.exit_code == 1
    with pytest.raises(SubmissionError, match="old,new"):
        submissions.merge(tiny.data, "my_nci", tiny.write("bad.csv", [{"a": "1"}], ("a",)))


def test_recompute_after_a_change_of_the_map_and_back_by_its_version(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.cases(ONE)
    before = tiny.state()
    version = submissions.listed(tiny.data)[0]["map"]
    path = tiny.data / "mappings" / "sites" / "my_nci" / "case.yaml"
    path.write_text(path.read_text().replace("text: = dx", "text: = dx.upper()"))
    assert submissions.recompute(tiny.data, dry_run=True).changes.resources == {("Condition", "changed"): 2}
    assert tiny.state() == before
    submissions.recompute(tiny.data)
    assert tiny.values()["Condition"] == ["GLIOMA", "SARCOMA"] and tiny.issues() == ["etl.record-absent"]
    submissions.recompute(tiny.data, map_version=version[:12])
    assert tiny.state() == before
    tiny.cases(ONE)
    assert tiny.state() == before, "the earlier version stays chosen"
    submissions.recompute(tiny.data, map_version="latest")
    assert tiny.values()["Condition"] == ["GLIOMA", "SARCOMA"]


def test_recompute_keeps_the_single_lost_values_of_now(tiny: Any) -> None:
    def lost() -> list[str]:
        with duckdb.connect() as db:
            return [c for (c,) in db.execute(f"SELECT \"column\" FROM '{tiny.data}/ledger/1.parquet'").fetchall()]

    tiny.cases(ONE)
    path = tiny.data / "mappings" / "sites" / "my_nci" / "case.yaml"
    path.write_text(path.read_text().replace("= dx", "= dx.translate('sex')"))
    submissions.recompute(tiny.data, dry_run=True)
    assert lost() == []
    submissions.recompute(tiny.data)
    assert lost() == ["dx"]


def test_what_is_released_after_a_merge_speaks_of_the_new_patient(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.cases(ONE, "2 bad 1960-03-04 lymphoma")  # the new diagnosis waits for a valid patient
    merged(tiny, "2 1")
    repository = tiny.repository
    patients = {s.id: s.resource() for s in repository.of_type("my_nci", "Patient")}
    (old,) = [p for p in patients.values() if p.get("active") is False]
    (new,) = patients.keys() - {old["id"]}
    with repository.writing() as writer:
        writer.put("my_nci", {**old, "birthDate": "1960-03-04"})
    repository.close()
    tiny.reports("1 positive")
    repository = tiny.repository
    about = {s.resource()["code"]["text"]: s.resource()["subject"] for s in repository.of_type("my_nci", "Condition")}
    repository.close()
    assert about["lymphoma"] == {"reference": f"Patient/{new}"}


def test_recompute_does_not_revive_what_was_deleted_or_undone(tiny: Any) -> None:
    tiny.cases(ONE, TWO)
    tiny.cases(ONE)
    answer(tiny, "etl.record-absent", "confirmed")
    submissions.delete_confirmed(tiny.data)
    tiny.cases("1 male 1952-01-01 sarcoma")
    submissions.take_back(tiny.data, 4)
    before = tiny.state()
    assert not submissions.recompute(tiny.data).changes.resources and tiny.state() == before


def test_recompute_writes_nothing_over_a_newer_statement(tiny: Any) -> None:
    tiny.cases(ONE, name="january.csv")
    tiny.cases("1 male 1950-01-02 melanoma", name="february.csv")
    repository = tiny.repository
    (patient,) = repository.of_type("my_nci", "Patient")
    (diagnosis,) = repository.of_type("my_nci", "Condition")
    with repository.writing() as writer:  # through the FHIR API
        writer.put("my_nci", {**patient.resource(), "birthDate": "1951-01-01"})
    before = tiny.state()
    assert not submissions.recompute(tiny.data).changes.resources and tiny.state() == before
    assert [len(list(repository.history("my_nci", x.type, x.id))) for x in (patient, diagnosis)] == [2, 2]
    repository.close()


def test_an_unknown_map_version_is_told(tiny: Any) -> None:
    from masterkey_etl.template import MapError

    tiny.cases(ONE)
    with pytest.raises(MapError, match="abcdef"):
        submissions.recompute(tiny.data, map_version="abcdef")


def test_a_site_nobody_knows_is_told_not_passed_over(tiny: Any) -> None:
    tiny.cases(ONE)
    for act in (submissions.listed, submissions.delete_confirmed, submissions.recompute):
        with pytest.raises(WorkspaceError, match="my_ncii"):
            act(tiny.data, "my_ncii")


def test_the_file_of_a_merge_is_shown_by_the_name_a_registry_keeps(tmp_path: Path) -> None:
    Repository.open(Workspace.open(tmp_path / "registry", create=True).repository_url).close()
    path = tmp_path / "YAMADA_Taro.csv"
    path.write_text("old,new\n1,2\n")
    act = submissions.merge(tmp_path / "registry", "my_nci", path)
    assert act.issues and "YAMADA" not in str(act.as_dict())
    path.write_text("a\n")
    with pytest.raises(SubmissionError) as told:
        submissions.merge(tmp_path / "registry", "my_nci", path)
    assert "YAMADA" not in str(told.value.issues[0])


def test_two_files_that_state_one_record_otherwise_are_told(tiny: Any) -> None:
    tiny.cases(ONE, TWO, name="one.csv")
    same = tiny.cases(ONE, name="two.csv")
    assert [i.rule for i in same.issues] == [], "the same said twice is no contradiction"
    other = tiny.cases("1 male 1951-01-02 sarcoma", name="three.csv")
    (told,) = [i for i in other.issues if i.rule == "etl.stated-by-two"]
    assert (told.count, told.facts["others"]) == (1, "one.csv") and tiny.issues() == ["etl.stated-by-two"]
    assert [i.rule for i in tiny.cases("1 male 1951-01-02 sarcoma", name="three.csv").issues] == ["etl.stated-by-two"]
    assert [i.rule for i in tiny.cases("1 male 1952-01-02 sarcoma", name="three.csv").issues] == []


def test_a_correction_of_a_file_taken_back_contradicts_nobody(tiny: Any) -> None:
    tiny.cases(ONE, name="one.csv")
    submissions.take_back(tiny.data, 1)
    assert [i.rule for i in tiny.cases("1 male 1951-01-02 sarcoma", name="two.csv").issues] == []
