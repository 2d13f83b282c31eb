"""Deliveries over time, as a steward sees and turns them: list, show, undo, merge, deletions, recompute.

Each act is one transaction of the repository, numbered as the deliveries are, and can itself be undone (an undo by
loading again). `dry_run` does the same and rolls it back.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_etl import merging, recomputing, storing, undo
from masterkey_etl.assessment import opened
from masterkey_etl.file_names import kept_name
from masterkey_etl.files import read_issue
from masterkey_etl.ledger import STATUSES, Line, lines_file, write_lines
from masterkey_etl.rehearsal import Changes, transaction
from masterkey_etl.withdrawal import ABSENT
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.store import JournalIssue, LedgerLine, Repository, Source, Submission, Writer
from masterkey_fhir.store.deliveries import THERE, Held, Made, Merge

if TYPE_CHECKING:
    from masterkey_etl.keys import SiteKeys
    from masterkey_etl.project import ProjectionResult

Waiting = Callable[[str, float], None] | None
CONFIRMED = "confirmed"


class SubmissionError(MasterkeyError):
    """There is no such delivery, or it can't be taken back."""


@dataclass
class Act:
    """What was done, or (`dry_run`) would be."""

    what: str
    number: int | None = None
    dry_run: bool = False
    changes: Changes = field(default_factory=Changes)
    told: list[str] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    projection: ProjectionResult | None = None

    @property
    def exit_code(self) -> int:
        return int(any(i.is_error for i in self.issues))

    def as_dict(self) -> dict[str, Any]:
        said = {"what": self.what, "submission": self.number, "dry_run": self.dry_run, "told": self.told}
        return {**said, **self.changes.as_dict(), "issues": [i.as_outcome() for i in self.issues]}

    def lines(self) -> Iterator[str]:
        yield f"{self.what}{': a preview, nothing is changed' if self.dry_run else ''}"
        yield from (f"  {text}" for text in self.told)
        yield from (f"  {text}" for text in self.changes.lines())


# -- list and show --------------------------------------------------------------------------------------------


def listed(data: Path, site: str | None = None) -> list[dict[str, Any]]:
    """Every delivery and act, oldest first, with its balance. Raises WorkspaceError (etl.site-unknown)."""
    with opened(data) as (workspace, repository):
        if site is not None:
            workspace.site(site)
        return [_row(s, repository.ledger(s.id)) for s in repository.submissions(site)]


def _row(s: Submission, ledger: Sequence[LedgerLine]) -> dict[str, Any]:
    by_status = Counter[str]()
    for line in ledger:
        by_status[line.status] += line.n
    state = f"undone by {s.undone_by}" if s.undone_by else s.state
    shown = {"id": s.id, "site": s.site, "kind": s.kind, "file": s.file, "received": s.received, "state": state}
    balance: dict[str, Any] = {status: by_status[status] for status in STATUSES}
    balanced = sum(by_status.values()) == s.values_read
    numbers: dict[str, Any] = {
        "rows": s.rows,
        "values": s.values_read,
        "balanced": balanced,
        **balance,
        "resources": s.resources,
    }
    return {**shown, **numbers, **s.counts, "map": s.map_version}


def show(data: Path, number: int) -> dict[str, Any]:
    """One delivery: ledger by column, resources by type and action, Issues, what it superseded.

    Raises SubmissionError (etl.submission-unknown).
    """
    with opened(data) as (_, repository):
        s = _submission(repository, number)
        before = [x for x in repository.submissions(s.site) if x.file == s.file and x.kind == "load" and x.id < s.id]
        with repository.deliveries() as deliveries:
            actions = deliveries.actions(number)
            held = deliveries.held(s.site, submissions=[number])
        found = [i for i in repository.issues(None, s.site) if number in (i.opened_by, i.closed_by)]
        told = _row(s, ledger := repository.ledger(number))
    return {
        **told,
        "supersedes": before[-1].id if before and s.kind == "load" else None,
        "ledger": [{"column": x.column, "status": x.status, "reason": x.reason, "n": x.n} for x in ledger],
        "resources_by_type": [{"type": t, "action": a, "n": n} for (t, a), n in sorted(actions.items())],
        "waiting": _waiting(held),
        "issues": [_shown(i, number) for i in found],
    }


def _waiting(held: Sequence[Held]) -> list[dict[str, Any]]:
    rows = [{"resource": x.name, "waits_for": sorted(x.waits), "released_by": x.released_by} for x in held]
    return sorted(rows, key=lambda row: str(row["resource"]))


def _shown(i: JournalIssue, number: int) -> dict[str, Any]:
    did = "opened" if i.opened_by == number else "closed"
    facts = {"id": i.id, "did": did, "state": i.state, "rule": i.issue.rule, "record": i.issue.record}
    return {**facts, "severity": i.issue.severity, "text": str(i.issue), "n": i.issue.count}


def _submission(repository: Repository, number: int) -> Submission:
    for s in repository.submissions():
        if s.id == number:
            return s
    raise SubmissionError(issue("etl.submission-unknown", number=number))


# -- acts -----------------------------------------------------------------------------------------------------


@contextmanager
def _acting(data: Path, waiting: Waiting, site: str | None = None) -> Iterator[tuple[Workspace, Repository]]:
    told = (lambda seconds: waiting("load", seconds)) if waiting else None
    with opened(data) as (workspace, repository), workspace.lock("load", told):
        if site is not None:
            workspace.site(site)
        yield workspace, repository


def _project(act: Act, workspace: Workspace, repository: Repository) -> Act:
    from masterkey_etl.project import project

    if not act.dry_run:
        act.projection = project(workspace, repository)
        act.issues += act.projection.issues
    return act


def take_back(
    data: Path, number: int, *, with_later: bool = False, dry_run: bool = False, waiting: Waiting = None
) -> Act:
    """Undo one delivery, merge or deletion; `with_later`: with those that rest on it.

    Raises SubmissionError: etl.submission-unknown, etl.undo-not, etl.undo-rests (each later delivery with the reason).
    """
    act = Act(f"undo of {number}", dry_run=dry_run)
    with _acting(data, waiting) as (workspace, repository):
        site = _undoable(_submission(repository, number)).site
        options = {"agent": "masterkey submissions undo", "request": f"undo {number}", "on_wait": waiting}
        with transaction(workspace, repository, act.changes, dry_run=dry_run, **options) as writer:
            plan, why = undo.closure(writer, site, number)
            _refuse(plan, why, number, with_later)
            act.told = [_named(plan, n, why.get(n, set())) for n in sorted(plan.numbers, reverse=True)]
            act.number = plan.carry_out()
            storing.release(writer, site, act.number)
        return _project(act, workspace, repository)


def _undoable(s: Submission) -> Submission:
    if s.state == "undone" or s.kind == "undo":
        reason = f"it was taken back by {s.undone_by} already" if s.undone_by else "it is an undo: load the file again"
        raise SubmissionError(issue("etl.undo-not", Place(s.site, s.file), number=s.id, reason=reason))
    return s


def _refuse(plan: undo.Undo, why: dict[int, set[str]], number: int, with_later: bool) -> None:
    later = {n: reasons for n, reasons in why.items() if n == undo.API or not with_later}
    found = []
    for n, reasons in sorted(later.items()):
        who = "the FHIR API" if n == undo.API else f"delivery {n} ({plan.submissions[n].file})"
        rule = "etl.undo-api" if n == undo.API else "etl.undo-rests"
        found.append(issue(rule, Place(plan.site), number=number, who=who, reason="; ".join(sorted(reasons))))
    if found:
        raise SubmissionError(*found)


def _named(plan: undo.Undo, n: int, reasons: set[str]) -> str:
    s = plan.submissions[n]
    because = f" ({'; '.join(sorted(reasons))})" if reasons else ""
    return f"takes back {n}, {s.kind} of {s.file}{because}"


# -- merge ----------------------------------------------------------------------------------------------------


def merge(data: Path, site: str, path: Path, *, dry_run: bool = False, waiting: Waiting = None) -> Act:
    """Local numbers that are one patient: a CSV file with the columns old,new, as the site's files have them.

    What can't be merged is an Issue with its row, never its numbers. Raises SubmissionError (etl.merge-file).
    """
    with _acting(data, waiting, site) as (workspace, repository):
        keys = workspace.keys(site)
        name = kept_name(workspace, site, path.name)
        act = Act(f"merge of {name}", dry_run=dry_run)
        pairs = _pairs(path, Place(site, name))
        options = {"agent": "masterkey submissions merge", "request": name, "on_wait": waiting}
        with transaction(workspace, repository, act.changes, dry_run=dry_run, **options) as writer:
            wanted = list(_found(writer, keys, Place(site, name), pairs, act.issues))
            if wanted:
                act.number = merging.merge(writer, site, name, wanted)
            act.told.append(f"{len(wanted)} of {len(pairs)} pairs are merged")
        return _project(act, workspace, repository)


def _pairs(path: Path, place: Place) -> list[tuple[int, str, str]]:
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as error:
        raise SubmissionError(read_issue(error, path, place)) from None
    except (UnicodeDecodeError, csv.Error):
        raise SubmissionError(issue("etl.merge-file", place)) from None
    if not rows or not {"old", "new"} <= rows[0].keys():
        raise SubmissionError(issue("etl.merge-file", place))
    return [(n, (row["old"] or "").strip(), (row["new"] or "").strip()) for n, row in enumerate(rows, 2)]


def _found(
    writer: Writer, keys: SiteKeys, place: Place, pairs: Sequence[tuple[int, str, str]], issues: list[Issue]
) -> Iterator[Merge]:
    """The pairs whose two patients are here."""
    step = {m.old: m.new for m in writer.deliveries.merges(place.site)}
    for row, old, new in pairs:
        found = [_patient_of(writer, place.site, keys.digest("record", number)) for number in (old, new)]
        a, b = found
        if a is None or b is None:
            which = " and ".join(name for name, x in (("old", a), ("new", b)) if x is None)
            issues.append(issue("etl.merge-unknown", Place(place.site, place.file, row), which=which))
        elif a == b or merging.end_of(b, step) == a or a in step:
            issues.append(issue("etl.merge-circle", Place(place.site, place.file, row)))
        else:
            step[a] = b
            yield Merge(a, b, keys.digest("record", old), keys.digest("record", new), 0)


def _patient_of(writer: Writer, site: str, digest: str) -> str | None:
    """The Patient that the record of this number made, in whatever file."""
    made = writer.deliveries.made_of(writer.deliveries.record_keys(site, digest).values())
    return next((x.id for x in made if x.type == "Patient"), None)


# -- deletions ------------------------------------------------------------------------------------------------


def delete_confirmed(data: Path, site: str | None = None, *, dry_run: bool = False, waiting: Waiting = None) -> Act:
    """Carry out the deletion queries (etl.record-absent) that were answered `confirmed`."""
    act = Act("confirmed deletions", dry_run=dry_run)
    with _acting(data, waiting, site) as (workspace, repository):
        if wanted := confirmed(repository, site):
            options = {"agent": "masterkey submissions confirm-deletions", "on_wait": waiting}
            with transaction(workspace, repository, act.changes, dry_run=dry_run, **options) as writer:
                for (where, file), digests in wanted.items():
                    act.number = delete_records(writer, where, file, digests)
                    act.told.append(f"{len(digests)} records of {where}/{file}, as {act.number}")
        else:
            act.told.append("no confirmed deletion waits")
        return _project(act, workspace, repository)


def confirmed(repository: Repository, site: str | None = None) -> dict[tuple[str, str], list[str]]:
    """(site, file) -> records (digests) whose deletion the site confirmed and nobody has carried out."""
    out: dict[tuple[str, str], list[str]] = {}
    for i in repository.issues("answered", site):
        if i.issue.rule == ABSENT and i.answer == CONFIRMED:
            out.setdefault((i.issue.place.site, i.file), []).append(i.issue.record)
    return out


def delete_records(writer: Writer, site: str, file: str, digests: Sequence[str]) -> int:
    """Delete what these records of a file made; what other files say of a patient who goes waits for him."""
    number = writer.begin_act(site, f"deletion in {file}", "delete")
    known = [writer.deliveries.record_keys(site, digest) for digest in digests]
    gone = writer.deliveries.made_of(by_file[file] for by_file in known if file in by_file)
    source = Source(number, file, (), "", "")
    deleted = writer.delete_many(site, [(x.type, x.id) for x in gone], source=source)
    held = [x for patient in gone if patient.type == "Patient" for x in _waiting_for(writer, site, patient, number)]
    writer.deliveries.hold(site, held)
    writer.delete_many(site, [(x.type, x.id) for x in held], source=source)
    issues = [issue("etl.patient-unknown", Place(site), record=x.name, waits_for=next(iter(x.waits))) for x in held]
    writer.record_issues(site, number, issues, whole=False)
    writer.close_issues(site, number, [ABSENT], digests)
    writer.finish_submission(number, resources=0, deleted=len(deleted), held=len(held))
    return number


def _waiting_for(writer: Writer, site: str, patient: Made, number: int) -> Iterator[Held]:
    """What others say of a patient who was just deleted; it is kept until the patient is sent again."""
    for stored in list(writer.reader.resources_of(site, patient.id)):
        source = writer.reader.source(site, stored.type, stored.id, stored.version) or Source(number, "", (), "", "")
        yield Held(stored.type, stored.id, source, stored.text, {patient.name: THERE}, held_by=number)


# -- recompute ------------------------------------------------------------------------------------------------


def recompute(
    data: Path,
    site: str | None = None,
    *,
    map_version: str | None = None,
    dry_run: bool = False,
    waiting: Waiting = None,
) -> Act:
    """Map the kept bytes again, with the maps and concept tables of now, or with an earlier version of a map.

    `map_version` (its hash, or the beginning of it) is then that of its site and source until `latest` is said. Raises
    SubmissionError, MapError, LoadError: nothing is changed then.
    """
    act, lines = Act("recompute", dry_run=dry_run), dict[int, list[Line]]()
    with _acting(data, waiting, site) as (workspace, repository):
        pinned = recomputing.Pins(workspace)
        if map_version:
            act.told.append(pinned.choose(map_version, site))
        options = {"agent": "masterkey submissions recompute", "request": map_version or "", "on_wait": waiting}
        with transaction(workspace, repository, act.changes, dry_run=dry_run, **options) as writer:
            for line, issues in recomputing.run(workspace, repository, writer, pinned.map_for, site, lines):
                act.told.append(line)
                act.issues += issues
        if not dry_run:
            pinned.keep()
            for number, lost in lines.items():
                write_lines(lost, lines_file(workspace.root, number))
        return _project(act, workspace, repository)


__all__ = ["Act", "SubmissionError", "delete_confirmed", "listed", "merge", "recompute", "show", "take_back"]
