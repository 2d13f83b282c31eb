"""The C-CAT clinical export, opened and saved as XLSX by a person, gives what its CSV gives."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from masterkey_etl import maps
from masterkey_etl.keys import KeyFile, SiteKeys
from masterkey_etl.ledger import Ledger, balance
from masterkey_etl.readers import count_values, read_delivery, recognise
from masterkey_etl.synth import synth
from masterkey_etl.template import MapContext
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Place

_DAY = re.compile(r"(\d{4})/(\d{1,2})/(\d{1,2})")
TOLD = {"etl.sheet-number-as-text", "etl.sheet-date-in-text", "etl.sheet-date-as-text", "etl.sheet-text-as-number"}


def typed(text: str) -> Any:
    """What a spreadsheet makes of a value when a CSV is opened in it; texts that would lose something stay texts."""
    day = _DAY.fullmatch(text)
    if day:
        return datetime(*map(int, day.groups()))
    if re.fullmatch(r"0|[1-9][0-9]{0,9}", text):
        return int(text)
    return float(text) if re.fullmatch(r"[1-9][0-9]{0,5}\.[0-9]{0,4}[1-9]", text) else text or None


def as_workbook(path: Path) -> bytes:
    book = openpyxl.Workbook()
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for n, row in enumerate(csv.reader(lines)):
            book.active.append([typed(c) if n else c for c in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> SiteKeys:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.json").keys_of("jp_ncch")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    synth(out, patients=12, seed=5)
    return out / "jp_ncch"


@pytest.mark.parametrize("name", ["ccat_case", "ccat_report"])
def test_the_same_resources_and_the_same_ledger(
    name: str, cohort: Path, keys: SiteKeys, as_bytes: Any, excel: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    def through(data: bytes) -> tuple[list[Any], Counter[str], Counter[str]]:
        source, place = as_bytes(data), Place("jp_ncch", "x")
        model = recognise(source)
        compiled = maps.for_source("jp_ncch", model, workspace)
        ledger, context = Ledger(model, place), MapContext("jp_ncch", keys, place)
        reading = read_delivery(source, model, ledger)
        made = [pair for record in reading for pair in compiled(record, context, ledger)]
        rows, fatal = ledger.close(count_values(as_bytes(data).open(), model))
        assert not fatal
        return made, Counter(balance(rows)), Counter(i.rule for i in (*reading.issues, *context.issues))

    workspace = Workspace.open(tmp_path / "w", create=True)
    path = cohort / f"{name}.csv"
    resources, totals, told = through(path.read_bytes())
    book = as_workbook(path)
    for data in (book, excel(book)):
        made, balanced, said = through(data)
        assert made == resources != []
        assert balanced == totals
        assert set(said - told) <= TOLD
        assert not told - said
