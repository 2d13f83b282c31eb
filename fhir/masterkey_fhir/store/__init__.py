"""The store: resources and their versions, outbox, provenance, audit and journal in one database.

with Repository.open(path).writing(holder="load of jp_ncch") as writer:
    writer.put("jp_ncch", resource, text=sent, source=None)
"""

from masterkey_fhir.store.draft import identifiers_of, patient_of
from masterkey_fhir.store.model import (
    Change,
    IssueEvent,
    IssueFilter,
    IssueKind,
    JournalIssue,
    LedgerLine,
    Page,
    Source,
    Stored,
    StoreError,
    Submission,
    Written,
)
from masterkey_fhir.store.repository import Repository
from masterkey_fhir.store.writer import Writer

__all__ = [
    "Change",
    "IssueEvent",
    "IssueFilter",
    "IssueKind",
    "JournalIssue",
    "LedgerLine",
    "Page",
    "Repository",
    "Source",
    "StoreError",
    "Stored",
    "Submission",
    "Writer",
    "Written",
    "identifiers_of",
    "patient_of",
]
