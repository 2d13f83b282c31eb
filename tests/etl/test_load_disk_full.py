"""The disk is full from some write on: an Issue says so, nothing half is left, and with room the load completes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import support_tables

from masterkey_etl import synth
from masterkey_etl.workspace import Workspace

SAMPLED, WHOLE = 5, 120  # writes taken, spread evenly over a load


class Undisturbed(NamedTuple):
    base: Path
    library: Path
    tables: dict[str, str]
    code: int
    writes: int


def load(base: Path, data: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "masterkey_api", "--data", str(data), "load", str(base / "cohort")]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Undisturbed:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: a disk that fills at a chosen write needs one")
    base = tmp_path_factory.mktemp("full").resolve()
    library = base / "full.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-w", "-o", library, repository_root / "tests" / "full.c", "-ldl"], check=True
    )
    synth.synth(base / "cohort", patients=4, seed=3)
    Workspace.open(base / "begun", create=True).keys("jp_ncch")
    data, log = Path(shutil.copytree(base / "begun", base / "workspace")), base / "writes"
    run = load(base, data, LD_PRELOAD=str(library), FULL_UNDER=str(data), FULL_LOG=str(log))
    return Undisturbed(base, library, support_tables.tables(data), run.returncode, int(log.read_text()))


def survives(u: Undisturbed, data: Path, at: int) -> None:
    shutil.copytree(u.base / "begun", data)
    run = load(u.base, data, LD_PRELOAD=str(u.library), FULL_UNDER=str(data), FULL_AT=str(at))
    said, when = run.stdout + run.stderr, f"full at write {at} of {u.writes}"
    assert "Traceback" not in said, f"{when}: {said}"
    if run.returncode == u.code:  # all was durable: SQLite moves its log into the file at the end, or later
        assert support_tables.tables(data) == u.tables, when
    else:
        assert run.returncode == 2 and "space" in said, f"{when}: {said}"
    again = load(u.base, data)
    assert again.returncode == u.code, f"after {when}: {again.stdout}{again.stderr}"
    found = support_tables.tables(data)
    differing = sorted(k for k in found.keys() | u.tables.keys() if found.get(k) != u.tables.get(k))
    assert differing == [], f"after {when}"
    shutil.rmtree(data)


def spread(writes: int, times: int) -> list[int]:
    return sorted({1 + n * (writes - 1) // (times - 1) for n in range(times)})


def test_full_at_some_writes(undisturbed: Undisturbed, tmp_path: Path) -> None:
    assert undisturbed.writes > WHOLE
    for at in spread(undisturbed.writes, SAMPLED):
        survives(undisturbed, tmp_path.resolve() / str(at), at)


@pytest.mark.slow
def test_full_at_many_writes(undisturbed: Undisturbed, tmp_path: Path) -> None:
    for at in spread(undisturbed.writes, WHOLE):
        survives(undisturbed, tmp_path.resolve() / str(at), at)
