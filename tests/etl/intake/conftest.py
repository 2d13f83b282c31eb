"""A small source model and a reader over bytes: the tiny export that the intake tests read."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from support_delivery import Bytes

from masterkey_etl.ledger import LedgerRow, balance
from masterkey_etl.readers import Reading, count_values, read
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, Place

MODEL = """
format: tiny
revision: "1"
title: a tiny export
citation: made for these tests
encoding: [utf-8-sig, cp932]
null_tokens: ["", NA]
record: case
key: [pid]
groups:
  lines: [regimen, started]
columns:
  - {id: pid, header: 患者.ID, type: text, personal: identifier}
  - {id: sex, header: 性別, type: code, label: sex_label, codes: {1: 男, 2: 女}}
  - {id: sex_label, header: 性別.名称., type: label}
  - {id: age, header: 年齢, type: integer, min: 0, max: 120, null_tokens: ["", NA, "999"]}
  - {id: outcome, header: 転帰, type: code, label: outcome_label, codes: {D: 死亡, A: 生存}, winner: label}
  - {id: outcome_label, header: 転帰.名称., type: label}
  - {id: seen, header: 受診日, type: date, formats: ["%Y/%m/%d", "%Y年%m月%d日"]}
  - {id: regimen, header: レジメン, type: text}
  - {id: started, header: 開始日, type: date, formats: ["%Y/%m/%d"]}
  - {id: memo, header: メモ, type: text, personal: free_text}
"""
HEADER = "患者.ID,性別,性別.名称.,年齢,転帰,転帰.名称.,受診日,レジメン,開始日,メモ"
GOOD = "{pid},1,男,60,A,生存,2019/11/1,R1,2019/1/2,memo"


@dataclass
class Read:
    """What came out of one reading, and its balance."""

    records: list[Record]
    reading: Reading
    rows: list[LedgerRow]
    fatal: list[Issue]

    @property
    def issues(self) -> list[Issue]:
        return self.reading.issues

    @property
    def rules(self) -> list[str]:
        return [i.rule for i in self.issues]

    def only(self, rule: str) -> Issue:
        (found,) = [i for i in self.issues if i.rule == rule]
        return found

    def cells(self, column: str, status: str) -> int:
        return sum(r.n for r in self.rows if (r.column, r.status) == (column, status))

    def value(self, record: int, column: str) -> str:
        return self.records[record].values[self.reading.model.index[column]]


def run(data: bytes, model: SourceModel, scratch: Path | None = None) -> Read:
    """Read, count independently, close the ledger; everything must balance whatever the input."""
    reading = read(Bytes(data, scratch), model, Place("jp_ncch", "tiny.csv"))
    records = list(reading)
    reading.ledger.covered(range(len(model.columns)))
    independent = count_values(io.BytesIO(data), model)
    rows, fatal = reading.ledger.close(independent)
    assert fatal == [], [str(i) for i in fatal]
    assert sum(balance(rows).values()) == reading.counts.values == independent.values
    return Read(records, reading, rows, fatal)


@pytest.fixture(scope="session")
def tiny() -> SourceModel:
    return SourceModel.parse(MODEL)


@pytest.fixture
def read_text(tiny: SourceModel) -> Callable[..., Read]:
    """Rows as text (without the header) -> what was read."""

    def reader(*rows: str, header: str = HEADER, end: str = "\n", model: SourceModel | None = None) -> Read:
        return run(("\n".join((header, *rows)) + end).encode(), model or tiny)

    return reader


@pytest.fixture(scope="session")
def run_bytes() -> Callable[..., Read]:
    """(bytes, model, scratch folder) -> what was read, balanced."""
    return run


@pytest.fixture
def read_bytes(tiny: SourceModel) -> Callable[[bytes], Read]:
    return lambda data: run(data, tiny)


@pytest.fixture(scope="session")
def header() -> str:
    return HEADER


@pytest.fixture(scope="session")
def good() -> Callable[[str], str]:
    """A faultless row for a patient id."""
    return lambda pid: GOOD.format(pid=pid)
