"""`masterkey watch`: a drop folder. Each file is loaded when it is complete, moved, and a receipt lies beside it.

    FOLDER/export.csv  ->  FOLDER/done/20261125T101500Z_export.csv      (or refused/)
                           FOLDER/done/20261125T101500Z_export.csv.receipt.txt, .receipt.json

A file is complete when its size and time have stood still for `settle` seconds: polling sees that on network shares
too, where notifications do not arrive. What may pass by itself (a full disk, a file not yet readable) leaves the file
where it is. Killed at any point, the file is simply loaded again: the same bytes are one delivery.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from masterkey_etl import loading
from masterkey_etl.file_names import kept_name
from masterkey_etl.files import replacing, sync_folder, write_issue
from masterkey_etl.ledger import STATUSES
from masterkey_etl.loading import LoadReport
from masterkey_etl.workspace import Workspace, WorkspaceError
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

DONE, REFUSED, WAITING = "done", "refused", "waiting"
UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart", ".swp")  # still being sent
PASSING = frozenset(("etl.disk-full", "etl.unwritable", "etl.unreadable", "etl.file-changing"))
RETRY = 60.0  # seconds until what may pass by itself is tried again
State = tuple[int, int]  # size, modification time (ns)


@dataclass(frozen=True)
class Receipt:
    """What became of one dropped file. `verdict`: done | refused | waiting (left where it is).

    `file` is its name as the workspace may show it: receipts are printed to logs too.
    """

    site: str
    file: str
    verdict: str
    report: LoadReport
    moved: Path | None = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_dict(self) -> dict[str, Any]:
        told = self.report.as_dict()
        kept = {k: told[k] for k in ("exit_code", "files", "issues")}
        return {"site": self.site, "file": self.file, "verdict": self.verdict, "at": f"{self.at:%FT%TZ}", **kept}

    def lines(self) -> Iterator[str]:
        """For the person who dropped the file."""
        yield f"{self.file} of {self.site}: {self.verdict} ({self.at:%F %T} UTC)"
        for s in self.report.stored:
            resources = ", ".join(f"{n:,} {name}" for name, n in sorted(s.counts.items())) or "none"
            yield f"{s.file}: delivery {s.submission}, {s.rows:,} rows, {s.values:,} values; resources: {resources}"
        if self.report.stored:
            by_status = self.report.totals()
            yield "values: " + ", ".join(f"{by_status[status]:,} {status.replace('_', ' ')}" for status in STATUSES)
        yield from (f"{i.severity}: {i}" for i in self.report.issues)
        if self.verdict == WAITING:
            yield "The file stays where it is and is tried again; nothing need be done."
        elif self.verdict == REFUSED or self.report.refused:
            yield self.report.next_step()
        else:
            yield "Keep this receipt; nothing need be sent again."


@dataclass
class Drop:
    """One watched folder of one site, and what was seen there."""

    site: str
    folder: Path
    named: Callable[[str], str] = str  # the name of a file as it may be shown
    _seen: dict[Path, tuple[State, float]] = field(default_factory=dict)  # since when it stands still (monotonic)
    _asleep: dict[Path, tuple[State, float]] = field(default_factory=dict)  # not before then, unless it changes
    _told: set[Path] = field(default_factory=set)

    def complete(self, settle: float, tell: Callable[[Issue], None]) -> list[Path]:
        """Files that have stood still for `settle` seconds, oldest name first."""
        now, found = time.monotonic(), {}
        for path, state in self._present(tell):
            before = self._seen.get(path)
            found[path] = before if before and before[0] == state else (state, now)
        self._seen = found
        return [p for p, (state, since) in found.items() if now - since >= settle and not self._sleeping(p, state, now)]

    def later(self, path: Path) -> None:
        """Look at this file again in a while, or when it changes."""
        if path in self._seen:
            self._asleep[path] = (self._seen[path][0], time.monotonic() + RETRY)

    def unchanged(self, path: Path) -> bool:
        """Is it still the file that was complete, and was loaded?"""
        try:
            status = path.lstat()
        except OSError:
            return False
        return path in self._seen and self._seen[path][0] == (status.st_size, status.st_mtime_ns)

    def _sleeping(self, path: Path, state: State, now: float) -> bool:
        before, until = self._asleep.get(path, (None, 0.0))
        return before == state and now < until

    def _present(self, tell: Callable[[Issue], None]) -> Iterator[tuple[Path, State]]:
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith((".", "~$")) or path.name.lower().endswith(UNFINISHED):
                continue
            try:
                status = path.lstat()
            except FileNotFoundError:  # taken back meanwhile
                continue
            if stat.S_ISREG(status.st_mode):
                yield path, (status.st_size, status.st_mtime_ns)
            elif not stat.S_ISDIR(status.st_mode) and path not in self._told:
                self._told.add(path)
                tell(issue("etl.drop-not-a-file", Place(self.site, self.named(path.name))))


def drops(data: Path, folder: Path, site: str | None) -> list[Drop]:
    """The watched folders: `folder` itself for `site` (or for the site it is named after), else one per site inside.

    Raises WorkspaceError: etl.path-absent, etl.site-unknown.
    """
    workspace = Workspace.open(data, create=True)
    if not folder.is_dir():
        raise WorkspaceError(issue("etl.path-absent", Place(file=str(folder))))
    name = folder.resolve().name
    if site or name in workspace.sites:
        return [_drop(workspace, workspace.site(site or name).id, folder)]
    inside = [p for p in sorted(folder.iterdir()) if p.is_dir() and p.name in workspace.sites]
    if not inside:
        workspace.site(name)  # raises, with the sites that are known
    return [_drop(workspace, p.name, p) for p in inside]


def _drop(workspace: Workspace, site: str, folder: Path) -> Drop:
    return Drop(site, folder, partial(kept_name, workspace, site))


def watch(
    data: Path,
    folder: Path,
    *,
    site: str | None = None,
    once: bool = False,
    every: float = 2.0,
    settle: float = 5.0,
    tell: Callable[[Issue], None],
    **options: Any,
) -> Iterator[Receipt]:
    """Receipts as files arrive, without end; with `once`, of the files that are there now.

    `options` (progress, waiting) go to `masterkey_etl.loading.load`. Raises WorkspaceError for a folder or site that
    can't be watched; what is wrong with a file is in its receipt.
    """
    watched = drops(data, folder, site)
    while True:
        if once:
            for drop in watched:
                drop.complete(settle, tell)
            time.sleep(settle)
        for drop in watched:
            yield from _take(data, drop, settle, tell, options)
        if once:
            return
        time.sleep(every)


def _take(
    data: Path, drop: Drop, settle: float, tell: Callable[[Issue], None], options: dict[str, Any]
) -> Iterator[Receipt]:
    """Load what is complete, all in one run, so that the CDM is published once."""
    paths = drop.complete(settle, tell)
    if not paths:
        return
    try:
        whole = loading.load(data, paths, site=drop.site, **options)
    except MasterkeyError as error:  # the workspace, not a file: everything stays and is tried again
        for found in error.issues:
            tell(found)
        for path in paths:
            drop.later(path)
        return
    for path in paths:
        receipt = _filed(drop, path, _of(whole, path))
        if receipt.verdict == WAITING:
            drop.later(path)
        yield receipt


def _of(whole: LoadReport, path: Path) -> LoadReport:
    """The part of a load that is about one file (or the members of one container)."""
    stored = [s for s in whole.stored if _within(s.request.path, path)]
    stopped = {p: issues for p, issues in whole.stopped.items() if _within(p, path)}
    ended = [i for issues in stopped.values() for i in issues]
    never_begun = [i for i in whole.refused if i.place.file == str(path)]
    refused = [*ended, *(i for i in never_begun if i not in ended)]
    return replace(whole, stored=stored, refused=refused, stopped=stopped, assessed=None, broken=not stored)


def _within(request: Path, path: Path) -> bool:
    return request == path or str(request).startswith((f"{path}!", f"{path}/"))


def _filed(drop: Drop, path: Path, report: LoadReport) -> Receipt:
    """The receipt, and the file moved beside it."""
    if not report.stored and any(i.rule in PASSING for i in report.refused):
        return Receipt(drop.site, drop.named(path.name), WAITING, report)
    receipt = Receipt(drop.site, drop.named(path.name), REFUSED if report.exit_code == 2 else DONE, report)
    if not drop.unchanged(path):  # another one of that name came while this one was loaded: it is read next
        return _stays(receipt, issue("etl.file-changing", Place(drop.site, receipt.file)))
    try:
        return replace(receipt, moved=_move(path, receipt))
    except (OSError, WorkspaceError) as error:
        issues = error.issues if isinstance(error, WorkspaceError) else (write_issue(error, path),)
        return _stays(receipt, *issues)


def _stays(receipt: Receipt, *issues: Issue) -> Receipt:
    report = replace(receipt.report, refused=[*receipt.report.refused, *issues])
    return replace(receipt, verdict=WAITING, report=report)


def _move(path: Path, receipt: Receipt) -> Path:
    folder = path.parent / receipt.verdict
    folder.mkdir(mode=0o700, exist_ok=True)
    target = _free(folder, f"{receipt.at:%Y%m%dT%H%M%SZ}_{path.name}")
    with replacing(target.with_name(f"{target.name}.receipt.json")) as out:
        out.write(json.dumps(receipt.as_dict(), ensure_ascii=False, indent=1).encode())
    with replacing(target.with_name(f"{target.name}.receipt.txt")) as out:
        out.write("".join(f"{line}\n" for line in receipt.lines()).encode())
    path.rename(target)
    sync_folder(folder)
    sync_folder(path.parent)
    return target


def _free(folder: Path, name: str) -> Path:
    """A name nobody has in this folder; one that is too long for the receipt's ending is shortened."""
    if len(os.fsencode(name)) > 230:
        name = f"{name[:60]}_{hashlib.sha256(os.fsencode(name)).hexdigest()[:12]}{Path(name).suffix[:20]}"
    taken = Counter(p.name for p in folder.iterdir())
    return next(folder / n for n in (name, *(f"{i}_{name}" for i in range(2, 10_000))) if n not in taken)
