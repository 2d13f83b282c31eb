"""Damaged requests: whatever comes, the answer is an outcome below 500 and nothing half is stored."""

from __future__ import annotations

import copy
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from masterkey_fhir.store import Repository

sys.path.insert(0, str(Path(__file__).parent))
from server_support import FHIR

BUNDLE = {
    "resourceType": "Bundle",
    "type": "transaction",
    "entry": [
        {
            "fullUrl": "urn:uuid:p",
            "resource": {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": "1"}]},
            "request": {"method": "POST", "url": "Patient", "ifNoneExist": "identifier=urn:s|1"},
        },
        {
            "resource": {
                "resourceType": "Observation",
                "id": "o",
                "status": "final",
                "code": {"text": "x"},
                "subject": {"reference": "urn:uuid:p"},
            },
            "request": {"method": "PUT", "url": "Observation/o", "ifMatch": 'W/"1"'},
        },
        {"request": {"method": "GET", "url": "Observation?patient=p"}},
        {"request": {"method": "DELETE", "url": "Patient?identifier=urn:s|9"}},
    ],
}
JUNK: list[Any] = [
    None, 1, -1, 1.5, True, "", "x", "urn:uuid:1", "Patient?identifier=a|b", "Patient?", "Patient/1", "?", "|", [],
    {}, [1], [None], [[]], {"a": 1}, "Patient/" + "x" * 70, "é\x00", "\ud800", 10**30, "DELETE", "PUT", "PATCH",
    "Patient?_lastUpdated=x", "Patient/a/_history/99999999999", "batch", "transaction", "Patient?identifier=",
]  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to every member and element."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(chance: random.Random) -> bytes:
    bundle = copy.deepcopy(BUNDLE)
    bundle["type"] = chance.choice(["transaction", "batch"])
    for _ in range(chance.randint(1, 3)):
        *path, last = chance.choice(list(places(bundle)))
        parent: Any = bundle
        for key in path:
            parent = parent[key]
        if chance.random() < 0.2:
            del parent[last]
        else:
            parent[last] = chance.choice(JUNK)
    body = json.dumps(bundle).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(body))
        body = body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
    return body


def test_damaged_bundles(client: httpx.Client, repository: Repository) -> None:
    chance = random.Random(7)
    answered = set()
    for _ in range(300):
        before = repository.last_change()
        r = client.post("", content=damaged(chance), headers=FHIR)
        body = r.json()
        answered.add(r.status_code)
        assert r.status_code < 500, body
        if r.status_code != 200:
            assert body["resourceType"] == "OperationOutcome" and repository.last_change() == before
        for entry in body.get("entry", []):
            assert entry["response"]["status"] < "5"
    assert {200, 400} <= answered


def test_damaged_urls(client: httpx.Client) -> None:
    chance = random.Random(7)
    pieces = [
        "Patient", "Nothing", "_history", "1", "0", "-1", "99999999999", "?", "&", "=", "|", "%", "%00", "%7C", "%ff",
        "_id", "identifier", "_lastUpdated", "_count", "_page", "_sort", "_format", "json", "xml", "ge", "2026-01",
        "+", ",", "\\", "é", "/", "//", "..", ";", "$everything", "_search", "metadata", ":exact", "a" * 300,
    ]  # fmt: skip
    host = str(client.base_url).rstrip("/")
    for _ in range(300):
        url = host + "/" + "".join(chance.choices(pieces, k=chance.randint(1, 8)))
        method = chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
        r = client.request(method, url, content=b"{}" if method in ("POST", "PUT") else None)
        assert r.status_code < 500, (method, url, r.text)
        if r.status_code >= 400 and method != "HEAD":
            assert r.json()["resourceType"] == "OperationOutcome", (method, url)
