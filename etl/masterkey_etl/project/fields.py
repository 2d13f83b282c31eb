"""A value as a CDM field takes it; what does not fit whole is kept whole beside the CDM."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from masterkey_etl.project.model import Emitted, Fit
from masterkey_etl.project.values import day, instant, number, whole
from masterkey_omop.schema import Field


def fitting(target: Field) -> Fit:
    """A value as the field takes it; what does not fit whole is kept whole beside the CDM."""
    if target.type == "integer" and target.name.endswith("_id"):
        return lambda value, emitted: value  # a key or a concept id, made here
    if target.type == "date":
        return partial(_fit_date, target.name, target.name.endswith("end_date") or target.name == "death_date")
    if target.type == "datetime":
        return lambda value, emitted: instant(str(value))  # without a time there is only the date field
    if target.type in ("integer", "float"):
        return partial(_fit_number, target.name, whole if target.type == "integer" else number)
    return partial(_fit_text, target.name, target.length)


def _fit_number(name: str, convert: Callable[[Any], Any], value: Any, emitted: Emitted) -> Any:
    fitted = convert(value)
    if fitted is None:
        emitted.note("full_value", name, str(value))
    return fitted


def _fit_text(name: str, length: int | None, value: Any, emitted: Emitted) -> str:
    text = value if type(value) is str else str(value)
    if length is None or len(text) <= length:
        return text
    emitted.note("full_value", name, text)
    return text[:length]


def _fit_date(name: str, last: bool, value: Any, emitted: Emitted) -> str | None:
    text = str(value)
    found = day(text, last)
    if found is None:
        emitted.note("full_value", name, text)
        return None
    if found.partial:
        emitted.note("partial_date", name, text)
    return found.text
