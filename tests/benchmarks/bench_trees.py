"""JSON and XML sources -> FHIR with ledger, one core: 20,000 records of 40 leaves, 5 resources each.

The recipe of bench_map (its map, code tables and dirty values, see there) with the columns as leaves of nested objects
or elements. In the rate: parsing, Records, map, ledger and its closing. The independent count, which another parser
makes of the same bytes, is in the note, as is the rate of NDJSON out.
"""

from __future__ import annotations

import importlib.util
import json
import re
import tempfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from masterkey_etl.concepts import Concepts
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.ledger import Ledger
from masterkey_etl.pipeline import BATCH
from masterkey_etl.readers import count_values, read_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, calm_collector, compile_map, load_map
from masterkey_fhir.issue import Place

PARTS = ("person", "tumour", "specimen", "treatment")  # the objects the leaves lie in


def _bench_map() -> ModuleType:
    path = Path(__file__).with_name("bench_map.py")
    spec = importlib.util.spec_from_file_location("bench_map", path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


M = _bench_map()


def where(column: str, n: int) -> tuple[str, str]:
    """The object and the name of the n-th leaf."""
    return PARTS[n * len(PARTS) // 40], column


def model_text(kind: str) -> str:
    """bench_map's source model as a tree's: a path instead of a header; in XML every other leaf is an attribute."""
    lines, n = [], 0
    for line in M.MODEL.splitlines():
        found = re.match(r"(  - \{id: (\w+), )header: \w+(.*)", line)
        if found:
            part, name = where(found[2], n)
            sign = "@" if kind == "xml" and n % 2 else ""
            line, n = f'{found[1]}path: "{part}.{sign}{name}"{found[3]}', n + 1
        lines.append(line)
    text = "\n".join(lines).replace('revision: "1"', f'revision: "{kind}"')
    return text.replace("record: case", f"kind: {kind}\nrecord: case" + ("\nrecords: case" if kind == "xml" else ""))


def objects(model: SourceModel, cells: list[list[str]]) -> list[dict[str, dict[str, str]]]:
    out = []
    for row in cells:
        record: dict[str, dict[str, str]] = {}
        for n, (column, text) in enumerate(zip(model.columns, row, strict=True)):
            part, name = where(column.id, n)
            record.setdefault(part, {})[name] = text
        out.append(record)
    return out


def as_json(model: SourceModel, cells: list[list[str]]) -> bytes:
    numbers = {c.id for c in model.columns if c.type == "integer"}

    def value(name: str, text: str) -> Any:
        return int(text) if name in numbers and text.isdigit() else text

    lines = []
    for record in objects(model, cells):
        typed = {part: {name: value(name, t) for name, t in inner.items()} for part, inner in record.items()}
        lines.append(json.dumps(typed, ensure_ascii=False))
    return "\n".join(lines).encode()


def as_xml(model: SourceModel, cells: list[list[str]]) -> bytes:
    attribute = {c.id for n, c in enumerate(model.columns) if n % 2}
    out = ["<cases>"]
    for record in objects(model, cells):
        out.append("<case>")
        for part, inner in record.items():
            attributes = "".join(f" {name}={quoteattr(t)}" for name, t in inner.items() if name in attribute)
            elements = "".join(f"<{n}>{escape(t)}</{n}>" for n, t in inner.items() if n not in attribute)
            out.append(f"<{part}{attributes}>{elements}</{part}>")
        out.append("</case>\n")
    return "".join([*out, "</cases>"]).encode()


def compiled_for(kind: str, folder: Path) -> CompiledMap:
    M.setup(folder)
    path = folder / f"{kind}.yaml"
    path.write_text(M.MAP.replace("bench/1", f"bench/{kind}"), encoding="utf-8")
    return compile_map(load_map(path), SourceModel.parse(model_text(kind)), Concepts.load(folder, folder))


def once(compiled: CompiledMap, source: Any, keys: SiteKeys) -> tuple[int, float, float, float, int]:
    """Resources; seconds of reading, of mapping with the ledger, of the independent count; Issues."""
    model = compiled.model
    ledger, ctx = Ledger(model, Place("bench")), MapContext("bench", keys)
    records = iter(read_delivery(source, model, ledger, ctx.issues.append))
    n, reading, mapping = 0, 0.0, 0.0
    while True:
        batch, seconds = M.timed(lambda: list(islice(records, BATCH)))
        reading += seconds
        if not batch:
            break
        made, seconds = M.timed(lambda b=batch: list(compiled.run(b, ctx, ledger)))
        n, mapping = n + sum(map(len, made)), mapping + seconds
    independent, counting = M.timed(lambda: count_values(source.open(), model))
    (_, problems), closing = M.timed(lambda: ledger.close(independent))
    assert not problems, problems
    return n, reading, mapping + closing, counting, len(ctx.issues)


def measure(kind: str, make: Callable[[SourceModel, list[list[str]]], bytes], bar: int) -> dict[str, Any]:
    keys = SiteKeys("bench", {p: (Key(1, p.encode() * 6),) for p in ("id", "pseudonym", "record")})
    with tempfile.TemporaryDirectory() as folder:
        compiled = compiled_for(kind, Path(folder))
    data = make(compiled.model, M.rows(compiled.model, M.ROWS))
    source = M.Source(data, keys)
    with calm_collector():
        runs = [once(compiled, source, keys) for _ in range(3)]
    n, reading, mapping, counting, issues = min(runs, key=lambda r: r[1] + r[2])
    size = len(data) / 1e6
    return {
        "name": f"{kind.upper()} records to FHIR with ledger",
        "unit": "resources/s",
        "ours": round(n / (reading + mapping)),
        "bar": f">= {bar:,} resources/s",
        "note": f"{M.ROWS:,} records of {len(compiled.model.columns)} leaves, {size:.1f} MB, {n:,} resources, "
        f"{issues:,} Issues; "
        f"process CPU; reading {M.ROWS / reading:,.0f} records/s ({size / reading:.0f} MB/s), "
        f"mapping {n / mapping:,.0f} resources/s, independent count {M.ROWS / counting:,.0f} records/s; "
        f"with the count {n / (reading + mapping + counting):,.0f} resources/s",
    }


def main() -> None:
    for result in (measure("json", as_json, 80_000), measure("xml", as_xml, 60_000)):
        print(json.dumps(result))


if __name__ == "__main__":
    main()
