"""The ledger balances, and says by name what does not."""

from __future__ import annotations

import pytest

from masterkey_etl.ledger import IndependentCount, Ledger, LedgerRow, balance, write_lines
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Place


@pytest.fixture
def ledger(tiny: SourceModel) -> Ledger:
    found = Ledger(tiny, Place("jp_ncch", "tiny.csv"), frozenset({0, 1}))
    found.rows(69)
    return found


def test_what_is_no_exception_is_mapped(ledger: Ledger):
    ledger.covered([0])
    ledger.covered([1], "translated")
    ledger.exceptions(1, "absent", "NA", 4)
    ledger.exceptions(1, "unmapped", "no concept", 2)
    rows, fatal = ledger.close(IndependentCount(69, 2))
    assert fatal == []
    assert rows == [
        LedgerRow("pid", "mapped", "", 69),
        LedgerRow("sex", "absent", "NA", 4),
        LedgerRow("sex", "translated", "", 63),
        LedgerRow("sex", "unmapped", "no concept", 2),
    ]
    assert balance(rows)["translated"] == 63 and sum(balance(rows).values()) == 138


def test_a_forgotten_column_is_silent_loss_and_named_with_its_values(ledger: Ledger):
    ledger.covered([0])
    _, (found,) = ledger.close(IndependentCount(69, 2))
    assert (found.rule, found.severity, found.place.field) == ("etl.silent-loss", "fatal", "sex")
    assert "69 values of column sex" in str(found)


def test_a_column_set_aside_with_its_reason_is_no_loss(ledger: Ledger):
    ledger.covered([0])
    ledger.set_aside([1], "masked by the exporter")
    rows, fatal = ledger.close(IndependentCount(69, 2))
    assert fatal == [] and LedgerRow("sex", "set_aside", "masked by the exporter", 69) in rows


@pytest.mark.parametrize("counted", [IndependentCount(70, 2), IndependentCount(69, 3), IndependentCount(69, 2, 1)])
def test_another_count_than_the_readers_is_fatal(ledger: Ledger, counted: IndependentCount):
    ledger.covered([0, 1])
    _, (found,) = ledger.close(counted)
    assert found.severity == "fatal" and "independent count" in str(found)


def test_cells_entered_twice_are_fatal(ledger: Ledger):
    ledger.covered([0, 1])
    ledger.exceptions(1, "absent", "NA", 69)
    ledger.exceptions(1, "unmapped", "no concept", 1)
    _, (found,) = ledger.close(IndependentCount(69, 2))
    assert found.rule == "etl.ledger-overdrawn"


def test_open_cells_of_a_record(ledger: Ledger):
    record = Record(["a", "1"], 2, (2, 3, 4), {}, {1: 2})
    assert (ledger.cells(record, 0), ledger.cells(record, 1)) == (3, 1)


def test_single_lines_are_kept_without_personal_values(ledger: Ledger, tmp_path):
    import pyarrow.parquet as pq

    ledger.exceptions(1, "rejected", "it is not a code", row=7, value="2019/2/30")
    ledger.exceptions(1, "rejected", "it is not a code", row=7, value="Yamada 0901234567")
    ledger.exceptions(0, "rejected", "it holds a NUL", row=8, value="Yamada Hanako")
    ledger.exceptions(1, "absent", "NA", 5, row=9, value="NA")
    assert write_lines(ledger.lines, tmp_path / "ledger" / "1.parquet") == 3
    rows = pq.read_table(tmp_path / "ledger" / "1.parquet").to_pylist()
    assert [(r["row"], r["column"], r["status"], r["value"]) for r in rows] == [
        (7, "sex", "rejected", "2019/2/30"),
        (7, "sex", "rejected", "xxxxxx 9999999999"),
        (8, "pid", "rejected", None),
    ]
    assert b"Yamada" not in (tmp_path / "ledger" / "1.parquet").read_bytes()
