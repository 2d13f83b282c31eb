"""create, update, delete and their conditional forms: each a transaction of one entry."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from masterkey_api.routes.bundle import execute
from masterkey_api.routes.context import door, service, type_of
from masterkey_api.routes.wire import (
    HttpError,
    accept_json,
    body_of,
    negotiate,
    outcome_response,
    prefer,
    written,
)
from masterkey_fhir.bundle import Entry, Outcome, RefusedError, single
from masterkey_fhir.bundle.reading import resource, type_faults
from masterkey_fhir.issue import issue
from masterkey_fhir.search import pairs


async def create(request: Request) -> Response:
    """`POST Type`; a transaction or batch posted to `Bundle` is executed (rule W1)."""
    body, type_ = await _body(request), type_of(request)
    condition = _condition(request)
    at, returns = door(request), prefer(request).returns

    def run() -> Outcome | None:
        value, text = resource(body)
        if type_ == "Bundle" and value.get("type") in ("transaction", "batch"):
            return None
        return single(at, _entry("POST", type_, value, text, if_none_exist=condition))

    found = await run_in_threadpool(run)
    if found is None:
        return await execute(at, body, returns)
    return written(found, at.base, returns)


async def update(request: Request) -> Response:
    """`PUT Type/id` and `PUT Type?query`."""
    body, type_ = await _body(request), type_of(request)
    at = door(request)

    def run() -> Outcome:
        value, text = resource(body)
        entry = _entry("PUT", type_, value, text, id=request.path_params.get("id", ""))
        entry.query = None if entry.id else request.url.query
        return single(at, _preconditions(request, entry))

    return written(await run_in_threadpool(run), at.base, prefer(request).returns)


async def delete(request: Request) -> Response:
    """`DELETE Type/id` and `DELETE Type?query` of at most one; again, it answers the same."""
    negotiate(request)
    entry = Entry("DELETE", type_of(request), request.path_params.get("id", ""))
    entry.query = None if entry.id else request.url.query
    found = await run_in_threadpool(single, door(request), _preconditions(request, entry))
    if prefer(request).returns == "OperationOutcome":
        return outcome_response(200, found.issues)
    etag = {} if found.version is None else {"ETag": f'W/"{found.version}"'}
    return Response(status_code=204, headers=etag)


async def _body(request: Request) -> bytes:
    negotiate(request)
    accept_json(request)
    return await body_of(request, service(request).max_body)


def _entry(
    method: str,
    type_: str,
    value: dict[str, object],
    text: str,
    *,
    id: str = "",
    if_none_exist: str | None = None,
) -> Entry:
    """Raises RefusedError when the body is of another type than the URL."""
    entry = Entry(method, type_, id, resource=value, text=text, if_none_exist=if_none_exist)
    found = type_faults(entry, "")
    if found:
        raise RefusedError(*found)
    return entry


def _preconditions(request: Request, entry: Entry) -> Entry:
    entry.if_match = request.headers.get("if-match")
    entry.if_none_match = request.headers.get("if-none-match")
    return entry


def _condition(request: Request) -> str | None:
    """Of `If-None-Exist`, or of `POST Type?query`, which must agree (rule W4); a lone `?` is nothing."""
    header = request.headers.get("if-none-exist")
    query = "&".join(f"{n}={v}" for n, v in pairs(request.url.query) if n not in ("_format", "_pretty"))
    if header is None:
        return query or None
    if query and sorted(pairs(query)) != sorted(pairs(header.rpartition("?")[2])):
        raise HttpError(400, issue("api.two-conditions"))
    return header
