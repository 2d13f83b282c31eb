"""What the tests of the server share; not a test itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from masterkey_fhir.check import check
from masterkey_fhir.issue import Place

FHIR = {"Content-Type": "application/fhir+json"}


def patient(value: str = "1", **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": value}], **more}


def bundle(*resources: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    entries = [{"resource": r, "request": {"method": "POST", "url": r["resourceType"]}} for r in resources]
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def outcome(r: httpx.Response, status: int) -> list[dict[str, Any]]:
    """The issues of an answer that must be a valid OperationOutcome."""
    assert r.status_code == status, r.text
    assert r.headers["content-type"].startswith("application/fhir+json")
    body = json.loads(r.content)
    assert body["resourceType"] == "OperationOutcome" and check(body, place=Place()) == []
    assert "Traceback" not in r.text and 'File "' not in r.text
    issues: list[dict[str, Any]] = body["issue"]
    return issues


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """The base URL of `app` served by uvicorn in a thread."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", access_log=False))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/fhir"
    finally:
        server.should_exit = True
        thread.join()
