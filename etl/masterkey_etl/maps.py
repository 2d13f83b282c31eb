"""Which map reads a delivery; maps are compiled once and kept under the hash of all that they say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.files import replacing
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapError, MapFile, compile_map, load_map
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place, issue


def for_source(site: str, model: SourceModel, workspace: Workspace) -> CompiledMap:
    """The compiled map of `site` for this source model; the workspace's overlay wins.

    Raises MapError: etl.map-absent, or the mistakes of the map (a column forgotten is one: etl.silent-loss).
    """
    for path in candidates(site, workspace.overlay):
        found = load_map(path)
        if found.source == model.id:
            return compiled(path, workspace.overlay)
    raise MapError(issue("etl.map-absent", Place(site), source=model.id))


def candidates(site: str, overlay: Path) -> Iterator[Path]:
    """The map files of a site, those of the workspace first, then those of every site; a name counts once."""
    seen = set()
    for place in (site, "_common"):
        for root in (overlay, folder("mappings")):
            for path in sorted((root / "sites" / place).glob("*.yaml")):
                if path.name not in seen:
                    seen.add(path.name)
                    yield path


def compiled(path: Path, overlay: Path) -> CompiledMap:
    """The map at `path`, compiled with its source model and concept tables."""
    return _compiled(path, overlay, path.stat().st_mtime_ns)


@cache
def _compiled(path: Path, overlay: Path, _changed: int) -> CompiledMap:
    found: MapFile = load_map(path)
    model = SourceModel.load(found.source, overlay)
    concepts = Concepts.load(overlay)
    if concepts.issues:
        raise MapError(*concepts.issues)
    return compile_map(found, model, concepts)


def keep(map_: CompiledMap, workspace: Workspace) -> Path:
    """What the map says, under its hash: its text and, for `explain`, each leaf of each block.

    So an explanation stays right whatever becomes of the map, its source model or the concept tables.
    """
    target = _kept(map_.version, workspace)
    if not target.exists():
        blocks = {block: [asdict(leaf) for leaf in map_.leaves(block)] for block in map_.blocks}
        headers = {c.id: c.header for c in map_.model.columns}
        said = {"source": map_.model.id, "headers": headers, "blocks": blocks, "text": map_.text}
        with replacing(target) as out:
            out.write(json.dumps(said, ensure_ascii=False, indent=1).encode())
    return target


def kept(version: str, workspace: Workspace) -> dict[str, Any]:
    """What `keep` wrote."""
    said: dict[str, Any] = json.loads(_kept(version, workspace).read_bytes())
    return said


def _kept(version: str, workspace: Workspace) -> Path:
    return workspace.root / "maps" / f"{version}.json"
