"""Mapping kept bytes again: with the maps and concept tables of now, or with an earlier, kept version of a map.

Each record comes from the newest delivery in force that states it, as what is current does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from masterkey_etl import maps, pipeline, storing
from masterkey_etl.files import replacing
from masterkey_etl.flow import Flow, Request
from masterkey_etl.ledger import Line
from masterkey_etl.receive import kept_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap
from masterkey_etl.timing import Stopwatch
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue
from masterkey_fhir.store import Repository, Submission, Writer

LATEST = "latest"
Choice = Callable[[str, SourceModel, Workspace], CompiledMap]


@dataclass
class Pins:
    """Map versions that were chosen for a site and source, instead of the files in `mappings`: maps/pinned.json."""

    workspace: Workspace
    chosen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.chosen = dict(maps.pinned(self.workspace))

    def choose(self, version: str, site: str | None) -> str:
        """From now on this version, or `latest`: what the files say. Raises MapError (etl.map-version...)."""
        if version == LATEST:
            self.chosen = {k: v for k, v in self.chosen.items() if site and maps.site_of_pin(k) != site}
            return "the maps are those of the files again"
        whole, said = maps.find_kept(version, self.workspace)
        where = self.workspace.site(site or said["site"]).id  # a map of _common is of no site: say --site
        self.chosen[maps.pin(where, said["source"])] = whole
        return f"{where} reads {said['source']} with map version {whole[:12]}"

    def map_for(self, site: str, model: SourceModel, workspace: Workspace) -> CompiledMap:
        return maps.for_source(site, model, workspace, self.chosen)

    def keep(self) -> None:
        path = maps.pin_file(self.workspace)
        if self.chosen or path.exists():
            with replacing(path) as out:
                out.write(json.dumps(self.chosen, indent=1, sort_keys=True).encode())


def run(
    workspace: Workspace,
    repository: Repository,
    writer: Writer,
    choose: Choice,
    site: str | None,
    lines: dict[int, list[Line]],
) -> Iterator[tuple[str, list[Issue]]]:
    """Every delivery in force, in the open transaction: what is told of each, and its Issues.

    `lines` gathers the single lost values of those whose ledger is made anew, to be kept after the commit.
    """
    for where in [site] if site else repository.sites():
        for deliveries in _by_file(writer.submissions_of(where)):
            yield from _file(workspace, repository, writer, choose, deliveries, lines)


def _by_file(submissions: list[Submission]) -> list[list[Submission]]:
    """Those in force, newest first, per file; files in the order of their newest."""
    files: dict[str, list[Submission]] = {}
    for s in submissions:
        if s.stands:
            files.setdefault(s.file, []).insert(0, s)
    return sorted(files.values(), key=lambda of: of[0].id)


def _file(
    workspace: Workspace,
    repository: Repository,
    writer: Writer,
    choose: Choice,
    deliveries: list[Submission],
    lines: dict[int, list[Line]],
) -> Iterator[tuple[str, list[Issue]]]:
    names = set[str]()
    for s in deliveries:
        only = None if s is deliveries[0] else writer.deliveries.alive(s.site, s.file) - names
        if only is not None and not only:
            return
        flow = _flow(workspace, repository, s, choose, only)
        for step in (pipeline.read, pipeline.map, pipeline.protect, pipeline.check):
            flow = step(flow)
        written = storing.write(flow, writer)
        assert flow.compiled is not None and flow.names is not None and flow.ledger is not None
        if only is None:
            lines[s.id] = flow.ledger.lines
        maps.keep(flow.compiled, workspace)
        names |= flow.names
        counts = ", ".join(f"{n:,} {name}" for name, n in sorted(flow.counts.items()) if n) or "nothing"
        yield f"{s.site}/{s.file} (delivery {s.id}), map {flow.compiled.version[:12]}: {counts}", list(written.issues)


def _flow(workspace: Workspace, repository: Repository, s: Submission, choose: Choice, only: set[str] | None) -> Flow:
    request = Request(workspace, repository, s.site, Path(s.file), Stopwatch())
    delivery = kept_delivery(workspace, s.site, s.file, s.sha256, s.bytes)
    flow = Flow(request, delivery, s.id, is_first=False, remapped=s.id, only=only, names=set())
    flow.choose = choose
    return flow
