"""W1 to W12 of the FHIR API over real HTTP, and the interactions of R4 (one test per rule, named after it)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from masterkey_api.app import ServeError, create_app, require_loopback
from masterkey_fhir.check import check
from masterkey_fhir.issue import Place
from masterkey_fhir.store import Repository

sys.path.insert(0, str(Path(__file__).parent))
from server_support import FHIR, bundle, outcome, patient

# --- interactions ---------------------------------------------------------------------------------------


def test_create_read_vread_update_delete_history(client: httpx.Client) -> None:
    made = client.post("/Patient", json=patient(id="mine", active=True))
    assert made.status_code == 201
    id_ = made.json()["id"]
    assert id_ != "mine"  # http://hl7.org/fhir/R4/http.html#create: an id in the body is ignored
    read = client.get(f"/Patient/{id_}")
    assert read.json() == made.json() and read.json()["meta"]["versionId"] == "1"

    changed = client.put(f"/Patient/{id_}", json={**read.json(), "active": False})
    assert (changed.status_code, changed.headers["etag"]) == (200, 'W/"2"')
    assert client.get(f"/Patient/{id_}/_history/1").json() == made.json()
    same = client.put(f"/Patient/{id_}", json=changed.json())
    assert (same.status_code, same.headers["etag"]) == (200, 'W/"2"')  # R5

    assert client.delete(f"/Patient/{id_}").status_code == 204
    assert client.delete(f"/Patient/{id_}").status_code == 204
    assert outcome(client.get(f"/Patient/{id_}"), 410)[0]["code"] == "deleted"
    outcome(client.get(f"/Patient/{id_}/_history/3"), 410)
    outcome(client.get(f"/Patient/{id_}/_history/9"), 404)
    outcome(client.get(f"/Patient/{id_}/_history/x"), 404)
    history = client.get(f"/Patient/{id_}/_history").json()
    assert [e["request"]["method"] for e in history["entry"]] == ["DELETE", "PUT", "POST"]
    assert "resource" not in history["entry"][0] and check(history, place=Place()) == []

    revived = client.put(f"/Patient/{id_}", json=patient(id=id_))
    assert (revived.status_code, revived.headers["etag"]) == (201, 'W/"4"')  # R8


def test_update_creates_under_the_id_of_the_client(client: httpx.Client) -> None:
    assert client.put("/Patient/p1", json=patient(id="p1")).status_code == 201
    outcome(client.put("/Patient/p1", json=patient(id="p2")), 400)
    outcome(client.put("/Patient/p1", json=patient()), 400)
    outcome(client.put("/Patient/a_b", json=patient(id="a_b")), 400)  # an id is [A-Za-z0-9\-\.]{1,64}


def test_r6_the_same_if_match_eight_times(client: httpx.Client) -> None:
    client.put("/Patient/p1", json=patient(id="p1"))
    codes = [
        client.put("/Patient/p1", json=patient(str(n), id="p1"), headers={"If-Match": 'W/"1"'}).status_code
        for n in range(2, 10)
    ]
    assert codes == [200] + [412] * 7
    outcome(client.put("/Patient/p1", json=patient("x", id="p1"), headers={"If-None-Match": "*"}), 412)
    outcome(client.put("/Patient/new", json=patient("x", id="new"), headers={"If-Match": "1"}), 412)


def test_conditional_update_and_delete(client: httpx.Client) -> None:
    first = client.put("/Patient?identifier=urn:s|1", json=patient())
    again = client.put("/Patient?identifier=urn:s|1", json=patient(active=True))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["id"] == first.json()["id"]
    assert client.delete("/Patient?identifier=urn:s|1").status_code == 204
    assert client.get("/Patient").json()["total"] == 0


def test_bytes_in_bytes_out(client: httpx.Client) -> None:
    sent = (
        b'{ "resourceType":"Observation", "id":"o",\n "status" :"final", "code":{"text":"\\u00b5"},'
        b' "valueQuantity":{"value":1.10}, "effectiveDateTime":"2026-01-31T09:00:00.190+09:00" }'
    )
    made = client.put("/Observation/o", content=sent, headers=FHIR)
    assert made.status_code == 201, made.text
    meta = json.dumps(made.json()["meta"], separators=(",", ":")).encode()
    assert client.get("/Observation/o").content == sent.replace(b'"id":"o"', b'"id":"o","meta":' + meta)


# --- the rules of the wire ------------------------------------------------------------------------------


def test_w1_base_with_and_without_slash_and_bundle(client: httpx.Client) -> None:
    for path in ("", "/", "/Bundle"):
        r = client.request("POST", str(client.base_url).rstrip("/") + path, json=bundle(patient()))
        assert (r.status_code, r.json()["type"]) == (200, "transaction-response"), path
    assert client.get("/Patient").json()["total"] == 3 and client.get("/Bundle").json()["total"] == 0
    kept = client.post("/Bundle", json={"resourceType": "Bundle", "type": "collection"})
    assert kept.status_code == 201


@pytest.mark.parametrize(
    ("accept", "format_", "status"),
    [
        ("application/fhir+json", "", 200),
        ("application/json; charset=utf-8", "", 200),
        ("text/json", "", 200),
        ("*/*", "", 200),
        ("application/fhir+xml, */*;q=0.1", "", 200),
        ("application/fhir+xml", "", 406),
        ("text/html", "", 406),
        ("application/fhir+xml", "json", 200),
        ("text/html", "application/fhir+json", 200),
        ("*/*", "xml", 406),
    ],
)
def test_w2_accept_and_format(client: httpx.Client, accept: str, format_: str, status: int) -> None:
    r = client.get("/Patient" + (f"?_format={format_}" if format_ else ""), headers={"Accept": accept})
    assert r.status_code == status and r.headers["content-type"].startswith("application/fhir+json")
    if status != 200:
        outcome(r, status)


def test_w2_content_type(client: httpx.Client) -> None:
    body = json.dumps(patient()).encode()
    for good in ("application/fhir+json", "application/json;charset=UTF-8", "text/json"):
        assert client.post("/Patient", content=body, headers={"Content-Type": good}).status_code == 201
    assert client.post("/Patient", content=body).status_code == 201
    outcome(client.post("/Patient", content=body, headers={"Content-Type": "application/fhir+xml"}), 415)


def test_w3_the_raw_query(client: httpx.Client, repository: Repository) -> None:
    system = "https://fhir.kemkes.go.id/id/nik"
    client.post("/Patient", json={"resourceType": "Patient", "identifier": [{"system": system, "value": "a+b"}]})
    base = str(client.base_url).rstrip("/")
    for query in (f"identifier={system}|a%2Bb", "identifier=https%3A%2F%2Ffhir.kemkes.go.id%2Fid%2Fnik%7Ca%2Bb", ""):
        r = httpx.request("GET", f"{base}/Patient?{query}")
        assert r.json()["total"] == 1, query
    both = f"identifier={system}|a%2Bb&identifier={system}|c"
    assert httpx.get(f"{base}/Patient?{both}").json()["total"] == 0
    assert httpx.get(f"{base}/Patient?identifier={system}|c,{system}|a%2Bb").json()["total"] == 1


def test_w4_post_with_a_query_is_a_conditional_create(client: httpx.Client) -> None:
    first = client.post("/Patient?identifier=urn:s|1", json=patient())
    again = client.post("/Patient?identifier=urn:s|1", json=patient(active=True))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["location"] == first.headers["location"]
    header = client.post("/Patient", json=patient(), headers={"If-None-Exist": "identifier=urn:s|1"})
    assert header.status_code == 200
    agree = client.post(
        "/Patient?identifier=urn:s|1", json=patient(), headers={"If-None-Exist": "Patient?identifier=urn:s|1"}
    )
    assert agree.status_code == 200
    differ = {"If-None-Exist": "identifier=urn:s|2"}
    outcome(client.post("/Patient?identifier=urn:s|1", json=patient(), headers=differ), 400)
    assert client.post("/Patient?", json=patient()).status_code == 201  # fhirpy's plain create
    outcome(client.post("/Patient?identifier=urn:s|1", json=patient()), 412)


def test_w6_versions_and_headers(client: httpx.Client) -> None:
    made = client.post("/Patient", json=patient())
    id_ = made.json()["id"]
    assert made.headers["location"] == f"{str(client.base_url).rstrip('/')}/Patient/{id_}/_history/1"
    assert made.headers["etag"] == 'W/"1"' and made.headers["last-modified"].endswith(" GMT")
    for known in ('W/"1"', '"1"', "1"):
        r = client.get(f"/Patient/{id_}", headers={"If-None-Match": known})
        assert (r.status_code, r.content) == (304, b"")
    assert client.get(f"/Patient/{id_}", headers={"If-None-Match": "2"}).status_code == 200


def test_w7_links_go_where_the_client_dialled(client: httpx.Client) -> None:
    for n in range(3):
        client.post("/Patient", json=patient(str(n)))
    port = client.base_url.port
    base = f"http://localhost:{port}/fhir"
    page = httpx.get(f"{base}/Patient?_count=2").json()
    links = {link["relation"]: link["url"] for link in page["link"]}
    assert links["self"] == f"{base}/Patient?_count=2" and links["next"].startswith(f"{base}/Patient?_page=")
    last = httpx.get(links["next"]).json()
    assert [link["relation"] for link in last["link"]] == ["self"] and len(last["entry"]) == 1
    assert page["entry"][0]["fullUrl"].startswith(base)


def test_w8_count(client: httpx.Client) -> None:
    client.post("/Patient", json=patient())
    page = client.get("/Patient?_count=5000").json()
    assert page["link"][0]["url"].endswith("_count=1000")
    for query in ("_count=0", "_summary=count", "_count=0&_totalMethod=count", "_summary=count&_total=accurate"):
        found = client.get(f"/Patient?{query}").json()
        assert found["total"] == 1 and "entry" not in found, query
    outcome(client.get("/Patient?_count=many"), 400)


def test_w9_every_error_is_an_outcome(client: httpx.Client) -> None:
    outcome(client.get("/Patient/none"), 404)
    outcome(client.get("/Nothing/1"), 404)
    outcome(client.get("/patient"), 404)
    outcome(client.get("/a/b/c/d/e"), 404)
    outcome(httpx.get(str(client.base_url).replace("/fhir/", "/elsewhere")), 404)
    r = client.patch("/Patient/1", json=[])
    outcome(r, 405)
    assert "PUT" in r.headers["allow"]
    outcome(client.post("/Patient", content=b"{", headers=FHIR), 400)
    outcome(client.post("/Patient", content=b'{"resourceType":"Patient","id":1,"id":2}', headers=FHIR), 400)
    outcome(client.post("/Patient", json={"resourceType": "Observation"}), 400)
    outcome(client.post("/Patient", json={"no": "type"}), 400)


def test_w9_413(serve: Callable[..., httpx.Client]) -> None:
    client = serve(max_body=1000)
    outcome(client.post("/Patient", json=patient("x" * 1000)), 413)

    def chunks() -> Any:
        for _ in range(10):
            yield b" " * 200

    outcome(client.post("/Patient", content=chunks(), headers=FHIR), 413)


def test_w9_500_without_a_word_of_the_request(
    serve: Callable[..., httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(resource: dict[str, Any], *, place: Place) -> list[Any]:
        raise RuntimeError(f"can't judge {resource}")

    client = serve(check=broken)
    issues = outcome(client.post("/Patient", json=patient("SECRET-77")), 500)
    assert issues[0]["code"] == "exception" and "SECRET" not in json.dumps(issues)
    assert "SECRET" not in caplog.text and "RuntimeError" in caplog.text
    assert client.get("/Patient").json()["total"] == 0


def test_w9_503_when_another_writer_stays(serve: Callable[..., httpx.Client], repository: Repository) -> None:
    """R7 a busy store is 503 with Retry-After, never 500."""
    client = serve(wait=0.05)
    with repository.writing(holder="load of jp_ncch"):
        r = client.post("/Patient", json=patient())
        assert client.get("/Patient").status_code == 200  # readers go on
    assert outcome(r, 503)[0]["code"] == "lock-error" and int(r.headers["retry-after"]) > 0


def test_w10_prefer(client: httpx.Client) -> None:
    def made(returns: str) -> httpx.Response:
        r = client.post("/Patient", json=patient(), headers={"Prefer": f"return={returns}"})
        assert r.status_code == 201 and "location" in r.headers
        return r

    assert made("minimal").content == b""
    assert made("representation").json()["resourceType"] == "Patient"
    assert made("OperationOutcome").json()["resourceType"] == "OperationOutcome"
    entry = client.post("", json=bundle(patient()), headers={"Prefer": "return=representation"}).json()["entry"][0]
    assert entry["resource"]["meta"]["versionId"] == "1" and entry["fullUrl"].endswith(entry["resource"]["id"])


def test_w11_the_reply_to_a_transaction(client: httpx.Client) -> None:
    reply = client.post("", json=bundle(patient("1"), patient("2"))).json()
    assert check(reply, place=Place()) == []
    found = [client.get(e["response"]["location"]).json()["identifier"][0]["value"] for e in reply["entry"]]
    assert found == ["1", "2"]
    for entry in reply["entry"]:
        assert entry["response"].keys() == {"status", "location", "etag", "lastModified"}
        assert entry["response"]["status"].startswith("201") and entry["response"]["etag"] == 'W/"1"'


def test_w12_the_capability_statement(client: httpx.Client) -> None:
    statement = client.get("/metadata").json()
    assert check(statement, place=Place()) == []
    assert statement["fhirVersion"] == "4.0.1"
    (rest,) = statement["rest"]
    assert {i["code"] for i in rest["interaction"]} == {"transaction", "batch"}
    by_type = {r["type"]: r for r in rest["resource"]}
    names = [p["name"] for p in by_type["Observation"]["searchParam"]]
    assert names == ["_id", "_lastUpdated", "identifier", "patient", "subject"]
    assert by_type["Observation"]["searchParam"][3]["definition"].startswith("http://hl7.org/fhir/")
    for name in names:  # what is listed is served
        value = "2026" if name == "_lastUpdated" else "x"
        assert client.get(f"/Observation?{name}={value}").status_code == 200
    assert "identifier" not in [p["name"] for p in by_type["Binary"]["searchParam"]]


# --- the door -------------------------------------------------------------------------------------------


def test_open_is_for_loopback_only(repository: Repository) -> None:
    for host in ("127.0.0.1", "localhost", "::1", "[::1]", "127.0.0.9"):
        require_loopback(host)
    for host in ("0.0.0.0", "192.168.0.1", "", "example.org", "::"):
        with pytest.raises(ServeError) as error:
            create_app(repository, open=True, site="jp_ncch", host=host)
        assert error.value.issues[0].rule == "api.open-host"


def test_a_server_that_is_not_open_gives_nothing_but_metadata(serve: Callable[..., httpx.Client]) -> None:
    client = serve(open=False, host="0.0.0.0")
    assert client.get("/metadata").status_code == 200
    outcome(client.get("/Patient"), 401)
    outcome(client.post("/Patient", json=patient()), 401)
    outcome(client.post("", json=bundle(patient())), 401)


def test_health(client: httpx.Client) -> None:
    r = httpx.get(str(client.base_url).replace("/fhir/", "/health"))
    assert r.json() == {"status": "ok", "resources": 0}


def test_after_commit_is_called_before_the_answer(serve: Callable[..., httpx.Client], repository: Repository) -> None:
    told: list[tuple[str, int]] = []
    client = serve(after_commit=lambda site, written: told.append((site, len(written))))
    client.post("", json=bundle(patient("1"), patient("2")))
    assert told == [("jp_ncch", 2)] and repository.last_change() == 2


def test_a_failing_after_commit_denies_nothing(
    serve: Callable[..., httpx.Client], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(site: str, written: Any) -> None:
        raise RuntimeError("SECRET-77")

    client = serve(after_commit=broken)
    assert client.post("/Patient", json=patient()).status_code == 201
    assert client.get("/Patient").json()["total"] == 1
    assert "RuntimeError" in caplog.text and "SECRET" not in caplog.text


def test_one_request_id_in_answer_and_audit(client: httpx.Client, repository: Repository) -> None:
    given = client.post("/Patient", json=patient(), headers={"X-Request-Id": "r-1"})
    made = client.post("/Patient", json=patient())
    assert given.headers["x-request-id"] == "r-1"
    with repository._engine.connect() as connection:
        kept = [r[0] for r in connection.exec_driver_sql("SELECT request FROM audit ORDER BY seq")]
    assert kept == ["r-1", made.headers["x-request-id"]]
