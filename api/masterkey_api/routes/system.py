"""`metadata` and `/health`."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from masterkey_api.capability import statement
from masterkey_api.routes.context import door, service
from masterkey_api.routes.wire import fhir, negotiate
from masterkey_fhir.json import dumps


async def metadata(request: Request) -> Response:
    negotiate(request)
    return fhir(dumps(statement(door(request).base, request.app.state.started)))


async def health(request: Request) -> Response:
    """200 when the repository answers; the body tells how many resources it holds."""
    counts = await run_in_threadpool(service(request).repository.counts)
    body = dumps({"status": "ok", "resources": sum(counts.values())})
    return Response(body, media_type="application/json")
