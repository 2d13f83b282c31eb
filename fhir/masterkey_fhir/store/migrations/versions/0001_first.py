"""The first tables: resources, versions, outbox, provenance, audit, journal."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("action", sa.String(length=1), nullable=False),
        sa.Column("recorded", BIG, nullable=False),
        sa.Column("agent", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit")),
    )
    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "identifier",
        sa.Column("site", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("system", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("site", "type", "value", "system", "key", name=op.f("pk_identifier")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_identifier_key", "identifier", ["site", "key"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("patient", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox")),
    )
    op.create_table(
        "resource_type",
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_resource_type")),
        sa.UniqueConstraint("name", name=op.f("uq_resource_type_name")),
    )
    op.create_table(
        "site",
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_site")),
        sa.UniqueConstraint("name", name=op.f("uq_site_name")),
    )
    op.create_table(
        "system",
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_system")),
        sa.UniqueConstraint("name", name=op.f("uq_system_name")),
    )
    op.create_table(
        "term",
        sa.Column("key", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_term")),
        sa.UniqueConstraint("name", name=op.f("uq_term_name")),
    )
    op.create_table(
        "resource",
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("type", sa.Integer(), nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("seq", BIG, nullable=False),
        sa.Column("updated", BIG, nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("patient", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["site"], ["site.key"], name=op.f("fk_resource_site")),
        sa.ForeignKeyConstraint(["type"], ["resource_type.key"], name=op.f("fk_resource_type")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_resource")),
        sa.UniqueConstraint("site", "type", "id", name=op.f("uq_resource_site_type_id")),
    )
    op.create_index("ix_resource_patient", "resource", ["site", "patient", "type"], unique=False)
    op.create_index("ix_resource_updated", "resource", ["site", "type", "updated"], unique=False)
    op.create_table(
        "submission",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", BIG, nullable=False),
        sa.Column("received", BIG, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("rows", BIG, nullable=False),
        sa.Column("values_read", BIG, nullable=False),
        sa.Column("resources", BIG, nullable=False),
        sa.Column("map_version", sa.Text(), nullable=False),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["site.key"], name=op.f("fk_submission_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_submission")),
    )
    op.create_index("ix_submission_site_file", "submission", ["site", "file"], unique=False)
    op.create_table(
        "issue",
        sa.Column("site", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("code", sa.String(length=32), nullable=False),
        sa.Column("place_file", sa.Text(), nullable=False),
        sa.Column("place_row", BIG, nullable=True),
        sa.Column("place_field", sa.Text(), nullable=False),
        sa.Column("place_expression", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("opened_by", BIG, nullable=False),
        sa.Column("closed_by", BIG, nullable=True),
        sa.ForeignKeyConstraint(["closed_by"], ["submission.id"], name=op.f("fk_issue_closed_by")),
        sa.ForeignKeyConstraint(["opened_by"], ["submission.id"], name=op.f("fk_issue_opened_by")),
        sa.ForeignKeyConstraint(["site"], ["site.key"], name=op.f("fk_issue_site")),
        sa.PrimaryKeyConstraint("site", "file", "record", "field", "rule", name=op.f("pk_issue")),
    )
    op.create_index("ix_issue_state", "issue", ["state"], unique=False)
    op.create_table(
        "ledger",
        sa.Column("submission", BIG, autoincrement=False, nullable=False),
        sa.Column("column_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("n", BIG, nullable=False),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_ledger_submission")),
        sa.PrimaryKeyConstraint("submission", "column_id", "status", "reason", name=op.f("pk_ledger")),
    )
    op.create_table(
        "provenance",
        sa.Column("site", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("submission", BIG, nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("map_version", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_provenance_submission")),
        sa.PrimaryKeyConstraint("site", "key", "version", name=op.f("pk_provenance")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "version",
        sa.Column("seq", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("key", BIG, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated", BIG, nullable=False),
        sa.Column("deleted", sa.SmallInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["resource.key"], name=op.f("fk_version_key")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_version")),
        sa.UniqueConstraint("site", "key", "version", name=op.f("uq_version_site_key_version")),
    )
