"""The inputs that break readers elsewhere, by name: each ends soon, balances, and says what is wrong."""

from __future__ import annotations

import csv
import io
import json
import struct
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from openpyxl import load_workbook
from support_fuzz import SECONDS, HangError, Judge, Memory, Seeds, rezipped, within

from masterkey_etl import answers, changes, issue_sheets, loading
from masterkey_etl.readers import LocalFile, read
from masterkey_etl.source_model import SourceModel
from masterkey_etl.synth.xlsx import Book
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place, issue
from masterkey_fhir.views.select import Column
from masterkey_fhir.views.write import write

CCAT = "ccat_report/2020_04"
MB = 1 << 20


@pytest.fixture(scope="module")
def models() -> dict[str, SourceModel]:
    return {m: SourceModel.load(m) for m in (CCAT, "registry_redcap/1", "cats/1.3.0", "foundationone/2")}


def header(model: SourceModel) -> list[str]:
    return [c.header for c in model.columns]


def told(judge: Judge, data: bytes, model: SourceModel | None) -> set[str]:
    return {i.rule for i in judge.read(Memory(data), model)}


# -- bombs ----------------------------------------------------------------------------------------------------


def test_an_entity_bomb_is_not_expanded(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    lol = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    bomb = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY l0 "lol">{lol}]>'.encode()
    body = seeds.bytes("foundationone_*.xml").split(b"?>", 1)[1].replace(b"</ReportId>", b"&l9;</ReportId>")
    assert told(judge, bomb + body, models["foundationone/2"]) == {"etl.xml-entity"}


def test_an_outside_entity_is_not_opened(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("do-not-read")
    head = f'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'.encode()
    body = seeds.bytes("foundationone_*.xml").split(b"?>", 1)[1].replace(b"</ReportId>", b"&x;</ReportId>")
    found = judge.read(Memory(head + body), models["foundationone/2"])
    assert {i.rule for i in found} == {"etl.xml-entity"} and "do-not-read" not in str(found)


def test_an_entity_in_a_workbook_is_not_expanded(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    data = seeds.bytes("ccat_report.xlsx")
    names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    sheet = names.index("xl/worksheets/sheet1.xml")
    head = b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY l "lol">]>'
    bad = rezipped(data, sheet, lambda part: head + part.split(b"?>", 1)[1].replace(b"</t>", b"&l;</t>", 1))
    assert any(rule.startswith(("etl.workbook", "etl.sheet", "etl.xml")) for rule in told(judge, bad, models[CCAT]))


@pytest.mark.parametrize("encoding", ["TTF-8", "shift_jis", "utf-7", "idna"])
def test_a_workbook_in_an_encoding_that_is_not_read_is_damaged(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], encoding: str
) -> None:
    data = seeds.bytes("ccat_report.xlsx")
    for part in range(len(zipfile.ZipFile(io.BytesIO(data)).namelist())):
        bad = rezipped(data, part, lambda b: b.replace(b'"UTF-8"', f'"{encoding}"'.encode(), 1))
        assert "etl.workbook-damaged" in told(judge, bad, models[CCAT]) or part in (0, 1)


def test_a_zip_bomb_is_not_unpacked(judge: Judge, tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped, zipped.open("report.csv", "w") as member:
        for _ in range(300):
            member.write(bytes(MB))
    _, found = judge.container(path)
    assert "etl.container-bomb" in {i.rule for i in found}


def test_a_gzip_bomb_is_not_unpacked(judge: Judge, tmp_path: Path) -> None:
    path, packer = tmp_path / "bomb.gz", zlib.compressobj(9, zlib.DEFLATED, 31)
    path.write_bytes(b"".join(packer.compress(bytes(MB)) for _ in range(300)) + packer.flush())
    _, found = judge.container(path)
    assert "etl.container-bomb" in {i.rule for i in found}


def test_a_workbook_that_unpacks_to_too_much_is_refused(judge: Judge, models: dict[str, SourceModel]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("[Content_Types].xml", "<Types/>")
        zipped.writestr("xl/workbook.xml", "<workbook/>")
        with zipped.open("xl/worksheets/sheet1.xml", "w") as member:
            for _ in range(300):
                member.write(b" " * MB)
    found = told(judge, packed.getvalue(), models[CCAT])
    assert found and not found & {"etl.silent-loss", "etl.silent-loss-count"}


# -- names that lead out --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../../out.csv", "/etc/out.csv", "C:\\out.csv", "a/../../out.csv", "..\\out.csv"])
def test_a_name_that_leads_out_of_the_container_is_not_read(judge: Judge, tmp_path: Path, name: str) -> None:
    path = tmp_path / "in" / "delivery.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as zipped:
        zipped.writestr(name, "a,b\n1,2\n")
        zipped.writestr("good.csv", "a,b\n1,2\n")
    names, found = judge.container(path)
    assert names == ["delivery.zip!good.csv"] and {i.rule for i in found} == {"etl.container-name"}
    assert sorted(p.name for p in tmp_path.rglob("*.csv")) == []


# -- formula injection ----------------------------------------------------------------------------------------

FORMULAS = ("=1+1", "+1+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1", "\r=1+1", '=HYPERLINK("http://x","y")')


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_view_as_csv_holds_no_formula(formula: str) -> None:
    out = io.BytesIO()
    columns = (Column("said", "string"), Column("n", "integer"))
    write(columns, [(formula, -5)], "csv", out)
    _, (said, n) = csv.reader(io.StringIO(out.getvalue().decode(), newline=""))
    assert said[0] not in "=+-@\t\r" and said.endswith(formula) and n == "-5"


@pytest.mark.parametrize("formula", FORMULAS)
def test_an_issue_workbook_holds_no_formula(formula: str, tmp_path: Path) -> None:
    rows = [dict.fromkeys(issue_sheets.COLUMNS, formula)]
    book = issue_sheets.build("jp_ncch", rows, answers.texts(Workspace.open(tmp_path / "data", create=True), "en"))
    path = tmp_path / "issues.xlsx"
    book.save(path)
    cells = [c for sheet in load_workbook(path).worksheets for row in sheet.iter_rows() for c in row]
    assert not [c.coordinate for c in cells if c.data_type == "f"]


def test_a_log_of_changes_holds_no_formula(tmp_path: Path) -> None:
    for formula in FORMULAS:
        changes.note(tmp_path, formula, formula, formula, formula)
    rows = list(csv.reader(io.StringIO((tmp_path / "CHANGES.csv").read_text(encoding="utf-8"))))
    assert len(rows) == 1 + len(FORMULAS)
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]


# -- width and length -----------------------------------------------------------------------------------------


def test_ten_thousand_columns_in_text(judge: Judge, models: dict[str, SourceModel]) -> None:
    names = header(models[CCAT]) + [f"c{n}" for n in range(10_000)]
    rows = [",".join(names), *(",".join(["x"] * len(names)) for _ in range(20))]
    assert "etl.column-new" in told(judge, "\n".join(rows).encode(), models[CCAT])


def test_ten_thousand_new_columns_and_none_of_half_the_model(judge: Judge, models: dict[str, SourceModel]) -> None:
    """Each missing column could be each new one under another name."""
    known = header(models[CCAT])
    names = known[: len(known) // 2 + 2] + [f"{known[n % len(known)]}{n}" for n in range(10_000)]
    rows = [",".join(names), *(",".join(["x"] * len(names)) for _ in range(5))]
    found = told(judge, "\n".join(rows).encode(), models[CCAT])
    assert found & {"etl.column-renamed", "etl.column-missing"}


def test_a_hundred_thousand_nameless_columns_are_told_in_a_hundred_lines(
    judge: Judge, models: dict[str, SourceModel]
) -> None:
    found = judge.read(Memory(",".join(header(models[CCAT])).encode() + b"," * 100_000 + b"\nx\n"), models[CCAT])
    assert sum(i.rule == "etl.column-new" for i in found) == 100
    assert [i.count for i in found if i.rule == "etl.more-of-these"] == [99_900]


def test_ten_thousand_columns_in_a_workbook(judge: Judge, models: dict[str, SourceModel], tmp_path: Path) -> None:
    path = tmp_path / "wide.xlsx"
    with Book(path, ["export"]) as book:
        names = header(models[CCAT]) + [f"c{n}" for n in range(10_000)]
        book.add("export", names)
        for _ in range(5):
            book.add("export", ["x"] * len(names))
    assert "etl.column-new" in told(judge, path.read_bytes(), models[CCAT])


def test_ten_thousand_members_in_json(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    report = json.loads(seeds.bytes("cats_*.json"))
    report["metaData"] |= {f"c{n}": n for n in range(10_000)}
    assert "etl.leaf-unknown" in told(judge, json.dumps(report).encode(), models["cats/1.3.0"])


def test_ten_thousand_attributes_in_xml(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    many = " ".join(f'c{n}="{n}"' for n in range(10_000)).encode()
    data = seeds.bytes("foundationone_*.xml").replace(b"<ReportId>", b"<Extra " + many + b"/><ReportId>")
    assert "etl.leaf-unknown" in told(judge, data, models["foundationone/2"])


class Long(io.RawIOBase):
    """`head`, then `n` bytes of one line, then `tail`: made while it is read."""

    def __init__(self, head: bytes, n: int, tail: bytes) -> None:
        self._parts = iter([head, *([b"A" * MB] * (n // MB)), tail])
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left and (part := next(self._parts, None)) is not None:
            self._left = part
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n


def made(head: bytes, n: int, tail: bytes) -> Memory:
    return Memory(made=lambda: io.BufferedReader(Long(head, n, tail)))  # type: ignore[arg-type]


def long_line(reader: str, n: int, seeds: Seeds, models: dict[str, SourceModel]) -> tuple[Memory, SourceModel]:
    """`n` bytes without a line end, for each reader that takes a stream."""
    names = ",".join(header(models[CCAT])).encode() + b"\n"
    if reader == "delimited":
        row = ",".join(["NA"] * (len(models[CCAT].columns) - 1))
        return made(names, n, f",{row}\n".encode()), models[CCAT]
    if reader == "quoted":
        return made(names + b'"', n, b'",NA\n'), models[CCAT]
    if reader == "json":
        head, tail = seeds.bytes("cats_*.json").split(b'"panelName": "', 1)
        return made(head + b'"panelName": "', n, tail), models["cats/1.3.0"]
    head, tail = seeds.bytes("foundationone_*.xml").split(b"<TestType>", 1)
    return made(head + b"<TestType>", n, tail), models["foundationone/2"]


LENGTHS = [pytest.param(10 * MB, id="10 MB"), pytest.param(100 * MB, id="100 MB", marks=pytest.mark.slow)]


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("reader", ["delimited", "quoted", "json", "xml"])
def test_one_long_line_ends_within_bounds(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], reader: str, n: int
) -> None:
    """At most a few copies of one line are in memory (limits.LINE, limits.DOCUMENT)."""
    source, model = long_line(reader, n, seeds, models)
    tracemalloc.start()
    try:
        found = judge.read(source, model, seconds=max(SECONDS, SECONDS * n / (10 * MB)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found and peak < 7 * n + 100 * MB


# -- characters -----------------------------------------------------------------------------------------------


def with_value(seeds: Seeds, model: SourceModel, value: bytes) -> bytes:
    """A file of the model with this value in one of its texts."""
    if model.id.startswith("cats"):
        return seeds.bytes("cats_*.json").replace(b'"NCC OncoPanel"', b'"' + value + b'"')
    if model.id.startswith("foundationone"):
        return seeds.bytes("foundationone_*.xml").replace(b"FoundationOne CDx", value)
    row = [b"x", *([b"NA"] * (len(model.columns) - 1))]
    row[model.index["hash_id"]], row[model.index["panel_name"]] = b"K1", value
    return ",".join(header(model)).encode() + b"\n" + b",".join(row) + b"\n"


@pytest.mark.parametrize("model", [CCAT, "cats/1.3.0", "foundationone/2"])
@pytest.mark.parametrize("value", [b"a\0b", b"a\xed\xa0\x80b"], ids=["NUL", "surrogate"])
def test_nul_and_lone_surrogates_are_told(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], model: str, value: bytes
) -> None:
    assert told(judge, with_value(seeds, models[model], value), models[model])


@pytest.mark.parametrize("value", [rb"a\u0000b", rb"a\ud800b", rb"\udc00\ud800"])
def test_escaped_nul_and_surrogates_in_json_are_told(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], value: bytes
) -> None:
    found = judge.read(Memory(with_value(seeds, models["cats/1.3.0"], value)), models["cats/1.3.0"])
    assert [i for i in found if i.place.field == "panel_name"]


def test_a_reference_to_no_character_in_xml_is_told(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    for value in (b"a&#0;b", b"a&#xD800;b"):
        assert told(judge, with_value(seeds, models["foundationone/2"], value), models["foundationone/2"])


@pytest.mark.parametrize("model", [CCAT, "cats/1.3.0", "foundationone/2"])
def test_a_byte_order_mark_in_the_middle_breaks_nothing(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], model: str
) -> None:
    data = with_value(seeds, models[model], b"Panel \xef\xbb\xbfA")
    judge.read(Memory(data), models[model])
    assert not [i for i in judge.issues if i.severity == "fatal"]


@pytest.mark.parametrize("model", [CCAT, "cats/1.3.0", "foundationone/2"])
def test_two_files_with_a_mark_each_glued_together(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], model: str
) -> None:
    data = b"\xef\xbb\xbf" + with_value(seeds, models[model], b"Panel A")
    assert told(judge, data + data, models[model])


@pytest.mark.parametrize("data", [b"00", b"0x", b"0\0", b"[0\0", b"true\0", b"0\xff"])
def test_a_word_glued_to_a_value_of_json_is_no_value(judge: Judge, models: dict[str, SourceModel], data: bytes) -> None:
    assert "etl.tree-broken" in told(judge, data, models["cats/1.3.0"])


def test_a_key_that_stands_twice_in_json_is_told(judge: Judge, seeds: Seeds, models: dict[str, SourceModel]) -> None:
    data = seeds.bytes("cats_*.json").replace(b'"panelName"', b'"panelName": "Other", "panelName"')
    found = judge.read(Memory(data), models["cats/1.3.0"])
    assert [i.rule for i in found if "panelName" in i.place.field] != []


def test_a_key_that_stands_twice_in_json_rows_is_told(judge: Judge, models: dict[str, SourceModel]) -> None:
    model = models["registry_redcap/1"]
    rows = [dict.fromkeys(header(model), "") | {"patient_id": "7"}]
    data = json.dumps(rows).replace('"patient_id"', '"patient_id": "8", "patient_id"').encode()
    assert "etl.json-doubled" in told(judge, data, model)


# -- a file that grows ----------------------------------------------------------------------------------------


def test_a_file_that_grows_while_it_is_read_balances(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], tmp_path: Path
) -> None:
    """What is loaded are the bytes kept at receipt: all of a moment, or none with the reason."""
    folder = tmp_path / "jp_ncch"
    folder.mkdir()
    path, data = folder / "ccat_report.csv", seeds.bytes("ccat_report.csv")
    path.write_bytes(data * 20)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as file:
            while not stop.is_set():
                file.write(data[-2000:])
                file.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        report = loading.load(tmp_path / "data", [folder])
    finally:
        stop.set()
        writer.join()
    assert not [i for i in report.issues if i.rule in ("etl.silent-loss", "etl.silent-loss-count")]
    for stored in report.stored:
        assert sum(row.n for row in stored.ledger) == stored.values
    assert report.stored or report.refused


def test_a_file_that_is_cut_between_two_readings_is_told_or_balances(
    judge: Judge, seeds: Seeds, models: dict[str, SourceModel], tmp_path: Path
) -> None:
    """Outside of a workspace (`inspect`) nothing keeps the bytes: reading ends all the same."""
    path = tmp_path / "cut.csv"
    path.write_bytes(seeds.bytes("ccat_report.csv"))
    reading = iter(read(LocalFile(path), models[CCAT], Place()))
    next(reading)
    path.write_bytes(path.read_bytes()[:3000])
    for _ in reading:
        pass


# -- the instrument -------------------------------------------------------------------------------------------


def test_the_judge_sees_a_name_in_a_message(judge: Judge) -> None:
    name = sorted(judge.planted)[0]
    careless = Judge(judge.planted, [issue("etl.code-undeclared", Place(), code=name, n=1)])
    with pytest.raises(AssertionError):
        careless.silent()


def test_the_judge_ends_what_hangs() -> None:
    def forever() -> Iterator[BinaryIO]:
        while True:
            struct.pack("<I", 1)
        yield io.BytesIO()

    with pytest.raises(HangError), within(0.2):
        next(forever())
