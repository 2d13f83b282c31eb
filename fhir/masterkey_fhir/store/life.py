"""The life of Issues: what one delivery, one answer does to them. Set-wise SQL, the same on every database.

    opened --answered--> answered --+
       ^        |                   | shown again with another value, or closed and shown again
       |        +--- not shown ---> closed
       +------------------------------+

An Issue is the same over time by (site, record, field, rule) within its scope: the source format for an Issue about a
record, so that a corrected file closes it whatever its name; the file for one about a whole file or column.
`value` tells whether what is wrong is still the same: an answer stands as long as it is. Memory is one chunk:
what a delivery shows waits in a temporary table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import Connection, text

from masterkey_fhir.issue import Issue, turn_of
from masterkey_fhir.store.names import Counters

CHUNK = 2000  # Issues in memory at once
DELIVERY = "load"  # the actor of what a delivery does
SITE_ANSWERS = ("confirmed", "will-correct", "not-available")
REGISTRY_ANSWERS = ("accepted", "ask-again")
_PRIME = 2**61 - 1  # sums of two values stay within 64 bits

_SHOWN = """
CREATE TEMPORARY TABLE issue_shown (
  identity {bytes} PRIMARY KEY, seq BIGINT, scope TEXT, record TEXT, field TEXT, rule TEXT, severity TEXT, code TEXT,
  place_file TEXT, place_row BIGINT, place_field TEXT, place_expression TEXT, facts TEXT, n BIGINT, value BIGINT,
  turn TEXT)
"""
_COLUMNS = (
    *("identity", "seq", "scope", "record", "field", "rule", "severity", "code"),
    *("place_file", "place_row", "place_field", "place_expression", "facts", "n", "value", "turn"),
)
_SHOW = f"""
INSERT INTO issue_shown ({", ".join(_COLUMNS)}) VALUES ({{marks}}) ON CONFLICT (identity)
DO UPDATE SET n = issue_shown.n + excluded.n, value = MOD(issue_shown.value + excluded.value, {_PRIME})
"""
_SEEN = "CREATE TEMPORARY TABLE issue_seen (record TEXT PRIMARY KEY)"
_LIVE = "i.site = :site AND i.state IN ('open', 'answered')"
_GONE = f"""
CREATE TEMPORARY TABLE issue_gone AS
SELECT i.id FROM issue i
WHERE {_LIVE} AND NOT EXISTS (SELECT 1 FROM issue_shown s WHERE s.identity = i.identity)
AND (i.file = :file AND (:whole = 1 OR i.record = '' OR i.record IN (SELECT record FROM issue_seen))
  OR i.file <> :file AND i.scope = :scope AND i.record <> '' AND i.record IN (SELECT record FROM issue_seen))
"""
_EVENT = "INSERT INTO issue_event (issue, n, at, event, actor, submission, answer, text)"
_CLOSE_EVENTS = f"""
{_EVENT} SELECT i.id, i.events + 1, :now, 'closed', '{DELIVERY}', :submission, '', ''
FROM issue i WHERE i.id IN (SELECT id FROM issue_gone)
"""
_CLOSE = """
UPDATE issue SET state = 'closed', turn = '', closed_by = :submission, changed = :now, events = events + 1
WHERE id IN (SELECT id FROM issue_gone)
"""
_AGAIN_EVENTS = f"""
{_EVENT} SELECT i.id, i.events + 1, :now, CASE WHEN i.state = 'open' THEN 'changed' ELSE 'reopened' END,
'{DELIVERY}', :submission, '', ''
FROM issue i JOIN issue_shown s ON s.identity = i.identity
WHERE i.site = :site AND (i.state = 'closed' OR i.value <> s.value)
"""
# Whose turn an answer makes it: a promise stays the site's; what can't be, and yet is confirmed, the registry settles.
_TURN = """
CASE WHEN issue.answer = 'will-correct' THEN 'site' WHEN issue.answer = 'accepted' THEN ''
WHEN {severity} IN ('error', 'fatal') THEN 'registry' ELSE '' END
"""
_EVENTFUL = "(issue.state = 'closed' OR issue.value <> s.value)"
_STANDS = "(issue.answer <> '' AND issue.answer_value = s.value)"
_FOLLOWED = ("severity", "code", "place_file", "place_field", "place_expression", "facts", "n", "value")
_AGAIN = f"""
UPDATE issue SET {", ".join(f"{c} = s.{c}" for c in _FOLLOWED)}, place_row = s.place_row, file = :file,
  state = CASE WHEN {_STANDS} THEN 'answered' ELSE 'open' END,
  turn = CASE WHEN {_STANDS} THEN {_TURN.format(severity="s.severity")} ELSE s.turn END,
  opened_by = CASE WHEN issue.state = 'open' OR NOT {_EVENTFUL} THEN issue.opened_by ELSE :submission END,
  closed_by = NULL,
  changed = CASE WHEN {_EVENTFUL} THEN :now ELSE issue.changed END,
  events = issue.events + CASE WHEN {_EVENTFUL} THEN 1 ELSE 0 END,
  answer = CASE WHEN {_STANDS} THEN issue.answer ELSE '' END,
  answer_text = CASE WHEN {_STANDS} THEN issue.answer_text ELSE '' END,
  answer_by = CASE WHEN {_STANDS} THEN issue.answer_by ELSE '' END,
  answer_value = CASE WHEN {_STANDS} THEN issue.answer_value ELSE NULL END
FROM issue_shown s
WHERE issue.site = :site AND issue.identity = s.identity AND (issue.state = 'closed' OR issue.file <> :file
  OR coalesce(issue.place_row, -1) <> coalesce(s.place_row, -1)
  OR {" OR ".join(f"issue.{c} <> s.{c}" for c in _FOLLOWED)})
"""
_NEW = "FROM issue_shown s WHERE NOT EXISTS (SELECT 1 FROM issue i WHERE i.site = :site AND i.identity = s.identity)"
_TAKEN = tuple(c for c in _COLUMNS if c != "seq")
_OPEN = f"""
INSERT INTO issue (id, site, file, state, opened, changed, opened_by, answer, answer_text, answer_by, events,
  {", ".join(_TAKEN)})
SELECT :base + row_number() OVER (ORDER BY s.seq), :site, :file, 'open', :now, :now, :submission, '', '', '', 1,
  {", ".join(f"s.{c}" for c in _TAKEN)} {_NEW}
"""
_OPEN_EVENTS = f"""
{_EVENT} SELECT id, 1, :now, 'opened', '{DELIVERY}', :submission, '', '' FROM issue WHERE id > :base AND id <= :last
"""
_WATCHED = "SELECT DISTINCT i.record FROM issue i WHERE {live} AND i.scope = :scope AND i.record <> ''"


def identity(scope: str, record: str, field: str, rule: str) -> bytes:
    """16 bytes that stand for an Issue of a site, over time."""
    said = "|".join(f"{len(p)}:{p}" for p in (scope, record, field, rule))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()[:16]


def value_of(i: Issue, facts: str) -> int:
    """A number that changes when what is wrong changes: of `Issue.value`, where a reader gave it, else of the facts."""
    return int.from_bytes(hashlib.sha256((i.value or facts).encode()).digest()[:8], "big") % _PRIME


class Delivered:
    """One delivery's Issues, against those that are known. `scope`: its source format, "" when it has none."""

    def __init__(self, db: Connection, counters: Counters, site: int, file: str, scope: str) -> None:
        self._db, self._counters = db, counters
        self._place = {"site": site, "file": file, "scope": scope or file}

    def watched(self) -> set[str]:
        """Records of this scope with a live Issue: those of them that a delivery holds are its `seen`."""
        rows = self._db.execute(text(_WATCHED.format(live=_LIVE)), self._place)
        return {row.record for row in rows}

    def settle(self, submission: int, now: int, issues: Iterable[Issue], seen: Iterable[str], whole: bool) -> None:
        """All Issues of the delivery: new ones open, known ones stay or open again, those not shown close.

        Closed are those of the same file (only of records in `seen` unless `whole`), and those of records in `seen`
        that another file of the same scope brought.
        """
        self._begin()
        self._show(issues)
        self._fill("INSERT INTO issue_seen (record) VALUES ({marks})", ((r,) for r in set(seen)), 1)
        facts = {**self._place, "submission": submission, "now": now, "whole": int(whole)}
        for statement in (_GONE, _CLOSE_EVENTS, _CLOSE, _AGAIN_EVENTS, _AGAIN):
            self._db.execute(text(statement), _named(statement, facts))
        self._open(facts)
        self._end()

    def _begin(self) -> None:
        self._end()
        kind = "BYTEA" if self._db.dialect.name == "postgresql" else "BLOB"
        self._db.exec_driver_sql(_SHOWN.format(bytes=kind))
        self._db.exec_driver_sql(_SEEN)

    def _end(self) -> None:
        for name in ("issue_shown", "issue_seen", "issue_gone"):
            self._db.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")

    def _show(self, issues: Iterable[Issue]) -> None:
        place = (str(self._place["file"]), str(self._place["scope"]))
        self._fill(_SHOW, _merged(issues, *place), len(_COLUMNS))

    def _fill(self, statement: str, rows: Iterable[tuple[Any, ...]], width: int) -> None:
        mark = "?" if self._db.dialect.paramstyle == "qmark" else "%s"
        sql = statement.format(marks=", ".join([mark] * width))
        some = iter(rows)
        while chunk := list(islice(some, CHUNK)):
            self._db.exec_driver_sql(sql, chunk)

    def _open(self, facts: Mapping[str, Any]) -> None:
        new = int(self._db.scalar(text(f"SELECT count(*) {_NEW}"), {"site": facts["site"]}) or 0)
        if not new:
            return
        base = self._counters.take("issue", new)
        for statement in (_OPEN, _OPEN_EVENTS):
            self._db.execute(text(statement), _named(statement, {**facts, "base": base, "last": base + new}))


def _named(statement: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if f":{name}" in statement}


def _merged(issues: Iterable[Issue], file: str, scope: str) -> Iterator[tuple[Any, ...]]:
    """Rows of `issue_shown`; those of one identity within a chunk are one, their counts and values added up."""
    number, stream = 0, iter(issues)
    while some := list(islice(stream, CHUNK)):
        rows: dict[bytes, list[Any]] = {}
        for i in some:
            row = _row(i, file, scope)
            known = rows.setdefault(row[0], row)
            if known is not row:
                known[13] += row[13]
                known[14] = (known[14] + row[14]) % _PRIME
        for row in rows.values():
            number += 1
            row[1] = number
            yield tuple(row)


def _row(i: Issue, file: str, scope: str) -> list[Any]:
    about = scope if i.record else file
    _, record, field, rule = i.identity
    facts = as_json(i.facts)
    p = i.place
    place = (p.file, p.row, p.field, p.expression)
    head = (identity(about, record, field, rule), 0, about, record, field, rule, i.severity, i.code)
    return [*head, *place, facts, i.count, value_of(i, facts), turn_of(rule, i.severity)]


def as_json(facts: Mapping[str, Any]) -> str:
    """Facts with sorted keys; what UTF-8 can't hold is escaped."""
    said = json.dumps(dict(facts), sort_keys=True, ensure_ascii=False)
    try:
        said.encode()
    except UnicodeEncodeError:
        return json.dumps(dict(facts), sort_keys=True)
    return said


_ANSWER_EVENT = f"""
{_EVENT} SELECT id, events + 1, :now, :event, :actor, NULL, :answer, :said FROM issue WHERE id = :id
"""
_ANSWER = """
UPDATE issue SET answer = :answer, answer_text = :said, answer_by = :actor, answer_value = value, changed = :now,
  events = events + 1, state = 'answered' WHERE id = :id
"""
_ASK_AGAIN = """
UPDATE issue SET answer = '', answer_text = '', answer_by = '', answer_value = NULL, changed = :now,
  events = events + 1, state = 'open', turn = 'site' WHERE id = :id
"""


def answered(db: Connection, now: int, id: int, answer: str, said: str, actor: str) -> None:
    """Enter an answer of the site or the registry; whose turn it is then follows from it."""
    again = answer == "ask-again"
    facts = {"id": id, "now": now, "answer": answer, "said": said, "actor": actor}
    event = {**facts, "event": "reopened" if again else "answered"}
    db.execute(text(_ANSWER_EVENT), event)
    for statement in (_ASK_AGAIN,) if again else (_ANSWER, _SETTLE_TURN):
        db.execute(text(statement), _named(statement, facts))


_SETTLE_TURN = f"UPDATE issue SET turn = {_TURN.format(severity='issue.severity')} WHERE id = :id"
