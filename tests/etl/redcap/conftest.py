"""Small projects: a dictionary, its export, and what reading makes of it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.concepts import Concepts
from masterkey_etl.ledger import IndependentCount, Ledger, LedgerRow
from masterkey_etl.readers import LocalFile, count_values, read_delivery
from masterkey_etl.record import Record
from masterkey_etl.redcap import project
from masterkey_etl.redcap.dictionary import HEADERS
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import CompiledMap, MapContext, compile_map, load_map
from masterkey_fhir.issue import Issue

SITE = "my_nci"


def dictionary_text(*fields: dict[str, str]) -> str:
    """A dictionary; each field by its columns' short names."""
    short = {
        "name": 0, "form": 1, "type": 3, "label": 4, "choices": 5, "note": 6, "validation": 7, "min": 8, "max": 9,
        "identifier": 10, "branching": 11, "required": 12, "annotation": 17,
    }  # fmt: skip
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(HEADERS)
    for f in fields:
        cells = [""] * len(HEADERS)
        for key, value in {"form": "base", "type": "text", "label": f["name"], **f}.items():
            cells[short[key]] = value
        writer.writerow(cells)
    return out.getvalue()


class Keys:
    """Keys of no site."""

    secret = b"0" * 32

    def current(self, purpose: str) -> Keys:
        return self

    def digest(self, purpose: str, *parts: str) -> str:
        return "|".join(("digest", *parts))


@dataclass
class Read:
    model: SourceModel
    records: list[Record]
    issues: list[Issue]
    rows: list[LedgerRow]
    fatal: list[Issue]
    count: IndependentCount
    made: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def rules(self) -> list[str]:
        return [i.rule for i in self.issues]

    def of(self, rule: str) -> list[Issue]:
        return [i for i in self.issues if i.rule == rule]


class Project:
    """Drafts in an overlay of their own, and an export read and mapped by them."""

    def __init__(self, root: Path, dictionary: str) -> None:
        self.root = root
        self.overlay = root / "mappings"
        self.dictionary = root / "dictionary.csv"
        self.dictionary.write_text(dictionary, encoding="utf-8")

    def begin(self, export: Path | None = None, **options: Any) -> project.Drafted:
        return project.begin(self.dictionary, SITE, self.overlay, export=export, **options)

    def export(self, rows: Sequence[dict[str, Any]], name: str = "export.csv") -> Path:
        path = self.root / name
        if path.suffix == ".json":
            path.write_text(json.dumps(rows), encoding="utf-8")
            return path
        with path.open("w", encoding="utf-8", newline="") as file:
            out = csv.DictWriter(file, list(rows[0]))
            out.writeheader()
            out.writerows(rows)
        return path

    def compiled(self, drafted: project.Drafted) -> CompiledMap:
        model = SourceModel.load(drafted.source, self.overlay)
        return compile_map(load_map(drafted.map), model, Concepts.load(self.overlay))

    def read(self, drafted: project.Drafted, path: Path) -> Read:
        map_ = self.compiled(drafted)
        issues: list[Issue] = []
        ledger = Ledger(map_.model)
        context = MapContext(SITE, Keys(), issues=issues)  # type: ignore[arg-type]
        reading = read_delivery(LocalFile(path), map_.model, ledger, issues.append)
        records = list(reading)
        made = [pair for record in records for pair in map_(record, context, ledger)]
        with path.open("rb") as stream:
            count = count_values(stream, map_.model)
        rows, fatal = ledger.close(count)
        return Read(map_.model, records, issues, rows, fatal, count, made)


@pytest.fixture
def begun(tmp_path: Path) -> Callable[..., Project]:
    def begin(*fields: dict[str, str]) -> Project:
        return Project(tmp_path, dictionary_text(*fields))

    return begin
