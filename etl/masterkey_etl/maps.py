"""Which map reads a delivery; maps are compiled once and kept under the hash of all that they say."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.files import replacing
from masterkey_etl.source_model import SourceModel, model_file
from masterkey_etl.template import CompiledMap, MapError, MapFile, compile_map, load_map
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place, issue


def for_source(
    site: str, model: SourceModel, workspace: Workspace, pins: Mapping[str, str] | None = None
) -> CompiledMap:
    """The compiled map of `site` for this source model; the workspace's overlay wins, a pinned version over all.

    Raises MapError: etl.map-absent, or the mistakes of the map (a column forgotten is one: etl.silent-loss).
    """
    chosen = pinned(workspace) if pins is None else pins
    if version := chosen.get(pin(site, model.id)):
        return kept_map(version, workspace)
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
    return _compiled(path, overlay, path.stat().st_mtime_ns, _model_changed(load_map(path).source, overlay))


def _model_changed(source: str, overlay: Path) -> int:
    """When the source model was written last: an accepted revision is compiled anew."""
    try:
        return model_file(source, overlay).stat().st_mtime_ns
    except KeyError:  # an unknown model is told when it is loaded
        return 0


@cache
def _compiled(path: Path, overlay: Path, _changed: int, _model: int) -> CompiledMap:
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
    if "files" not in (_said(target) or ()):  # not here yet, damaged, or of an older masterkey
        blocks = {block: [asdict(leaf) for leaf in map_.leaves(block)] for block in map_.blocks}
        headers = {c.id: c.header for c in map_.model.columns}
        said = {"source": map_.model.id, "headers": headers, "blocks": blocks, "text": map_.text}
        said |= {"site": map_.map.path.parent.name, "model": map_.model.model_dump_json(), "files": _files(map_)}
        with replacing(target) as out:
            out.write(json.dumps(said, ensure_ascii=False, indent=1).encode())
    return target


def kept(version: str, workspace: Workspace) -> dict[str, Any]:
    """What `keep` wrote. Raises MapError (etl.map-kept) when it is gone or damaged."""
    path = _kept(version, workspace)
    said = _said(path)
    if said is None:
        raise MapError(issue("etl.map-kept", Place(file=f"maps/{path.name}")))
    return said


def _said(path: Path) -> dict[str, Any] | None:
    """The content of a kept map; None when it is gone or damaged."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return said if isinstance(said, dict) and {"source", "blocks", "text"} <= said.keys() else None


# -- earlier versions of a map --------------------------------------------------------------------------------


def pin_file(workspace: Workspace) -> Path:
    return workspace.root / "maps" / "pinned.json"


def pinned(workspace: Workspace) -> dict[str, str]:
    """The versions that a steward chose (`masterkey submissions recompute --map`), by `pin(site, source)`."""
    path = pin_file(workspace)
    chosen: dict[str, str] = json.loads(path.read_bytes()) if path.exists() else {}
    return chosen


def pin(site: str, source: str) -> str:
    return f"{site} {source}"


def site_of_pin(text: str) -> str:
    return text.partition(" ")[0]


def find_kept(start: str, workspace: Workspace) -> tuple[str, dict[str, Any]]:
    """The one kept version whose hash begins so. Raises MapError: etl.map-version-unknown, etl.map-version-old."""
    folder_ = workspace.root / "maps"
    found = sorted(p.stem for p in folder_.glob("*.json") if p.name != "pinned.json" and p.stem.startswith(start))
    if len(found) != 1:
        raise MapError(issue("etl.map-version-unknown", given=start[:64], n=len(found)))
    said = kept(found[0], workspace)
    if "files" not in said:
        raise MapError(issue("etl.map-version-old", version=found[0][:12]))
    return found[0], said


def kept_map(version: str, workspace: Workspace) -> CompiledMap:
    """An earlier version, compiled again from what `keep` wrote. Raises MapError (etl.map-version-reads)."""
    said = kept(version, workspace)
    with TemporaryDirectory(dir=workspace.scratch) as scratch:
        root = Path(scratch) / "mappings"
        for name, text in said["files"].items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8", newline="")
        path = root / next(iter(said["files"]))
        model = SourceModel.model_validate_json(said["model"])
        found = compile_map(load_map(path), model, Concepts.load(shipped=root))
    if found.version != version:
        raise MapError(issue("etl.map-version-reads", Place(said["site"]), version=version[:12]))
    return found


def _files(map_: CompiledMap) -> dict[str, str]:
    """What decides the output, by its path in `mappings`: the map, what it extends, the concepts it looks up."""
    root, path, out = map_.map.path.parent.parent.parent, map_.map.path, dict[str, str]()
    for text in map_.map.texts:
        out[os.path.relpath(path, root)] = text
        base = (yaml.safe_load(text) or {}).get("extends")
        path = path.parent / base if base else path
    return out | {f"concepts/{topic.name}.csv": topic.text() for topic in map_.topics}


def _kept(version: str, workspace: Workspace) -> Path:
    return workspace.root / "maps" / f"{version}.json"
