"""Random histories of deliveries, corrections, deletions, merges and undos against a model that replays them.

The model knows nothing of versions: after each step the repository must say what a replay of all deliveries in force
says, and at the end the CDM built step by step must equal the one built at once, as must the balance of paths.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from masterkey_etl import submissions
from masterkey_etl.submissions import SubmissionError
from masterkey_etl.workspace import Workspace

HISTORIES = int(os.environ.get("MASTERKEY_HISTORIES", "6"))
SITE = "my_nci"
BAD = "1950-99-99"
PIDS = st.sampled_from("123")
CASE = st.tuples(st.sampled_from(["1950-01-01", "1960-02-02", BAD]), st.sampled_from(["glioma", "sarcoma"]))
Name = tuple[str, str]  # (kind, local number)


@dataclass
class Item:
    """What a current resource says, of whom, and which file's it is."""

    value: str
    file: str
    patient: str


@dataclass
class Waiting:
    name: Name
    item: Item
    patient: str
    order: int
    record: tuple[str, str]


@dataclass
class Model:
    """The world as a list of deliveries says it."""

    now: dict[Name, Item] = field(default_factory=dict)
    waiting: list[Waiting] = field(default_factory=list)
    merged: dict[str, str] = field(default_factory=dict)

    def cases(self, n: int, file: str, rows: dict[str, tuple[str, str]]) -> None:
        self.anew(file, rows)
        came, said = set[str](), set[Name]()
        for pid, (born, dx) in sorted(rows.items()):
            patient = self.merged.get(pid, pid)
            if patient == pid and born != BAD:
                self.put(("Patient", pid), born, file, pid)
                came.add(pid)
                said.add(("Patient", pid))
            if patient == pid and born == BAD:
                self.waiting.append(Waiting(("Condition", pid), Item(dx, file, pid), pid, n, (file, pid)))
            elif self.known(patient) or patient in came:
                self.put(("Condition", pid), dx, file, patient)
                said.add(("Condition", pid))
            else:
                self.waiting.append(Waiting(("Condition", pid), Item(dx, file, patient), patient, n, (file, pid)))
        self.waiting = [w for w in self.waiting if w.name not in said or w.order == n]
        self.release(came)

    def reports(self, n: int, file: str, rows: dict[str, str]) -> None:
        self.anew(file, rows)
        said = set[Name]()
        for pid, result in sorted(rows.items()):
            patient = self.merged.get(pid, pid)
            if self.known(patient):
                self.put(("Observation", pid), result, file, patient)
                said.add(("Observation", pid))
            else:
                self.waiting.append(Waiting(("Observation", pid), Item(result, file, patient), patient, n, (file, pid)))
        self.waiting = [w for w in self.waiting if w.name not in said]

    def anew(self, file: str, rows: Any) -> None:
        self.waiting = [w for w in self.waiting if not (w.record[0] == file and w.record[1] in rows)]

    def known(self, pid: str) -> bool:
        return any(item.patient == pid for item in self.now.values())

    def put(self, name: Name, value: str, file: str, patient: str) -> None:
        old = self.now.get(name)
        if old is None or (old.value, old.patient) != (value, patient):
            self.now[name] = Item(value, file, patient)

    def release(self, came: set[str]) -> None:
        for w in sorted((w for w in self.waiting if w.patient in came), key=lambda w: (w.order, w.name)):
            self.put(w.name, w.item.value, w.item.file, self.merged.get(w.item.patient, w.item.patient))
            self.waiting.remove(w)

    def delete(self, n: int, file: str, pids: list[str]) -> None:
        gone = [name for name, item in self.now.items() if item.file == file and name[1] in pids]
        for name in gone:
            del self.now[name]
        for pid in [p for kind, p in gone if kind == "Patient"]:
            for name in [name for name, item in self.now.items() if item.patient == pid]:
                item = self.now.pop(name)
                self.waiting.append(Waiting(name, item, pid, n, (item.file, name[1])))

    def merge(self, n: int, old: str, new: str) -> None:
        self.merged = {a: new if b == old else b for a, b in self.merged.items()} | {old: self.merged.get(new, new)}
        for name, item in self.now.items():
            if item.patient == old and name != ("Patient", old):
                item.patient = self.merged[old]

    def said(self) -> dict[tuple[str, str], int]:
        out: dict[tuple[str, str], int] = {}
        for (kind, _), item in self.now.items():
            out[kind, item.value] = out.get((kind, item.value), 0) + 1
        return out


@dataclass
class Done:
    """A step that is in force, for the model."""

    number: int
    what: str
    given: tuple[Any, ...]


class Histories(RuleBasedStateMachine):
    tiny: Any
    template: Path
    fresh: Iterator[Path]

    @initialize()
    def begin(self) -> None:
        data = next(self.fresh)
        shutil.rmtree(self.tiny.data, ignore_errors=True)
        shutil.copytree(self.template, data)
        self.tiny.data = data
        self.steps: list[Done] = []

    # -- what may happen ---------------------------------------------------------------------------------------

    @rule(file=st.sampled_from(["a.csv", "b.csv"]), rows=st.dictionaries(PIDS, CASE, min_size=1, max_size=3))
    def load_cases(self, file: str, rows: dict[str, tuple[str, str]]) -> None:
        given = [f"{pid} male {born} {dx}" for pid, (born, dx) in sorted(rows.items())]
        self.loaded(self.tiny.cases(*given, name=file), "cases", file, rows)

    @rule(
        file=st.sampled_from(["report.csv", "delta.csv"]),
        rows=st.dictionaries(PIDS, st.sampled_from(["yes", "no"]), min_size=1, max_size=3),
    )
    def load_reports(self, file: str, rows: dict[str, str]) -> None:
        given = [f"{pid} {result}" for pid, result in sorted(rows.items())]
        self.loaded(self.tiny.reports(*given, name=file), "reports", file, rows)

    @precondition(lambda self: self.steps)
    @rule(place=st.integers(0, 20), with_later=st.booleans())
    def undo(self, place: int, with_later: bool) -> None:
        number = self.steps[place % len(self.steps)].number
        before = self.tiny.state()
        try:
            submissions.take_back(self.tiny.data, number, with_later=with_later)
        except SubmissionError:
            assert self.tiny.state() == before
            return
        states = {s["id"]: s["state"] for s in submissions.listed(self.tiny.data)}
        self.steps = [s for s in self.steps if not states[s.number].startswith("undone")]
        self.check()

    @rule()
    def confirm_deletions(self) -> None:
        repository = self.tiny.repository
        for i in repository.issues("open", SITE):
            if i.issue.rule == "etl.record-absent":
                with repository.writing() as writer:
                    writer.answer_issue(i.id, "confirmed")
        keys = Workspace.open(self.tiny.data).keys(SITE)
        names = {keys.digest("record", pid): pid for pid in "123"}
        wanted = {file: [names[d] for d in digests] for (_, file), digests in submissions.confirmed(repository).items()}
        repository.close()
        act = submissions.delete_confirmed(self.tiny.data)
        numbers = range((act.number or 0) - len(wanted) + 1, (act.number or 0) + 1)
        self.steps += [Done(n, "delete", given) for n, given in zip(numbers, wanted.items(), strict=True)]
        self.check()

    @rule(old=PIDS, new=PIDS)
    def merge(self, old: str, new: str) -> None:
        path = self.tiny.write("merge.csv", [{"old": old, "new": new}], ("old", "new"))
        act = submissions.merge(self.tiny.data, SITE, path)
        assert (act.number is None) == (act.exit_code == 1)
        self.steps += [] if act.number is None else [Done(act.number, "merge", (old, new))]
        self.check()

    @rule()
    def recompute_changes_nothing(self) -> None:
        assert not submissions.recompute(self.tiny.data).changes.resources
        self.check()

    # -- what must hold ----------------------------------------------------------------------------------------

    def loaded(self, report: Any, what: str, *given: Any) -> None:
        assert report.exit_code != 2
        (stored,) = report.stored
        last = [s for s in self.steps if s.given[0] == given[0] and s.what == what]
        if stored.repeat:
            assert last[-1].number == stored.submission
        self.steps.append(Done(stored.submission, what, given))  # the same bytes again say it once more
        self.check()

    def check(self) -> None:
        model = Model()
        for step in self.steps:
            getattr(model, step.what)(step.number, *step.given)
        said: dict[tuple[str, str], int] = {}
        for kind, values in self.tiny.values().items():
            for value in values:
                said[kind, value] = said.get((kind, value), 0) + 1
        assert said == model.said()
        repository = self.tiny.repository
        with repository.deliveries() as deliveries:
            waiting = sorted(item.type for item in deliveries.held(SITE))
        repository.close()
        assert waiting == sorted(w.name[0] for w in model.waiting)

    def teardown(self) -> None:
        if getattr(self, "steps", None):
            assert rows_of(self.tiny) == rows_of(self.tiny, everything=True)


def rows_of(tiny: Any, everything: bool = False) -> dict[str, list[str]]:
    """Every table of the published CDM, its side tables and the balance included; keys are stable, so as they are."""
    import duckdb

    from masterkey_etl import assessment

    tiny.project(everything=everything)
    out = {}
    with duckdb.connect(str(assessment.published_cdm(tiny.data)), read_only=True) as cdm:
        tables = cdm.execute("SELECT table_schema, table_name FROM information_schema.tables").fetchall()
        for schema, name in tables:
            if name != "state":
                rows = cdm.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()
                out[f"{schema}.{name}"] = sorted(map(str, rows))
    return out


def test_histories_say_what_a_replay_says(tiny: Any, tmp_path: Path) -> None:
    template = tmp_path / "template"
    shutil.copytree(tiny.data, template)
    Histories.tiny, Histories.template = tiny, template
    Histories.fresh = (tmp_path / f"history{n}" for n in range(1_000_000))
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=HISTORIES,
            stateful_step_count=10,
            deadline=None,
            derandomize=True,
            phases=(Phase.explicit, Phase.generate),  # shrinking takes minutes: a history is short enough to read
            suppress_health_check=list(HealthCheck),
        ),
    )
