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

HEAD = "0001"  # the newest migration; a test holds it to the scripts in migrations/versions
KNOWN = ("0001",)

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
    _site(primary_key=True, autoincrement=False),
    Column("file", Text, primary_key=True),
    Column("record", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("severity", String(16), nullable=False),
    Column("code", String(32), nullable=False),
    Column("place_file", Text, nullable=False),
    Column("place_row", BIG),
    Column("place_field", Text, nullable=False),
    Column("place_expression", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("n", BIG, nullable=False),
    Column("state", String(8), nullable=False),  # open | closed
    Column("opened_by", BIG, ForeignKey("submission.id"), nullable=False),
    Column("closed_by", BIG, ForeignKey("submission.id")),
    Index("ix_issue_state", "state"),
)
