"""`masterkey load`: find the files and their sites, run the steps, tell what became of everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from masterkey_etl import containers, drift, pipeline
from masterkey_etl.file_names import kept_name
from masterkey_etl.files import read_issue
from masterkey_etl.ledger import STATUSES, balance
from masterkey_etl.pipeline import Assessed, LoadError, Progress, Request, Stored
from masterkey_etl.template import calm_collector
from masterkey_etl.timing import Stopwatch
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.store import Repository

Waiting = Callable[[str, float], None]


@dataclass
class LoadReport:
    """What a load did; its numbers balance. `exit_code` as in the architecture: 0, 1 or 2."""

    stored: list[Stored] = field(default_factory=list)
    refused: list[Issue] = field(default_factory=list)
    stopped: dict[Path, list[Issue]] = field(default_factory=dict)  # of `refused`, those about a file, by its path
    assessed: Assessed | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    broken: bool = False
    drift: list[tuple[str, tuple[drift.Difference, ...]]] = field(default_factory=list)  # site/file, what changed

    @property
    def issues(self) -> list[Issue]:
        projection = list(self.assessed.projected.projection.issues) if self.assessed else []
        return [*self.refused, *(i for s in self.stored for i in s.issues), *projection]

    @property
    def exit_code(self) -> int:
        unread = any(i.severity == "fatal" for s in self.stored for i in s.issues)
        if self.broken or unread or not self.stored:
            return 2
        return int(any(i.is_error for i in self.issues))

    def totals(self) -> Counter[str]:
        """Values per ledger status over all files."""
        return sum((Counter(balance(s.ledger)) for s in self.stored), Counter())

    def as_dict(self) -> dict[str, Any]:
        projection = self.assessed.projected.projection if self.assessed else None
        return {
            "exit_code": self.exit_code,
            "files": [_file(s) for s in self.stored],
            "cdm": dict(projection.rows) if projection else {},
            "checks": [r.as_dict() for r in self.assessed.results] if self.assessed else [],
            "drift": [{"file": file, "changes": drift.as_dicts(found)} for file, found in self.drift],
            "issues": [{**i.as_outcome(), "count": i.count} for i in self.issues],
            "seconds": {k: round(v, 3) for k, v in self.seconds.items()},
        }

    def lines(self) -> Iterator[str]:
        """The summary that balances."""
        for s in self.stored:
            yield from _file_lines(s)
        for file, found in self.drift:
            yield from (f"{file}: changed since the earlier deliveries", *(f"  {d}" for d in drift.lines(found)))
        if self.assessed:
            yield from _cdm_lines(self.assessed)
        spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in self.seconds.items())
        yield f"seconds: {spent}"

    def next_step(self) -> str:
        if self.exit_code == 2:
            return "Nothing of a refused file was stored. Follow the remedy above and load again."
        if self.exit_code == 1:
            return "Errors stay open: `masterkey issues list` shows each with its remedy; correct and load again."
        return "All is in. Next: `masterkey quality report`, `masterkey explain person:1`."


def _file(s: Stored) -> dict[str, Any]:
    return {
        "site": s.request.site,
        "file": s.file,
        "submission": s.submission,
        "repeat": s.repeat,
        "rows": s.rows,
        "values": s.values,
        "ledger": dict(balance(s.ledger)),
        "resources": dict(s.counts),
    }


def _file_lines(s: Stored) -> Iterator[str]:
    by_status = balance(s.ledger)
    parts = " + ".join(f"{by_status[status]:,} {status.replace('_', ' ')}" for status in STATUSES)
    balanced = "=" if sum(by_status.values()) == s.values else "DOES NOT EQUAL"
    again = " (the same bytes as before)" if s.repeat else ""
    yield f"{s.request.site}/{s.file}{again}: {s.rows:,} rows, {s.values:,} values {balanced} {parts}"
    counts = ", ".join(f"{n:,} {name}" for name, n in sorted(s.counts.items())) or "none"
    yield f"  resources: {counts}"


def _cdm_lines(assessed: Assessed) -> Iterator[str]:
    projection = assessed.projected.projection
    rows = ", ".join(f"{table} {n:,}" for table, n in sorted(projection.rows.items()) if n)
    yield f"CDM: {rows}"
    states = Counter(r.status for r in assessed.results)
    yield f"checks: {', '.join(f'{n} {status}' for status, n in sorted(states.items()))}"


def load(
    data: Path,
    paths: Sequence[Path],
    *,
    site: str | None = None,
    progress: Progress | None = None,
    waiting: Waiting | None = None,
    accept_drift: str = "",
) -> LoadReport:
    """Every file through the steps; then the CDM and the checks, once.

    `accept_drift`: who accepts what changed since the earlier deliveries; without it such a file is refused.
    Raises MasterkeyError when the workspace can't be used; what is wrong with a file is in the report.
    """
    workspace = Workspace.open(data, create=True)
    report, watch = LoadReport(), Stopwatch()
    told = (lambda seconds: waiting("load", seconds)) if waiting else None
    with workspace.lock("load", told), calm_collector():
        workspace.clean()
        repository = Repository.open(workspace.repository_url)
        try:
            files = list(_files(workspace, paths, site, report.refused))
            for where, path in files:
                request = Request(
                    workspace, repository, where, path, watch, waiting, progress, accept_drift=accept_drift
                )
                for one in _deliveries(report, request):
                    _one(report, one)
            if report.stored:
                report.assessed = pipeline.assess(pipeline.project(tuple(report.stored)))
        finally:
            repository.close()
    report.seconds = {s.__name__: watch.seconds[s.__name__] for s in pipeline.STEPS if s.__name__ in watch.seconds}
    return report


def _deliveries(report: LoadReport, request: Request) -> Iterator[Request]:
    """The file itself; of a container one for each member, while it is open."""
    scratch, overlay = request.workspace.scratch, request.workspace.overlay
    try:
        tell = partial(_tell, report, request)
        for member in containers.members(request.path, request.site, scratch, tell, overlay):
            yield replace(request, member=member)
    except MasterkeyError as error:
        _stop(report, request, error)


def _one(report: LoadReport, request: Request) -> None:
    """One file up to `store`; what stops it is kept, the other files go on."""
    value: Any = request
    try:
        for step in pipeline.STEPS[:6]:
            value = step(value)
    except MasterkeyError as error:
        _stop(report, request, error)
    else:
        report.stored.append(value)
        if value.drift:
            report.drift.append((f"{request.site}/{value.file}", value.drift))


def _stop(report: LoadReport, request: Request, error: MasterkeyError) -> None:
    report.broken |= isinstance(error, LoadError) or any(i.severity == "fatal" for i in error.issues)
    if isinstance(error, drift.DriftError):
        report.drift.append((f"{request.site}/{request.file}", error.differences))
    for i in error.issues:
        _tell(report, request, i)


def _tell(report: LoadReport, request: Request, i: Issue) -> None:
    placed = _placed(i, request)
    report.refused.append(placed)
    report.stopped.setdefault(request.path, []).append(placed)


def _placed(i: Issue, request: Request) -> Issue:
    """With its file, by the name that this workspace may show; no other name of it is said."""
    if i.facts.get("path") == request.path.name:
        i = replace(i, facts={**i.facts, "path": kept_name(request.workspace, request.site, request.path.name)})
    if not i.place.file:
        return i.at(site=request.site, file=request.file)
    own = i.place.file == request.path.name or i.place.file.startswith(f"{request.path.name}!")
    return i.at(file=kept_name(request.workspace, request.site, i.place.file)) if own else i


def _files(
    workspace: Workspace, paths: Sequence[Path], site: str | None, refused: list[Issue]
) -> Iterator[tuple[str, Path]]:
    """(site, file), in an order that does not depend on the file system; what patients' files come first.

    A path that gives no file is told, and the other paths go on; an unknown `site` ends all.
    """
    if site:
        workspace.site(site)
    for given in paths:
        try:
            found = list(_at(workspace, given, site, refused))
        except MasterkeyError as error:
            refused += [i.at(file=str(given)) for i in error.issues]
        except OSError as error:
            refused.append(read_issue(error, given, Place(file=str(given))))
        else:
            yield from found


def _at(workspace: Workspace, given: Path, site: str | None, refused: list[Issue]) -> Iterator[tuple[str, Path]]:
    if given.is_dir():
        told = len(refused)
        found = list(_in_folder(workspace, given, site, refused))
        if not found and told == len(refused):
            refused.append(issue("etl.path-absent", Place(file=str(given / "*"))))
        yield from found
    elif given.exists() and (found_no_file := containers.no_file(given, Place(file=str(given)))):
        refused.append(found_no_file)
    elif given.exists():
        yield workspace.site(site or given.resolve().parent.name).id, given
    else:
        refused.append(issue("etl.path-absent", Place(file=str(given))))


def _in_folder(workspace: Workspace, root: Path, site: str | None, refused: list[Issue]) -> Iterator[tuple[str, Path]]:
    """Its files; without `site` its name, else those of its folders, tell the site."""
    name = root.resolve().name
    if site or name in workspace.sites:
        where = workspace.site(site or name).id
        yield from ((where, p) for p in sorted(root.rglob("*")) if _is_data(p, refused))
        return
    inside = sorted(root.iterdir())
    for child in (c for c in inside if c.is_dir()):
        if child.name in workspace.sites:
            yield from ((child.name, p) for p in sorted(child.rglob("*")) if _is_data(p, refused))
        else:
            refused.append(_unknown(workspace, child))
    if not any(c.is_dir() for c in inside) and any(_is_data(c) for c in inside):
        refused.append(_unknown(workspace, root))


def _unknown(workspace: Workspace, folder: Path) -> Issue:
    known = ", ".join(sorted(workspace.sites))
    return issue("etl.site-unknown", Place(file=str(folder)), known=known, given=folder.resolve().name)


def _is_data(path: Path, refused: list[Issue] | None = None) -> bool:
    if path.is_file():
        return not path.name.startswith(".")
    found = containers.no_file(path, Place(file=path.name)) if refused is not None and path.exists() else None
    if refused is not None and found:
        refused.append(found)
    return False
