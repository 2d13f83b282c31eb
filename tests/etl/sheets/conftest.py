"""A small source model, workbooks written by openpyxl, and a reader over their bytes that must balance."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import openpyxl
import pytest

from masterkey_etl.ledger import Ledger, LedgerRow, balance
from masterkey_etl.readers import count_values, read_delivery
from masterkey_etl.readers.delimited import Reading
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, Place

MODEL = """
format: clinic
revision: "1"
title: a clinic's table
citation: made for these tests
kind: sheet
null_tokens: ["", NA]
record: case
key: [pid]
columns:
  - {id: pid, header: Patient ID, type: text, personal: identifier}
  - {id: sex, header: Sex, type: code, codes: {1: male, 2: female}}
  - {id: age, header: Age, type: integer, min: 0, max: 120}
  - {id: seen, header: Seen on, type: date, formats: ["%Y/%m/%d"]}
  - {id: weight, header: Weight, type: decimal}
  - {id: alive, header: Alive, type: flag}
  - {id: memo, header: Memo, type: text, personal: free_text}
"""
HEADER = ["Patient ID", "Sex", "Age", "Seen on", "Weight", "Alive", "Memo"]
Table = list[list[Any]]


@dataclass
class Bytes:
    """A delivery out of memory, not seekable, as a kept one."""

    data: bytes
    scratch: Path | None = None

    def open(self) -> BinaryIO:
        return io.BufferedReader(_Pipe(self.data))

    def pseudonym(self, *key: str) -> str:
        return f"p{len(''.join(key))}"


class _Pipe(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(buffer)


@dataclass
class Read:
    """What came out of one reading, and its balance."""

    records: list[Record]
    reading: Reading
    rows: list[LedgerRow]

    @property
    def issues(self) -> list[Issue]:
        return self.reading.issues

    @property
    def rules(self) -> list[str]:
        return [i.rule for i in self.issues]

    @property
    def values(self) -> Table:
        return [list(r.values) for r in self.records]

    @property
    def numbers(self) -> list[int]:
        return [n for r in self.records for n in (r.rows or (r.row,))]

    def only(self, rule: str) -> Issue:
        (found,) = [i for i in self.issues if i.rule == rule]
        return found

    def column(self, name: str) -> list[str]:
        return [r.values[self.reading.model.index[name]] for r in self.records]

    def n(self, status: str, column: str = "") -> int:
        return sum(r.n for r in self.rows if r.status == status and column in ("", r.column))


def run(data: bytes, model: SourceModel, scratch: Path | None = None) -> Read:
    """Read, count independently, close the ledger; everything must balance whatever the input."""
    ledger = Ledger(model, Place("th_siriraj", "book.xlsx"))
    reading = read_delivery(Bytes(data, scratch), model, ledger)
    assert isinstance(reading, Reading)
    records = list(reading)
    ledger.covered(range(len(model.columns)))
    independent = count_values(Bytes(data).open(), model)
    rows, fatal = ledger.close(independent)
    assert fatal == [], [str(i) for i in fatal]
    assert sum(balance(rows).values()) == reading.counts.values == independent.values
    return Read(records, reading, rows)


@pytest.fixture(scope="session")
def clinic() -> SourceModel:
    return SourceModel.parse(MODEL)


@pytest.fixture(scope="session")
def model_text() -> str:
    return MODEL


@pytest.fixture(scope="session")
def header() -> list[str]:
    return list(HEADER)


@pytest.fixture(scope="session")
def run_bytes() -> Callable[..., Read]:
    return run


@pytest.fixture(scope="session")
def as_bytes() -> Callable[[bytes], Bytes]:
    return Bytes


def saved(book: openpyxl.Workbook) -> bytes:
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.fixture(scope="session")
def save() -> Callable[[openpyxl.Workbook], bytes]:
    return saved


@pytest.fixture
def read_rows(clinic: SourceModel) -> Callable[..., Read]:
    """Rows below the header -> what was read; `change(sheet)` does the rest to the sheet."""

    def reader(*rows: list[Any], change: Callable[[Any], None] | None = None, model: SourceModel | None = None) -> Read:
        book = openpyxl.Workbook()
        for row in (HEADER, *rows):
            book.active.append(row)
        if change is not None:
            change(book.active)
        return run(saved(book), model or clinic)

    return reader


@pytest.fixture(scope="session")
def patched() -> Callable[..., bytes]:
    """A workbook with parts replaced: `patched(data, name, pattern, text)` by expression."""

    def patch(data: bytes, part: str, pattern: str, text: str) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
            for info in old.infolist():
                content = old.read(info)
                assert part in old.namelist()
                if info.filename == part:
                    changed, n = re.subn(pattern, text, content.decode(), flags=re.DOTALL)
                    assert n, f"{pattern} is not in {part}"
                    content = changed.encode()
                new.writestr(info.filename, content)
        return out.getvalue()

    return patch


SHEET = "xl/worksheets/sheet1.xml"
_INLINE = re.compile(r'<c r="([A-Z0-9]+)"((?: s="[0-9]+")?) t="inlineStr"><is>(.*?)</is></c>', re.DOTALL)
_RELATION = '<Relationship Type="http://x/sharedStrings" Target="sharedStrings.xml" Id="rId99"/></Relationships>'


def as_excel_does(data: bytes) -> bytes:
    """The same workbook with its texts in a part of their own, as Excel writes them (openpyxl: inline)."""
    texts: dict[str, int] = {}

    def shared(found: re.Match[str]) -> str:
        number = texts.setdefault(found[3], len(texts))
        return f'<c r="{found[1]}"{found[2]} t="s"><v>{number}</v></c>'

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name).decode()
            if name.startswith("xl/worksheets/sheet"):
                content = _INLINE.sub(shared, content)
            if name == "xl/_rels/workbook.xml.rels":
                content = content.replace("</Relationships>", _RELATION)
            new.writestr(name, content)
        items = "".join(f"<si>{text}</si>" for text in texts)
        new.writestr("xl/sharedStrings.xml", f'<?xml version="1.0" encoding="UTF-8"?><sst xmlns="x">{items}</sst>')
    return out.getvalue()


@pytest.fixture(scope="session")
def excel() -> Callable[[bytes], bytes]:
    return as_excel_does


@pytest.fixture(scope="session")
def sheet_part() -> str:
    return SHEET
