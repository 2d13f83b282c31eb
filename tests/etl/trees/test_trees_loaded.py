"""Panel results on the whole road: from file to FHIR to CDM, at a registry."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterkey_etl import loading
from masterkey_etl.loading import LoadReport


@pytest.fixture(scope="module")
def report(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadReport:
    data = tmp_path_factory.mktemp("trees") / "data"
    genomics = shared / "data/genomics"
    cats = genomics / "cats/aggregation/cats_sample_20231211000012.cats"
    return loading.load(data, [cats, genomics / "foundationone/sample.xml"], site="jp_ncch")


def test_both_balance(report: LoadReport) -> None:
    assert report.refused == []
    assert [s.rows for s in report.stored] == [1, 1]
    assert [sum(row.n for row in s.ledger) for s in report.stored] == [s.values for s in report.stored]
    assert report.totals()["unmapped"] == 0


def test_the_findings_reach_the_cdm(report: LoadReport) -> None:
    assert report.assessed is not None
    rows = report.assessed.projected.projection.rows
    assert rows["person"] == 1  # the CATS file names nobody
    assert rows["measurement"] >= 47 + 5 + 1 + 2


def test_no_element_lacks_a_place_in_the_maps_to_omop(report: LoadReport) -> None:
    assert not [i for i in report.issues if i.rule in ("etl.element-unlisted", "etl.value-unused", "etl.leaf-unknown")]


def test_no_name_of_the_sample_is_in_a_message(report: LoadReport) -> None:
    said = " ".join(map(str, report.issues))
    assert not [name for name in ("Smith", "Vergilio", "Public", "12345678", "2002-12-12") if name in said]
