"""Submissions, ledger and Issues: identity, opening, closing, repeats."""

from __future__ import annotations

from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.store import Repository

SITE = "jp_ncch"


def deliver(repository: Repository, sha: str, issues: list[Issue], file: str = "a.csv", **counts: int) -> int:
    with repository.writing() as writer:
        number = writer.begin_submission(SITE, file, sha, 3)
        writer.add_ledger(number, [("sex", "mapped", "", 2), ("sex", "absent", "", 1), ("sex", "mapped", "", 1)])
        writer.record_issues(SITE, number, issues)
        writer.finish_submission(number, rows=3, values_read=4, **counts)
    return number


def wrong(record: str, row: int = 2, field: str = "sex") -> Issue:
    return issue("fhir.id-missing", Place(SITE, "a.csv", row, field), record=record)


def dump(repository: Repository) -> list[list[tuple[object, ...]]]:
    with repository._engine.connect() as c:
        tables = ("submission", "ledger", "issue", "counter")
        return [[tuple(r) for r in c.exec_driver_sql(f"SELECT * FROM {t}")] for t in tables]


def test_a_b_a_is_three_and_a_repeat_is_none(repository: Repository) -> None:
    assert [deliver(repository, sha, []) for sha in ("A", "A", "B", "A", "A")] == [1, 1, 2, 3, 3]


def test_an_identical_delivery_changes_nothing(repository: Repository) -> None:
    deliver(repository, "A", [wrong("r1")], created=3)
    before = dump(repository)
    deliver(repository, "A", [wrong("r1")], created=0, unchanged=3)
    assert dump(repository) == before
    (kept,) = repository.submissions()
    assert kept.counts == {"created": 3} and (kept.rows, kept.values_read, kept.state) == (3, 4, "stored")


def test_issues_open_close_and_open_again(repository: Repository) -> None:
    deliver(repository, "A", [wrong("r1"), wrong("r2"), wrong("r1", row=3)])
    assert [(k.issue.record, k.issue.count, k.issue.place.row) for k in repository.issues()] == [
        ("r1", 2, 2),
        ("r2", 1, 2),
    ]
    deliver(repository, "B", [wrong("r2", row=9)])
    assert [(k.issue.record, k.issue.place.row, k.opened_by) for k in repository.issues()] == [("r2", 9, 1)]
    assert [(k.issue.record, k.closed_by) for k in repository.issues("closed")] == [("r1", 2)]
    deliver(repository, "C", [wrong("r1"), wrong("r2", row=9)])
    assert [(k.issue.record, k.opened_by, k.closed_by) for k in repository.issues()] == [
        ("r1", 3, None),
        ("r2", 1, None),
    ]


def test_another_file_closes_nothing(repository: Repository) -> None:
    deliver(repository, "A", [wrong("r1")])
    deliver(repository, "A", [], file="b.csv")
    assert len(repository.issues()) == 1 and repository.issues(site="th_x") == []


def test_an_issue_comes_back_as_it_went_in(repository: Repository) -> None:
    given = issue(
        "fhir.type-mismatch", Place(SITE, "a.csv", 4, "", "Patient.name[0]"), record="r", found="A", expected="B"
    )
    deliver(repository, "A", [given])
    assert repository.issues()[0].issue == given


def test_the_ledger_adds_up(repository: Repository) -> None:
    number = deliver(repository, "A", [])
    assert [(line.column, line.status, line.n) for line in repository.ledger(number)] == [
        ("sex", "absent", 1),
        ("sex", "mapped", 3),
    ]
