"""What a file is, its content says: workbooks of every form, text under the name of one, and what nobody reads."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlwt

from masterkey_etl.readers import UnknownFormatError, recognise, recognitions
from masterkey_etl.readers.recognise import known_form
from masterkey_etl.readers.sheet_book import book_form
from masterkey_etl.source_model import SourceModel

Reader = Callable[..., Any]


@pytest.fixture
def overlay(tmp_path: Path, model_text: str) -> Path:
    """The clinic's model, and one of half its columns, as a workspace has them."""
    (tmp_path / "sources" / "clinic").mkdir(parents=True)
    (tmp_path / "sources" / "clinic" / "1.yaml").write_text(model_text, encoding="utf-8")
    return tmp_path


def xls(header: list[str], dressed: bool = True) -> bytes:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Ward")
    sheet.write(0, 0, "title")
    for i, name in enumerate(header):
        sheet.write(1, i, name)
    dated = xlwt.easyxf(num_format_str="d mmm yyyy")
    for i, cell in enumerate(["a1", 1.0, 61, None, 50.5, True, " well "]):
        if cell is not None:
            sheet.write(2, i, cell)
    sheet.write(2, 3, datetime(2019, 11, 1), dated)
    if dressed:
        sheet.write(3, 0, xlwt.Formula('"a"&"2"'))
        sheet.write(3, 2, xlwt.Formula("30+1"))
        sheet.row(2).hidden = True
        sheet.col(2).hidden = True
        book.add_sheet("empty").visibility = 1
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_xls_with_title_dates_booleans(run_bytes: Reader, clinic: SourceModel, header: list[str]) -> None:
    got = run_bytes(xls(header, dressed=False), clinic)
    assert got.values == [["a1", "1", "61", "2019/11/01", "50.5", "TRUE", "well"]]
    assert got.numbers == [3]
    assert {"etl.sheet-outside", "etl.sheet-blanks", "etl.sheet-number-as-text"} == set(got.rules)


def test_xls_tells_formulas_and_what_is_hidden(run_bytes: Reader, clinic: SourceModel, header: list[str]) -> None:
    data = bytearray(xls(header))
    at = data.index(struct.pack("<H", 6), data.index(struct.pack("<HH", 3, 2)) - 4) + 10
    data[at : at + 8] = struct.pack("<d", 31.0)  # as a program that calculates would have left it
    got = run_bytes(bytes(data), clinic)
    assert got.n("rejected") == 8  # the title, and the row whose key was never calculated
    assert {"etl.sheet-hidden-rows", "etl.sheet-hidden-columns", "etl.sheet-results"} <= set(got.rules)


PAGE = """<html xmlns:x="urn:schemas-microsoft-com:office:excel"><head><meta charset="{charset}"><style>td{{}}</style>
</head><body><table><tr><td colspan=7>Title &amp; ward</table><TABLE><tr><th>Patient ID<th>Sex<th>Age<th>Seen on
<th>Weight<th>Alive<th>Memo</tr><tr><td rowspan="2">a1</td><td>1</td><td>&nbsp;61</td><td>2019/11/1</td><td>50.5<td>yes
<td>胃<br>癌</tr><tr><td>2</td><td>62</td></tr></TABLE></body></html>"""


@pytest.mark.parametrize("charset", ["utf-8", "shift_jis"])
def test_html_under_the_name_of_a_workbook(run_bytes: Reader, clinic: SourceModel, charset: str) -> None:
    got = run_bytes(PAGE.format(charset=charset).encode(charset), clinic)
    assert got.values == [["a1", "1", "61", "2019/11/1", "50.5", "yes", "胃\n癌"]]
    assert got.records[0].rows == (2, 3) or got.numbers == [20000002, 20000003] or got.numbers == [2, 3]
    assert {"etl.sheet-html", "etl.sheet-outside", "etl.changes-between-rows"} <= set(got.rules)


@pytest.mark.parametrize(("delimiter", "said"), [("\t", "tabs"), (";", "semicolons")])
def test_text_with_other_delimiters(
    run_bytes: Reader, clinic: SourceModel, header: list[str], delimiter: str, said: str, as_bytes: Any, overlay: Path
) -> None:
    rows = [header, ["a1", "1", "61", "2019/11/1", "50.5", "yes", "well, now"]]
    data = "\n".join(delimiter.join(row) for row in rows).encode()
    got = run_bytes(data, clinic)
    assert got.values == [rows[1]]
    assert got.only("etl.sheet-text").facts == {"found": said, "expected": "commas"}
    assert recognise(as_bytes(data), overlay).id == "clinic/1"


def test_workbooks_are_recognised_by_their_tables(
    as_bytes: Any, overlay: Path, save: Any, header: list[str], excel: Any
) -> None:
    book = openpyxl.Workbook()
    book.active.append(["to whom it may concern"])
    sheet = book.create_sheet("data")
    for _ in range(20):
        sheet.append([])
    sheet.append([None, None, *header])
    for data in (save(book), excel(save(book)), xls(header)):
        found = recognitions(as_bytes(data), overlay)
        assert (found[0].model, found[0].score) == ("clinic/1", 1.0)
        assert found[0].evidence == "7 of 7 columns of clinic/1, in 7 columns of the file"
        assert recognise(as_bytes(data), overlay).id == "clinic/1"


def test_a_workbook_without_a_known_table_names_the_nearest(as_bytes: Any, overlay: Path, save: Any) -> None:
    book = openpyxl.Workbook()
    book.active.append(["Patient ID", "Sex", "Ward", "Bed", "Floor"])
    with pytest.raises(UnknownFormatError) as caught:
        recognise(as_bytes(save(book)), overlay)
    assert "clinic/1" in str(caught.value)


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7\n", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\0" * 128 + b"DICM", "a DICOM image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"PAR1", "a Parquet file"),
        (b"\0" * 257 + b"ustar", "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (zipped("[Content_Types].xml", "word/document.xml"), "a Word document"),
        (zipped("[Content_Types].xml", "xl/workbook.bin"), "a binary workbook (XLSB)"),
    ],
)
def test_what_no_reader_takes_is_named(as_bytes: Any, data: bytes, what: str) -> None:
    assert known_form(as_bytes(data)) == what
    with pytest.raises(UnknownFormatError) as caught:
        recognise(as_bytes(data))
    assert what in str(caught.value)


def test_text_and_workbooks_are_no_known_binary(as_bytes: Any, save: Any) -> None:
    assert known_form(as_bytes(b"a,b\n1,2\n")) == ""
    assert known_form(as_bytes(save(openpyxl.Workbook()))) == ""
    assert known_form(as_bytes(zipped("password/x.csv"))) == ""
    assert book_form(b"a,b\n") == book_form(zipped("password/x.csv")) == ""
    assert book_form(b"\xef\xbb\xbf <!-- x --><table>") == "html"
