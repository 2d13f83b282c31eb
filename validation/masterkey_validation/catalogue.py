"""The catalogue of checks: `checks.csv` (one row a check), `checks/<check>.sql` (its rows),
`checks/<check>.md` (its page).

The SQL is OHDSI-SQL that gives one row per judged record: `person_id, record_table, record_id, violated` (0
or 1). From it the runner makes counts by site and lists of failing ids; a native kind (`KINDS`) also becomes
a Great Expectations expectation on the table itself, so that the two runners don't share their arithmetic.
"""

from __future__ import annotations

import csv
import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from masterkey_fhir.issue import MasterkeyError, Place, issue
from masterkey_omop.vocabulary import bindings
from masterkey_validation.data import folder

# kind -> what Great Expectations calls it; "rows" has no native form
KINDS = {
    "not_null": "ExpectColumnValuesToNotBeNull",
    "unique": "ExpectColumnValuesToBeUnique",
    "in_set": "ExpectColumnValuesToBeInSet",
    "not_in_set": "ExpectColumnValuesToNotBeInSet",
    "between": "ExpectColumnValuesToBeBetween",
    "pair_order": "ExpectColumnPairValuesAToBeGreaterThanB",
    "not_match_regex": "ExpectColumnValuesToNotMatchRegex",
    "rows": "ExpectColumnValuesToBeInSet",
}
SEVERITIES = ("error", "query", "info")


class CatalogueError(MasterkeyError):
    """A check or a suite is not written as it must be."""


@dataclass(frozen=True, slots=True)
class Check:
    """One row of the catalogue with its SQL.

    `severity`: error (impossible, set aside until corrected), query (the site is asked), info (counted only).
    `threshold`: percent of judged rows that may violate, 0 = none. `parameters`: as written, see `values`.
    """

    id: str
    name: str
    title: Mapping[str, str]  # language -> text
    category: str  # Kahn: Conformance | Completeness | Plausibility
    subcategory: str
    context: str  # Kahn: Verification | Validation
    severity: str
    level: str
    table: str
    field: str
    kind: str
    parameters: Mapping[str, str]
    denominator: str
    threshold: float
    threshold_reason: str
    source: str
    source_status: str
    sql: str
    page: str
    page_ja: str

    def page_in(self, language: str) -> str:
        """The page in `language`, in English where it has not been translated."""
        return (self.page_ja if language == "ja" else "") or self.page

    def values(self, as_of: date) -> dict[str, Any]:
        """The parameters with bindings, `today` and `year` resolved. Raises KeyError for an unknown
        binding."""
        return {name: _value(name, text, as_of) for name, text in self.parameters.items()}

    def passes(self, denominator: int, violated: int) -> bool:
        """No violated row, or fewer percent of them than the threshold allows."""
        if self.threshold <= 0:
            return violated == 0
        return violated * 100 <= self.threshold * denominator


@cache
def load(root: Path | None = None) -> tuple[Check, ...]:
    """All checks in the order of the catalogue, the shipped one by default. Raises CatalogueError."""
    index = root / "checks.csv" if root else folder("checks.csv")
    pages = root / "checks" if root else folder("checks")
    with index.open(encoding="utf-8", newline="") as stream:
        return tuple(_check(row, number, pages) for number, row in enumerate(csv.DictReader(stream), 2))


def suite(name: str = "core", root: Path | None = None) -> list[Check]:
    """The checks of a suite (`suites/<name>.yaml`). Raises CatalogueError for an id that no check has."""
    import yaml

    place = (root / "suites" if root else folder("suites")) / f"{name}.yaml"
    wanted = (yaml.safe_load(place.read_text(encoding="utf-8")) or {}).get("checks", [])
    known = {check.id: check for check in load(root)}
    missing = [i for i in wanted if i not in known]
    if missing:
        found, listed = ", ".join(map(str, missing)), ", ".join(known)
        where = Place(file=place.name)
        raise CatalogueError(issue("validation.suite-unknown-check", where, found=found, known=listed))
    return [known[i] for i in wanted]


def parse_parameters(text: str) -> dict[str, str]:
    """`min=0; max=1` -> {"min": "0", "max": "1"}."""
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _check(row: Mapping[str, str], number: int, pages: Path) -> Check:
    name = row["check"]
    sql, page = pages / f"{name}.sql", pages / f"{name}.md"
    wrong = _wrong(row, (sql, page))
    if wrong:
        place = Place(file="checks.csv", row=number)
        raise CatalogueError(issue("validation.catalogue", place, check=row["id"], what="; ".join(wrong)))
    same = {k: row[k] for k in _SAME}
    return Check(
        **same,
        name=name,
        title={"en": row["title"], "ja": row["title_ja"]},
        parameters=parse_parameters(row["parameters"]),
        threshold=float(row["threshold"] or 0),
        sql=_with_parts(sql.read_text(encoding="utf-8"), pages / "parts"),
        page=page.read_text(encoding="utf-8"),
        page_ja=_read(pages / f"{name}.ja.md"),
    )


def _with_parts(sql: str, parts: Path) -> str:
    """A check's SQL with `{name}` replaced by `parts/<name>.sql`, what several checks look at."""
    for part in sorted(parts.glob("*.sql")):
        sql = sql.replace(f"{{{part.stem}}}", part.read_text(encoding="utf-8").rstrip())
    return sql


_SAME = [
    "id",
    "category",
    "subcategory",
    "context",
    "severity",
    "level",
    "table",
    "field",
    "kind",
    "denominator",
    "threshold_reason",
    "source",
    "source_status",
]


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _wrong(row: Mapping[str, str], files: Iterable[Path]) -> list[str]:
    wrong = [f"{file.name} is missing" for file in files if not file.exists()]
    if row["kind"] not in KINDS:
        wrong.append(f"kind is one of {', '.join(KINDS)}")
    if row["severity"] not in SEVERITIES:
        wrong.append(f"severity is one of {', '.join(SEVERITIES)}")
    if row["threshold"] and not row["threshold_reason"]:
        wrong.append("a threshold needs its reason")
    return wrong


def _value(name: str, text: str, as_of: date) -> Any:
    if name == "regex":
        return text
    values = [v for part in text.split("|") for v in _resolved(part.strip(), as_of)]
    return values if len(values) != 1 or name == "values" else values[0]


def _resolved(text: str, as_of: date) -> list[Any]:
    if text.startswith("binding:"):
        return _bound(text.removeprefix("binding:"))
    match text:
        case "today":
            return [as_of.isoformat()]
        case "year":
            return [as_of.year]
    return [_number(text)]


def _bound(name: str) -> list[int]:
    """Concept ids of a binding, or of all that a `*` takes in: no literal id stands in a check."""
    known = bindings()
    names = fnmatch.filter(known, name) if "*" in name else [name]
    return [known[n].concept.id for n in names]


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
