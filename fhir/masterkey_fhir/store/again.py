"""Issues that close or open again by what happens elsewhere: a release of held resources, an undo."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from masterkey_fhir.issue import turn_of
from masterkey_fhir.store import schema
from masterkey_fhir.store.deliveries import DEAD
from masterkey_fhir.store.life import DELIVERY

iss, event = schema.issue, schema.issue_event
LIVE = ("open", "answered")
AT_ONCE = 500


def close(db: Connection, now: int, site: int, submission: int, rules: Iterable[str], records: Iterable[str]) -> None:
    """The live Issues of these rules about these records, whatever file brought them."""
    wanted = sorted(records)
    for start in range(0, len(wanted), AT_ONCE):
        here = (iss.c.site == site, iss.c.rule.in_(sorted(rules)), iss.c.record.in_(wanted[start : start + AT_ONCE]))
        for row in _found(db, select(iss).where(*here, iss.c.state.in_(LIVE))):
            _close(db, now, row, submission, DELIVERY)


def take_back(db: Connection, now: int, dead: Iterable[int], by: int) -> tuple[int, int]:
    """What these deliveries opened closes, what they closed opens again, unless one that stands says otherwise.

    Gives how many of each. The facts shown stay those of the latest delivery that told them.
    """
    gone = sorted(dead)
    touched = _found(db, select(iss).where(iss.c.opened_by.in_(gone) | iss.c.closed_by.in_(gone)))
    standing, closed, again = _openers(db, gone, [row.id for row in touched]), 0, 0
    for row in touched:
        opener, live = standing.get(row.id), row.state in LIVE
        if opener is None and live:
            _close(db, now, row, by, "undo")
            closed += 1
        elif opener is not None and live:  # it was open before they came
            db.execute(update(iss).where(iss.c.id == row.id).values(opened_by=opener))
        elif opener is not None:
            _reopen(db, now, row, by, opener)
            again += 1
    return closed, again


def _reopen(db: Connection, now: int, row: Row[Any], by: int, opener: int) -> None:
    """As a question that nobody answered: what an answer brought about was just taken back."""
    blank = {"answer": "", "answer_text": "", "answer_by": "", "answer_value": None}
    values = {"state": "open", "turn": turn_of(row.rule, row.severity), "opened_by": opener, "closed_by": None}
    _step(db, now, row, by, "undo", "reopened", **values, **blank)


def _openers(db: Connection, gone: Sequence[int], ids: Sequence[int]) -> dict[int, int]:
    """Of these Issues, those that are open by what the deliveries in force did: by which one."""
    undone = select(schema.submission.c.id).where(schema.submission.c.state == DEAD)
    stands = (event.c.actor == DELIVERY, event.c.submission.not_in(gone), event.c.submission.not_in(undone))
    out: dict[int, int] = {}
    for start in range(0, len(ids), AT_ONCE):
        query = select(event).where(event.c.issue.in_(ids[start : start + AT_ONCE]), *stands)
        for step in db.execute(query.order_by(event.c.issue, event.c.n)):
            if step.event == "closed":
                out.pop(step.issue, None)
            else:
                out.setdefault(step.issue, step.submission)
    return out


def _found(db: Connection, query: Select[Any]) -> list[Row[Any]]:
    return list(db.execute(query.order_by(iss.c.id)))


def _close(db: Connection, now: int, row: Row[Any], by: int, actor: str) -> None:
    _step(db, now, row, by, actor, "closed", state="closed", turn="", closed_by=by)


def _step(db: Connection, now: int, row: Row[Any], by: int, actor: str, what: str, **values: Any) -> None:
    number = row.events + 1
    db.execute(update(iss).where(iss.c.id == row.id).values(**values, changed=now, events=number))
    fixed = {"issue": row.id, "n": number, "at": now, "event": what, "actor": actor, "submission": by}
    db.execute(insert(event).values(**fixed, answer="", text=""))
