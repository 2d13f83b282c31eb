"""Rules R1 to R19 of the FHIR API that apply to what is served, over real HTTP (one test per rule)."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server_support import FHIR, bundle, outcome, patient, running

from masterkey_api.app import create_app
from masterkey_fhir.store import Repository


def together(act: Callable[[int], httpx.Response], n: int = 8) -> list[httpx.Response]:
    """The answers of n threads that start at the same time."""
    out: list[httpx.Response] = []
    gate = threading.Barrier(n)

    def run(k: int) -> None:
        gate.wait()
        out.append(act(k))

    threads = [threading.Thread(target=run, args=(k,)) for k in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return out


CONDITION = "identifier=urn:s|1"


@pytest.mark.parametrize("way", ["header", "query", "transaction", "conditional PUT"])
def test_r1_eight_threads_one_identity(client: httpx.Client, way: str) -> None:
    """One 201, seven 200 with the same Location, one resource; two servers on one database."""
    entry = {"resource": patient(), "request": {"method": "POST", "url": "Patient", "ifNoneExist": CONDITION}}
    body = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}

    def act(_: int) -> httpx.Response:
        if way == "header":
            return client.post("/Patient", json=patient(), headers={"If-None-Exist": CONDITION})
        if way == "query":
            return client.post(f"/Patient?{CONDITION}", json=patient())
        if way == "transaction":
            return client.post("", json=body)
        return client.put(f"/Patient?{CONDITION}", json=patient())

    answers = together(act)
    if way == "transaction":
        told = [r.json()["entry"][0]["response"] for r in answers]
        codes, places = [t["status"][:3] for t in told], {t["location"] for t in told}
    else:
        codes, places = [str(r.status_code) for r in answers], {r.headers["location"] for r in answers}
    assert sorted(codes) == ["200"] * 7 + ["201"] and len(places) == 1
    assert client.get("/Patient").json()["total"] == 1


def test_r1_two_servers_on_one_database(tmp_path: Path, empty_file: Path) -> None:
    """Two repositories on one file, as two processes have: the database decides, not a lock of the process."""
    path = Path(shutil.copy(empty_file, tmp_path / "r.db"))
    apps = [create_app(Repository.open(path), open=True, site="jp_ncch") for _ in range(2)]
    with running(apps[0]) as one, running(apps[1]) as two:
        answers = together(
            lambda k: httpx.post(
                f"{(one, two)[k % 2]}/Patient", json=patient(), headers={"If-None-Exist": CONDITION}, timeout=60
            )
        )
        assert sorted(r.status_code for r in answers) == [200] * 7 + [201]
        assert httpx.get(f"{one}/Patient").json()["total"] == 1


def test_r2_several_matches(client: httpx.Client) -> None:
    client.post("", json=bundle(patient(), patient()))
    (found,) = outcome(client.post(f"/Patient?{CONDITION}", json=patient()), 412)
    assert found["code"] == "multiple-matches" and "identifier" in found["details"]["text"]


def test_r6_parallel_updates_are_versions_without_gaps(client: httpx.Client) -> None:
    client.put("/Patient/p", json=patient(id="p"))
    answers = together(lambda k: client.put("/Patient/p", json=patient(f"v{k}", id="p")))
    assert {r.status_code for r in answers} == {200}
    assert sorted(int(r.headers["etag"][3:-1]) for r in answers) == list(range(2, 10))


def test_r10_a_failed_transaction_leaves_no_trace(client: httpx.Client) -> None:
    bad = bundle(patient(), {"resourceType": "Observation", "status": "banana", "code": {"text": "x"}})
    issues = outcome(client.post("", json=bad), 400)
    assert issues[0]["expression"] == ["Bundle.entry[1].resource.status"]
    assert client.get("/Patient").json()["total"] == 0


def test_r11_body_type_against_url(client: httpx.Client) -> None:
    bad = bundle(patient(), patient())
    bad["entry"][1]["request"]["url"] = "Practitioner"
    (found,) = outcome(client.post("", json=bad), 400)
    assert found["expression"] == ["Bundle.entry[1].resource"]
    outcome(client.post("/Observation", json=patient()), 400)


def test_r13_r14_all_issues_at_once_with_the_deepest_element(client: httpx.Client) -> None:
    wrong = {
        "resourceType": "Observation",
        "status": "banana",
        "nonsense": 1,
        "valueQuantity": {"value": "SECRET-77"},
        "component": [{"code": {"coding": [{"code": " x "}]}}],
    }
    issues = outcome(client.post("/Observation", json=wrong), 400)
    places = {e for i in issues for e in i.get("expression", [])}
    assert {"Observation.status", "Observation.value.value", "Observation.component[0].code.coding[0].code"} <= places
    assert len(issues) >= 5 and "SECRET" not in json.dumps(issues)


def test_r13_no_identifier_value_in_any_error(client: httpx.Client) -> None:
    secret = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    secret["subject"] = {"reference": "Patient?identifier=urn:s|SECRET-77"}
    for r in (
        client.post("", json=bundle(secret)),
        client.get("/Patient?identifier=a|b|SECRET-77"),
        client.get("/Patient?SECRET=1&_lastUpdated=SECRET-77"),
        client.get("/Patient?_page=SECRET-77"),
        client.get("/SECRET-77/1"),
        client.get("/Patient/SECRET-77"),
    ):
        assert r.status_code >= 400 and "SECRET-77" not in r.text


def test_r15_r16_last_updated(client: httpx.Client, repository: Repository) -> None:
    """The site is in Tokyo: a date without zone is a day there; partial dates and minutes are ranges."""
    from datetime import UTC, datetime

    repository._clock = lambda: datetime(2026, 1, 31, 15, 30, 0, 500000, UTC)  # 00:30 of 1 February in Tokyo
    client.post("/Patient", json=patient())

    def found(*values: str) -> int:
        return int(client.get("/Patient", params=[("_lastUpdated", v) for v in values]).json()["total"])

    assert found("2026-02-01") == 1 and found("2026-01-31") == 0
    assert found("2026-01-31T15:30Z") == 1 and found("2026-02-01T00:30:00.500+09:00") == 1
    assert found("2026-02") == 1 and found("2026") == 1 and found("ne2026") == 0
    assert found("ge2026-02-01T00:00", "lt2026-02-01T01:00") == 1
    assert found("gt2026-02-01") == 0 and found("lt2026-02-01") == 0 and found("le2026-02-01") == 1
    assert found("sa2026-01-31") == 1 and found("eb2026-02-02") == 1 and found("gt2026-01") == 1
    assert found("2026-02-01T00:30:00.500%2B09:00".replace("%2B", "+")) == 1
    for bad in ("2026-13", "yesterday", "2026-02-30", "ge", "2026-02-01T25:00"):
        outcome(client.get("/Patient", params={"_lastUpdated": bad}), 400)


def test_r17_unknown_parameters(client: httpx.Client) -> None:
    client.post("/Patient", json=patient())
    issues = outcome(client.get("/Patient?color=red&_id:below=x&_include=*"), 400)
    assert len(issues) == 3 and "color" in issues[0]["details"]["text"]
    assert "identifier" in issues[0]["details"]["text"]
    lenient = client.get("/Patient?color=red&_count=5", headers={"Prefer": "handling=lenient"}).json()
    assert lenient["total"] == 1 and "color" not in lenient["link"][0]["url"]
    assert [e["search"]["mode"] for e in lenient["entry"]] == ["match", "outcome"]


def test_r18_paging_visits_every_match_once_and_the_token_is_closed(client: httpx.Client) -> None:
    client.post("", json=bundle(*(patient("same") for _ in range(7))))
    url, seen = "/Patient?identifier=urn:s|same&_count=3", []
    while url:
        page = client.get(url).json()
        assert page["total"] >= 7 - len(seen) and page["entry"]
        seen += [e["resource"]["id"] for e in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        if len(seen) == 3:
            client.delete(f"/Patient/{seen[0]}")  # what was seen and is gone shifts nothing
            token = parse_qs(urlsplit(url).query)["_page"][0]
    assert len(seen) == len(set(seen)) == 7
    assert "same" not in token
    forged = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    outcome(client.get(f"/Patient?_page={forged}"), 400)
    outcome(client.get(f"/Observation?_page={token}"), 400)


def test_r18_a_token_is_of_its_site(serve: Callable[..., httpx.Client]) -> None:
    """R21 (paging tokens of the other site)"""
    ours, theirs = serve(secret=b"k" * 32), serve(secret=b"k" * 32, site="th_other")
    ours.post("", json=bundle(patient(), patient()))
    url = next(link["url"] for link in ours.get("/Patient?_count=1").json()["link"] if link["relation"] == "next")
    token = parse_qs(urlsplit(url).query)["_page"][0]
    assert ours.get(f"/Patient?_page={token}").status_code == 200
    outcome(theirs.get(f"/Patient?_page={token}"), 400)


def test_r21_sites_do_not_meet(serve: Callable[..., httpx.Client]) -> None:
    ours, theirs = serve(), serve(site="th_other")
    assert ours.put("/Patient/p", json=patient(id="p", active=True)).status_code == 201
    outcome(theirs.get("/Patient/p"), 404)
    outcome(theirs.get("/Patient/p/_history"), 404)
    for query in ("", "?_id=p", "?identifier=urn:s|1", "?_lastUpdated=gt2000"):
        assert theirs.get(f"/Patient{query}").json()["total"] == 0
    assert theirs.post(f"/Patient?{CONDITION}", json=patient()).status_code == 201
    assert theirs.put("/Patient/p", json=patient("2", id="p")).status_code == 201
    assert theirs.delete("/Patient/p").status_code == 204
    assert ours.get("/Patient/p").json()["active"] is True


def test_search_by_patient_and_subject_and_post(client: httpx.Client) -> None:
    client.put("/Patient/p", json=patient(id="p"))
    base = str(client.base_url).rstrip("/")
    observation = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    client.post("/Observation", json={**observation, "subject": {"reference": "Patient/p"}})
    client.post("/Observation", json={**observation, "subject": {"reference": "Patient/q"}})
    for query in (
        "patient=p",
        "patient=Patient/p",
        "subject=Patient/p",
        f"patient={base}/Patient/p",
        "subject:Patient=p",
    ):
        assert client.get(f"/Observation?{query}").json()["total"] == 1, query
    assert client.get("/Observation?subject=Group/p").json()["total"] == 0
    assert client.get("/Observation?patient=p,q").json()["total"] == 2
    form = client.post("/Observation/_search", data={"patient": "p"})
    assert form.json()["total"] == 1
    outcome(client.post("/Observation/_search", json={}), 415)


@pytest.mark.shared
def test_satusehat_style_circle_and_ph_core(client: httpx.Client, shared: Path) -> None:
    body = (shared / "data/fhir/ph-core/Bundle-transaction-example.json").read_bytes()
    issues = outcome(client.post("/Bundle", content=body, headers=FHIR), 400)
    assert issues[0]["expression"] == ["Bundle.entry[7].resource"]
    assert client.get("/Patient").json()["total"] == 0
