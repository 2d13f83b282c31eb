"""Loads, readers and each other: two loads at once, a notebook that holds the CDM, Ctrl-C, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from masterkey_etl import assessment, loading, synth


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    synth.synth(folder / "a", patients=8, seed=1)
    synth.synth(folder / "b", patients=60, seed=2)
    return folder


def start(data: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "masterkey_api", "--data", str(data), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def persons(data: Path) -> int:
    with duckdb.connect(str(assessment.published_cdm(data)), read_only=True) as cdm:
        row = cdm.execute("SELECT count(*) FROM person").fetchone()
    assert row is not None
    return int(row[0])


def test_two_loads_at_once_take_turns(cohort: Path, tmp_path: Path) -> None:
    loading.load(tmp_path, [cohort / "nothing"])  # the workspace
    both = [start(tmp_path, "load", str(cohort / name)) for name in ("a", "b")]
    said = [p.communicate(timeout=240) for p in both]
    assert [p.returncode in (0, 1) for p in both] == [True, True], said
    assert persons(tmp_path) >= 60
    assert any("waiting" in err for _, err in said)


HOLD = """
import sys, time, duckdb
db = duckdb.connect(sys.argv[1], read_only=True)
print(db.execute("SELECT count(*) FROM person").fetchone()[0], flush=True)
sys.stdin.readline()
print(db.execute("SELECT count(*) FROM person").fetchone()[0], flush=True)
"""


def test_a_notebook_holding_the_cdm_does_not_stop_a_load_and_sees_its_generation(cohort: Path, tmp_path: Path) -> None:
    loading.load(tmp_path, [cohort / "a"])
    before = persons(tmp_path)
    notebook = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(assessment.published_cdm(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert notebook.stdout is not None
    assert int(notebook.stdout.readline()) == before
    report = loading.load(tmp_path, [cohort / "b"])
    assert report.exit_code in (0, 1) and persons(tmp_path) > before
    out, _ = notebook.communicate("\n", timeout=30)
    assert int(out) == before
    third = loading.load(tmp_path, [cohort / "a"])
    assert third.exit_code in (0, 1)


def test_a_reader_may_open_the_cdm_while_a_load_runs(cohort: Path, tmp_path: Path) -> None:
    loading.load(tmp_path, [cohort / "a"])
    running = start(tmp_path, "load", str(cohort / "b"))
    seen = set()
    while running.poll() is None:
        seen.add(persons(tmp_path))
        time.sleep(0.05)
    running.communicate()
    assert running.returncode in (0, 1)
    assert seen <= {8, persons(tmp_path)} or len(seen) <= 2


def test_ctrl_c_leaves_nothing_half(cohort: Path, tmp_path: Path) -> None:
    loading.load(tmp_path, [cohort / "a"])
    before = persons(tmp_path)
    running = start(tmp_path, "load", str(cohort / "b"))
    time.sleep(1.6)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode in (130, 0, 1)
    assert "Traceback" not in said
    assert persons(tmp_path) in (before, before + 60)
    assert loading.load(tmp_path, [cohort / "b"]).exit_code in (0, 1)


def test_an_unwritable_workspace_is_an_issue(cohort: Path, tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("not a folder", encoding="utf-8")
    running = start(place / "workspace", "load", str(cohort / "a"))
    _, said = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "Traceback" not in said and "masterkey:" in said


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_a_full_disk_is_an_issue_and_the_workspace_stays_intact(cohort: Path, tmp_path: Path) -> None:
    """A limit on file size stands for the full disk: the write fails with the same class of error."""
    loading.load(tmp_path, [cohort / "a"])
    before = persons(tmp_path)
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000));"
        "from masterkey_api.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "--data", str(tmp_path), "load", str(cohort / "b")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stderr
    assert persons(tmp_path) == before
    assert loading.load(tmp_path, [cohort / "b"]).exit_code in (0, 1)
    assert persons(tmp_path) == before + 60
