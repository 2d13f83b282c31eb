"""Deliveries over time, on each database: records, whose a version is, held resources, merges, acts, Issues again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_fhir.issue import Place, issue
from masterkey_fhir.store import Repository, Source, Writer
from masterkey_fhir.store.deliveries import Held, Merge, packed_keys, unpacked_keys

SITE = "jp_ncch"
A, B = "0a" * 16, "0b" * 16


def patient(id_: str, year: int = 1950) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "birthDate": str(year)}


def load(writer: Writer, name: str, sha: str, *people: tuple[str, int, str]) -> int:
    """One delivery: (id, year, record) each; its number."""
    number = writer.begin_submission(SITE, name, sha, 1)
    keys = writer.deliveries.records(SITE, name, [r for _, _, r in people], number)
    for n, (id_, year, r) in enumerate(people, 2):
        writer.put(SITE, patient(id_, year), source=Source(number, name, (n,), "m", "patient", keys[r]))
    writer.finish_submission(number)
    return number


def test_a_record_is_known_by_file_and_digest_and_seen_by_its_latest(repository: Repository) -> None:
    with repository.writing() as writer:
        first = load(writer, "a.csv", "1", ("p", 1950, A), ("q", 1960, B))
        second = load(writer, "a.csv", "2", ("p", 1950, A))
        absent = writer.deliveries.absent(SITE, "a.csv", second)
        assert [(x.digest, x.resources) for x in absent] == [(B, 1)]
        assert writer.deliveries.seen(SITE, "a.csv", A) == second and writer.deliveries.seen(SITE, "a.csv", B) == first
        assert [x.id for x in writer.deliveries.made_of([absent[0].key])] == ["q"]
        assert writer.deliveries.alive(SITE, "a.csv") == {A, B}
        assert writer.deliveries.record_keys(SITE, "0c" * 16) == {}


def test_histories_name_the_delivery_of_each_version(repository: Repository) -> None:
    with repository.writing() as writer:
        first = load(writer, "a.csv", "1", ("p", 1950, A))
        second = load(writer, "a.csv", "2", ("p", 1951, A))
        writer.put(SITE, patient("p", 1952))
        writer.delete(SITE, "Patient", "p", source=Source(second, "a.csv", (), "m", ""))
        (made,) = writer.deliveries.touched([first])
        lines = writer.deliveries.histories(SITE, [made.key])[made.key]
        assert [(x.version, x.deleted, x.submission) for x in lines] == [
            (4, True, second), (3, False, None), (2, False, second), (1, False, first),
        ]  # fmt: skip
        assert b"1951" in writer.text_of(lines[2].seq)
        assert writer.deliveries.actions(second) == {("Patient", "updated"): 1, ("Patient", "deleted"): 1}


def test_what_another_made_and_this_one_says_again_is_restated(repository: Repository) -> None:
    with repository.writing() as writer:
        load(writer, "a.csv", "1", ("p", 1950, A), ("q", 1960, B))
        del writer.unchanged[:]
        other = load(writer, "b.csv", "2", ("p", 1950, A), ("r", 1960, B), ("r", 1960, B))
        writer.deliveries.restate(other, writer.unchanged)
        said = writer.deliveries.restated(other)
        assert len(said) == 1 and said == {writer.deliveries.keys(SITE, [("Patient", "p")])["Patient", "p"][0]}


def test_held_resources_are_kept_released_and_superseded(repository: Repository) -> None:
    with repository.writing() as writer:
        number = load(writer, "a.csv", "1", ("p", 1950, A))
        key = writer.deliveries.record_keys(SITE, A)["a.csv"]
        source = Source(number, "a.csv", (2, 3), "m", "finding", key)
        item = Held(
            "Observation", "o", source, b'{"resourceType":"Observation"}', {"Patient/x": 0}, (("c", "mapped", 2),)
        )
        writer.deliveries.hold(SITE, [item])
        (held,) = writer.deliveries.held(SITE)
        assert (held.source, held.text, held.waits, held.cells) == (source, item.text, item.waits, item.cells)
        writer.deliveries.mark_released(SITE, held, 9, 4)
        assert writer.deliveries.held(SITE) == [] and writer.deliveries.held("my_nci", released_by=[9]) == []
        assert [x.released_version for x in writer.deliveries.held(SITE, released_by=[9])] == [4]
        writer.deliveries.hold(SITE, [held])  # as an undo has it
        second = load(writer, "a.csv", "2", ("p", 1950, A))
        writer.deliveries.supersede(SITE, "a.csv", second)
        assert [x.name for x in writer.deliveries.held(SITE, released_by=[second])] == ["Observation/o"]
        writer.deliveries.drop(SITE, writer.deliveries.held(SITE, submissions=[number]))
        assert writer.deliveries.held(SITE, submissions=[number]) == []


def test_cells_move_in_the_ledger_and_back(repository: Repository) -> None:
    with repository.writing() as writer:
        number = load(writer, "a.csv", "1")
        writer.add_ledger(number, [("c", "set_aside", "waits", 3), ("c", "mapped", "", 1)])
        writer.deliveries.move_cells(number, (("c", "mapped", 2),), "waits")
        assert {(x.status, x.n) for x in writer.ledger_of(number)} == {("set_aside", 1), ("mapped", 3)}
        writer.deliveries.move_cells(number, (("c", "mapped", 1),), "waits")
        assert {(x.status, x.n) for x in writer.ledger_of(number)} == {("mapped", 4)}
        writer.deliveries.move_cells(number, (("c", "mapped", 3),), "waits", back=True)
        assert {(x.status, x.n) for x in writer.ledger_of(number)} == {("set_aside", 3), ("mapped", 1)}


def test_merges_stand_until_they_are_taken_back(repository: Repository) -> None:
    with repository.writing() as writer:
        number = writer.begin_act(SITE, "merge.csv", "merge")
        writer.deliveries.merge(SITE, [Merge("p", "q", A, B, number)])
    with repository.deliveries() as deliveries:
        assert deliveries.merges(SITE) == [Merge("p", "q", A, B, number)] and deliveries.merges("never_seen") == []
    with repository.writing() as writer:
        writer.deliveries.unmerge([number])
        assert writer.deliveries.merges(SITE) == []


def test_bytes_that_were_taken_back_are_a_delivery_again(repository: Repository) -> None:
    with repository.writing() as writer:
        first = load(writer, "a.csv", "1", ("p", 1950, A))
        assert writer.begin_submission(SITE, "a.csv", "1", 1) == first
        by = writer.begin_act(SITE, "undo of 1", "undo")
        writer.deliveries.mark_undone([first], by)
        assert writer.begin_submission(SITE, "a.csv", "1", 1) not in (first, by)
    told = {s.id: (s.kind, s.state, s.undone_by, s.stands) for s in repository.submissions(SITE)}
    assert told[first] == ("load", "undone", by, False) and told[by][0] == "undo"


def test_issues_close_and_open_again_with_what_is_taken_back(repository: Repository) -> None:
    found = issue("fhir.required", Place(SITE, "a.csv", 2, "c"), record="r", element="Patient.id")
    with repository.writing() as writer:
        first = load(writer, "a.csv", "1")
        writer.record_issues(SITE, first, [found])
        second = load(writer, "a.csv", "2")
        writer.record_issues(SITE, second, [])
        assert writer.take_issues_back([second], second) == (0, 1)
    (again,) = repository.issues("open", SITE)
    assert (again.opened_by, again.closed_by, again.turn) == (first, None, "site")
    with repository.writing() as writer:
        assert writer.take_issues_back([first], second) == (1, 0)
        writer.close_issues(SITE, second, ["fhir.required"], ["r"])
    (closed,) = repository.issues("closed", SITE)
    assert closed.closed_by == second and repository.issues("open", SITE) == []


@given(st.sets(st.integers(1, 2**40)))
def test_keys_are_packed_and_unpacked(keys: set[int]) -> None:
    assert unpacked_keys(packed_keys(sorted(keys))) == keys


def test_a_run_of_keys_costs_next_to_nothing() -> None:
    assert len(packed_keys(range(1, 100_001)) or b"") < 2000


@pytest.mark.parametrize("always", [False, True])
def test_a_version_of_what_stays_as_it_is_only_when_asked(repository: Repository, always: bool) -> None:
    from masterkey_fhir.store.draft import draft

    with repository.writing() as writer:
        writer.put(SITE, patient("p"))
        (written,) = writer.write(SITE, [draft(patient("p"))], always=always)
        assert (written.status, written.version) == (("updated", 2) if always else ("unchanged", 1))
