"""`POST [base]`: transaction and batch."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from masterkey_api.routes.context import door, service
from masterkey_api.routes.wire import accept_json, body_of, fhir, negotiate, prefer
from masterkey_fhir.bundle import Door, exchange, response


async def bundle(request: Request) -> Response:
    negotiate(request)
    accept_json(request)
    body = await body_of(request, service(request).max_body)
    return await execute(door(request), body, prefer(request).returns)


async def execute(at: Door, body: bytes, returns: str) -> Response:
    def run() -> bytes:
        kind, outcomes = exchange(at, body)
        return response(kind, outcomes, at.base, returns or "minimal")

    return fhir(await run_in_threadpool(run))
