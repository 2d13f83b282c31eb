"""Deliveries over time: acts of a steward, records of a file, held resources, merged patients.

Versions written before have no record: what a corrected delivery no longer says of them is taken out only after a
delivery changed them once.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.String(64).with_variant(sa.String(64, collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("submission", sa.Column("kind", sa.String(length=16), nullable=False, server_default="load"))
    op.add_column("submission", sa.Column("undone_by", BIG, nullable=True))
    op.add_column("submission", sa.Column("restated", sa.LargeBinary(), nullable=True))
    op.add_column("provenance", sa.Column("record", BIG, nullable=True))
    op.create_index("ix_provenance_submission", "provenance", ["submission"], unique=False)
    op.create_index("ix_provenance_record", "provenance", ["record"], unique=False)
    _record()
    _held()
    _merged()


def _record() -> None:
    op.create_table(
        "record",
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.Column("seen", BIG, nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_record")),
        sa.UniqueConstraint("site", "file", "digest", name=op.f("uq_record_site_file_digest")),
    )


def _held() -> None:
    op.create_table(
        "held",
        sa.Column("site", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("type", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("id", ID, nullable=False),
        sa.Column("submission", BIG, autoincrement=False, nullable=False),
        sa.Column("held_by", BIG, nullable=False),
        sa.Column("file", sa.Integer(), nullable=False),
        sa.Column("record", BIG, nullable=True),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("map_version", sa.Integer(), nullable=False),
        sa.Column("block", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("waits", sa.Text(), nullable=False),
        sa.Column("cells", sa.Text(), nullable=False),
        sa.Column("released_by", BIG, nullable=True),
        sa.Column("released_version", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("site", "type", "id", "submission", name=op.f("pk_held")),
        sqlite_with_rowid=False,
    )


def _merged() -> None:
    op.create_table(
        "merged",
        sa.Column("site", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("old", ID, nullable=False),
        sa.Column("new", ID, nullable=False),
        sa.Column("old_record", sa.LargeBinary(length=16), nullable=False),
        sa.Column("new_record", sa.LargeBinary(length=16), nullable=False),
        sa.Column("submission", BIG, nullable=False),
        sa.PrimaryKeyConstraint("site", "old", name=op.f("pk_merged")),
        sqlite_with_rowid=False,
    )
