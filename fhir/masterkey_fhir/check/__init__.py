"""The judge of base FHIR R4 4.0.1: is this resource what the standard allows?

Checked: JSON shape, unknown and missing elements, array or single, choices, types all the way down, formats
of primitives with the real calendar, required bindings that R4 core itself decides, types of reference
targets. Not checked here: invariants and profiles, extensible and weaker bindings. Of code systems that R4 core
does not hold (MIME types, currencies, languages) the grammar is checked, of UCUM and LOINC LL379-9 nothing: what
can't be decided is no error.

An Issue never holds a value of the resource, except the code itself where a required binding refuses it and
it looks like a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from masterkey_fhir import json
from masterkey_fhir.check.findings import Finding
from masterkey_fhir.check.objects import resource_check
from masterkey_fhir.issue import Issue, Place, issue

MOST_ISSUES = 1000
_NOWHERE = Place()


def check(resource: Any, *, place: Place = _NOWHERE, record: str = "") -> list[Issue]:
    """All Issues of a resource in the order of its elements; [] when it is valid R4.

    `resource` as `masterkey_fhir.json.loads` gives it. `place` says where it came from; each Issue adds the
    FHIRPath expression of the element. Never raises for JSON values.
    """
    judge = resource_check()
    try:
        if judge.ok(resource):
            return []
        return list(_issues(judge.explain(resource), resource, place, record))
    except RecursionError:
        return [issue("fhir.json-depth", place, record=record, limit=json.MAX_DEPTH)]


def check_json(
    text: bytes | bytearray | str, *, place: Place = _NOWHERE, record: str = ""
) -> tuple[dict[str, Any] | None, list[Issue]]:
    """The parsed resource and all Issues; no resource when the text could not be read without loss."""
    resource, found = json.parse(text, place)
    if resource is None:
        return None, found
    return resource, check(resource, place=place, record=record)


def _issues(findings: Iterator[Finding], resource: Any, place: Place, record: str) -> Iterator[Issue]:
    start = json.root(resource) if isinstance(resource, dict) else ""
    for finding in islice(findings, MOST_ISSUES):
        where = replace(place, expression=(start + finding.path).removeprefix("."))
        yield replace(issue(finding.rule, where, record=record), facts=finding.facts)
    rest = sum(1 for _ in findings)
    if rest:
        yield issue("fhir.more-issues", replace(place, expression=start), record=record, rest=rest)
