"""Which map reads a delivery; maps are compiled once and kept under the hash of all that they say."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

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
    """The map files of a site, those of the workspace first; a name in both counts once."""
    seen = set()
    for root in (overlay, folder("mappings")):
        for path in sorted((root / "sites" / site).glob("*.yaml")):
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
    return compile_map(found, model, Concepts.load(overlay))


def keep(map_: CompiledMap, workspace: Workspace) -> Path:
    """The map's whole text under its hash, so that `explain` is right one map version later."""
    target = workspace.root / "maps" / f"{map_.version}.yaml"
    if not target.exists():
        with replacing(target) as out:
            out.write(map_.text.encode())
    return target
