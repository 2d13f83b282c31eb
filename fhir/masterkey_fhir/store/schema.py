"""The tables of the repository, as SQLAlchemy Core metadata.

Small integers stand for sites, resource types, identifier systems and repeated words; every key begins
with, or is guarded by, the site. Integers are allocated by the writer from `counter` inside its transaction
(never by the database), so that a load that was killed and run again leaves the same rows.
Instants are integers: milliseconds since 1970 in UTC. The text of a resource is stored once, in `version`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

HEAD = "0003"  # the newest migration; a test holds it to the scripts in migrations/versions
KNOWN = ("0001", "0002", "0003")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BIG = BigInteger().with_variant(Integer(), "sqlite")  # INTEGER PRIMARY KEY is SQLite's row id
ID = String(64).with_variant(String(64, collation="C"), "postgresql")  # ids are ordered bytewise everywhere


def _key(name: str, **options: Any) -> Column[int]:
    return Column(name, BIG, primary_key=True, autoincrement=False, **options)


def _words(name: str) -> Table:
    """A table that gives a small integer to each distinct word."""
    return Table(
        name,
        metadata,
        Column("key", Integer, primary_key=True, autoincrement=False),
        Column("name", Text, nullable=False, unique=True),
    )


site = _words("site")
resource_type = _words("resource_type")
system = _words("system")
term = _words("term")

counter = Table(
    "counter",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("value", BIG, nullable=False),
)


def _site(**options: Any) -> Column[int]:
    return Column("site", Integer, ForeignKey("site.key"), nullable=False, **options)


resource = Table(
    "resource",
    metadata,
    _key("key"),
    _site(),
    Column("type", Integer, ForeignKey("resource_type.key"), nullable=False),
    Column("id", ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("seq", BIG, nullable=False),  # of the current version
    Column("updated", BIG, nullable=False),
    Column("deleted", SmallInteger, nullable=False),
    Column("digest", LargeBinary(16), nullable=False),
    Column("patient", String(64)),
    UniqueConstraint("site", "type", "id"),
    Index("ix_resource_patient", "site", "patient", "type"),
    Index("ix_resource_updated", "site", "type", "updated"),
)

version = Table(
    "version",
    metadata,
    _key("seq"),
    Column("site", Integer, nullable=False),
    Column("key", BIG, ForeignKey("resource.key"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("updated", BIG, nullable=False),
    Column("deleted", SmallInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("site", "key", "version"),
)

identifier = Table(
    "identifier",
    metadata,
    Column("site", Integer, primary_key=True, autoincrement=False),
    Column("type", Integer, primary_key=True, autoincrement=False),
    Column("value", Text, primary_key=True),
    Column("system", Integer, primary_key=True, autoincrement=False),  # 0: none
    Column("key", BIG, primary_key=True, autoincrement=False),
    Index("ix_identifier_key", "site", "key"),
    sqlite_with_rowid=False,
)

outbox = Table(
    "outbox",
    metadata,
    _key("seq"),
    Column("site", Integer, nullable=False),
    Column("type", Integer, nullable=False),
    Column("id", ID, nullable=False),
    Column("version", Integer, nullable=False),
    Column("deleted", SmallInteger, nullable=False),
    Column("patient", String(64)),
)

submission = Table(
    "submission",
    metadata,
    _key("id"),
    _site(),
    Column("file", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("bytes", BIG, nullable=False),
    Column("received", BIG, nullable=False),
    Column("state", String(16), nullable=False),  # reading | stored
    Column("rows", BIG, nullable=False),
    Column("values_read", BIG, nullable=False),
    Column("resources", BIG, nullable=False),
    Column("map_version", Text, nullable=False),
    Column("counts", Text, nullable=False),  # further counts, JSON with sorted keys
    Column("kind", String(16), nullable=False, server_default="load"),  # load | merge | delete | undo
    Column("undone_by", BIG),  # the undo that took it back
    Column("restated", LargeBinary),  # keys of resources it says as they were already, packed: deliveries.packed_keys
    Index("ix_submission_site_file", "site", "file"),
)

provenance = Table(
    "provenance",
    metadata,
    Column("site", Integer, primary_key=True, autoincrement=False),
    _key("key"),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("submission", BIG, ForeignKey("submission.id"), nullable=False),
    Column("file", Integer, nullable=False),  # term
    Column("rows", Text, nullable=False),  # "2,5,6"
    Column("map_version", Integer, nullable=False),  # term
    Column("block", Integer, nullable=False),  # term
    Column("record", BIG),  # of the source; none of what a steward did or an older masterkey wrote
    Index("ix_provenance_submission", "submission"),
    Index("ix_provenance_record", "record"),
    sqlite_with_rowid=False,
)

record = Table(  # a record of a file, by the keyed hash of its key; `seen`: the latest delivery that has it
    "record",
    metadata,
    _key("key"),
    Column("site", Integer, nullable=False),
    Column("file", Integer, nullable=False),  # term
    Column("digest", LargeBinary(16), nullable=False),
    Column("seen", BIG, nullable=False),
    UniqueConstraint("site", "file", "digest"),
)

held = Table(  # valid resources that wait for another one; kept with the release, so that it can be taken back
    "held",
    metadata,
    Column("site", Integer, primary_key=True, autoincrement=False),
    Column("type", Integer, primary_key=True, autoincrement=False),
    Column("id", ID, primary_key=True),
    Column("submission", BIG, primary_key=True, autoincrement=False),
    Column("held_by", BIG, nullable=False),  # the same delivery, or the deletion that took away what it stood on
    Column("file", Integer, nullable=False),  # term
    Column("record", BIG),
    Column("rows", Text, nullable=False),
    Column("map_version", Integer, nullable=False),  # term
    Column("block", Integer, nullable=False),  # term
    Column("body", LargeBinary, nullable=False),
    Column("waits", Text, nullable=False),  # JSON: "Type/id" -> -1, or its version when this one was held
    Column("cells", Text, nullable=False),  # JSON: [column, status, n] of the ledger, as they are once it is stored
    Column("released_by", BIG),  # the delivery that brought what it waited for, or said anew what it says
    Column("released_version", Integer),  # as which it was stored; none: it was superseded
    sqlite_with_rowid=False,
)

merged = Table(  # two local numbers of one patient: what is sent of the old one belongs to the new one
    "merged",
    metadata,
    Column("site", Integer, primary_key=True, autoincrement=False),
    Column("old", ID, primary_key=True),
    Column("new", ID, nullable=False),
    Column("old_record", LargeBinary(16), nullable=False),  # digest of the old number as the key of a record
    Column("new_record", LargeBinary(16), nullable=False),
    Column("submission", BIG, nullable=False),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    _key("seq"),  # of the version that was written
    Column("site", Integer, nullable=False),
    Column("action", String(1), nullable=False),  # C U D, http://hl7.org/fhir/R4/valueset-audit-event-action.html
    Column("recorded", BIG, nullable=False),
    Column("agent", Integer, nullable=False),  # term
    Column("request", Text, nullable=False),
)

ledger = Table(
    "ledger",
    metadata,
    Column("submission", BIG, ForeignKey("submission.id"), primary_key=True, autoincrement=False),
    Column("column_id", Text, primary_key=True),
    Column("status", String(16), primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("n", BIG, nullable=False),
)

issue = Table(
    "issue",
    metadata,
    _key("id"),  # from `counter`: short, stable for the life of the Issue, never used again
    _site(),
    Column("identity", LargeBinary(16), nullable=False),  # of (scope, record, field, rule): journal.identity
    Column("scope", Text, nullable=False),  # source format of an Issue about a record, else the file
    Column("file", Text, nullable=False),  # of the delivery that showed it last
    Column("record", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("severity", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("place_file", Text, nullable=False),
    Column("place_row", BIG),
    Column("place_field", Text, nullable=False),
    Column("place_expression", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("n", BIG, nullable=False),
    Column("value", BIG, nullable=False),  # digest of what is wrong, keyed where it is a value: Issue.value
    Column("state", String(8), nullable=False),  # open | answered | closed
    Column("turn", String(8), nullable=False),  # site | registry | "" nobody's
    Column("opened", BIG, nullable=False),
    Column("changed", BIG, nullable=False),  # of the last event
    Column("opened_by", BIG, ForeignKey("submission.id")),
    Column("closed_by", BIG, ForeignKey("submission.id")),
    Column("answer", String(16), nullable=False),  # "" none yet
    Column("answer_text", Text, nullable=False),
    Column("answer_by", Text, nullable=False),  # a role, not a name
    Column("answer_value", BIG),  # `value` when it was answered
    Column("events", Integer, nullable=False),
    UniqueConstraint("site", "identity"),
    Index("ix_issue_file", "site", "file", "state"),
    Index("ix_issue_site", "site", "state", "id"),
    Index("ix_issue_state", "state", "id"),
    Index("ix_issue_turn", "turn", "id"),
    Index("ix_issue_rule", "rule", "id"),
    Index("ix_issue_changed", "changed", "id"),
)

issue_event = Table(
    "issue_event",
    metadata,
    Column("issue", BIG, ForeignKey("issue.id"), primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),  # 1, 2, 3 ...
    Column("at", BIG, nullable=False),
    Column("event", String(10), nullable=False),  # opened | changed | answered | closed | reopened
    Column("actor", Text, nullable=False),  # a role, not a name; "load" for a delivery
    Column("submission", BIG, ForeignKey("submission.id")),
    Column("answer", String(16), nullable=False),
    Column("text", Text, nullable=False),
    sqlite_with_rowid=False,
)
