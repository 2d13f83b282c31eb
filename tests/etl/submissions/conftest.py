"""A tiny site: cases (Patient, Condition) and reports (Observation of a patient of the cases), with maps of its own."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from masterkey_etl import assessment, loading, submissions
from masterkey_etl.flow import Request
from masterkey_etl.loading import LoadReport
from masterkey_etl.project import ProjectionResult, project
from masterkey_etl.timing import Stopwatch
from masterkey_etl.workspace import Workspace
from masterkey_fhir.store import Repository

SITE = "my_nci"
MODEL = """
format: {name}
revision: "1"
title: tiny
citation: a test
delivery: {delivery}
record: {name}
key: [pid]
columns:
  - {{id: pid, header: pid, type: text, personal: identifier}}
"""
COLUMN = "  - {{id: {0}, header: {0}, type: text}}\n"
CASE_MAP = """
source: tiny_case/1
resources:
  hospital: {resourceType: Organization, id: = id(%site), name: Tiny}
  patient:
    resourceType: Patient
    id: = id(pid)
    gender: = sex
    birthDate: = born
    managingOrganization: = reference(hospital)
  diagnosis:
    resourceType: Condition
    id: = id(pid)
    subject: = reference(patient)
    code: {text: = dx}
"""
REPORT_MAP = """
source: {name}/1
external:
  patient: {{resourceType: Patient, id: = id(pid)}}
resources:
  finding:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {{text: finding}}
    subject: = reference(patient)
    valueString: = result
"""


@dataclass
class Tiny:
    """A workspace and its site's folder."""

    data: Path
    folder: Path

    def write(self, name: str, rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> Path:
        with (self.folder / name).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows([row[c] for c in columns] for row in rows)
        return self.folder / name

    def cases(self, *rows: str, name: str = "case.csv") -> LoadReport:
        """Load rows `pid sex born dx`."""
        columns = ("pid", "sex", "born", "dx")
        given = [dict(zip(columns, row.split(), strict=True)) for row in rows]
        return self.load(self.write(name, given, columns))

    def reports(self, *rows: str, name: str = "report.csv") -> LoadReport:
        """Load rows `pid result`; a file `delta...` is one of what changed."""
        columns = ("pid", "change" if name.startswith("delta") else "result")
        given = [dict(zip(columns, row.split(), strict=True)) for row in rows]
        return self.load(self.write(name, given, columns))

    def load(self, path: Path) -> LoadReport:
        """As `masterkey load`, up to `store`: the CDM is projected where a test asks for it."""
        workspace, repository = Workspace.open(self.data), self.repository
        report = LoadReport()
        try:
            loading._one(report, Request(workspace, repository, SITE, path, Stopwatch()))
        finally:
            repository.close()
        return report

    def project(self, *, everything: bool = False) -> ProjectionResult:
        workspace, repository = Workspace.open(self.data), self.repository
        try:
            return project(workspace, repository, all=everything)
        finally:
            repository.close()

    @property
    def repository(self) -> Repository:
        return Repository.open(f"sqlite:///{self.data / 'repository.db'}")

    def state(self) -> dict[str, bytes]:
        """Current resources with their text."""
        repository = self.repository
        try:
            kinds = repository.counts(SITE)
            return {f"{s.type}/{s.id}": s.text for kind in kinds for s in repository.of_type(SITE, kind)}
        finally:
            repository.close()

    def values(self) -> dict[str, list[str]]:
        """What the current resources say, by type."""
        from masterkey_fhir import json

        keep: dict[str, Callable[[dict[str, object]], object]] = {
            "Patient": lambda r: r.get("birthDate"),
            "Condition": lambda r: r["code"]["text"],  # type: ignore[index]
            "Observation": lambda r: r["valueString"],
        }
        out: dict[str, list[str]] = {}
        for text in self.state().values():
            resource = json.loads(text)
            if resource["resourceType"] in keep:
                out.setdefault(resource["resourceType"], []).append(str(keep[resource["resourceType"]](resource)))
        return {kind: sorted(found) for kind, found in out.items()}

    def cdm(self, sql: str) -> list[tuple[object, ...]]:
        self.project()
        with duckdb.connect(str(assessment.published_cdm(self.data)), read_only=True) as cdm:
            return cdm.execute(sql).fetchall()

    def issues(self, state: str | None = "open") -> list[str]:
        repository = self.repository
        try:
            return sorted(i.issue.rule for i in repository.issues(state, SITE))
        finally:
            repository.close()

    def ledger(self, number: int) -> dict[tuple[str, str], int]:
        repository = self.repository
        try:
            return {(x.status, x.reason): x.n for x in repository.ledger(number) if x.column in ("result", "dx")}
        finally:
            repository.close()


def write_mappings(root: Path) -> None:
    """Source models and maps of the tiny site."""
    sources = {"tiny_case": ("snapshot", ("sex", "born", "dx")), "tiny_report": ("snapshot", ("result",))}
    sources["tiny_delta"] = ("delta", ("change",))
    for name, (delivery, columns) in sources.items():
        place = root / "sources" / name
        place.mkdir(parents=True, exist_ok=True)
        text = MODEL.format(name=name, delivery=delivery) + "".join(COLUMN.format(c) for c in columns)
        (place / "1.yaml").write_text(text)
    maps = root / "sites" / SITE
    maps.mkdir(parents=True, exist_ok=True)
    (maps / "case.yaml").write_text(CASE_MAP)
    (maps / "report.yaml").write_text(REPORT_MAP.format(name="tiny_report"))
    (maps / "delta.yaml").write_text(REPORT_MAP.format(name="tiny_delta").replace("= result", "= change"))


@pytest.fixture(scope="session")
def empty_tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with mappings, its repository migrated: once is enough for all tests."""
    data = tmp_path_factory.mktemp("tiny") / "ws"
    Repository.open(Workspace.open(data, create=True, role="site").repository_url).close()
    write_mappings(data / "mappings")
    return data


@pytest.fixture
def tiny(tmp_path: Path, empty_tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """Acts leave the CDM to the test that asks for it; tests/api/test_cli_submissions.py has the whole."""
    monkeypatch.setattr(submissions, "_project", lambda act, *_: act)
    shutil.copytree(empty_tiny, tmp_path / "ws")
    (tmp_path / SITE).mkdir()
    return Tiny(tmp_path / "ws", tmp_path / SITE)
