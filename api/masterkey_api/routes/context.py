"""What a request has at hand: the door of its site, and the type named in its URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import tzinfo
from uuid import uuid4

from starlette.requests import Request

from masterkey_api.routes.wire import MAX_BODY
from masterkey_fhir.bundle import AfterCommit, Check, Door, Protect, RefusedError
from masterkey_fhir.definitions import resource_types
from masterkey_fhir.issue import issue
from masterkey_fhir.search import Tokens
from masterkey_fhir.store import Repository


@dataclass(frozen=True, slots=True)
class Service:
    """What the server was started with; the same for every request."""

    repository: Repository
    site: str
    open: bool
    check: Check
    protect: Protect | None
    after_commit: AfterCommit | None
    zone: tzinfo
    tokens: Tokens
    max_body: int = MAX_BODY
    wait: float = 30.0


def service(request: Request) -> Service:
    found = request.app.state.service
    assert isinstance(found, Service)
    return found


def door(request: Request) -> Door:
    """The door of this request. Links go where the client dialled (rule W7)."""
    s = service(request)
    return Door(
        s.repository,
        s.site,
        s.check,
        s.protect,
        s.after_commit,
        base=f"{str(request.base_url).rstrip('/')}/fhir",
        zone=s.zone,
        agent="anonymous",
        request=request_id(request),
        wait=s.wait,
        tokens=s.tokens,
    )


def request_id(request: Request) -> str:
    """The client's X-Request-Id where it is a plain token, else a new one; the same for the whole request."""
    known = request.scope.get("masterkey_request") or request.headers.get("x-request-id", "")
    if not (known.isascii() and 0 < len(known) <= 64 and known.isprintable()):
        known = str(uuid4())
    request.scope["masterkey_request"] = known
    return str(known)


def type_of(request: Request) -> str:
    """The resource type of the URL. Raises RefusedError (404) when R4 has none of that name."""
    name: str = request.path_params["type"]
    if name not in resource_types():
        raise RefusedError(issue("fhir.type-unknown"))
    return name
