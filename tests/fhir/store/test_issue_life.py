"""The life of Issues against a simple model, on each database; what it costs; what migrations keep."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import Connection

from masterkey_fhir.issue import Issue, Place, catalogue, issue
from masterkey_fhir.store import IssueFilter, JournalIssue, Repository, StoreError
from masterkey_fhir.store.engine import connect
from masterkey_fhir.store.life import CHUNK, identity
from masterkey_fhir.store.schema import metadata

SITE = "jp_ncch"
RULE = "fhir.id-missing"  # an error
FORMAT = "ccat_case"


def wrong(record: str = "r1", value: str = "v", field: str = "sex", rule: str = RULE, **place: Any) -> Issue:
    at = Place(SITE, place.pop("file", "a.csv"), place.pop("row", 2), field)
    return replace(issue(rule, at, record=record), value=value)


class Desk:
    """Deliveries and answers, with a clock that moves on."""

    def __init__(self, url: str) -> None:
        ticks = count()
        self.repository = Repository.open(
            url, clock=lambda: datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=next(ticks))
        )
        self._numbers = count()

    def deliver(
        self, *shown: Issue, file: str = "a.csv", seen: tuple[str, ...] = (), whole: bool = True, sha: str = ""
    ) -> int:
        with self.repository.writing() as writer:
            number = writer.begin_submission(SITE, file, sha or f"{next(self._numbers)}", 1)
            writer.record_issues(SITE, number, shown, scope=FORMAT, seen=seen, whole=whole)
            writer.finish_submission(number, rows=1)
        return number

    def answer(self, id: int, kind: str, text: str = "", by: str = "site") -> bool:
        with self.repository.writing() as writer:
            return writer.answer_issue(id, kind, text, by)

    def all(self) -> list[JournalIssue]:
        return self.repository.find_issues(IssueFilter(), limit=10_000)

    def one(self) -> JournalIssue:
        (found,) = self.all()
        return found

    def events(self, id: int) -> list[str]:
        found = self.repository.issue(id)
        assert found
        return [e.event for e in found[1]]

    def dump(self) -> list[list[tuple[Any, ...]]]:
        with self.repository._engine.connect() as c:
            names = [t.name for t in metadata.sorted_tables]
            return [sorted((tuple(r) for r in c.exec_driver_sql(f"SELECT * FROM {n}")), key=repr) for n in names]


@pytest.fixture
def desk(database: str) -> Any:
    found = Desk(database)
    yield found
    found.repository.close()


# -- the machine ------------------------------------------------------------------------------------------------


@dataclass
class Known:
    """What the model knows of one Issue."""

    file: str
    values: tuple[str, ...]
    state: str = "open"
    answer: str = ""
    answered_for: tuple[str, ...] = ()
    events: list[str] = field(default_factory=lambda: ["opened"])

    @property
    def turn(self) -> str:
        if self.state == "open":
            return "site"
        return {"will-correct": "site", "accepted": ""}.get(self.answer, "registry") if self.state == "answered" else ""

    def see(self, file: str, values: tuple[str, ...]) -> None:
        eventful = self.state == "closed" or values != self.values
        if eventful:
            self.events.append("changed" if self.state == "open" else "reopened")
        if self.answer and self.answered_for == values:
            self.state = "answered"
        else:
            self.state, self.answer = "open", ""
        self.file, self.values = file, values


FILES, RECORDS, FIELDS, VALUES = ("a.csv", "b.csv"), ("", "r1", "r2"), ("sex", "age"), ("u", "v")
SHOWN = st.lists(st.tuples(st.sampled_from(RECORDS), st.sampled_from(FIELDS), st.sampled_from(VALUES)), max_size=5)
KINDS = ("confirmed", "will-correct", "not-available", "accepted", "ask-again")


class Life(RuleBasedStateMachine):
    url: Callable[[], str]

    @initialize()
    def begin(self) -> None:
        self.desk = Desk(type(self).url())
        self.known: dict[tuple[str, str, str], Known] = {}

    @rule(
        file=st.sampled_from(FILES), shown=SHOWN, seen=st.frozensets(st.sampled_from(RECORDS[1:])), whole=st.booleans()
    )
    def deliver(self, file: str, shown: list[tuple[str, str, str]], seen: frozenset[str], whole: bool) -> None:
        issues = [wrong(record, value, field, file=file) for record, field, value in shown]
        number = self.desk.deliver(*issues, file=file, seen=tuple(seen), whole=whole)
        before = self.desk.dump()
        sha = str(next(self.desk._numbers) - 1)
        again = self.desk.deliver(*issues, file=file, seen=tuple(seen), whole=whole, sha=sha)
        assert again == number and self.desk.dump() == before, "an identical delivery changes nothing"
        self._model(file, shown, seen, whole)

    def _model(self, file: str, shown: list[tuple[str, str, str]], seen: frozenset[str], whole: bool) -> None:
        values: dict[tuple[str, str, str], list[str]] = {}
        for record, name, value in shown:
            values.setdefault((FORMAT if record else file, record, name), []).append(value)
        for key, k in self.known.items():
            own = k.file == file and (whole or not key[1] or key[1] in seen)
            if key not in values and k.state != "closed" and (own or key[1] in seen):
                k.state = "closed"
                k.events.append("closed")
        for key, found in values.items():
            if key in self.known:
                self.known[key].see(file, tuple(sorted(found)))
            else:
                self.known[key] = Known(file, tuple(sorted(found)))

    @rule(kind=st.sampled_from(KINDS), which=st.integers(0, 20))
    def answer(self, kind: str, which: int) -> None:
        found = self.desk.all()
        if not found:
            return
        k = found[which % len(found)]
        known = self.known[self._key(k)]
        if known.state == "closed":
            with pytest.raises(StoreError):
                self.desk.answer(k.id, kind)
            return
        self.desk.answer(k.id, kind)
        if kind == "ask-again":
            if known.state == "answered":
                known.state, known.answer = "open", ""
                known.events.append("reopened")
        elif known.answer != kind:
            known.state, known.answer, known.answered_for = "answered", kind, known.values
            known.events.append("answered")

    @staticmethod
    def _key(k: JournalIssue) -> tuple[str, str, str]:
        file = k.issue.place.file
        return (FORMAT if k.issue.record else file, k.issue.record, k.issue.place.field)

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "desk"):
            return
        found = {self._key(k): (k.state, k.turn, k.file, k.answer, self.desk.events(k.id)) for k in self.desk.all()}
        assert found == {key: (k.state, k.turn, k.file, k.answer, k.events) for key, k in self.known.items()}

    def teardown(self) -> None:
        if hasattr(self, "desk"):
            self.desk.repository.close()


QUICK = settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
    phases=(Phase.generate,),  # shrinking a database takes minutes, and 12 steps can be read
)


def test_the_life_of_issues_on_sqlite(empty_file: Path, tmp_path: Path) -> None:
    numbers = count()

    def fresh() -> str:
        path = tmp_path / f"{next(numbers)}.db"
        shutil.copy(empty_file, path)
        return f"sqlite:///{path}"

    run_state_machine_as_test(type("OnSqlite", (Life,), {"url": staticmethod(fresh)}), settings=QUICK)


@pytest.mark.postgres
def test_the_life_of_issues_on_postgresql(server_url: str) -> None:
    def fresh() -> str:
        engine = connect(server_url)
        with engine.begin() as c:
            c.exec_driver_sql(f"TRUNCATE {', '.join(t.name for t in metadata.sorted_tables)}")
        engine.dispose()
        return server_url

    few = settings(QUICK, max_examples=8)
    run_state_machine_as_test(type("OnPostgres", (Life,), {"url": staticmethod(fresh)}), settings=few)


# -- what people rely on ----------------------------------------------------------------------------------------


def test_a_confirmed_value_stays_answered_until_it_changes(desk: Desk) -> None:
    desk.deliver(wrong(value="1980"))
    desk.answer(desk.one().id, "confirmed", "seen in the chart", "physician")
    desk.deliver(wrong(value="1980", row=77))
    k = desk.one()
    assert (k.state, k.answer_text, k.issue.place.row) == ("answered", "seen in the chart", 77)
    desk.deliver(wrong(value="1981"))
    k = desk.one()
    assert (k.state, k.turn, k.answer, k.opened_by) == ("open", "site", "", 3)
    assert desk.events(k.id) == ["opened", "answered", "reopened"]


def test_a_corrected_file_of_another_name_closes_what_the_first_one_showed(desk: Desk) -> None:
    desk.deliver(wrong("r1"), wrong("r2"), wrong("", field="header"), file="january.csv")
    second = desk.deliver(wrong("r2"), file="january corrected.csv", seen=("r1", "r2"))
    states = {k.issue.record: (k.state, k.closed_by, k.file) for k in desk.all()}
    assert states == {
        "r1": ("closed", second, "january.csv"),
        "r2": ("open", None, "january corrected.csv"),
        "": ("open", None, "january.csv"),
    }


def test_watched_are_the_records_with_a_live_issue(desk: Desk) -> None:
    desk.deliver(wrong("r1"), wrong("r2"), wrong(""))
    desk.deliver(wrong("r2"))
    with desk.repository.writing() as writer:
        number = writer.begin_submission(SITE, "b.csv", "x", 1)
        assert writer.issue_records(SITE, number, FORMAT) == {"r2"}
        assert writer.issue_records(SITE, number, "other") == set()


def test_whose_turn_it_is(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalogue("fhir")[RULE], "turn", "registry")  # type: ignore[index]
    desk.deliver(wrong(), wrong("r2", rule="fhir.bundle-condition"), replace(wrong("r3"), severity="information"))
    assert [(k.issue.record, k.turn) for k in desk.all()] == [("r1", "registry"), ("r2", "site"), ("r3", "")]
    first, second, _ = (k.id for k in desk.all())
    desk.answer(first, "confirmed")
    desk.answer(second, "will-correct")
    assert [(k.state, k.turn) for k in desk.all()][:2] == [("answered", "registry"), ("answered", "site")]
    desk.answer(first, "accepted", by="steward")
    assert desk.all()[0].turn == ""


def test_a_confirmed_question_is_settled_and_a_confirmed_impossibility_is_the_registrys(desk: Desk) -> None:
    desk.deliver(wrong("e"), replace(wrong("w"), severity="warning"))
    for k in desk.all():
        desk.answer(k.id, "confirmed")
    assert [(k.issue.record, k.turn) for k in desk.all()] == [("e", "registry"), ("w", "")]


def test_filters_and_pages(desk: Desk) -> None:
    desk.deliver(*(wrong(f"r{n}") for n in range(5)))
    desk.deliver(wrong("x", rule="fhir.bundle-condition"), file="b.csv")
    found = desk.repository.find_issues
    assert [k.id for k in found(IssueFilter(rule=RULE), limit=2)] == [1, 2]
    assert [k.id for k in found(IssueFilter(rule=RULE), after=2, limit=9)] == [3, 4, 5]
    assert [k.id for k in found(IssueFilter(file="b.csv"))] == [6]
    assert found(IssueFilter(site="th_x")) == [] and found(IssueFilter(turn="registry")) == []
    later = int(datetime(2026, 11, 25, 0, 0, 1, tzinfo=UTC).timestamp() * 1000)
    assert [k.id for k in found(IssueFilter(since=later))] == [6]
    kinds = desk.repository.issue_kinds(IssueFilter(site=SITE))
    assert [(k.rule, k.issues, k.count, k.first) for k in kinds] == [
        ("fhir.bundle-condition", 1, 1, 6),
        (RULE, 5, 5, 1),
    ]


def test_an_answer_that_is_there_already_changes_nothing(desk: Desk) -> None:
    desk.deliver(wrong())
    assert desk.answer(1, "confirmed", "a") and not desk.answer(1, "confirmed", "a")
    before = desk.dump()
    desk.answer(1, "confirmed", "a", "pathologist")
    assert desk.dump()[: len(before)] == before


def test_more_than_a_chunk_and_the_same_twice_across_chunks(desk: Desk) -> None:
    many = [wrong(f"r{n}") for n in range(CHUNK + 5)]
    desk.deliver(*many, wrong("r0", "w"))
    assert desk.repository.count_issues(IssueFilter()) == len(many)
    assert desk.all()[0].issue.count == 2 and desk.all()[-1].id == len(many)
    before = desk.dump()
    desk.deliver(*many, wrong("r0", "w"), sha="0")
    assert desk.dump() == before


def test_text_of_facts_that_utf8_cannot_hold_is_kept(desk: Desk) -> None:
    desk.deliver(issue("fhir.type-mismatch", Place(SITE, "a.csv", 1), record="r", found="\ud800", expected="\0"))
    assert dict(desk.one().issue.facts) == {"found": "\ud800", "expected": "\0"}


def test_identity_frames_its_parts() -> None:
    assert identity("a", "b", "", "r") != identity("a", "", "b", "r") != identity("ab", "", "", "r")


# -- migration --------------------------------------------------------------------------------------------------


def test_issues_of_the_first_schema_are_moved(tmp_path: Path) -> None:
    _moved(f"sqlite:///{tmp_path / 'old.db'}")


@pytest.mark.postgres
def test_issues_of_the_first_schema_are_moved_on_postgresql(server_url: str) -> None:
    engine = connect(server_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        c.exec_driver_sql("CREATE DATABASE old")
    engine.dispose()
    _moved(server_url.replace("/postgres?", "/old?"))


def _moved(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    _old(url)
    desk = Desk(url)
    with desk.repository._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    first, second = desk.all()
    assert (first.id, first.state, first.turn, first.file, first.issue.facts) == (1, "closed", "", "a.csv", {"n": 1})
    assert (second.id, second.state, second.turn) == (2, "open", "site")
    assert [desk.events(k.id) for k in (first, second)] == [["opened", "closed"], ["opened"]]
    desk.deliver(wrong("new", file="b.csv"), file="b.csv")
    assert desk.all()[-1].id == 3
    desk.repository.close()


def _old(url: str) -> None:
    """A repository at revision 0001 with one closed and one open Issue."""
    from alembic import command
    from alembic.config import Config

    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", "masterkey_fhir.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        _fill(connection)
    engine.dispose()


def _fill(c: Connection) -> None:
    c.exec_driver_sql(f"INSERT INTO site VALUES (1, '{SITE}')")
    for n in (1, 2):
        given = f"({n}, 1, 'a.csv', 'x', 1, {n * 1000}, 'stored', 1, 1, 0, '', '{{}}')"
        c.exec_driver_sql(f"INSERT INTO submission VALUES {given}")
    for record, state, by in (("r1", "closed", "2"), ("r2", "open", "NULL")):
        head = f"1, 'a.csv', '{record}', 'sex', '{RULE}', 'error', 'required', 'a.csv', 4, 'sex', ''"
        facts = '{"n": 1}'
        c.exec_driver_sql(f"INSERT INTO issue VALUES ({head}, '{facts}', 1, '{state}', 1, {by})")
    c.exec_driver_sql("INSERT INTO counter VALUES ('submission', 2)")
