"""500 planted names and numbers go in; a search over every byte of a registry's workspace finds none.

Compressed and encrypted files can hide text from a search, so databases are also searched unpacked: every stored
resource is read back, every DuckDB table dumped, every Parquet and JSON file read.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from masterkey_api import cli
from masterkey_etl import synth
from masterkey_fhir.store import Repository

PLANTED = 500


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    synth.synth(folder / "cohort", patients=250, seed=11, plant_identifiers=PLANTED)
    return folder


@pytest.fixture(scope="module")
def planted(base: Path) -> set[str]:
    with (base / "cohort" / "key.csv").open(encoding="utf-8", newline="") as file:
        found = {r["value"] for r in csv.DictReader(file) if r["kind"].startswith("identifier")}
    return {value for value in found if len(value) > 3}


@pytest.fixture(scope="module")
def printed(base: Path) -> str:
    """What a user saw: standard output and error of the load and of the reports."""
    import contextlib
    import io

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        data = ["--data", str(base / "workspace")]
        assert cli.main([*data, "load", str(base / "cohort")]) in (0, 1)
        cli.main([*data, "issues", "list", "--json"])
        cli.main([*data, "issues", "list", "--rule", "etl.text-masked"])
        cli.main([*data, "quality", "report"])
    return text.getvalue()


def texts(workspace: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that can be read in a workspace, packed things unpacked."""
    for path in sorted(p for p in workspace.rglob("*") if p.is_file()):
        yield path.name, path.read_bytes()
    repository = Repository.open(f"sqlite:///{workspace / 'repository.db'}")
    for site in repository.sites():
        for kind in repository.counts(site):
            for stored in repository.of_type(site, kind):
                yield f"{stored.type}/{stored.id}", stored.text
    repository.close()
    for file in [*workspace.glob("cdm/*.duckdb"), *workspace.glob("projector/*.duckdb")]:
        yield from tables(file)
    for file in workspace.glob("ledger/*.parquet"):
        with duckdb.connect() as db:
            yield file.name, repr(db.execute("SELECT * FROM read_parquet(?)", [str(file)]).fetchall()).encode()


def tables(file: Path) -> Iterator[tuple[str, bytes]]:
    with duckdb.connect(str(file), read_only=True) as db:
        query = "SELECT table_schema, table_name FROM information_schema.tables"
        for schema, name in db.execute(query).fetchall():
            yield f"{file.name}:{name}", repr(db.execute(f'SELECT * FROM "{schema}"."{name}"').fetchall()).encode()


def test_the_search_finds_what_is_there(base: Path, planted: set[str]) -> None:
    """The instrument first: the source files do hold the planted values."""
    assert len(planted) > PLANTED * 0.8
    source = b"".join(p.read_bytes() for p in (base / "cohort" / "jp_ncch").iterdir())
    assert all(value.encode() in source for value in planted)


def test_no_planted_name_or_number_is_in_any_byte(base: Path, planted: set[str], printed: str) -> None:
    wanted = {value.encode() for value in planted}
    leaks = {where for where, content in texts(base / "workspace") if any(value in content for value in wanted)}
    assert leaks == set()
    assert not [value for value in planted if value in printed]


def test_masking_is_told(printed: str) -> None:
    assert "etl.masked" in printed or "▢" in printed or "masked" in printed


def test_kept_bytes_are_not_readable(base: Path) -> None:
    for kept in (base / "workspace" / "kept").rglob("*.mk"):
        content = kept.read_bytes()
        assert len(content) > 1000 and len(zlib.compress(content)) > 0.98 * len(content), "looks unencrypted"
