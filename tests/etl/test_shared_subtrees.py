"""Resources of one map share what is literal: no step after `map` may change one in place."""

from __future__ import annotations

from pathlib import Path

from masterkey_etl import pipeline, synth
from masterkey_etl.timing import Stopwatch
from masterkey_etl.workspace import Workspace
from masterkey_fhir import json
from masterkey_fhir.store import Repository


def test_the_steps_after_map_leave_its_resources_as_they_are(tmp_path: Path) -> None:
    synth.synth(tmp_path / "cohort", patients=30, seed=5, plant_identifiers=30)
    workspace = Workspace.open(tmp_path / "ws", create=True, role="registry")
    repository = Repository.open(workspace.repository_url)
    files = sorted((tmp_path / "cohort" / "jp_ncch").iterdir())
    mapped: list[tuple[dict[str, object], bytes]] = []

    def watched(flow: pipeline.Flow) -> pipeline.Flow:
        def batches() -> object:
            for batch in inner:
                mapped.extend((p.resource, json.dumps(p.resource)) for record in batch for p in record)
                yield batch

        inner, flow.batches = flow.batches, batches()  # type: ignore[assignment]
        return flow

    for file in files:
        value: object = pipeline.Request(workspace, repository, "jp_ncch", file, Stopwatch())
        for step in (*pipeline.STEPS[:3], watched, *pipeline.STEPS[3:6]):
            value = step(value)  # type: ignore[operator]
    repository.close()
    assert len(mapped) > 500
    assert all(json.dumps(resource) == before for resource, before in mapped)
