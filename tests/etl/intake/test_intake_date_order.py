"""A date that lies after another one of its row is told once per record and column, and both are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl.readers import LocalFile, read
from masterkey_etl.source_model import SourceModel, SourceModelError

MODEL = """
format: order
revision: "1"
title: two dates
citation: none
record: line
key: [id]
columns:
  - {id: id, header: id, type: text}
  - {id: start, header: start, type: date, formats: ["%Y/%m/%d"], not_after: [end]}
  - {id: end, header: end, type: date, formats: ["%Y/%m/%d"]}
"""


def found(tmp_path: Path, *rows: str) -> list[tuple[int | None, str, str]]:
    file = tmp_path / "order.csv"
    file.write_text("\n".join(("id,start,end", *rows)), encoding="utf-8")
    reading = read(LocalFile(file), SourceModel.parse(MODEL))
    kept = [record.values[1:] for record in reading]
    assert all(start and end for start, end in kept)
    return [(i.place.row, i.place.field, i.rule) for i in reading.issues if i.rule == "etl.dates-disordered"]


def test_both_dates_stay_and_the_row_is_named(tmp_path: Path) -> None:
    rows = ("a,2019/11/2,2019/11/1", "b,2019/9/1,2019/10/1", "a,2019/11/2,2019/11/1")
    assert found(tmp_path, *rows) == [(2, "start", "etl.dates-disordered")]


@pytest.mark.parametrize("row", ["a,2019/11/30,2019/11/00", "a,2019/2/3,2019", "a,2019/11/1,2019/11/1"])
def test_what_a_partial_date_leaves_open_is_not_told(tmp_path: Path, row: str) -> None:
    assert found(tmp_path, row) == []


@given(days=st.lists(st.tuples(st.dates(), st.dates()), min_size=1, max_size=5))
def test_as_python_compares_days(tmp_path_factory: pytest.TempPathFactory, days: list[tuple[object, object]]) -> None:
    said = [(a, b) for a, b in days if 1900 < a.year < 2026 and 1900 < b.year < 2026]  # type: ignore[attr-defined]
    rows = [f"r{n},{str(a).replace('-', '/')},{str(b).replace('-', '/')}" for n, (a, b) in enumerate(said)]
    wrong = [n + 2 for n, (a, b) in enumerate(said) if a > b]  # type: ignore[operator]
    assert [row for row, _, _ in found(tmp_path_factory.mktemp("d"), *rows)] == wrong


@pytest.mark.parametrize("other", ["nothing", "id"])
def test_a_model_names_another_date(other: str) -> None:
    with pytest.raises(SourceModelError):
        SourceModel.parse(MODEL.replace("not_after: [end]", f"not_after: [{other}]"))
