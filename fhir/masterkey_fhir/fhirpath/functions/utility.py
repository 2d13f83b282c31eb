"""now, today, timeOfDay (N1 2.0.0 section 5.9)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from masterkey_fhir.fhirpath.code import Code, Env, single
from masterkey_fhir.fhirpath.functions.base import Function
from masterkey_fhir.fhirpath.items import Item
from masterkey_fhir.fhirpath.scope import Invocation
from masterkey_fhir.fhirpath.values import Date, DateTime, Time


def _second(now: datetime) -> Decimal:
    return Decimal(now.second) + Decimal(now.microsecond // 1000).scaleb(-3)


def _now(now: datetime) -> DateTime:
    offset = now.utcoffset()
    zone = int(offset.total_seconds() // 60) if offset is not None else None
    return DateTime((now.year, now.month, now.day, now.hour, now.minute, _second(now)), zone)


def _clock(kind: str, read: Callable[[datetime], Any]) -> Function:
    """One evaluation has one moment (section 5.9: "every call returns the same value")."""

    def build(call: Invocation) -> Code:
        def one(this: Item, env: Env) -> Any:
            return read(env.now())

        return single(kind, one)

    return Function(build)


FUNCTIONS: dict[str, Function] = {
    "now": _clock("System.DateTime", _now),
    "today": _clock("System.Date", lambda now: Date((now.year, now.month, now.day))),
    "timeOfDay": _clock("System.Time", lambda now: Time((now.hour, now.minute, _second(now)))),
}
