"""A small source, a small map, and what runs them: every test says only what it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.ledger import IndependentCount, Ledger, LedgerRow
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, compile_map, load_map
from masterkey_fhir.issue import Issue, Place

MODEL = """
format: small
revision: "1"
title: A small source
citation: own content
record: case
key: [pid]
null_tokens: ["", NA]
groups:
  lines: [line, drug, started]
columns:
  - {id: pid, header: pid, type: text, personal: identifier}
  - {id: sex, header: sex, type: code, label: sex_label}
  - {id: sex_label, header: sex label, type: label}
  - {id: age, header: age, type: integer}
  - {id: weight, header: weight, type: decimal}
  - {id: seen, header: seen, type: date, formats: ["%Y/%m/%d"]}
  - {id: died, header: died, type: date, formats: ["%Y/%m/%d"]}
  - {id: smoker, header: smoker, type: flag}
  - {id: tumour, header: tumour, type: code}
  - {id: note, header: note, type: text, personal: free_text}
  - {id: line, header: line, type: integer}
  - {id: drug, header: drug, type: text}
  - {id: started, header: started, type: date, formats: ["%Y/%m/%d"]}
"""
COLUMNS = (
    "pid",
    "sex",
    "sex_label",
    "age",
    "weight",
    "seen",
    "died",
    "smoker",
    "tumour",
    "note",
    "line",
    "drug",
    "started",
)
GROUP = ("line", "drug", "started")
HEAD = "subject_id,subject_label,predicate_id,object_id,object_system,object_label,status\n"
TOPICS = {
    "sex": "1,男,skos:exactMatch,male,,,reviewed\n2,女,skos:exactMatch,female,,,reviewed\n"
    "9,不明,skos:exactMatch,unknown,,,candidate\n",
    "tumour": "A,,skos:exactMatch,8000/3,urn:icdo,Neoplasm,reviewed\n",
    "double": "A,,skos:exactMatch,x,urn:one,X,reviewed\nA,,skos:broadMatch,y,urn:two,Y,reviewed\n",
}
PATIENT = """
  patient:
    resourceType: Patient
    id: = id(pid)
"""


@dataclass
class Result:
    """What a map made of some records."""

    made: list[tuple[str, dict[str, Any]]]
    issues: list[Issue]
    rows: list[LedgerRow]
    closing: list[Issue]

    @property
    def rules(self) -> list[str]:
        return sorted(i.rule for i in self.issues)

    def of(self, block: str) -> list[dict[str, Any]]:
        return [r for b, r in self.made if b == block]

    def one(self, block: str) -> dict[str, Any]:
        (found,) = self.of(block)
        return found

    def status(self, column: str) -> dict[str, int]:
        out: dict[str, int] = {}
        for row in self.rows:
            if row.column == column:
                out[row.status] = out.get(row.status, 0) + row.n
        return out

    def reasons(self, column: str) -> list[str]:
        return [r.reason for r in self.rows if r.column == column and r.reason]


@dataclass
class Workshop:
    """Writes, compiles and runs maps over the small source."""

    folder: Path
    topics: dict[str, str] = field(default_factory=lambda: dict(TOPICS))
    model_text: str = MODEL

    _kept: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> SourceModel:
        if self.model_text not in self._kept:
            self._kept[self.model_text] = SourceModel.parse(self.model_text)
        model: SourceModel = self._kept[self.model_text]
        return model

    def concepts(self) -> Concepts:
        key = repr(self.topics)
        if key not in self._kept:
            self._kept[key] = self._concepts()
        found: Concepts = self._kept[key]
        return found

    def _concepts(self) -> Concepts:
        place = self.folder / "concepts"
        place.mkdir(exist_ok=True)
        for name, rows in self.topics.items():
            (place / f"{name}.csv").write_text(HEAD + rows, encoding="utf-8")
        return Concepts.load(None, self.folder)

    def write(self, resources: str, rest: str = "", name: str = "small.yaml") -> Path:
        path = self.folder / "mappings" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"source: small/1\nresources:{resources}\n{rest}", encoding="utf-8")
        return path

    def compile(self, resources: str, rest: str = "") -> CompiledMap:
        return compile_map(load_map(self.write(resources, rest)), self.model, self.concepts())

    def run(self, compiled: CompiledMap, *records: Record, site: str = "aa_site") -> Result:
        """The reader's part of the ledger is done here: rows and blank cells."""
        ledger = Ledger(self.model, Place(site, "file.csv"))
        ctx = MapContext(site, keys(site), Place(site, "file.csv"))
        n = sum(len(r.rows) or 1 for r in records)
        ledger.rows(n)
        for r in records:
            _blank(r, ledger)
        made = [m for r in records for m in compiled(r, ctx, ledger)]
        rows, closing = ledger.close(IndependentCount(n, len(COLUMNS)))
        return Result(made, ctx.issues, rows, closing)

    def map(self, resources: str, *records: Record, rest: str = "") -> Result:
        return self.run(self.compile(resources, rest), *records)


def keys(site: str = "aa_site") -> SiteKeys:
    return SiteKeys(site, {p: (Key(1, p.encode() * 8),) for p in ("id", "pseudonym", "record")})


def record(lines: tuple[tuple[str, str, str], ...] = (), **cells: str) -> Record:
    """A record of the small source; `lines` are the items of its group. One row per line, at least one."""
    values = [cells.get(c, "P1" if c == "pid" else "") for c in COLUMNS]
    rows = tuple(range(2, 2 + max(1, len(lines))))
    children = [Record(list(x), rows[n], (rows[n],)) for n, x in enumerate(lines)]
    if lines:
        values[10:13] = lines[0]
    return Record(values, 2, rows, {"lines": children})


def _blank(r: Record, ledger: Ledger) -> None:
    """What the reader enters for null tokens."""
    children = r.groups["lines"]
    for i, c in enumerate(COLUMNS):
        cells = [x.values[GROUP.index(c)] for x in children] if c in GROUP else [r.values[i]] * len(r.rows)
        blank = cells.count("") + (len(r.rows) - len(cells))
        if blank:
            ledger.exceptions(i, "absent", "", blank)
            r.accounted[i] = blank if c not in GROUP or len(r.rows) == 1 else 0


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    return record


@pytest.fixture
def site_keys() -> SiteKeys:
    return keys()
