"""The steward's questions to a workspace: checks, report, deliveries, Issues, vocabulary, the published CDM."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_etl.files import replacing
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_fhir.store import Repository
from masterkey_omop.publish import CdmStore

if TYPE_CHECKING:
    from masterkey_etl.project import ProjectionResult
    from masterkey_omop.ohdsi_sql import Result as Answer
    from masterkey_omop.vocabulary.athena import BundleReport
    from masterkey_validation.results import Result

Progress = Callable[[str], Callable[[int, int | None], None]]


class AssessmentError(MasterkeyError):
    """There is nothing to assess yet."""


@contextmanager
def opened(data: Path) -> Iterator[tuple[Workspace, Repository]]:
    """Workspace and repository of a folder, closed at the end."""
    workspace = Workspace.open(data)
    repository = Repository.open(workspace.repository_url)
    try:
        yield workspace, repository
    finally:
        repository.close()


def published_cdm(data: Path) -> Path:
    """The newest generation of the CDM. Raises AssessmentError when none was published yet."""
    path = CdmStore(Workspace.open(data).cdm).cdm_path()
    if not path.exists():
        raise AssessmentError(issue("etl.no-cdm", Place(file=str(data))))
    return path


def query(data: Path, sql: str, params: Mapping[str, Any] | None = None) -> Answer:
    """OHDSI-SQL on the published CDM, read only. Raises OhdsiSqlError with line and column."""
    import duckdb

    from masterkey_omop import ohdsi_sql

    path = published_cdm(data)
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error:
        raise AssessmentError(issue("omop.cdm-unreadable", Place(file=path.name))) from None
    with connection:
        return ohdsi_sql.run(sql, connection, dict(params or {}))


def run(workspace: Workspace, runner: str = "sql") -> list[Result]:
    """The checks on the published CDM; the run is kept in reports/checks-<runner>.json."""
    from masterkey_validation import catalogue, expectations
    from masterkey_validation import run as checks

    path = published_cdm(workspace.root)
    found = catalogue.load()
    results = expectations.run_gx(path, found) if runner == "gx" else checks.run_duckdb(path, found)
    with replacing(workspace.root / "reports" / f"checks-{runner}.json") as out:
        out.write(json.dumps([r.as_dict() for r in results], ensure_ascii=False, indent=1, default=str).encode())
    return results


def quality(data: Path, *, runner: str = "sql") -> list[Result]:
    """Run the checks on a workspace; runner `sql` or `gx`. Raises AssessmentError for another."""
    if runner not in ("sql", "gx"):
        raise AssessmentError(issue("etl.runner-unknown", runner=runner[:20]))
    return run(Workspace.open(data), runner)


def issues(data: Path, *, state: str = "open", site: str | None = None) -> list[Issue]:
    """Recorded Issues: `open`, `closed` or `all`."""
    with opened(data) as (_, repository):
        kept = repository.issues(None if state == "all" else state, site)
    return [replace(k.issue, place=replace(k.issue.place, file=k.issue.place.file or k.file)) for k in kept]


def project_only(data: Path, *, everything: bool = False, progress: Progress | None = None) -> ProjectionResult:
    """FHIR to CDM without a load; `everything` starts from an empty CDM."""
    from masterkey_etl.project import project

    with opened(data) as (workspace, repository):
        shown = progress("project") if progress else None
        return project(workspace, repository, all=everything, progress=shown)


def load_vocabulary(data: Path, source: Path, *, told: Callable[[str], None] = lambda _: None) -> BundleReport:
    """An Athena folder or zip into the workspace; projection uses it from the next run on."""
    from masterkey_omop.vocabulary.athena import load_bundle

    workspace = Workspace.open(data, create=True)
    with workspace.lock("load"):
        workspace.vocabulary.parent.mkdir(exist_ok=True)
        return load_bundle(source, workspace.vocabulary, told)


def vocabulary_status(data: Path) -> tuple[str, list[tuple[str, int]]]:
    """The release in use, and how many concepts of each vocabulary it holds."""
    from masterkey_omop import vocabulary

    file = Workspace.open(data).vocabulary
    found = vocabulary.load(file if file.exists() else None)
    return found.version, found.counts()


def write_report(data: Path, *, out: Path | None = None, language: str = "en") -> Path:
    """The report as one HTML page and its JSON twin beside it; where it was written."""
    from masterkey_etl.report_data import collect
    from masterkey_validation import report

    with opened(data) as (workspace, repository):
        facts = collect(workspace, repository, run(workspace))
        target = out or workspace.root / "reports" / ("report.html" if language == "en" else f"report.{language}.html")
        report.write(facts, target, language=language)
    return target
