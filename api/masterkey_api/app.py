"""The server: `create_app` builds it, `serve` runs it on a port.

Every answer under `/fhir` that is an error is an OperationOutcome; no traceback and no value of a request
reaches the client or the log.
"""

from __future__ import annotations

import ipaddress
import logging
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from masterkey_api.routes import routes
from masterkey_api.routes.context import Service, request_id
from masterkey_api.routes.system import health
from masterkey_api.routes.wire import MAX_BODY, HttpError, outcome_response
from masterkey_fhir.bundle import AfterCommit, Check, Protect, RefusedError
from masterkey_fhir.bundle.model import STATUS
from masterkey_fhir.issue import MasterkeyError, issue
from masterkey_fhir.search import Tokens
from masterkey_fhir.store import Repository

log = logging.getLogger(__name__)


class Workspace(Protocol):
    """What is needed of a workspace."""

    @property
    def repository_url(self) -> str | Path: ...


class ServeError(MasterkeyError):
    """The server can't be started as asked."""


# Dates of a search without a zone are read in the zone of the asking site (rule R15): its country's, that of
# the capital where a country has several (https://www.iana.org/time-zones).
ZONES = {
    "jp": "Asia/Tokyo",
    "my": "Asia/Kuala_Lumpur",
    "th": "Asia/Bangkok",
    "id": "Asia/Jakarta",
    "ph": "Asia/Manila",
    "vn": "Asia/Ho_Chi_Minh",
}


def create_app(
    workspace_or_repository: Workspace | Repository,
    *,
    open: bool,
    site: str,
    check: Check | None = None,
    protect: Protect | None = None,
    after_commit: AfterCommit | None = None,
    zone: tzinfo | None = None,
    secret: bytes | None = None,
    host: str = "127.0.0.1",
    max_body: int = MAX_BODY,
    wait: float = 30.0,
) -> FastAPI:
    """The FHIR API of one site at `/fhir`.

    `open` serves without authentication and only on a loopback `host`, else ServeError; when it is False,
    everything but metadata and health is refused, for there is no other way in yet. `check` defaults to the
    base R4 judge; `secret` (32 bytes) seals paging tokens over several workers; `wait` is how many seconds a
    write waits for another writer before it is answered 503.
    """
    if open:
        require_loopback(host)
    app = FastAPI(title="masterkey", openapi_url=None, redirect_slashes=False)
    app.state.started = datetime.now(UTC)
    app.state.service = Service(
        _repository(workspace_or_repository),
        site,
        open,
        check or _base_check(),
        protect,
        after_commit,
        zone or _zone(site),
        Tokens(secret),
        max_body,
        wait,
    )
    app.router.routes += [Route("/health", health), *routes("/fhir")]
    app.add_exception_handler(MasterkeyError, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Shield)
    return app


def serve(app: FastAPI, host: str, port: int) -> None:
    """Run until interrupted. The access log is off: a query string holds data of patients."""
    import uvicorn

    uvicorn.run(app, host=host, port=port, access_log=False, log_level="warning", server_header=False)


def require_loopback(host: str) -> None:
    """Raises ServeError: an open server on another address gives everything to the whole network."""
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ServeError(issue("api.open-host"))


def _repository(given: Workspace | Repository) -> Repository:
    return given if isinstance(given, Repository) else Repository.open(given.repository_url)


def _base_check() -> Check:
    from masterkey_fhir.check import check

    return check


def _zone(site: str) -> tzinfo:
    name = ZONES.get(site.partition("_")[0])
    return ZoneInfo(name) if name else UTC


# --- errors (rule W9) -----------------------------------------------------------------------------------


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, MasterkeyError)
    status = _status(error)
    wait = {"Retry-After": "2"} if status == 503 else {}
    return outcome_response(status, error.issues, wait)


def _status(error: MasterkeyError) -> int:
    if isinstance(error, RefusedError | HttpError):
        return error.status
    return next((STATUS[i.rule] for i in error.issues if i.rule in STATUS), 400)


_HTTP = {404: "api.no-route", 405: "api.method", 400: "api.request"}


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    rule = _HTTP.get(error.status_code, "api.request")
    return outcome_response(error.status_code, [issue(rule)], error.headers)


class Shield:
    """Around everything: closed doors, request ids, and errors of ours as a plain 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        started = _Started(send, request_id(request))
        try:
            closed = _closed(request)
            await (closed or self._app)(scope, receive, started)
        except Exception as error:  # noqa: BLE001  the last line: whatever it is, the client gets an outcome
            log.error("%s at %s", type(error).__name__, _where(error))
            if not started.begun:
                await outcome_response(500, [issue("api.internal")])(scope, receive, started)


class _Started:
    """Passes messages on, adds the request id, remembers whether the answer has begun."""

    def __init__(self, send: Send, request: str) -> None:
        self._send, self._request, self.begun = send, request.encode(), False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = [*message.get("headers", []), (b"x-request-id", self._request)]
        await self._send(message)


def _closed(request: Request) -> Response | None:
    """401 for everything but metadata and health when the server is not open."""
    app = request.scope["app"]
    path = request.url.path
    if app.state.service.open or path in ("/fhir/metadata", "/health") or not path.startswith("/fhir"):
        return None
    return outcome_response(401, [issue("api.no-login")])


def _where(error: BaseException) -> str:
    """File and line of the innermost frame; never the message, which may quote a value."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
