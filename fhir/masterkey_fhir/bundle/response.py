"""Outcomes as a transaction-response or batch-response, in the order of the entries (rule W11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from masterkey_fhir.bundle.model import Outcome
from masterkey_fhir.issue import outcome
from masterkey_fhir.json import dumps
from masterkey_fhir.store.text import with_meta


def response(kind: str, outcomes: Sequence[Outcome], base: str, prefer: str = "minimal") -> bytes:
    """`kind` is transaction or batch; `prefer` minimal, representation or OperationOutcome.

    What was read (GET) is always returned; what was written only as `representation`.
    """
    head = dumps({"resourceType": "Bundle", "type": f"{kind}-response"})
    if not outcomes:
        return head
    return head[:-1] + b',"entry":[' + b",".join(_entry(o, base, prefer) for o in outcomes) + b"]}"


def _entry(o: Outcome, base: str, prefer: str) -> bytes:
    told = b'{"response":' + dumps(_response(o, base, prefer)) + b"}"
    if o.text is None or (o.type and prefer != "representation"):
        return told
    url = b'"fullUrl":' + dumps(f"{base}/{o.type}/{o.id}") + b"," if o.type else b""
    return b"{" + url + b'"resource":' + served(o) + b"," + told[1:]


def served(o: Outcome) -> bytes:
    """The resource of an outcome as it is given out."""
    assert o.text is not None
    return o.text if o.version is None else with_meta(o.text, o.version, o.last_updated)


def location(o: Outcome, base: str) -> str:
    """`[base]/Type/id/_history/n` (rule W6)."""
    return f"{base}/{o.type}/{o.id}/_history/{o.version}"


def _response(o: Outcome, base: str, prefer: str) -> dict[str, Any]:
    out: dict[str, Any] = {"status": o.status}
    if o.type and o.version is not None:
        out["location"] = location(o, base)
    if o.version is not None:
        out |= {"etag": f'W/"{o.version}"', "lastModified": o.last_updated}
    if o.issues or prefer == "OperationOutcome":
        out["outcome"] = outcome(o.issues)
    return out
