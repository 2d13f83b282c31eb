"""Issues that close or open again by what happens elsewhere: a release of held resources, an undo."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from masterkey_fhir.issue import turn_of
from masterkey_fhir.store import schema

iss, event = schema.issue, schema.issue_event
LIVE = ("open", "answered")
AT_ONCE = 500


def close(db: Connection, now: int, site: int, submission: int, rules: Iterable[str], records: Iterable[str]) -> None:
    """The live Issues of these rules about these records, whatever file brought them."""
    wanted = sorted(records)
    for start in range(0, len(wanted), AT_ONCE):
        here = (iss.c.site == site, iss.c.rule.in_(sorted(rules)), iss.c.record.in_(wanted[start : start + AT_ONCE]))
        for row in _found(db, select(iss).where(*here, iss.c.state.in_(LIVE))):
            _close(db, now, row, submission, "load")


def take_back(db: Connection, now: int, dead: Iterable[int], by: int) -> tuple[int, int]:
    """What these deliveries opened closes; what they closed, and another one opened, opens again. How many of each."""
    gone = sorted(dead)
    opened = _found(db, select(iss).where(iss.c.opened_by.in_(gone), iss.c.state.in_(LIVE)))
    again = _found(db, select(iss).where(iss.c.closed_by.in_(gone), iss.c.opened_by.not_in(gone)))
    for row in opened:
        _close(db, now, row, by, "undo")
    for row in again:
        turn = turn_of(row.rule, row.severity)
        _step(db, now, row, by, "undo", "reopened", state="open", turn=turn, closed_by=None)
    return len(opened), len(again)


def _found(db: Connection, query: Select[Any]) -> list[Row[Any]]:
    return list(db.execute(query.order_by(iss.c.id)))


def _close(db: Connection, now: int, row: Row[Any], by: int, actor: str) -> None:
    _step(db, now, row, by, actor, "closed", state="closed", turn="", closed_by=by)


def _step(db: Connection, now: int, row: Row[Any], by: int, actor: str, what: str, **values: Any) -> None:
    number = row.events + 1
    db.execute(update(iss).where(iss.c.id == row.id).values(**values, changed=now, events=number))
    fixed = {"issue": row.id, "n": number, "at": now, "event": what, "actor": actor, "submission": by}
    db.execute(insert(event).values(**fixed, answer="", text=""))
