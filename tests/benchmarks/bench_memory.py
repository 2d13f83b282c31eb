"""Peak memory of read + map over input that no disk holds: `python tests/benchmarks/bench_memory.py [MB] [LAYOUT...]`.

The bytes are made while they are read, from a small synthetic file that is repeated under new keys: delimited, JSON
(one report a line), XML (many reports in one document) and, from a file made on the spot, XLSX. Each runs in a process
of its own, so that its peak resident set is that of this one input. Printed: MB read, MB/s, resources/s, peak. The
last column is what the same rate would give for 10 GB: an extrapolation, not a measurement.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

MB = 1 << 20
LIMIT = 500  # MB of peak resident set
PATIENTS = 40  # of the small file that is repeated


class Made(io.RawIOBase):
    """A stream of pieces that are made when they are asked for."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and (piece := next(self._pieces, b"")):
            self._left = memoryview(piece)
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n


@dataclass(frozen=True)
class Source:
    """A delivery whose bytes are made, the same ones each time it is opened."""

    pieces: Callable[[], Iterator[bytes]]
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return io.BufferedReader(Made(self.pieces()), MB)  # type: ignore[arg-type, return-value]

    def pseudonym(self, *key: str) -> str:
        return f"{hash(key) & 0xFFFFFFFFFFFF:012x}"


@dataclass(frozen=True)
class Kept:
    """A delivery in a file."""

    path: Path
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def pseudonym(self, *key: str) -> str:
        return f"{hash(key) & 0xFFFFFFFFFFFF:012x}"


@dataclass(frozen=True)
class Measured:
    layout: str
    mb: float
    seconds: float
    records: int
    resources: int
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.mb / self.seconds

    def line(self) -> str:
        hours = 10 * 1024 / self.rate / 3600
        work = f"{self.mb:8.0f} MB {self.rate:7.2f} MB/s {self.resources / self.seconds:9,.0f} resources/s"
        return f"{self.layout:10} {work} {self.peak_mb:6.0f} MB peak   10 GB at this rate: {hours:.1f} h (extrapolated)"


# -- endless files --------------------------------------------------------------------------------------------


def seed(layout: str) -> Path:
    from masterkey_etl.synth import synth

    folder = Path(tempfile.mkdtemp(prefix="bench_memory_"))
    synth(folder, PATIENTS, 5, layouts=[layout], plant_identifiers=0, example=False)
    return folder


def delimited(folder: Path, size: int) -> Callable[[], Iterator[bytes]]:
    """Rows of a C-CAT case file again and again; each time under other keys."""
    import csv

    text = (folder / "jp_ncch" / "ccat_case.csv").read_bytes().decode("utf-8-sig")
    head, *rows = text.split("\r\n")
    body = "\r\n".join(rows) + "\r\n"
    keys = sorted({row[2] for row in csv.reader(rows)})

    def pieces() -> Iterator[bytes]:
        yield (head + "\r\n").encode()
        done, n = 0, 0
        while done < size:
            piece = body
            for key in keys:
                piece = piece.replace(key, f"{key[:20]}{n:010X}")
            done, n = done + len(encoded := piece.encode()), n + 1
            yield encoded

    return pieces


def lines_of_json(folder: Path, size: int) -> Callable[[], Iterator[bytes]]:
    """Panel results, one a line."""
    reports = [json.loads(p.read_bytes()) for p in sorted((folder / "jp_ncch" / "cats").iterdir())]

    def pieces() -> Iterator[bytes]:
        done, n = 0, 0
        while done < size:
            for report in reports:
                report["testInfo"]["testId"] = f"T{n:012d}"
                line = json.dumps(report).encode() + b"\n"
                done, n = done + len(line), n + 1
                yield line

    return pieces


def xml(folder: Path, size: int) -> Callable[[], Iterator[bytes]]:
    """Panel reports, each a record of one document. The source model says so: see `model_of`."""
    reports = [p.read_bytes().split(b"?>", 1)[1] for p in sorted((folder / "jp_ncch" / "foundationone").iterdir())]
    parts = [(r.split(b"<ReportId>", 1)[0], r.split(b"</ReportId>", 1)[1]) for r in reports]

    def pieces() -> Iterator[bytes]:
        yield b"<?xml version='1.0' encoding='utf-8'?><reports>"
        done, n = 0, 0
        while done < size:
            for before, after in parts:
                piece = before + f"<ReportId>R{n:012d}</ReportId>".encode() + after
                done, n = done + len(piece), n + 1
                yield piece
        yield b"</reports>"

    return pieces


def workbook(folder: Path, size: int) -> Path:
    """A case workbook of about so many bytes when unpacked."""
    from masterkey_etl.synth import synth

    one = sum(i.file_size for i in _members(folder / "jp_ncch" / "ccat_case.xlsx"))
    synth(folder, max(PATIENTS, PATIENTS * size // one), 6, layouts=["ccat_xlsx"], plant_identifiers=0, example=False)
    return folder / "jp_ncch" / "ccat_case.xlsx"


def _members(path: Path) -> list[Any]:
    import zipfile

    with zipfile.ZipFile(path) as zipped:
        return zipped.infolist()


LAYOUTS = {
    "delimited": ("ccat", "ccat_case/2020_04"),
    "json": ("cats", "cats/1.3.0"),
    "xml": ("foundationone", "foundationone/2"),
    "xlsx": ("ccat_xlsx", "ccat_case/2020_04"),
}


# -- one run --------------------------------------------------------------------------------------------------


def measure(layout: str, size: int) -> Measured:
    """Read and map one input of `size` bytes in this process."""
    made, model_id = LAYOUTS[layout]
    folder = seed(made)
    if layout == "xlsx":
        path = workbook(folder, size)
        source: Any = Kept(path, folder)
        size = sum(i.file_size for i in _members(path))
    else:
        make = {"delimited": delimited, "json": lines_of_json, "xml": xml}[layout]
        source = Source(make(folder, size), folder)
    before = time.perf_counter()
    records, resources = read_and_map(source, model_id, layout)
    spent = time.perf_counter() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Measured(layout, size / MB, spent, records, resources, peak)


def read_and_map(source: Any, model_id: str, layout: str) -> tuple[int, int]:
    """Every record through the reader and its map; the ledger closes against the independent count."""
    from masterkey_etl import maps
    from masterkey_etl.data import folder
    from masterkey_etl.keys import KeyFile
    from masterkey_etl.ledger import Ledger
    from masterkey_etl.readers import count_values, read_delivery
    from masterkey_etl.source_model import SourceModel
    from masterkey_etl.template import MapContext
    from masterkey_fhir.issue import Place

    model = SourceModel.load(model_id)
    if layout == "xml":
        model = model.model_copy(update={"records": "ResultsReport"})
    name = {"ccat_case": "case"}.get(model.format, model.format)
    private = Path(tempfile.mkdtemp(prefix="bench_memory_"))
    compiled = maps.compiled(folder("mappings") / "sites" / "jp_ncch" / f"{name}.yaml", private / "overlay")
    place, issues = Place("jp_ncch", "endless"), [0]
    ledger = Ledger(model, place)
    reading = read_delivery(source, model, ledger, lambda _: issues.__setitem__(0, issues[0] + 1))
    keys = KeyFile(private / "keys.json").keys_of("jp_ncch")
    context = MapContext("jp_ncch", keys, place, [])
    records = resources = 0
    for record in reading:
        whole, parts, _ = compiled.parted(record, context, ledger)
        records, resources = records + 1, resources + len(whole) + len(parts)
        context.issues.clear()
    compiled.taken(context)
    with source.open() as stream:
        _, fatal = ledger.close(count_values(stream, model))
    if fatal:
        raise SystemExit("\n".join(map(str, fatal)))
    return records, resources


def _child(layout: str, size: int, out: Any) -> None:
    out.put(asdict(measure(layout, size)))


def apart(layout: str, size: int) -> Measured:
    """The same in a process of its own."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_child, args=(layout, size, out))
    process.start()
    found = out.get()
    process.join()
    return Measured(**found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mb", type=int, nargs="?", default=1024, help="MB of each input (of a workbook: unpacked)")
    parser.add_argument("layouts", nargs="*", default=list(LAYOUTS), help=", ".join(LAYOUTS))
    given = parser.parse_args()
    worst = 0.0
    for layout in given.layouts:
        found = apart(layout, given.mb * MB)
        worst = max(worst, found.peak_mb)
        print(found.line(), flush=True)
    print(f"peak {worst:.0f} MB, limit {LIMIT} MB")
    return int(worst > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
