"""What earlier accepted deliveries of a site looked like: one file per source model, counts and code sets only."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masterkey_etl.drift.look import NEW, ColumnLook, Look
from masterkey_etl.files import replacing
from masterkey_etl.source_model import SourceModel
from masterkey_etl.workspace import Workspace

VERSION = 1
DELIVERIES = 12  # whose sizes are remembered


@dataclass(frozen=True)
class Baseline:
    """The last accepted delivery, with the codes of all, and the sizes of the last ones (line counts)."""

    last: Look
    sizes: tuple[int, ...]


def path_of(workspace: Workspace, site: str, model: SourceModel) -> Path:
    return workspace.root / "baselines" / site / f"{model.format}-{model.revision}.json"


def load(workspace: Workspace, site: str, model: SourceModel) -> Baseline | None:
    """None when there is none, or one that this version can't read: the next delivery begins a new one."""
    try:
        said = json.loads(path_of(workspace, site, model).read_bytes())
        columns = {name: ColumnLook.from_dict(c) for name, c in said["columns"].items()}
        last = Look(said["encoding"], said["exact"], said["sizes"][-1], columns, delimiter=said["delimiter"])
        return Baseline(last, tuple(said["sizes"])) if said["version"] == VERSION else None
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def save(workspace: Workspace, site: str, model: SourceModel, seen: Look, before: Baseline | None) -> None:
    """After a delivery was stored."""
    path = path_of(workspace, site, model)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    sizes = [*(before.sizes if before else ()), seen.rows][-DELIVERIES:]
    said: dict[str, Any] = {"version": VERSION, "encoding": seen.encoding, "exact": seen.exact, "sizes": sizes}
    said["delimiter"] = seen.delimiter
    kept = {name: _kept(c, before, name) for name, c in seen.columns.items()}
    said["columns"] = {seen.hidden.get(name, name): c.as_dict() for name, c in kept.items()}
    with replacing(path) as out:
        out.write(json.dumps(said, ensure_ascii=False).encode())


def _kept(seen: ColumnLook, before: Baseline | None, name: str) -> ColumnLook:
    """With the codes of all deliveries; a column that was no list stays none, one nobody knows keeps no texts."""
    if name.startswith(NEW):
        return _replaced(seen, None)
    old = before.last.columns.get(name) if before else None
    if old is None or seen.codes is None:
        return seen
    merged = Counter(seen.codes) | Counter(old.codes or ())
    return _replaced(seen, merged if old.codes is not None else None)


def _replaced(seen: ColumnLook, codes: Counter[str] | None) -> ColumnLook:
    kept = ColumnLook.from_dict(seen.as_dict())
    kept.codes = codes
    return kept


__all__ = ["Baseline", "load", "path_of", "save"]
