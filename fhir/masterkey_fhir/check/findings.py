"""What the checks hand upwards: a rule broken at a path below the value that was looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from masterkey_fhir.issue import Fact


class Finding(NamedTuple):
    """`path` is a FHIRPath suffix (".name[0].family"), completed by each level on the way up."""

    path: str
    rule: str
    facts: dict[str, Fact]


def finding(rule: str, path: str = "", **facts: Fact) -> Finding:
    return Finding(path, rule, facts)


def prefixed(prefix: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    for f in findings:
        yield Finding(prefix + f.path, f.rule, f.facts)


@dataclass(frozen=True, slots=True)
class Check:
    """One checker of a JSON value.

    `ok` is the fast filter: truthy only when there is nothing to find; it may raise TypeError for a value of
    the wrong kind. `explain` is the authority: the findings, none when the value is valid after all.
    """

    ok: Callable[[Any], object]
    explain: Callable[[Any], Iterator[Finding]]

    def findings(self, value: Any) -> Iterator[Finding]:
        if not passes(self.ok, value):
            yield from self.explain(value)


def passes(ok: Callable[[Any], object], value: Any) -> bool:
    try:
        return bool(ok(value))
    except TypeError:
        return False
