"""Mutated inputs of every reader: no traceback, no hang, a balanced ledger, no planted name in a message."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_fuzz import BUDGET, Judge, Memory, Mutation, Seeds, mutated, mutations, rezipped

from masterkey_etl.source_model import SourceModel

READERS = {
    "delimited": ("ccat_report.csv", "ccat_report/2020_04", 2),
    "redcap": ("redcap_export.csv", "registry_redcap/1", 1),
    "json": ("cats_*.json", "cats/1.3.0", 2),
    "xml": ("foundationone_*.xml", "foundationone/2", 2),
    "sheet": ("ccat_report.xlsx", "ccat_report/2020_04", 0.5),
}
"""Reader -> seed, source model, its share of the budget."""
LEVELS = [pytest.param(1, id="few"), pytest.param(50, id="many", marks=pytest.mark.slow)]
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def budget(share: float, level: int) -> settings:
    return settings(
        max_examples=max(5, int(BUDGET * share * level)), deadline=None, suppress_health_check=QUIET, database=None
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("reader", READERS)
def test_a_mutated_file_is_read_to_its_end(judge: Judge, seeds: Seeds, reader: str, level: int) -> None:
    name, model_id, share = READERS[reader]
    data, model = seeds.bytes(name), SourceModel.load(model_id)

    @budget(share, level)
    @given(found=mutations)
    def run(found: list[Mutation]) -> None:
        judge.read(Memory(mutated(data, found)), model, reader)

    run()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("reader", READERS)
def test_what_a_mutated_file_is_its_content_decides(judge: Judge, seeds: Seeds, reader: str, level: int) -> None:
    data = seeds.bytes(READERS[reader][0])

    @budget(0.2, level)
    @given(found=mutations)
    def run(found: list[Mutation]) -> None:
        judge.read(Memory(mutated(data, found)), None, f"{reader}, recognised")

    run()


@pytest.mark.parametrize("level", LEVELS)
def test_a_workbook_whose_parts_are_mutated(judge: Judge, seeds: Seeds, level: int) -> None:
    data, model = seeds.bytes("ccat_report.xlsx"), SourceModel.load("ccat_report/2020_04")

    @budget(0.5, level)
    @given(found=mutations, part=st.integers(0, 20))
    def run(found: list[Mutation], part: int) -> None:
        judge.read(Memory(rezipped(data, part, lambda b: mutated(b, found))), model, "sheet parts")

    run()


@pytest.mark.parametrize("level", LEVELS)
def test_a_mutated_container_gives_members_or_says_why_not(
    judge: Judge, seeds: Seeds, tmp_path: Path, level: int
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a/report.csv", seeds.bytes("ccat_report.csv"))
        zipped.writestr("cats.json.gz", gzip.compress(seeds.bytes("cats_*.json")))
    path = tmp_path / "delivery.zip"

    @budget(2, level)
    @given(found=mutations, kind=st.booleans())
    def run(found: list[Mutation], kind: bool) -> None:
        path.write_bytes(mutated(packed.getvalue() if kind else gzip.compress(seeds.bytes("cats_*.json")), found))
        judge.container(path)

    run()


@pytest.mark.parametrize("level", LEVELS)
def test_a_mutated_registry_workbook_is_split_or_says_why_not(
    judge: Judge, seeds: Seeds, tmp_path: Path, level: int
) -> None:
    data, path = seeds.bytes("registry_workbook.xlsx"), tmp_path / "registry_workbook.xlsx"

    @budget(0.5, level)
    @given(found=mutations, part=st.integers(0, 20))
    def run(found: list[Mutation], part: int) -> None:
        path.write_bytes(rezipped(data, part, lambda b: mutated(b, found)))
        judge.container(path, "registry workbook")

    run()


@pytest.mark.parametrize("level", LEVELS)
def test_any_bytes_at_all(judge: Judge, level: int) -> None:
    models = [SourceModel.load(model) for _, model, _ in READERS.values()]

    @budget(1, level)
    @given(data=st.binary(max_size=2000), n=st.integers(0, 4))
    def run(data: bytes, n: int) -> None:
        judge.read(Memory(data), models[n], "any bytes")

    run()


@pytest.mark.slow
@pytest.mark.parametrize("reader", ["delimited", "redcap", "json", "xml"])
def test_ten_megabytes_end_in_time(judge: Judge, seeds: Seeds, reader: str) -> None:
    name, model_id, _ = READERS[reader]
    data, model = seeds.bytes(name), SourceModel.load(model_id)
    large = data * (10 * 1024 * 1024 // len(data))

    @settings(max_examples=10, deadline=None, suppress_health_check=QUIET, database=None)
    @given(found=mutations)
    def run(found: list[Mutation]) -> None:
        judge.read(Memory(mutated(large, found)), model, f"{reader}, 10 MB")

    run()
