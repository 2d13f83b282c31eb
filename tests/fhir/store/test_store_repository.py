"""Versions, outbox, compartments, provenance: what one write leaves behind."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from masterkey_fhir.search import SearchError
from masterkey_fhir.store import Repository, Source, StoreError, patient_of

SITE = "jp_ncch"


def patient(id_: str = "p1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, **more}


def observation(id_: str, subject: str = "p1", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "subject": {"reference": f"Patient/{subject}"},
        **more,
    }


def put(repository: Repository, *resources: dict[str, Any], site: str = SITE) -> list[str]:
    with repository.writing() as writer:
        return [writer.put(site, r) for r in resources]


def test_same_content_is_unchanged_and_announced_once(repository: Repository) -> None:
    assert put(repository, patient()) == ["created"]
    assert put(repository, patient()) == ["unchanged"]
    assert put(repository, patient(active=True)) == ["updated"]
    assert [s.version for s in repository.history(SITE, "Patient", "p1")] == [2, 1]
    assert [(c.seq, c.version) for c in repository.changes()] == [(1, 1), (2, 2)]


def test_same_content_in_other_spelling_is_unchanged_but_other_digits_are_not(repository: Repository) -> None:
    text = b'{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.0}}'
    spaced = b'{ "id" : "o",\n "resourceType":"Observation", "valueQuantity":{"value":1.0}}'
    digits = text.replace(b"1.0", b"1.00")
    resource = {"resourceType": "Observation", "id": "o"}
    with repository.writing() as writer:
        status = [writer.put(SITE, resource, text=t) for t in (text, spaced, digits)]
    assert status == ["created", "unchanged", "updated"]
    stored = repository.read(SITE, "Observation", "o")
    assert stored and stored.text == digits


def test_the_same_id_twice_in_one_batch_gives_two_versions(repository: Repository) -> None:
    items = [(patient(active=a), None, None) for a in (True, False, False)]
    with repository.writing() as writer:
        assert writer.put_many(SITE, items) == Counter(created=1, updated=1, unchanged=1)
    stored = repository.read(SITE, "Patient", "p1")
    assert stored and stored.version == 2 and stored.resource()["active"] is False


def test_identifiers_of_an_older_version_find_nothing(repository: Repository) -> None:
    one = patient(identifier=[{"system": "urn:s", "value": "1"}])
    two = patient(identifier=[{"system": "urn:s", "value": "2"}, {"value": "3"}])
    with repository.writing() as writer:
        writer.put_many(SITE, [(one, None, None), (two, None, None)])

    def found(value: str) -> int:
        return repository.search(SITE, "Patient", [("identifier", value)]).total

    assert [found(v) for v in ("urn:s|1", "urn:s|2", "2", "|3", "urn:s|", "|2", "urn:t|2")] == [0, 1, 1, 1, 1, 0, 0]


def test_delete_and_revive(repository: Repository) -> None:
    """R8 PUT on a deleted id revives it as the next version, and history shows the deletion."""
    put(repository, patient())
    with repository.writing() as writer:
        gone = writer.delete(SITE, "Patient", "p1")
        assert gone and (gone.status, gone.version) == ("deleted", 2)
        assert writer.delete(SITE, "Patient", "p1") is None
        assert writer.delete(SITE, "Patient", "never") is None
    assert repository.search(SITE, "Patient", []).total == 0
    assert put(repository, patient()) == ["created"]
    assert [(s.version, s.deleted) for s in repository.history(SITE, "Patient", "p1")] == [
        (3, False),
        (2, True),
        (1, False),
    ]
    assert [(c.version, c.deleted, c.patient) for c in repository.changes()] == [
        (1, False, "p1"),
        (2, True, "p1"),
        (3, False, "p1"),
    ]


def test_a_resource_that_moves_tells_both_patients(repository: Repository) -> None:
    put(repository, observation("o", "p1"))
    put(repository, observation("o", "p2"))
    assert [(c.version, c.patient) for c in repository.changes()] == [(1, "p1"), (2, "p1"), (2, "p2")]


def test_sites_do_not_see_each_other(repository: Repository) -> None:
    put(repository, patient(active=True), site="a")
    put(repository, patient(active=False), site="b")
    stored = repository.read("a", "Patient", "p1")
    assert stored and stored.resource()["active"] is True and stored.version == 1
    assert repository.read("c", "Patient", "p1") is None
    assert repository.search("b", "Patient", [("_id", "p1")]).total == 1
    assert repository.sites() == ["a", "b"]
    assert repository.counts("a") == {"Patient": 1} and repository.counts() == {"Patient": 2}


def test_the_compartment(repository: Repository) -> None:
    org = {"resourceType": "Organization", "id": "org"}
    put(repository, patient("p2"), patient(), observation("o2"), observation("o1"), observation("x", "p2"), org)
    assert [(s.type, s.id) for s in repository.resources_of(SITE, "p1")] == [
        ("Observation", "o1"),
        ("Observation", "o2"),
        ("Patient", "p1"),
    ]
    assert [s.id for s in repository.resources_without_patient(SITE)] == ["org"]
    assert list(repository.patients(SITE)) == ["p1", "p2"]


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ({"resourceType": "Patient", "id": "p"}, "p"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/p"}}, "p"),
        ({"resourceType": "Observation", "subject": {"reference": "Patient/p/_history/3"}}, "p"),
        ({"resourceType": "Observation", "subject": {"reference": "Group/g"}}, None),
        ({"resourceType": "Observation", "focus": [{"reference": "Patient/p"}]}, None),  # R23
        ({"resourceType": "FamilyMemberHistory", "patient": {"reference": "Patient/p"}}, "p"),
        ({"resourceType": "ResearchSubject", "individual": {"reference": "Patient/p"}}, "p"),
        ({"resourceType": "Observation", "subject": {"identifier": {"value": "1"}}}, None),
        ({"resourceType": "Organization", "id": "o"}, None),
    ],
)
def test_patient_of(resource: dict[str, Any], expected: str | None) -> None:
    assert patient_of(resource) == expected


def test_source_leads_back_and_forward(repository: Repository) -> None:
    with repository.writing() as writer:
        number = writer.begin_submission(SITE, "cases.csv", "00", 10)
        first = Source(number, "cases.csv", (2, 3), "m1", "patient")
        writer.put(SITE, patient(), source=first)
        writer.put(SITE, patient("p2"), source=Source(number, "cases.csv", (4,), "m1", "patient"))
    assert repository.source(SITE, "Patient", "p1", 1) == first
    assert repository.source(SITE, "Patient", "p1", 2) is None
    assert [(s.id, src.block) for s, src in repository.made_from(SITE, "cases.csv", 3)] == [("p1", "patient")]
    assert repository.made_from(SITE, "other.csv", 3) == []


def test_what_is_served_is_what_was_sent_plus_meta(repository: Repository) -> None:
    text = b'{ "resourceType" : "Observation", "id":"o", "valueQuantity": {"value": 1.10} , "x":1e3}'
    put_text = {"resourceType": "Observation", "id": "o"}
    with repository.writing() as writer:
        writer.put(SITE, put_text, text=text)
    stored = repository.read(SITE, "Observation", "o")
    assert stored and stored.text == text and stored.etag == 'W/"1"'
    meta = b',"meta":{"versionId":"1","lastUpdated":"2026-11-25T03:00:00.123Z"}'
    assert stored.served() == text.replace(b'"id":"o"', b'"id":"o"' + meta)


def test_the_wait_is_visible_and_bounded_on_each_database(database: str) -> None:
    first, second = Repository.open(database), Repository.open(database)
    told: list[float] = []
    with (
        first.writing(),
        pytest.raises(StoreError) as error,
        second.writing(wait=0.2, on_wait=lambda _, seconds: told.append(seconds)),
    ):
        pytest.fail("wrote while another held the lease")
    assert told and error.value.issues[0].rule == "fhir.store-busy"
    first.close()
    second.close()


def test_create_gives_an_id_of_its_own(repository: Repository) -> None:
    with repository.writing() as writer:
        stored = writer.create(SITE, patient("mine"), text=b'{"resourceType":"Patient","id":"mine"}')
    assert stored.text == b'{"resourceType":"Patient","id":"new-1"}'


def test_pages_visit_every_match_once(repository: Repository) -> None:
    """R18 (the store's part)"""
    put(repository, *(observation(f"o{n:02d}") for n in range(7)))
    after, seen = "", []
    while True:
        page = repository.search(SITE, "Observation", [("patient", "Patient/p1")], 3, after)
        assert page.total == 7
        seen += [s.id for s in page.entries]
        if page.next is None:
            break
        after = page.next
    assert seen == [f"o{n:02d}" for n in range(7)]
    exact = repository.search(SITE, "Observation", [], 7)
    assert exact.next is None
    assert repository.search(SITE, "Observation", [], 0) == type(exact)([], 7, None)


def test_r17_what_is_not_offered_is_refused_by_name(repository: Repository) -> None:
    with pytest.raises(SearchError) as error:
        repository.search(SITE, "Observation", [("code", "x"), ("_id:exact", "y"), ("_lastUpdated", "soon")])
    rules = [i.rule for i in error.value.issues]
    assert rules == ["fhir.search-parameter", "fhir.search-modifier", "fhir.search-value"]
    assert "identifier" in error.value.issues[0].remedy()


def test_nothing_of_a_transaction_that_raised_is_left(repository: Repository) -> None:
    class MindChangedError(Exception): ...

    with pytest.raises(MindChangedError), repository.writing() as writer:
        writer.put(SITE, patient())
        raise MindChangedError
    assert repository.read(SITE, "Patient", "p1") is None and repository.changes() == []
    assert repository.sites() == []
    assert put(repository, patient()) == ["created"]
    assert repository.changes()[0].seq == 1


def test_one_audit_row_per_write(repository: Repository) -> None:
    """R25 (write side): no write without its event, none for what changed nothing."""
    with repository.writing(agent="tester", request="r-1") as writer:
        writer.put_many(SITE, [(patient(), None, None), (patient(), None, None), (patient("p2"), None, None)])
    with repository._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT seq, action, request FROM audit ORDER BY seq").all()
    assert [tuple(r) for r in rows] == [(1, "C", "r-1"), (2, "C", "r-1")]
