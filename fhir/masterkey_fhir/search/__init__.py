"""Search: what a query means, as conditions on the tables of the store.

Offered now: `_id`, `_lastUpdated`, `identifier`, `patient`, `subject`. Everything else is refused by name
(rule R17: a parameter that is silently ignored gives a wrong answer).
"""

from masterkey_fhir.search.paging import Tokens
from masterkey_fhir.search.parameters import SearchError, conditions, escaped, offered, split, unescaped
from masterkey_fhir.search.query import Query, pairs, read_query

__all__ = [
    "Query",
    "SearchError",
    "Tokens",
    "conditions",
    "escaped",
    "offered",
    "pairs",
    "read_query",
    "split",
    "unescaped",
]
