"""The versions of one resource, newest first (http://hl7.org/fhir/R4/http.html#history)."""

from __future__ import annotations

from typing import Any

from masterkey_fhir.bundle.model import Door, RefusedError
from masterkey_fhir.issue import issue
from masterkey_fhir.json import dumps
from masterkey_fhir.store import Stored


def history(door: Door, type: str, id: str) -> bytes:
    """A Bundle of type history. Raises RefusedError (404) when there never was such a resource."""
    found = door.repository.history(door.site, type, id)
    if not found:
        raise RefusedError(issue("fhir.not-found", type=type))
    links = [{"relation": "self", "url": f"{door.base}/{type}/{id}/_history"}]
    head = dumps({"resourceType": "Bundle", "type": "history", "total": len(found), "link": links})
    return head[:-1] + b',"entry":[' + b",".join(_entry(door, s) for s in found) + b"]}"


def _entry(door: Door, s: Stored) -> bytes:
    """A deletion has a request and no resource."""
    head = b'{"fullUrl":' + dumps(f"{door.base}/{s.type}/{s.id}")
    body = b"" if s.deleted else b',"resource":' + s.served()
    return head + body + b"," + dumps(_exchange(s))[1:]


def _exchange(s: Stored) -> dict[str, Any]:
    method = "DELETE" if s.deleted else "PUT" if s.version > 1 else "POST"
    status = {"DELETE": "204 No Content", "PUT": "200 OK", "POST": "201 Created"}[method]
    url = s.type if method == "POST" else f"{s.type}/{s.id}"
    return {
        "request": {"method": method, "url": url},
        "response": {"status": status, "etag": s.etag, "lastModified": s.last_updated},
    }
