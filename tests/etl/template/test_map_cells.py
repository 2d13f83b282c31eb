"""Every single cell has one status: the ledger of small files against an account kept cell by cell here."""

from __future__ import annotations

import io
import unicodedata
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support_delivery import Bytes

from masterkey_etl.concepts import Concepts
from masterkey_etl.keys import Key, SiteKeys
from masterkey_etl.readers import count_values, read
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, compile_map, load_map
from masterkey_fhir.issue import Place

MODEL = """
format: cells
revision: "1"
title: pairs in and out of a group
citation: own content
record: case
key: [pid]
null_tokens: ["", NA]
groups:
  lines: [drug, kind, kind_label, best, best_label]
columns:
  - {id: pid, header: pid, type: text, personal: identifier}
  - {id: age, header: age, type: integer}
  - {id: sex, header: sex, type: code, label: sex_label, codes: {"1": one, "2": two}}
  - {id: sex_label, header: sex label, type: label}
  - {id: end, header: end, type: code, label: end_label, codes: {"1": one, "2": two}, winner: label}
  - {id: end_label, header: end label, type: label}
  - {id: drug, header: drug, type: text}
  - {id: kind, header: kind, type: code, label: kind_label, codes: {"1": one, "2": two}}
  - {id: kind_label, header: kind label, type: label}
  - {id: best, header: best, type: code, label: best_label, codes: {"1": one, "2": two}, winner: label}
  - {id: best_label, header: best label, type: label}
"""
MAP = """
source: cells/1
resources:
  patient:
    resourceType: Patient
    id: = id(pid)
  about:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: about}
    subject: = reference(patient)
    valueInteger: = age
    component:
      - code: {text: sex}
        valueCodeableConcept: = sex.codeable('by_code')
      - code: {text: end}
        valueCodeableConcept: = end.codeable('by_label')
  line:
    $each: lines
    resourceType: Observation
    id: = id(pid, drug, kind, kind.label(), best, best.label())
    status: final
    code: {text: line}
    subject: = reference(patient)
    valueString: = drug
    component:
      - code: {text: kind}
        valueCodeableConcept: = kind.codeable('by_code')
      - code: {text: best}
        valueCodeableConcept: = best.codeable('by_label')
"""
CONCEPTS = {  # the second value of each has no concept
    "by_code": "1,one,skos:exactMatch,x,urn:x,X,reviewed\n",
    "by_label": "one,one,skos:exactMatch,x,urn:x,X,reviewed\n",
}
HEAD = "subject_id,subject_label,predicate_id,object_id,object_system,object_label,status\n"
CODES, NULLS = {"1": "one", "2": "two"}, ("", "NA")
KNOWN = {"code": {"1"}, "label": {"one"}}
PAIRS = {"sex": (2, "code"), "end": (4, "label"), "kind": (7, "code"), "best": (9, "label")}  # place of the code
OWN = range(1, 6)
COLUMNS = ["pid", "age", "sex", "sex_label", "end", "end_label", "drug", "kind", "kind_label", "best", "best_label"]


# -- the account kept here: one status per cell, written without the reader's or the map's code


@dataclass
class Cell:
    """What stands in a cell after its row alone was looked at; `value` is what a map sees there."""

    value: str
    status: str  # absent | rejected | live
    lent: bool = False  # a code whose value is its label's


def same(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def pair(code: str, label: str, winner: str) -> tuple[Cell, Cell]:
    code, label = ("" if x in NULLS else x for x in (code, label))
    if not label:
        value = code if winner == "code" else CODES.get(code, code)
        return Cell(value, "live" if code else "absent"), Cell("", "absent")
    if not code and winner == "code":
        found = next((c for c, text in CODES.items() if text == same(label)), "")
        return Cell(found, "absent", bool(found)), Cell(label if found else "", "live" if found else "rejected")
    if not code:
        return Cell(same(label), "absent", True), Cell(label, "live")
    disagree = code in CODES and CODES[code] != same(label)
    if winner == "code":
        return Cell(code, "live"), Cell("" if disagree else label, "rejected" if disagree else "live")
    if code not in CODES:  # its label goes on, the code is in no resource
        return Cell(same(label), "unmapped", True), Cell(label, "live")
    return Cell(same(label), "rejected" if disagree else "live", disagree), Cell(label, "live")


def looked_at(row: list[str]) -> list[Cell]:
    cells = [Cell("", "absent") if x in NULLS else Cell(x, "live") for x in row]
    for at, winner in PAIRS.values():
        cells[at : at + 2] = pair(row[at], row[at + 1], winner)
    return cells


def collapsed(rows: list[list[Cell]]) -> None:
    """Columns of the record: a row that contradicts what is kept fills nothing, and what differs is rejected."""
    kept = {i: rows[0][i].value for i in OWN}
    for row in rows[1:]:
        if all("" in (row[i].value, kept[i]) or row[i].value == kept[i] for i in OWN):
            kept = {i: kept[i] or row[i].value for i in OWN}
    for row in rows:
        for i in OWN:
            if row[i].value and row[i].value != kept[i]:
                row[i].status = "rejected" if row[i].status == "live" else row[i].status
                row[i].lent = False


def statuses(rows: list[list[str]]) -> dict[str, Counter[str]]:
    out: dict[str, Counter[str]] = {c: Counter() for c in COLUMNS}
    patients = dict.fromkeys(r[0] for r in rows)
    for patient in patients:
        cells = [looked_at(r) for r in rows if r[0] == patient]
        collapsed(cells)
        for row in cells:
            for i, name in enumerate(COLUMNS):
                out[name][mapped(row, i)] += 1
    return out


def mapped(row: list[Cell], i: int) -> str:
    cell = row[i]
    name = COLUMNS[i].removesuffix("_label")
    if cell.status != "live":
        return cell.status
    if name not in PAIRS:
        return "mapped"
    at, winner = PAIRS[name]
    unknown = row[at].value not in KNOWN[winner]
    if i == at:
        return "unmapped" if unknown else "translated"
    return "unmapped" if unknown and row[at].lent else "mapped"


# -- the files


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> CompiledMap:
    folder: Path = tmp_path_factory.mktemp("cells")
    (folder / "concepts").mkdir()
    for name, rows in CONCEPTS.items():
        (folder / "concepts" / f"{name}.csv").write_text(HEAD + rows, encoding="utf-8")
    (folder / "map.yaml").write_text(MAP, encoding="utf-8")
    return compile_map(load_map(folder / "map.yaml"), SourceModel.parse(MODEL), Concepts.load(None, folder))


def site_keys() -> SiteKeys:
    return SiteKeys("aa_site", {p: (Key(1, p.encode() * 8),) for p in ("id", "pseudonym", "record")})


def ledger_of(compiled: CompiledMap, rows: list[list[str]]) -> dict[str, Counter[str]]:
    """Read and map the file; the ledger must close."""
    data = "\n".join([",".join(c.header for c in compiled.model.columns), *map(",".join, rows), ""]).encode()
    place = Place("aa_site", "file.csv")
    reading = read(Bytes(data), compiled.model, place)
    context = MapContext("aa_site", site_keys(), place, [])
    for _ in compiled.run(reading, context, reading.ledger):
        pass
    lines, fatal = reading.ledger.close(count_values(io.BytesIO(data), compiled.model))
    assert fatal == []
    out: dict[str, Counter[str]] = {c: Counter() for c in COLUMNS}
    for line in lines:
        out[line.column][line.status] += line.n
    return out


CODE = st.sampled_from(["", "NA", "1", "2", "9"])
LABEL = st.sampled_from(["", "NA", "one", "two", "ｏｎｅ", "other"])
AGE, DRUG = st.sampled_from(["", "NA", "40", "40", "41"]), st.sampled_from(["", "NA", "a", "b"])
ROW = st.tuples(st.sampled_from("PQ"), AGE, CODE, LABEL, CODE, LABEL, DRUG, CODE, LABEL, CODE, LABEL).map(list)


@st.composite
def files(draw: Any) -> list[list[str]]:
    """Rows of two patients, 1 to 4 each; parts of a row are often those of a row before."""
    rows: list[list[str]] = []
    for _ in range(draw(st.integers(1, 8))):
        row = draw(ROW)
        if rows and draw(st.booleans()):
            row[1:6] = draw(st.sampled_from(rows))[1:6]
        if rows and draw(st.booleans()):
            row[6:] = draw(st.sampled_from(rows))[6:]
        if sum(r[0] == row[0] for r in rows) < 4:
            rows.append(row)
    return rows


def line(best: str, label: str) -> list[str]:
    return ["P", "40", "1", "one", "1", "one", "a", "1", "one", best, label]


@settings(max_examples=400, deadline=None)
@given(rows=files())
@example(rows=[line("NA", "other"), line("NA", "other")])
@example(rows=[line("NA", "other"), line("1", "one")])
@example(rows=[line("NA", "two"), line("2", "two")])
@example(rows=[line("1", "two"), line("1", "two")])
@example(rows=[line("NA", "other")])
@example(rows=[line("9", "two"), line("9", "one")])
@example(rows=[["P", *[""] * 10], ["P", *[""] * 8, "9", ""]])
@example(rows=[["P", "40", "1", "one", *[""] * 7], ["P", "40", "NA", "two", *[""] * 7]])
def test_each_cell_has_the_status_an_account_by_hand_gives_it(compiled: CompiledMap, rows: list[list[str]]) -> None:
    found = ledger_of(compiled, rows)
    assert {c: sum(n.values()) for c, n in found.items()} == dict.fromkeys(COLUMNS, len(rows))
    assert found == statuses(rows)


DRUGS = """
source: cells/1
resources:
  patient:
    resourceType: Patient
    id: = id(pid)
  drug:
    $each: lines
    resourceType: Observation
    id: = id(pid, drug)
    status: final
    code: {text: drug}
    subject: = reference(patient)
    valueString: = drug
"""


def test_what_two_parts_make_alike_comes_from_the_rows_of_both(tmp_path: Path) -> None:
    """Rows 2 and 4 name one drug with other kinds: one resource; row 3 another."""
    (tmp_path / "map.yaml").write_text(DRUGS, encoding="utf-8")
    model = SourceModel.parse(MODEL)
    drugs = compile_map(load_map(tmp_path / "map.yaml"), model, Concepts.load(None, tmp_path))
    rows = [["P", *[""] * 5, drug, kind, *[""] * 3] for drug, kind in (("a", "1"), ("b", "1"), ("a", "2"))]
    data = "\n".join([",".join(c.header for c in model.columns), *map(",".join, rows), ""]).encode()
    place = Place("aa_site", "file.csv")
    (record,) = read(Bytes(data), model, place)
    whole, parts, where = drugs.parted(record, MapContext("aa_site", site_keys(), place, []))
    assert [block for block, _ in whole] == ["patient"]
    assert [(r["valueString"], of) for (_, r), of in zip(parts, where, strict=True)] == [("a", (2, 4)), ("b", (3,))]
