"""The raw query of a URL: its pairs, and the parameters that shape the answer instead of selecting."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.search.parameters import SearchError

Pairs = list[tuple[str, str]]

DEFAULT_COUNT = 50
MAX_VALUES = 500  # of one parameter, joined by commas
MAX_COUNT = 1000  # a larger `_count` is clamped and seen in `self` (rule W8)


def pairs(raw: str) -> Pairs:
    """Names and values in order; `|`, `:`, `/` and `,` may stand unencoded, a lone `?` is none (W3)."""
    return parse_qsl(raw.removeprefix("?"), keep_blank_values=True)


@dataclass(slots=True)
class Query:
    """What is asked (`where`), and how much of it is wanted back (`count` 0: only the total)."""

    where: Pairs = field(default_factory=list)
    count: int = DEFAULT_COUNT
    page: str = ""

    def url(self, count: bool = True) -> str:
        """The parameters that were really used."""
        used = [*self.where, *([("_count", str(self.count))] if count else [])]
        return urlencode(used, quote_via=quote, safe="|:/,")


def read_query(raw: str | Pairs) -> Query:
    """Raises SearchError naming every parameter that has a value which isn't offered."""
    query = Query()
    wrong: list[Issue] = []
    for name, value in pairs(raw) if isinstance(raw, str) else raw:
        expected = _take(query, name, value)
        if expected:
            wrong.append(issue("fhir.search-value", Place(), parameter=name, expected=expected))
    if wrong:
        raise SearchError(*wrong)
    return query


def _take(query: Query, name: str, value: str) -> str:
    """Puts one parameter where it belongs; says what was expected when the value is wrong."""
    if name == "_count":
        return _count(query, value)
    if name == "_page":
        query.page = value
    elif name == "_summary":
        return _summary(query, value)
    elif name in _SHAPING:
        valid = _SHAPING[name]
        return "" if not valid or value in valid else " or ".join(valid)
    elif value.count(",") >= MAX_VALUES:
        return f"at most {MAX_VALUES} values"
    else:
        query.where.append((name, value))
    return ""


# Accepted because they ask for what is done anyway.
_SHAPING: dict[str, tuple[str, ...]] = {
    "_format": (),  # decided by the server's content negotiation
    "_pretty": (),
    "_sort": ("_id",),
    "_total": ("none", "estimate", "accurate"),
    "_totalMethod": ("count",),  # a synonym that fhirpy sends (rule W8)
}


def _count(query: Query, value: str) -> str:
    if not (value.isascii() and value.isdigit()) or len(value) > 9:
        return "a whole number"
    query.count = min(int(value), MAX_COUNT)
    return ""


def _summary(query: Query, value: str) -> str:
    if value not in ("count", "false"):
        return "count or false"
    if value == "count":
        query.count = 0
    return ""
