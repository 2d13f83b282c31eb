"""Required code systems that R4 core holds as a grammar only: what breaks the grammar is no member.

A code that keeps it is not thereby proven: it stays undecided, and passes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from masterkey_fhir.check.findings import Check, Finding, finding
from masterkey_fhir.check.values import both


class Grammar(NamedTuple):
    pattern: str
    name: str
    example: str


_TOKEN = "[A-Za-z0-9!#$&^_.+-]+"
GRAMMARS: dict[str, Grammar] = {
    # type/subtype (RFC 6838, section 4.2), and FHIR's own short forms of CapabilityStatement.format
    "http://hl7.org/fhir/ValueSet/mimetypes": Grammar(
        rf"{_TOKEN}/{_TOKEN}(?:\s*;.*)?|xml|json|ttl", "MIME type", "text/plain; charset=UTF-8"
    ),
    "http://hl7.org/fhir/ValueSet/currencies": Grammar("[A-Z]{3}", "ISO 4217 currency", "JPY"),
    # RFC 5646, section 2.1: subtags of at most eight letters and digits
    "http://hl7.org/fhir/ValueSet/all-languages": Grammar(
        "[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*", "BCP 47 language tag", "ja"
    ),
}


def follows(code: Check, grammar: Grammar) -> Check:
    """A `code` that keeps the grammar of its system."""
    ok = re.compile(grammar.pattern).fullmatch

    def explain(value: Any) -> Iterator[Finding]:
        if not ok(value):
            yield finding("fhir.code-grammar", what=grammar.name, example=grammar.example)

    return both(code, ok, explain)
