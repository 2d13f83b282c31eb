"""The Issues of one reading, in order; the many of one kind are told together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from masterkey_etl.readers import limits
from masterkey_fhir.issue import Issue, Place, issue


class Notes:
    """Passes Issues on. Structural ones of one rule are told singly up to a limit, then counted."""

    def __init__(self, place: Place, tell: Callable[[Issue], None], seal: Callable[..., str] | None = None) -> None:
        self.place = place
        self._seal = seal  # a keyed digest: Issues tell by it whether a value is still the same
        self.add = tell  # an Issue of a record: every one is told
        self._told: Counter[tuple[str, str]] = Counter()

    def at(self, row: int | None = None, field: str = "") -> Place:
        return Place(self.place.site, self.place.file, row, field)

    def add_about(self, found: Issue, *values: str) -> None:
        """An Issue of a record that is about these values; they go in as a keyed digest."""
        self.add(replace(found, value=self._seal("value", *values)) if self._seal else found)

    def tell(self, rule: str, row: int | None = None, field: str = "", **facts: str | int) -> None:
        """A structural Issue: after limits.SAME_ISSUES of one rule and column the rest is counted."""
        self._told[rule, field] += 1
        if self._told[rule, field] <= limits.SAME_ISSUES:
            found = issue(rule, self.at(row, field))
            self.add(replace(found, facts=facts))

    def finish(self) -> None:
        """Say how many were counted only."""
        for (rule, field), n in self._told.items():
            if (more := n - limits.SAME_ISSUES) > 0:
                place = self.at(None, field)
                self.add(issue("etl.more-of-these", place, count=more, more=more, kind=rule))
