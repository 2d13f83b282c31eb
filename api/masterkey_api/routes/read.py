"""read, vread, history of an instance, search."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from masterkey_api.routes.context import door, service, type_of
from masterkey_api.routes.wire import (
    HttpError,
    body_of,
    fhir,
    negotiate,
    not_modified,
    prefer,
    version_headers,
)
from masterkey_fhir.bundle import Door, Entry, history, search, single
from masterkey_fhir.bundle.response import served
from masterkey_fhir.issue import issue


async def read(request: Request) -> Response:
    return await _version(request, None)


async def vread(request: Request) -> Response:
    text = request.path_params["version"]
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HttpError(404, issue("fhir.not-found", type="version"))
    return await _version(request, int(text))


async def _version(request: Request, version: int | None) -> Response:
    negotiate(request)
    entry = Entry("GET", type_of(request), request.path_params["id"], version=version)
    found = await run_in_threadpool(single, door(request), entry)
    return not_modified(request, found) or fhir(served(found), headers=version_headers(found))


async def instance_history(request: Request) -> Response:
    negotiate(request)
    at, type_, id_ = door(request), type_of(request), request.path_params["id"]
    return fhir(await run_in_threadpool(history, at, type_, id_))


async def search_type(request: Request) -> Response:
    negotiate(request)
    return await _search(request, request.url.query)


async def search_by_post(request: Request) -> Response:
    """`POST Type/_search`: parameters of the form and of the URL together."""
    negotiate(request)
    sent = request.headers.get("content-type", "application/x-www-form-urlencoded")
    if not sent.lower().startswith("application/x-www-form-urlencoded"):
        raise HttpError(415, issue("api.form-type"))
    form = (await body_of(request, service(request).max_body)).decode("utf-8", "replace")
    return await _search(request, "&".join(q for q in (request.url.query, form) if q))


async def _search(request: Request, raw: str) -> Response:
    at: Door = door(request)
    lenient = prefer(request).lenient
    return fhir(await run_in_threadpool(search, at, type_of(request), raw, lenient))
