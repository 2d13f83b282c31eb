"""One delivery of the C-CAT layout from a file or from facts, through reader and map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.keys import KeyFile, SiteKeys
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import LocalFile, Reading
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, compile_map, load_map
from masterkey_fhir.issue import Issue, Place

Resource = dict[str, Any]
Facts = dict[str, str | tuple[str, str]]


@dataclass
class Delivery:
    """What became of a file: resources by block, Issues of reader and map."""

    blocks: dict[str, list[Resource]] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)

    def one(self, block: str) -> Resource:
        (found,) = self.blocks[block]
        return found

    def every(self) -> Iterator[Resource]:
        for resources in self.blocks.values():
            yield from resources

    def rules(self, column: str) -> set[str]:
        return {i.rule for i in self.issues if i.place.field == column}


@pytest.fixture(scope="session")
def maps() -> dict[str, CompiledMap]:
    """The two maps of the site, compiled."""
    concepts = Concepts.load()
    found = {}
    for record in ("case", "report"):
        map_ = load_map(folder("mappings") / "sites" / "jp_ncch" / f"{record}.yaml")
        found[record] = compile_map(map_, SourceModel.load(map_.source), concepts)
    return found


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SiteKeys:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json").keys_of("jp_ncch")


@pytest.fixture(scope="session")
def deliver(maps: dict[str, CompiledMap], keys: SiteKeys) -> Callable[[str, Path], Delivery]:
    """`deliver("case", path)`."""

    def run(record: str, path: Path) -> Delivery:
        map_, place = maps[record], Place("jp_ncch", path.name)
        ledger, context = Ledger(map_.model, place), MapContext("jp_ncch", keys, place)
        reading, out = Reading(LocalFile(path), map_.model, ledger), Delivery()
        for source in reading:
            for block, resource in map_(source, context, ledger):
                out.blocks.setdefault(block, []).append(resource)
        out.issues = reading.issues + context.issues
        return out

    return run


@pytest.fixture
def stated(
    maps: dict[str, CompiledMap], deliver: Callable[[str, Path], Delivery], tmp_path: Path
) -> Callable[..., Delivery]:
    """`stated("case", {column: text or (code, label)}, …)`: a file of these rows, everything else NA."""

    def run(record: str, *rows: Facts) -> Delivery:
        model = maps[record].model
        lines = [",".join(c.header for c in model.columns)]
        for facts in rows:
            cells = ["NA"] * len(model.columns)
            for column, value in {"hash_id": "ONE", **facts}.items():
                i, pair = model.index[column], isinstance(value, tuple)
                cells[i : i + 1 + pair] = list(value) if isinstance(value, tuple) else [value]
            lines.append(",".join(f'"{c}"' if "," in c else c for c in cells))
        path = tmp_path / f"{record}.csv"
        path.write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
        return deliver(record, path)

    return run
