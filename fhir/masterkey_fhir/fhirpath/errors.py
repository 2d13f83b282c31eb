"""What can go wrong with an expression.

MasterkeyError
  FhirPathError          has the offset in the text, and an Issue
    .kind "syntax"       the text is not FHIRPath N1
    .kind "semantic"     it names a type, element or function that does not exist (before any data is seen)
    .kind "execution"    this data can't be evaluated (several items where one is allowed, units that differ)
"""

from __future__ import annotations

from typing import Any

from masterkey_fhir.issue import MasterkeyError, Place, issue


class FhirPathError(MasterkeyError):
    """An expression that can't be read, compiled or evaluated; `position` is an offset from 0."""

    def __init__(self, kind: str, position: int, **facts: Any) -> None:
        found = issue(f"fhir.fhirpath-{kind}", Place(), position=position + 1, **facts)
        super().__init__(found)
        self.kind = kind
        self.position = position
        self.expected = str(facts.get("expected", ""))


def syntax(position: int, expected: str, found: str) -> FhirPathError:
    return FhirPathError("syntax", position, expected=expected, found=found)


def semantic(position: int, reason: str) -> FhirPathError:
    return FhirPathError("semantic", position, reason=reason)


def execution(position: int, reason: str) -> FhirPathError:
    """`reason` never holds a value of the data, only types, names and counts."""
    return FhirPathError("execution", position, reason=reason)
