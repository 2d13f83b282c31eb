"""An Issue: place, fact and remedy. FHIR's OperationOutcome.issue, used by every room.

A room declares its rules in `<package>/messages.yaml`:

    etl.row-width:
      severity: error              # fatal | error | warning | information (http://hl7.org/fhir/R4/valueset-issue-severity.html)
      code: structure              # http://hl7.org/fhir/R4/valueset-issue-type.html
      en: {fact: "the row has {found} fields, the header {expected}", remedy: "Export the file again ..."}
      ja: {fact: "...", remedy: "..."}

and writes `issue("etl.row-width", Place(site, file, row), found=3, expected=4)`. The first part of a rule
id names the room. Facts never hold a value that can identify a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

Fact = str | int
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class MasterkeyError(Exception):
    """The root of what masterkey raises; carries the Issues that tell why.

    MasterkeyError
      every package derives its own from it, one level deep, named after what can't go on
    """

    def __init__(self, *issues: Issue) -> None:
        super().__init__("\n".join(str(i) for i in issues))
        self.issues = issues


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is wrong. `row` counts like a spreadsheet: the header is row 1.

    `expression` is FHIRPath (`Patient.name[0].family`); `field` a column id or element path.
    """

    site: str = ""
    file: str = ""
    row: int | None = None
    field: str = ""
    expression: str = ""

    def __str__(self) -> str:
        head = "/".join(p for p in (self.site, self.file) if p)
        tail = [
            f"row {self.row}" if self.row is not None else "",
            f"column {self.field}" if self.field and not self.expression else "",
            self.expression,
        ]
        return ", ".join(p for p in (head, *tail) if p)


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding. Its identity over time is (place.site, record, place.field, rule), never a row number."""

    rule: str
    severity: str
    code: str
    place: Place = field(default_factory=Place)
    facts: Mapping[str, Fact] = field(default_factory=dict)
    record: str = ""  # key of the record, pseudonymous: a FHIR id, never a source identifier
    count: int = 1
    value: str = ""  # keyed digest of the source value(s) that are wrong; "" where the facts say it all

    @property
    def is_error(self) -> bool:
        return self.severity in ("error", "fatal")

    @property
    def identity(self) -> tuple[str, str, str, str]:
        return (self.place.site, self.record, self.place.field or self.place.expression, self.rule)

    def fact(self, language: str = "en") -> str:
        return _say(self, language, "fact")

    def remedy(self, language: str = "en") -> str:
        return _say(self, language, "remedy")

    def at(self, **changes: Any) -> Issue:
        """The same Issue with parts of its place replaced."""
        return replace(self, place=replace(self.place, **changes))

    def __str__(self) -> str:
        place = str(self.place)
        return f"{place + ': ' if place else ''}{self.fact()}. {self.remedy()}"

    def as_outcome(self, language: str = "en") -> dict[str, Any]:
        """As OperationOutcome.issue (http://hl7.org/fhir/R4/operationoutcome.html)."""
        out: dict[str, Any] = {
            "severity": self.severity,
            "code": self.code,
            "details": {
                "coding": [{"system": RULE_SYSTEM, "code": self.rule}],
                "text": f"{self.fact(language)}. {self.remedy(language)}",
            },
        }
        place = str(replace(self.place, expression=""))
        if place:
            out["diagnostics"] = place
        if self.place.expression:
            out["expression"] = [self.place.expression]
        return out


RULE_SYSTEM = "urn:masterkey:fhir:CodeSystem:rule"


def issue(rule: str, place: Place | None = None, *, record: str = "", count: int = 1, **facts: Fact) -> Issue:
    """An Issue of a declared rule; severity and code come from the room's catalogue.

    Raises KeyError when the rule is not declared: a mistake of ours, found by the first test.
    """
    entry = catalogue(rule.partition(".")[0])[rule]
    return Issue(rule, entry["severity"], entry["code"], place or Place(), facts, record, count)


def turn_of(rule: str, severity: str) -> str:
    """Whose turn it is when an Issue opens: `site`, or as the catalogue says; information asks nobody ("")."""
    if severity == "information":
        return ""
    return str(catalogue(rule.partition(".")[0]).get(rule, {}).get("turn", "site"))


def outcome(issues: list[Issue] | tuple[Issue, ...], language: str = "en") -> dict[str, Any]:
    """An OperationOutcome; one information issue when there is nothing to say (issue is 1..*)."""
    said = [i.as_outcome(language) for i in issues]
    return {
        "resourceType": "OperationOutcome",
        "issue": said or [{"severity": "information", "code": "informational", "details": {"text": "No issues"}}],
    }


@cache
def catalogue(room: str) -> Mapping[str, Mapping[str, Any]]:
    """The rules of one room (`fhir`, `omop`, `validation`, `etl`, `api`)."""
    text = files(f"masterkey_{room}").joinpath("messages.yaml").read_text(encoding="utf-8")
    return yaml.load(text, Loader=_LOADER) or {}  # a safe loader, in C where there is one


class _Missing(dict[str, Fact]):
    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def _say(i: Issue, language: str, part: str) -> str:
    entry = catalogue(i.rule.partition(".")[0])[i.rule]
    texts = entry.get(language) or entry["en"]
    return filled(str(texts[part]), i.facts)


def filled(text: str, facts: Mapping[str, Fact]) -> str:
    """The text with its placeholders filled; one without a fact stays as it is written."""
    return text.format_map(_Missing(facts))
