"""Workbooks that are damaged, hostile or absurd: a clear Issue or the part that is whole; never a traceback."""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pytest
import xlwt

from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import count_values, limits, read_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import MasterkeyError, Place

Reader = Callable[..., Any]


@pytest.fixture
def book(header: list[str], save: Any, excel: Any) -> bytes:
    found = openpyxl.Workbook()
    found.active.append(header)
    for n in range(30):
        found.active.append([f"a{n}", "1", n, "2019/11/1", n / 8, "yes", f"memo {n} Yamada"])
    data: bytes = excel(save(found))
    return data


@pytest.fixture
def refused(as_bytes: Any, clinic: SourceModel) -> Callable[[bytes], str]:
    """The rule with which a workbook is refused as a whole."""

    def rule(data: bytes) -> str:
        with pytest.raises(MasterkeyError) as caught:
            list(read_delivery(as_bytes(data), clinic, Ledger(clinic, Place("th_siriraj", "x.xlsx"))))
        assert "Yamada" not in str(caught.value)
        return str(caught.value.issues[0].rule)

    return rule


def test_a_cut_and_a_changed_zip(book: bytes, refused: Callable[[bytes], str]) -> None:
    assert refused(book[: len(book) // 2]) == "etl.workbook-damaged"
    at = book.index(b"xl/worksheets/sheet1.xml") + 60
    assert refused(book[:at] + b"\xff\xff\xff\xff" + book[at + 4 :]) == "etl.workbook-damaged"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("</row>", "</rov>"),
        (r"<v>1</v>", "<v>99999</v>"),  # a shared text that is not there
        (r'<c r="A2"', '<c r="B1"'),
        (r'<row r="3"', '<row r="1"'),
        (r'<row r="3"', '<row r="1048577"'),
        ("<worksheet", '<!DOCTYPE x [<!ENTITY a "b">]><worksheet'),
        ("<v>2</v>", "<v>&nbsp;</v>"),
        ("<v>2</v>", "<v>\x01</v>"),
    ],
)
def test_xml_that_lies(
    book: bytes, refused: Callable[[bytes], str], patched: Any, sheet_part: str, pattern: str, text: str
) -> None:
    assert refused(patched(book, sheet_part, pattern, text)) == "etl.workbook-damaged"


def test_an_entity_bomb_in_the_strings(book: bytes, refused: Callable[[bytes], str], patched: Any) -> None:
    bomb = '<!DOCTYPE s [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><sst'
    assert refused(patched(book, "xl/sharedStrings.xml", "<sst", bomb)) == "etl.workbook-damaged"


def test_a_password(refused: Callable[[bytes], str]) -> None:
    ole = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600
    assert refused(ole + "EncryptedPackage".encode("utf-16-le")) == "etl.workbook-encrypted"
    assert refused(ole + "WordDocument".encode("utf-16-le")) == "etl.workbook-other"
    assert refused(ole) == "etl.workbook-damaged"


def test_a_bomb_inside(book: bytes, refused: Callable[[bytes], str], sheet_part: str, monkeypatch: Any) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, content.replace(b"</sheetData>", b" " * (6 << 20) + b"</sheetData>"))
    monkeypatch.setattr(limits, "RATIO_FROM", 1 << 20)
    assert refused(out.getvalue()) == "etl.container-bomb"
    monkeypatch.setattr(limits, "MEMBERS", 3)
    assert refused(book) == "etl.container-bomb"
    monkeypatch.setattr(limits, "DIRECTORY", 100)
    assert refused(book) == "etl.container-bomb"


def test_an_xls_that_is_too_large_or_cut(refused: Callable[[bytes], str], monkeypatch: Any, header: list[str]) -> None:
    found = xlwt.Workbook()
    sheet = found.add_sheet("s")
    for r in range(200):
        for c, name in enumerate(header):
            sheet.write(r, c, f"{name} {r}")
    out = io.BytesIO()
    found.save(out)
    data = out.getvalue()
    for size in (600, 5000, len(data) // 2):
        assert refused(data[:size]) == "etl.workbook-damaged"
    monkeypatch.setattr(limits, "XLS_BYTES", 1000)
    assert refused(data) == "etl.workbook-large"


def test_thousands_of_columns_and_cells_far_out(save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str]):
    found = openpyxl.Workbook()
    found.active.append(header + [f"x{n}" for n in range(2_993)])
    for n in range(3):
        found.active.append([f"a{n}", *range(2_999)])
    found.active.cell(2, 16_384, "far")
    got = run_bytes(save(found), clinic)
    assert got.column("pid") == ["a0", "a1", "a2"]
    assert got.n("rejected", "(beside the tables)") == 1


def test_very_long_and_strange_texts(
    save: Any, run_bytes: Reader, clinic: SourceModel, header: list[str], patched: Any, sheet_part: str
) -> None:
    found = openpyxl.Workbook()
    found.active.append(header)
    found.active.append(["a1", "1", 1, None, None, None, "LONG"])
    data = patched(save(found), sheet_part, "LONG", "_xD800__x0000_" + "y" * 2_000_000)
    got = run_bytes(data, clinic)
    assert got.column("pid") == ["a1"]
    assert got.n("rejected", "memo") == 1


def test_parts_named_in_another_case(book: bytes, run_bytes: Reader, clinic: SourceModel) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name.replace("xl/worksheets/sheet1", "xl/Worksheets/Sheet1"), old.read(name))
    assert len(run_bytes(out.getvalue(), clinic).records) == 30


def test_macros_are_told_and_not_looked_at(book: bytes, run_bytes: Reader, clinic: SourceModel, patched: Any) -> None:
    relation = '<Relationship Type="http://x/vbaProject" Target="vbaProject.bin" Id="rIdV"/></Relationships>'
    data = patched(book, "xl/_rels/workbook.xml.rels", "</Relationships>", relation)
    got = run_bytes(data, clinic)
    assert len(got.records) == 30
    assert "etl.sheet-macros" in got.rules


def test_changed_bytes_give_records_or_an_issue(book: bytes, as_bytes: Any, clinic: SourceModel) -> None:
    """Bytes changed anywhere, in the zip and inside its parts: an Issue, or Records that balance."""
    chance = random.Random(11)
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for n in range(80):
        changed = _changed_parts(parts, chance) if n % 2 else _changed(book, chance)
        ledger = Ledger(clinic, Place("th_siriraj", "x.xlsx"))
        try:
            list(read_delivery(as_bytes(changed), clinic, ledger))
            ledger.covered(range(len(clinic.columns)))
            _, fatal = ledger.close(count_values(as_bytes(changed).open(), clinic))
        except MasterkeyError as error:
            assert "Yamada" not in str(error)
        else:
            assert fatal == [], (n, [str(i) for i in fatal])


def _changed(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        out[chance.randrange(len(out))] = chance.randrange(256)
    return bytes(out)


def _changed_parts(parts: dict[str, bytes], chance: random.Random) -> bytes:
    out = io.BytesIO()
    target = chance.choice([n for n in parts if n.endswith((".xml", ".rels"))])
    with zipfile.ZipFile(out, "w") as new:
        for name, content in parts.items():
            new.writestr(name, _changed(content, chance) if name == target else content)
    return out.getvalue()
