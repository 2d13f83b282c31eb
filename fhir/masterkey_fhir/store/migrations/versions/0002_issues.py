"""The life of an Issue: a short id, states, whose turn it is, answers, events.

Issues of 0001 were known by their file; they keep it as their scope, and get one event, their opening. (A delivery
that names its source format then closes those about records and opens them under the format, once.)
"""

import hashlib

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AT_ONCE = 5000


def upgrade() -> None:
    op.drop_index("ix_issue_state", "issue")
    op.rename_table("issue", "issue_0001")
    if op.get_bind().dialect.name == "postgresql":  # there names of constraints are names of indexes
        op.execute("ALTER TABLE issue_0001 DROP CONSTRAINT pk_issue")
    _issue()
    _event()
    _move(op.get_bind())
    op.drop_table("issue_0001")
    _index()


def _issue() -> None:
    op.create_table(
        "issue",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("site", sa.Integer(), nullable=False),
        sa.Column("identity", sa.LargeBinary(length=16), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
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
        sa.Column("value", BIG, nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("turn", sa.String(length=8), nullable=False),
        sa.Column("opened", BIG, nullable=False),
        sa.Column("changed", BIG, nullable=False),
        sa.Column("opened_by", BIG, nullable=True),
        sa.Column("closed_by", BIG, nullable=True),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("answer_text", sa.Text(), nullable=False),
        sa.Column("answer_by", sa.Text(), nullable=False),
        sa.Column("answer_value", BIG, nullable=True),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["closed_by"], ["submission.id"], name=op.f("fk_issue_closed_by")),
        sa.ForeignKeyConstraint(["opened_by"], ["submission.id"], name=op.f("fk_issue_opened_by")),
        sa.ForeignKeyConstraint(["site"], ["site.key"], name=op.f("fk_issue_site")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_issue")),
        sa.UniqueConstraint("site", "identity", name=op.f("uq_issue_site_identity")),
    )


def _event() -> None:
    op.create_table(
        "issue_event",
        sa.Column("issue", BIG, autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", BIG, nullable=False),
        sa.Column("event", sa.String(length=10), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("submission", BIG, nullable=True),
        sa.Column("answer", sa.String(length=16), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["issue"], ["issue.id"], name=op.f("fk_issue_event_issue")),
        sa.ForeignKeyConstraint(["submission"], ["submission.id"], name=op.f("fk_issue_event_submission")),
        sa.PrimaryKeyConstraint("issue", "n", name=op.f("pk_issue_event")),
        sqlite_with_rowid=False,
    )


def _index() -> None:
    op.create_index("ix_issue_file", "issue", ["site", "file", "state"], unique=False)
    op.create_index("ix_issue_site", "issue", ["site", "state", "id"], unique=False)
    op.create_index("ix_issue_state", "issue", ["state", "id"], unique=False)
    op.create_index("ix_issue_turn", "issue", ["turn", "id"], unique=False)
    op.create_index("ix_issue_rule", "issue", ["rule", "id"], unique=False)
    op.create_index("ix_issue_changed", "issue", ["changed", "id"], unique=False)


# -- what 0001 knew -----------------------------------------------------------------------------------------------

_OLD = sa.text(
    "SELECT i.*, s.received AS opened, coalesce(t.received, s.received) AS changed FROM issue_0001 i "
    "JOIN submission s ON s.id = i.opened_by LEFT JOIN submission t ON t.id = i.closed_by "
    "ORDER BY i.site, i.file, i.record, i.field, i.rule LIMIT :n OFFSET :start"
)
_SAME = (
    "site",
    "file",
    "record",
    "field",
    "rule",
    "severity",
    "code",
    "place_file",
    "place_row",
    "place_field",
    "place_expression",
    "facts",
    "n",
    "state",
    "opened_by",
    "closed_by",
    "opened",
    "changed",
)


def _move(connection: sa.Connection) -> None:
    tables = sa.MetaData()
    issue, event = (sa.Table(name, tables, autoload_with=connection) for name in ("issue", "issue_event"))
    start = 0
    while rows := connection.execute(_OLD, {"n": AT_ONCE, "start": start}).mappings().all():
        moved = [_moved(start + k, row) for k, row in enumerate(rows, 1)]
        connection.execute(sa.insert(issue), moved)
        connection.execute(sa.insert(event), [e for i in moved for e in _events(i)])
        start += len(rows)
    if start:
        connection.execute(sa.text("INSERT INTO counter (name, value) VALUES ('issue', :n)"), {"n": start})


def _moved(id_: int, row: sa.RowMapping) -> dict[str, object]:
    said = (str(row[name]) for name in ("file", "record", "field", "rule"))
    identity = hashlib.sha256("|".join(f"{len(p)}:{p}" for p in said).encode()).digest()[:16]
    value = int.from_bytes(hashlib.sha256(str(row["facts"]).encode()).digest()[:8], "big") % (2**61 - 1)
    turn = "site" if row["state"] == "open" and row["severity"] != "information" else ""
    new = {"id": id_, "identity": identity, "scope": row["file"], "value": value, "turn": turn}
    none = {"answer": "", "answer_text": "", "answer_by": "", "answer_value": None}
    return {name: row[name] for name in _SAME} | new | none | {"events": 2 if row["state"] == "closed" else 1}


def _events(i: dict[str, object]) -> list[dict[str, object]]:
    fixed = {"issue": i["id"], "actor": "load", "answer": "", "text": ""}
    out = [{**fixed, "n": 1, "at": i["opened"], "event": "opened", "submission": i["opened_by"]}]
    if i["state"] == "closed":
        out.append({**fixed, "n": 2, "at": i["changed"], "event": "closed", "submission": i["closed_by"]})
    return out
