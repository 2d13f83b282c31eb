"""XLSX -> FHIR with ledger: the rows and the map of bench_map in a workbook as Excel writes it, one core.

From the bytes of the file to resources: opening, finding the table, Records, the map, the independent count and the
closed ledger. Dates are serials, numbers are numbers, texts stand in the shared strings; one cell in eight is null.

Peer: pandas.read_excel (openpyxl) of the same file, reading alone. A second run holds no cell in memory: what a
workbook beyond limits.SHEET_CELLS costs.
"""

from __future__ import annotations

import io
import json
import resource
import tempfile
import zipfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import bench_map
from bench_map import MODEL, Source, mapped, rows, setup, timed

from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import count_values, limits, read_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, calm_collector
from masterkey_fhir.issue import Place

ROWS = 20_000
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def _links(*targets: tuple[str, str]) -> str:
    links = "".join(
        f'<Relationship Id="r{n}" Type="{_LINK}/{kind}" Target="{name}"/>' for n, (kind, name) in enumerate(targets)
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{links}</Relationships>'


_OVERRIDES = "".join(
    f'<Override PartName="/xl/{name}.xml" ContentType="{_TYPE}.{kind}+xml"/>'
    for name, kind in (
        ("workbook", "sheet.main"),
        ("worksheets/sheet1", "worksheet"),
        ("sharedStrings", "sharedStrings"),
        ("styles", "styles"),
    )
)
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" ContentType='
    f'"application/vnd.openxmlformats-package.relationships+xml"/>{_OVERRIDES}</Types>',
    "_rels/.rels": _links(("officeDocument", "xl/workbook.xml")),
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINK}"><sheets><sheet name="export" sheetId="1" '
    f'r:id="r0"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": _links(
        ("worksheet", "worksheets/sheet1.xml"), ("sharedStrings", "sharedStrings.xml"), ("styles", "styles.xml")
    ),
    "xl/styles.xml": f'<styleSheet xmlns="{_MAIN}"><fonts><font/></fonts><fills><fill><patternFill/></fill></fills>'
    f"<borders><border/></borders>"
    f'<cellStyleXfs><xf numFmtId="0"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
    f"</styleSheet>",
}


def workbook(model: SourceModel, cells: list[list[str]]) -> bytes:
    """The file, written part by part as Excel orders it: sheets before their texts."""
    texts: dict[str, int] = {}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _PARTS.items():
            archive.writestr(name, text)
        lines = "".join(
            _row(n, model, row, texts) for n, row in enumerate([[c.header for c in model.columns], *cells], 1)
        )
        archive.writestr(
            "xl/worksheets/sheet1.xml", f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData></worksheet>'
        )
        items = "".join(f"<si><t>{escape(t)}</t></si>" for t in texts)
        archive.writestr("xl/sharedStrings.xml", f'<sst xmlns="{_MAIN}">{items}</sst>')
    return out.getvalue()


def _row(n: int, model: SourceModel, row: list[str], texts: dict[str, int]) -> str:
    cells = (
        _cell(f"{name}{n}", c.type if n > 1 else "text", v, texts)
        for name, c, v in zip(_letters(), model.columns, row, strict=False)
    )
    return f'<row r="{n}" spans="1:{len(row)}">{"".join(cells)}</row>'


def _letters() -> Iterator[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    yield from alphabet
    yield from (a + b for a in alphabet for b in alphabet)


def _cell(ref: str, type_: str, value: str, texts: dict[str, int]) -> str:
    if not value:
        return ""
    if type_ == "date" and value[0] == "2":
        return f'<c r="{ref}" s="1"><v>{(datetime.strptime(value, "%Y/%m/%d") - datetime(1899, 12, 30)).days}</v></c>'
    if value.isdigit():
        return f'<c r="{ref}"><v>{value}</v></c>'
    return f'<c r="{ref}" t="s"><v>{texts.setdefault(value, len(texts))}</v></c>'


def whole(source: Source, compiled: CompiledMap, keys: SiteKeys) -> tuple[int, dict[str, float]]:
    """Resources made, and seconds of each part; the ledger is closed against the count."""
    model = compiled.model
    ledger, ctx = Ledger(model, Place("bench")), MapContext("bench", keys)
    with calm_collector():
        reader, opening = timed(lambda: read_delivery(source, model, ledger))
        n, _, spent = mapped(compiled, iter(reader), ledger, ctx)
        counted, counting = timed(lambda: count_values(source.open(), model))
    _, problems = ledger.close(counted)
    assert not problems, problems
    assert counted.rows == ROWS
    reading, mapping, dumping = (sum(times) for times in zip(*spent, strict=True))
    return n, {"open": opening, "read": reading, "map": mapping, "NDJSON": dumping, "count": counting}


def peer(data: bytes) -> float:
    """Rows a second of pandas on the same file, reading alone."""
    import pandas

    frame, seconds = timed(lambda: pandas.read_excel(io.BytesIO(data), engine="openpyxl", dtype=object))
    assert len(frame) == ROWS
    return ROWS / seconds


def main() -> None:
    keys = SiteKeys("bench", {p: (Key(1, p.encode() * 6),) for p in ("id", "pseudonym", "record")})
    with tempfile.TemporaryDirectory() as folder:
        compiled = setup(Path(folder))
    model = SourceModel.parse(MODEL)
    source = Source(workbook(model, rows(model, ROWS)), keys)
    runs = [whole(source, compiled, keys) for _ in range(3)]
    made, spent = min(runs, key=lambda run: sum(run[1].values()))
    seconds = sum(spent.values())
    limits.SHEET_CELLS = limits.STRINGS = 0
    flat = sum(whole(source, compiled, keys)[1].values())
    theirs = peer(source.data)
    parts = ", ".join(f"{name} {s:.2f}" for name, s in spent.items())
    result: dict[str, Any] = {
        "name": "XLSX to FHIR with ledger",
        "unit": "resources/s",
        "ours": round(made / seconds),
        "peer": round(theirs * made / ROWS),
        "peer_name": "pandas.read_excel (openpyxl), reading alone",
        "ratio": round(made / seconds / (theirs * made / ROWS), 1),
        "bar": ">= 20,000 resources/s",
        "note": f"{ROWS:,} rows of {len(model.columns)} columns, {made:,} resources, {bench_map.LEAVES} leaves; "
        f"seconds: {parts}; with no cell in memory {made / flat:,.0f} resources/s; "
        f"at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
