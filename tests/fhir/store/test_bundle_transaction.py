"""Transactions: order, identities, references, all or nothing. Rules R1 to R11 of the server, below HTTP."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from masterkey_fhir.bundle import Door, RefusedError, exchange, response, search, transaction
from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.store import Repository, Written

SITE = "jp_ncch"
BASE = "http://127.0.0.1/fhir"


@pytest.fixture
def door(repository: Repository) -> Door:
    return Door(repository, SITE, base=BASE)


def post(resource: dict[str, Any], full_url: str = "", **request: str) -> dict[str, Any]:
    entry = {"resource": resource, "request": {"method": "POST", "url": resource["resourceType"], **request}}
    return {"fullUrl": full_url, **entry} if full_url else entry


def act(method: str, url: str, resource: dict[str, Any] | None = None, **request: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    return {**entry, "resource": resource} if resource else entry


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": list(entries)}).encode()


def patient(value: str = "1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": value}], **more}


def observation(subject: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final", "subject": {"reference": subject}, **more}


def stored(door: Door, type_: str, id_: str) -> dict[str, Any]:
    found = door.repository.read(SITE, type_, id_)
    assert found
    return found.resource()


def refused(door: Door, *entries: dict[str, Any]) -> RefusedError:
    """The refusal of a transaction, after which nothing may be there."""
    before = door.repository.last_change()
    with pytest.raises(RefusedError) as error:
        transaction(door, bundle(*entries))
    assert door.repository.last_change() == before
    return error.value


def places(error: RefusedError) -> list[tuple[str, str]]:
    return [(i.rule, i.place.expression) for i in error.issues]


# --- references -----------------------------------------------------------------------------------------


def test_r9_references_by_full_url_in_circles_and_relative(door: Door) -> None:
    encounter = {
        "resourceType": "Encounter",
        "subject": {"reference": "urn:uuid:p"},
        "diagnosis": [{"condition": {"reference": "http://there/fhir/Condition/7"}}],
    }
    condition = {
        "resourceType": "Condition",
        "subject": {"reference": "urn:uuid:p"},
        "encounter": {"reference": "Encounter/9"},  # relative: below the base of this entry's fullUrl
    }
    out = transaction(
        door,
        bundle(
            post(encounter, "http://there/fhir/Encounter/9"),
            post(condition, "http://there/fhir/Condition/7"),
            post(patient(), "urn:uuid:p"),
        ),
    )
    e, c, p = (o.id for o in out)
    assert stored(door, "Encounter", e)["diagnosis"][0]["condition"]["reference"] == f"Condition/{c}"
    assert stored(door, "Condition", c)["encounter"]["reference"] == f"Encounter/{e}"
    assert [s.id for s in door.repository.resources_of(SITE, p)] == [c, e, p]


def test_r9_other_places_of_links(door: Door) -> None:
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": {"status": "generated", "div": '<div xmlns="x"><a href="urn:uuid:b">b</a> urn:uuid:b</div>'},
        "content": [{"attachment": {"url": "urn:uuid:b"}}],
        "identifier": [{"value": "urn:uuid:b"}],
        "extension": [{"url": BASE + "/StructureDefinition/x", "valueString": "urn:uuid:b"}],
        "contained": [{"resourceType": "Basic", "id": "c", "subject": {"reference": "urn:uuid:p"}}],
        "author": [{"reference": "#c"}],
    }
    binary = {"resourceType": "Binary", "contentType": "text/plain"}
    out = transaction(door, bundle(post(document), post(binary, "urn:uuid:b"), post(patient(), "urn:uuid:p")))
    found = stored(door, "DocumentReference", out[0].id)
    link = f"Binary/{out[1].id}"
    assert found["content"][0]["attachment"]["url"] == link
    assert found["text"]["div"] == f'<div xmlns="x"><a href="{link}">b</a> urn:uuid:b</div>'
    assert found["contained"][0] == {**document["contained"][0], "subject": {"reference": f"Patient/{out[2].id}"}}
    for untouched in ("identifier", "extension", "author"):
        assert found[untouched] == document[untouched]


def test_absolute_references_below_our_own_base_become_relative(door: Door) -> None:
    (out,) = transaction(door, bundle(post(observation(f"{BASE}/Patient/p1"))))
    assert stored(door, "Observation", out.id)["subject"] == {"reference": "Patient/p1"}
    assert len(list(door.repository.resources_of(SITE, "p1"))) == 1


def test_a_reference_that_hides_behind_an_escape(door: Door) -> None:
    text = bundle(post(patient(), "urn:uuid:p"), post(observation("urn:uuid:p")))
    hidden = text.replace(b'"reference"', b'"\\u0072eference"').replace(b"urn:uuid:p", b"urn:uuid:\\u0070")
    out = transaction(door, hidden)
    assert stored(door, "Observation", out[1].id)["subject"]["reference"] == f"Patient/{out[0].id}"


def test_a_urn_reference_without_entry_is_refused(door: Door) -> None:
    error = refused(door, post(patient(), "urn:uuid:p"), post(observation("urn:uuid:q")))
    assert places(error) == [("fhir.reference-unresolved", "Bundle.entry[1].resource")]


def test_r9_conditional_references(door: Door) -> None:
    transaction(door, bundle(post(patient("1"))))
    out = transaction(
        door,
        bundle(
            post(observation("Patient?identifier=urn:s|1")),
            post(observation("Patient?identifier=urn:s|2")),  # this bundle's own
            post(patient("2")),
        ),
    )
    assert stored(door, "Observation", out[0].id)["subject"]["reference"] == "Patient/new-1"
    assert stored(door, "Observation", out[1].id)["subject"]["reference"] == f"Patient/{out[2].id}"


def test_r13_a_conditional_reference_without_match_masks_the_identifier(door: Door) -> None:
    error = refused(door, post(observation("Patient?identifier=urn:s|SECRET-77")))
    assert places(error) == [("fhir.reference-no-match", "Bundle.entry[0].resource")]
    assert "SECRET" not in str(error) and "SECRET" not in json.dumps([i.as_outcome() for i in error.issues])


def test_bytes_in_bytes_out(door: Door) -> None:
    """Decimals, offsets, escapes, spaces and the order of keys stay; id and references are spliced in."""
    sent = (
        '{ "subject": {"reference" : "urn:uuid:p"}, "status":"final",\n "resourceType": "Observation",'
        ' "effectiveDateTime": "2026-01-31T09:00:00.190+09:00", "valueQuantity": {"value": 1.10, "code":"\\u00b5g"},'
        ' "component": [ {"valueQuantity": {"value": 1E-2}}, {"valueQuantity": {"value": 0.010}} ] }'
    )
    body = (
        '{"resourceType":"Bundle","type":"transaction","entry":[{"fullUrl":"urn:uuid:p","resource":'
        '{"resourceType":"Patient"},"request":{"method":"POST","url":"Patient"}},{"resource":'
        + sent
        + ',"request":{"method":"POST","url":"Observation"}}]}'
    )
    p, o = transaction(door, body.encode())
    found = door.repository.read(SITE, "Observation", o.id)
    expected = sent.replace("urn:uuid:p", f"Patient/{p.id}").replace(
        '"resourceType": "Observation"', f'"resourceType": "Observation","id":"{o.id}"'
    )
    assert found and found.text.decode() == expected


# --- conditional create ---------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "Patient?", "?"])
def test_r4_if_none_exist_with_and_without_type(door: Door, prefix: str) -> None:
    first = transaction(door, bundle(post(patient())))
    (again,) = transaction(door, bundle(post(patient(active=True), ifNoneExist=f"{prefix}identifier=urn:s|1")))
    assert (again.status, again.id, again.version) == ("200 OK", first[0].id, 1)
    assert "active" not in stored(door, "Patient", again.id)


def test_r4_a_urn_uuid_of_the_same_bundle_inside_a_condition(door: Door) -> None:
    entries = (
        post(patient(), "urn:uuid:p", ifNoneExist="identifier=urn:s|1"),
        post(observation("urn:uuid:p", identifier=[{"value": "o"}]), ifNoneExist="patient=urn:uuid:p&identifier=o"),
    )
    assert [o.code for o in transaction(door, bundle(*entries))] == [201, 201]
    assert [o.code for o in transaction(door, bundle(*entries))] == [200, 200]


def test_r3_the_same_condition_twice_is_one_resource(door: Door) -> None:
    where = "identifier=urn:s|1"
    out = transaction(
        door,
        bundle(
            post(patient(), "urn:uuid:a", ifNoneExist=where),
            post(patient(), "urn:uuid:b", ifNoneExist=f"Patient?{where}"),
            post(observation("urn:uuid:a")),
            post(observation("urn:uuid:b")),
        ),
    )
    assert [o.code for o in out] == [201, 200, 201, 201] and out[0].id == out[1].id
    assert {stored(door, "Observation", o.id)["subject"]["reference"] for o in out[2:]} == {f"Patient/{out[0].id}"}


def test_r2_several_matches_are_412_with_the_criterion_and_no_value(door: Door) -> None:
    transaction(door, bundle(post(patient()), post(patient())))
    error = refused(door, post(patient("2")), post(patient(), ifNoneExist="identifier=urn:s|1"))
    assert error.status == 412
    assert places(error) == [("fhir.many-matches", "Bundle.entry[1].request.ifNoneExist")]
    assert "identifier" in str(error) and "urn:s" not in str(error)


def test_a_condition_that_is_not_offered_is_refused(door: Door) -> None:
    error = refused(door, post(patient(), ifNoneExist="birthdate=2000"), post(patient(), ifNoneExist=""))
    assert places(error) == [
        ("fhir.search-parameter", "Bundle.entry[0].request.ifNoneExist"),
        ("fhir.condition-empty", "Bundle.entry[1].request.ifNoneExist"),
    ]


def test_r1_eight_threads_one_identity(door: Door) -> None:
    body = bundle(post(patient(), ifNoneExist="identifier=urn:s|1"))
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(transaction(door, body)[0].code)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(codes) == [200] * 7 + [201]
    assert door.repository.counts() == {"Patient": 1}


# --- update, delete, read -------------------------------------------------------------------------------


def test_the_order_is_delete_post_put_get_and_answers_keep_the_order_of_entries(door: Door) -> None:
    """W11 and http://hl7.org/fhir/R4/http.html#trules"""
    transaction(door, bundle(act("PUT", "Patient/old", patient("7", id="old"))))
    out = transaction(
        door,
        bundle(
            act("GET", "Patient/p"),
            act("PUT", "Patient/p", patient(id="p")),
            post(patient("7"), ifNoneExist="identifier=urn:s|7"),  # the only match is deleted first
            act("DELETE", "Patient/old"),
        ),
    )
    assert [o.status for o in out] == ["200 OK", "201 Created", "201 Created", "204 No Content"]
    assert out[0].id == "p"


def test_put_twice_is_unchanged(door: Door) -> None:
    """R5 the same bytes sent again change nothing."""
    body = bundle(act("PUT", "Patient/p", patient(id="p")))
    assert [transaction(door, body)[0].status for _ in range(2)] == ["201 Created", "200 OK"]
    assert [s.version for s in door.repository.history(SITE, "Patient", "p")] == [1]


def test_conditional_update(door: Door) -> None:
    """R4 conditional PUT without id in the body; http://hl7.org/fhir/R4/http.html#cond-update"""
    url = "Patient?identifier=urn:s|1"
    (created,) = transaction(door, bundle(act("PUT", url, patient())))
    (updated,) = transaction(door, bundle(act("PUT", url, patient(active=True))))
    assert (created.code, updated.code, updated.version) == (201, 200, 2) and created.id == updated.id
    assert refused(door, act("PUT", url, patient(id="other"))).status == 400
    taken = refused(door, act("PUT", "Patient?identifier=urn:s|9", patient("9", id=created.id)))
    assert [i.rule for i in taken.issues] == ["fhir.id-taken"]


def test_r6_if_match(door: Door) -> None:
    transaction(door, bundle(act("PUT", "Patient/p", patient(id="p"))))
    for etag in ('W/"1"', '"2"', "3"):
        (out,) = transaction(door, bundle(act("PUT", "Patient/p", patient(etag, id="p"), ifMatch=etag)))
    assert out.version == 4
    stale = refused(door, act("PUT", "Patient/p", patient("x", id="p"), ifMatch='W/"3"'))
    assert stale.status == 412
    assert refused(door, act("PUT", "Patient/p", patient("x", id="p"), ifNoneMatch="*")).status == 412


def test_r3_two_entries_that_change_one_identity_name_both(door: Door) -> None:
    error = refused(door, act("PUT", "Patient/p", patient(id="p")), act("DELETE", "Patient/p"))
    assert places(error)[0][0] == "fhir.bundle-identity"
    assert "0" in str(error) or "1" in str(error)


def test_conditional_delete(door: Door) -> None:
    transaction(door, bundle(post(patient("1")), post(patient("2")), post(patient("2"))))
    assert transaction(door, bundle(act("DELETE", "Patient?identifier=urn:s|1")))[0].code == 204
    assert transaction(door, bundle(act("DELETE", "Patient?identifier=urn:s|1")))[0].code == 204
    assert refused(door, act("DELETE", "Patient?identifier=urn:s|2")).status == 412


# --- refusals -------------------------------------------------------------------------------------------


def test_r11_body_type_against_url_and_everything_at_once(door: Door) -> None:
    """R11, R13, R14"""
    error = refused(
        door,
        post(patient()),
        act("POST", "Practitioner", patient()),
        act("PATCH", "Patient/p"),
        act("POST", "Nothing", patient()),
        act("PUT", "Patient/p"),
    )
    assert places(error) == [
        ("fhir.type-mismatch", "Bundle.entry[1].resource"),
        ("fhir.bundle-method", "Bundle.entry[2].request.method"),
        ("fhir.bundle-url", "Bundle.entry[3].request.url"),
        ("fhir.bundle-resource", "Bundle.entry[4].resource"),
    ]


@pytest.mark.shared
def test_r11_the_philippine_example(door: Door, shared: Path) -> None:
    body = (shared / "data/fhir/ph-core/Bundle-transaction-example.json").read_bytes()
    with pytest.raises(RefusedError) as error:
        transaction(door, body)
    assert places(error.value) == [("fhir.type-mismatch", "Bundle.entry[7].resource")]


def test_r13_issues_of_the_check_name_the_entry(door: Door) -> None:
    def check(resource: dict[str, Any], *, place: Place) -> list[Issue]:
        bad = issue("fhir.id-missing", Place(place.site, expression="Patient.name[0].family"))
        return [bad] if resource.get("active") else []

    door.check = check
    error = refused(door, post(patient()), post(patient("2", active=True)), post(patient("3", active=True)))
    assert places(error) == [("fhir.id-missing", f"Bundle.entry[{n}].resource.name[0].family") for n in (1, 2)]


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        (b"", "fhir.json-syntax"),
        (b"[]", "fhir.json-object"),
        (b'{"resourceType":"Patient"}', "fhir.bundle-expected"),
        (b'{"resourceType":"Bundle","type":"document"}', "fhir.bundle-type"),
        (b'{"resourceType":"Bundle","type":"transaction","entry":[1]}', "fhir.bundle-shape"),
        (b'{"resourceType":"Bundle","type":"transaction","entry":{}}', "fhir.bundle-shape"),
        (b'{"resourceType":"Bundle","type":"transaction","type":"batch"}', "fhir.json-duplicate"),
        (
            b'{"resourceType":"Bundle","type":"transaction","entry":[{"request":{},"request":{}}]}',
            "fhir.json-duplicate",
        ),
        (b'{"resourceType":"Bundle","type":"transaction"} x', "fhir.json-syntax"),
        (b'{"resourceType":"Bundle","type":"transaction","x":NaN}', "fhir.json-constant"),
        (b'{"resourceType":"Bundle","type":"tr\xff"}', "fhir.json-encoding"),
        (b'{"resourceType":"Bundle","type":"transaction","id":"\\ud800"}', "fhir.json-surrogate"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "fhir.json-depth"),
    ],
)
def test_what_is_no_transaction(door: Door, body: bytes, rule: str) -> None:
    with pytest.raises(RefusedError) as error:
        exchange(door, body)
    assert error.value.issues[0].rule == rule and error.value.status == 400


def test_an_empty_transaction(door: Door) -> None:
    kind, out = exchange(door, b'{"resourceType":"Bundle","type":"transaction"}')
    assert json.loads(response(kind, out, BASE)) == {"resourceType": "Bundle", "type": "transaction-response"}


# --- batch ----------------------------------------------------------------------------------------------


def test_r10_a_batch_answers_each_entry(door: Door) -> None:
    body = bundle(
        post(patient()),
        act("POST", "Practitioner", patient()),
        act("GET", "Patient/none"),
        act("GET", "Patient?identifier=urn:s|1"),
        kind="batch",
    )
    kind, out = exchange(door, body)
    assert [o.code for o in out] == [201, 400, 404, 200]
    answer = json.loads(response(kind, out, BASE))
    assert answer["type"] == "batch-response"
    assert answer["entry"][1]["response"]["outcome"]["issue"][0]["code"] == "invariant"
    assert answer["entry"][3]["resource"]["total"] == 1


def test_a_batch_of_reads_does_not_wait_for_a_writer(door: Door) -> None:
    door.wait = 0.05
    transaction(door, bundle(act("PUT", "Patient/p", patient(id="p"))))
    with door.repository.writing():
        _, out = exchange(door, bundle(act("GET", "Patient/p"), act("GET", "Patient/q"), kind="batch"))
        assert [o.code for o in out] == [200, 404]
        _, out = exchange(door, bundle(post(patient()), act("POST", "Patient", {"x": 1}), kind="batch"))
        assert [o.code for o in out] == [503, 400]


def test_a_large_batch_is_told_once(door: Door) -> None:
    told: list[int] = []
    door.after_commit = lambda site, written: told.append(len(written))
    entries = [post(patient(str(n)), ifNoneExist=f"identifier=urn:s|{n}") for n in range(120)]
    _, out = exchange(door, bundle(*entries, post(patient("7"), ifNoneExist="identifier=urn:s|7"), kind="batch"))
    assert [o.code for o in out] == [201] * 120 + [200] and told == [120]


@pytest.mark.shared
def test_synthea_arrives_whole(door: Door, shared: Path) -> None:
    """Two batches and the two smallest patients: exact counts, no reference left that is not resolved."""
    folder = shared / "data/fhir/synthea"
    names = ("0-hospital*", "0-practitioner*", "8a4c9c04*", "53eac4c0*")
    for name in names:
        (path,) = folder.glob(name + ".json")
        kind, out = exchange(door, path.read_bytes())
        assert {o.code for o in out} == {201}, kind
    counts = door.repository.counts()
    assert sum(counts.values()) == 388 + 390 + 66 + 187
    for type_ in counts:
        for s in door.repository.of_type(SITE, type_):
            assert b'"reference": "urn:uuid' not in s.text and b"?identifier=" not in s.text


# --- protect, after commit ------------------------------------------------------------------------------


def test_protect_comes_before_the_store_and_before_conditions(door: Door) -> None:
    def protect(resource: dict[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
        kept = {k: v for k, v in resource.items() if k != "name"}
        if "identifier" in kept:
            kept["identifier"] = [{**i, "value": f"h({i['value']})"} for i in kept["identifier"]]
        return kept, [issue("fhir.search-ignored", valid="x")] if "name" in resource else []

    door.protect = protect
    body = bundle(post(patient("7", name=[{"family": "Suzuki"}]), ifNoneExist="identifier=urn:s|7"))
    (first,) = transaction(door, body)
    (again,) = transaction(door, body)
    assert (first.code, again.code) == (201, 200) and first.id == again.id
    assert stored(door, "Patient", first.id) == {
        "resourceType": "Patient",
        "id": first.id,
        "identifier": [{"system": "urn:s", "value": "h(7)"}],
    }
    assert [i.rule for i in first.issues] == ["fhir.search-ignored"]
    found = json.loads(search(door, "Patient", r"identifier=urn:s|8,urn:s|7&identifier=urn:s|7"))
    assert found["total"] == 1
    transaction(door, bundle(post(patient("a,b|c"))))
    assert json.loads(search(door, "Patient", r"identifier=urn:s|a\,b\|c"))["total"] == 1


def test_after_commit_is_told_once_per_transaction_that_wrote(door: Door) -> None:
    told: list[tuple[str, list[str]]] = []

    def after(site: str, written: Any) -> None:
        assert door.repository.last_change() > 0  # it is committed
        told.append((site, [w.type for w in written if isinstance(w, Written)]))

    door.after_commit = after
    body = bundle(act("PUT", "Patient/p", patient(id="p")), post(observation("Patient/p")))
    transaction(door, body)
    transaction(door, bundle(act("PUT", "Patient/p", patient(id="p"))))
    transaction(door, bundle(act("GET", "Patient/p")))
    assert told == [(SITE, ["Observation", "Patient"])]
