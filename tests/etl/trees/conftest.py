"""Two small source models of trees, and a reader over bytes whose ledger must close."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support_delivery import Bytes

from masterkey_etl.ledger import Ledger, LedgerRow, balance
from masterkey_etl.readers import RecordReading, count_values, read_delivery
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, Place

JSON = """
format: tiny_tree
revision: "1"
title: a tiny tree
citation: made for these tests
kind: json
record: report
key: [report_id]
paths: {variants: results.variants, samples: samples}
spread: {variants: transcripts}
groups:
  samples: [sample]
  variants: [gene, fraction, kind, effects, first_end, second_end, transcript, change]
ignored:
  - {path: comments, reason: free remarks of the laboratory}
  - {path: /sent, reason: of the transfer}
doubts:
  - {column: fraction, values: ["0.0"], when: {kind: [gain]}, reason: a gain of nothing}
  - {column: transcript, counting: true, reason: accessions count upwards}
columns:
  - {id: report_id, path: id, type: text, personal: identifier}
  - {id: version, path: meta.version, type: code, codes: {"1": one, "2": two}}
  - {id: made, path: meta.date, type: date, formats: ["%Y-%m-%d"]}
  - {id: score, path: results.score, type: decimal, aliases: [results.oldScore]}
  - {id: sample, path: ".", type: text}
  - {id: gene, path: gene, type: text, required: true}
  - {id: fraction, path: fraction, type: decimal, min: 0, max: 1}
  - {id: kind, path: kind, type: text}
  - {id: effects, path: effects, type: text, join: "; "}
  - {id: first_end, path: "ends[0].at", type: integer}
  - {id: second_end, path: "ends[1].at", type: integer}
  - {id: transcript, path: transcripts.id, type: text}
  - {id: change, path: transcripts.change, type: text}
"""
XML = """
format: tiny_xml
revision: "1"
title: a tiny XML tree
citation: made for these tests
kind: xml
record: report
records: report
key: [report_id]
paths: {variants: variants.variant}
groups:
  variants: [gene, fraction, note, sample]
ignored:
  - {path: pdf, reason: the printed form of the same}
  - {path: /head, reason: of the transfer}
columns:
  - {id: report_id, path: "@id", type: text, personal: identifier}
  - {id: disease, path: disease, type: text}
  - {id: seen, path: seen, type: date, formats: ["%Y-%m-%d"]}
  - {id: gene, path: "@gene", type: text, required: true}
  - {id: fraction, path: "@fraction", type: decimal, min: 0, max: 1}
  - {id: note, path: note, type: text, join: " | "}
  - {id: sample, path: "evidence.@sample", type: text}
"""


@dataclass
class Tree:
    """What came out of one reading, and its balance."""

    records: list[Record]
    reading: RecordReading
    rows: list[LedgerRow]
    issues: list[Issue]

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

    def items(self, record: int, group: str) -> list[dict[str, str]]:
        """The items of a group, as column -> value where there is one."""
        names = self.reading.model.groups[group]
        items = self.records[record].groups[group]
        return [{n: v for n, v in zip(names, i.values, strict=True) if v} for i in items]


def run(data: bytes, model: SourceModel) -> Tree:
    """Read, count independently, close the ledger: it must balance whatever the input."""
    issues: list[Issue] = []
    ledger = Ledger(model, Place("jp_ncch", "tiny"))
    reading = read_delivery(Bytes(data), model, ledger, issues.append)
    records = list(reading)
    ledger.covered(range(len(model.columns)))
    independent = count_values(io.BytesIO(data), model)
    rows, fatal = ledger.close(independent)
    assert fatal == [], ([str(i) for i in fatal], independent, dict(ledger.leaves.at))
    assert sum(balance(rows).values()) == reading.counts.values == independent.values
    return Tree(records, reading, rows, issues)


@pytest.fixture(scope="session")
def run_tree() -> Callable[[bytes, SourceModel], Tree]:
    return run


@pytest.fixture(scope="session")
def json_model() -> SourceModel:
    return SourceModel.parse(JSON)


@pytest.fixture(scope="session")
def xml_model() -> SourceModel:
    return SourceModel.parse(XML)


@pytest.fixture(scope="session")
def read_json(json_model: SourceModel) -> Callable[[bytes | str], Tree]:
    return lambda data: run(data.encode() if isinstance(data, str) else data, json_model)


@pytest.fixture(scope="session")
def read_xml(xml_model: SourceModel) -> Callable[[bytes | str], Tree]:
    return lambda data: run(data.encode() if isinstance(data, str) else data, xml_model)
