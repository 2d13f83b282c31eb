"""The CapabilityStatement, written from the table that serves (http://hl7.org/fhir/R4/capabilitystatement.html)."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any

from masterkey_fhir.definitions import resource_types, search_parameters
from masterkey_fhir.search import offered


def statement(base: str, started: datetime) -> dict[str, Any]:
    """Strict R4; `base` is the URL the client dialled, `started` when this server began."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "masterkey", "version": version("masterkey")},
        "implementation": {"description": "masterkey FHIR API", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "resource": _resources(), "interaction": _interactions("system")}],
    }


@cache
def _resources() -> list[dict[str, Any]]:
    return [_resource(name) for name in sorted(resource_types())]


def _resource(name: str) -> dict[str, Any]:
    return {
        "type": name,
        "interaction": _interactions("type"),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "searchParam": [_parameter(name, code, kind) for code, kind in offered(name).items()],
    }


def _parameter(type: str, code: str, kind: str) -> dict[str, Any]:
    own = search_parameters(type).get(code)
    return {"name": code, **({"definition": own.url} if own else {}), "type": kind}


@cache
def _interactions(level: str) -> list[dict[str, str]]:
    from masterkey_api.routes import INTERACTIONS

    return [{"code": i.code} for i in INTERACTIONS if i.level == level]
