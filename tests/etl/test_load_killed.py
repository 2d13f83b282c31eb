"""kill -9 at every fsync and rename of one load: nothing half is left, and the load run again gives the same tables."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import support_tables

from masterkey_etl import synth
from masterkey_etl.workspace import Workspace

IN_CI = 4  # strikes taken when the suite is sampled


@pytest.fixture(scope="module")
def strike(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Path:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: the strikes at fsync and rename need one")
    library = tmp_path_factory.mktemp("strike") / "strike.so"
    source = repository_root / "tests" / "strike.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-w", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort, and a workspace whose keys exist, so that every run gives the same pseudonyms."""
    base = tmp_path_factory.mktemp("begun")
    synth.synth(base / "cohort", patients=4, seed=3)
    Workspace.open(base / "workspace", create=True).keys("jp_ncch")
    return base


def load(begun: Path, data: Path, strike: Path | None = None, **environment: str) -> int:
    command = [sys.executable, "-m", "masterkey_api", "--data", str(data), "load", str(begun / "cohort")]
    preload = {"LD_PRELOAD": str(strike)} if strike else {}
    run = subprocess.run(command, env=os.environ | preload | environment, capture_output=True, check=False)
    return run.returncode


def fresh(begun: Path, target: Path) -> Path:
    shutil.copytree(begun / "workspace", target)
    return target


@pytest.fixture(scope="module")
def undisturbed(begun: Path, strike: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], int, int]:
    """The tables of a load that nobody disturbs, its exit code, and how often it calls fsync or rename."""
    base = tmp_path_factory.mktemp("undisturbed")
    data, log = fresh(begun, base / "workspace"), base / "calls"
    code = load(begun, data, strike, STRIKE_LOG=str(log))
    return support_tables.tables(data), code, int(log.read_text())


def struck(begun: Path, strike: Path, data: Path, at: int) -> int:
    fresh(begun, data)
    return load(begun, data, strike, STRIKE_AT=str(at))


def agree(undisturbed: tuple[dict[str, str], int, int], begun: Path, strike: Path, data: Path, at: int) -> None:
    expected, code, _ = undisturbed
    assert struck(begun, strike, data, at) == -signal.SIGKILL
    assert load(begun, data) == code, f"after a kill at call {at}"
    again = support_tables.tables(data)
    assert {k: v for k, v in again.items() if expected.get(k) != v} == {}, f"after a kill at call {at}"
    assert not list((data / "scratch").iterdir()), "what a killed process left behind is removed"
    shutil.rmtree(data)


def test_killed_at_some_fsyncs_and_renames(
    undisturbed: tuple[dict[str, str], int, int], begun: Path, strike: Path, tmp_path: Path
) -> None:
    calls = undisturbed[2]
    assert calls > IN_CI
    for at in sorted({1 + n * (calls - 1) // (IN_CI - 1) for n in range(IN_CI)}):
        agree(undisturbed, begun, strike, tmp_path / str(at), at)


@pytest.mark.slow
def test_killed_at_every_fsync_and_rename(
    undisturbed: tuple[dict[str, str], int, int], begun: Path, strike: Path, tmp_path: Path
) -> None:
    for at in range(1, undisturbed[2] + 1):
        agree(undisturbed, begun, strike, tmp_path / str(at), at)
