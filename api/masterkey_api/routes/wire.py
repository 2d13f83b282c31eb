"""HTTP as FHIR uses it: media types, preferences, headers, bodies (http://hl7.org/fhir/R4/http.html)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import unquote_plus

from starlette.requests import Request
from starlette.responses import Response

from masterkey_fhir.bundle import Outcome
from masterkey_fhir.bundle.response import location, served
from masterkey_fhir.issue import Issue, MasterkeyError, issue, outcome
from masterkey_fhir.json import dumps

FHIR_JSON = "application/fhir+json; charset=utf-8"
_JSON = ("application/fhir+json", "application/json", "text/json", "json")
_ANY = ("*/*", "application/*", "text/*")
MAX_BODY = 64 * 1024 * 1024  # bytes; a patient of 2,279 entries has 8 MB


class HttpError(MasterkeyError):
    """A request that HTTP itself refuses; `status` is its answer."""

    def __init__(self, status: int, *issues: Issue) -> None:
        super().__init__(*issues)
        self.status = status


def fhir(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response in FHIR JSON."""
    return Response(body, status, headers, FHIR_JSON)


def outcome_response(status: int, issues: Sequence[Issue], headers: Mapping[str, str] | None = None) -> Response:
    return fhir(dumps(outcome(list(issues))), status, headers)


# --- media types (rule W2) ------------------------------------------------------------------------------


def negotiate(request: Request) -> None:
    """Raises HttpError 406 unless the client takes JSON; `_format` wins over Accept."""
    asked = query_value(request, "_format")
    accept = request.headers.get("accept", "*/*")
    # The plus of application/fhir+json, sent unencoded, arrives as a space.
    wanted = accept.split(",") if asked is None else [asked.replace(" ", "+")]
    if not any(_media(w) in (*_JSON, *_ANY) for w in wanted):
        raise HttpError(406, issue("api.not-acceptable"))


def accept_json(request: Request) -> None:
    """Raises HttpError 415 unless the body is said to be JSON, or nothing is said."""
    sent = request.headers.get("content-type")
    if sent is not None and _media(sent) not in _JSON:
        raise HttpError(415, issue("api.media-type"))


def _media(text: str) -> str:
    return text.split(";")[0].strip().lower()


def query_value(request: Request, name: str) -> str | None:
    """The last value of a parameter in the raw query."""
    found = [p for p in request.url.query.split("&") if p.split("=")[0] == name]
    return unquote_plus(found[-1].partition("=")[2]) if found else None


# --- preferences (rule W10) -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prefer:
    """`returns` is minimal, representation or OperationOutcome, "" when the client doesn't say."""

    returns: str
    lenient: bool


_RETURN = {"minimal": "minimal", "representation": "representation", "operationoutcome": "OperationOutcome"}


def prefer(request: Request) -> Prefer:
    said = dict(re.findall(r"(\w+)\s*=\s*\"?(\w+)", ",".join(request.headers.getlist("prefer")).lower()))
    return Prefer(_RETURN.get(said.get("return", ""), ""), said.get("handling") == "lenient")


# --- bodies ---------------------------------------------------------------------------------------------


async def body_of(request: Request, limit: int) -> bytes:
    """The raw body. Raises HttpError 413 as soon as it is known to be longer than `limit`."""
    declared = request.headers.get("content-length", "0")
    parts: list[bytes] = []
    size = int(declared) if declared.isdigit() else 0
    too_long = size > limit
    if not too_long:
        size = 0
        async for part in request.stream():
            size += len(part)
            too_long = size > limit
            if too_long:
                break
            parts.append(part)
    if too_long:
        raise HttpError(413, issue("api.too-large", limit=limit // (1024 * 1024)))
    return b"".join(parts)


# --- one resource ---------------------------------------------------------------------------------------


def http_date(instant: str) -> str:
    """A FHIR instant as HTTP writes dates (RFC 9110, 5.6.7)."""
    at = datetime.fromisoformat(instant.replace("Z", "+00:00")).astimezone(UTC)
    return format_datetime(at, usegmt=True)


def version_headers(o: Outcome) -> dict[str, str]:
    return {"ETag": f'W/"{o.version}"', "Last-Modified": http_date(o.last_updated)}


def written(o: Outcome, base: str, returns: str) -> Response:
    """The answer to a create or update: 201 or 200 with Location, ETag and what the client prefers."""
    headers = version_headers(o) | {"Location": location(o, base)}
    if returns == "minimal":
        return fhir(b"", o.code, headers)
    if returns == "OperationOutcome":
        return fhir(dumps(outcome(o.issues)), o.code, headers)
    return fhir(served(o), o.code, headers)


def not_modified(request: Request, o: Outcome) -> Response | None:
    """304 when the client has this version: `W/"3"`, `"3"` or `3` (rule W6)."""
    known = request.headers.get("if-none-match")
    if known is None or str(o.version) not in re.findall(r"\d+", known):
        return None
    return Response(status_code=304, headers={"ETag": f'W/"{o.version}"'})
