"""One table: interaction of the standard, method, path, who answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from masterkey_api.routes import bundle, read, system, write

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Interaction:
    """`level` is type or system, where CapabilityStatement lists `code`; "" is not listed there.

    Codes: http://hl7.org/fhir/R4/valueset-type-restful-interaction.html, -system-restful-interaction.html
    """

    level: str
    code: str
    method: str
    path: str
    answer: Answer


INTERACTIONS = (
    Interaction("", "capabilities", "GET", "/metadata", system.metadata),
    Interaction("system", "transaction", "POST", "", bundle.bundle),
    Interaction("system", "batch", "POST", "/", bundle.bundle),
    Interaction("", "", "POST", "/{type}/_search", read.search_by_post),
    Interaction("type", "search-type", "GET", "/{type}", read.search_type),
    Interaction("type", "create", "POST", "/{type}", write.create),
    Interaction("", "", "PUT", "/{type}", write.update),
    Interaction("", "", "DELETE", "/{type}", write.delete),
    Interaction("type", "read", "GET", "/{type}/{id}", read.read),
    Interaction("type", "update", "PUT", "/{type}/{id}", write.update),
    Interaction("type", "delete", "DELETE", "/{type}/{id}", write.delete),
    Interaction("type", "vread", "GET", "/{type}/{id}/_history/{version}", read.vread),
    Interaction("type", "history-instance", "GET", "/{type}/{id}/_history", read.instance_history),
)


def routes(base: str) -> list[Route]:
    """One Route per path, its methods together, so that another method is answered 405 and not 404."""
    by_path: dict[str, dict[str, Answer]] = {}
    for i in INTERACTIONS:
        by_path.setdefault(i.path, {})[i.method] = i.answer
    return [_route(base + path, answers) for path, answers in by_path.items()]


def _route(path: str, answers: dict[str, Answer]) -> Route:
    async def answer(request: Request) -> Response:
        return await answers["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, answer, methods=list(answers))
