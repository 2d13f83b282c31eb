"""The exchange of bundles: transaction, batch and the single writes, which are transactions of one entry.

    door = Door(repository, site="jp_ncch", check=check)
    outcomes = transaction(door, body)

http://hl7.org/fhir/R4/http.html#transaction. What is written takes the same road as a file from `protect` on.
"""

from masterkey_fhir.bundle.execute import batch, batch_of, exchange, single, transaction
from masterkey_fhir.bundle.history import history
from masterkey_fhir.bundle.model import AfterCommit, Check, Door, Entry, Outcome, Protect, RefusedError
from masterkey_fhir.bundle.reading import read
from masterkey_fhir.bundle.response import response
from masterkey_fhir.bundle.searchset import search, searchset

__all__ = [
    "AfterCommit",
    "Check",
    "Door",
    "Entry",
    "Outcome",
    "Protect",
    "RefusedError",
    "batch",
    "batch_of",
    "exchange",
    "history",
    "read",
    "response",
    "search",
    "searchset",
    "single",
    "transaction",
]
