"""kill -9 at random moments, of a first load and of a correction: no half delivery, and the re-run completes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
import support_tables

from masterkey_etl import synth
from masterkey_etl.workspace import Workspace

SAMPLED, WHOLE = 20, 200


class Story(NamedTuple):
    """A workspace as it stands, a delivery that comes next, and what it leads to when nobody disturbs it."""

    name: str
    before: Path
    delivery: Path
    after: dict[str, str]
    code: int
    seconds: float


def load(data: Path, delivery: Path) -> int:
    return start(data, delivery).wait()


def start(data: Path, delivery: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "masterkey_api", "--data", str(data), "load", str(delivery)]
    return subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def story(name: str, before: Path, delivery: Path, folder: Path) -> Story:
    data = Path(shutil.copytree(before, folder / name))
    begun = time.monotonic()
    code = load(data, delivery)
    return Story(name, before, delivery, support_tables.tables(data), code, time.monotonic() - begun)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> list[Story]:
    base = tmp_path_factory.mktemp("stories")
    for name, seed in (("first", 3), ("second", 4)):  # the same file names, other patients' values
        synth.synth(base / name, patients=4, seed=seed)
    empty = base / "empty"
    Workspace.open(empty, create=True).keys("jp_ncch")
    loaded = Path(shutil.copytree(empty, base / "loaded"))
    assert load(loaded, base / "first") in (0, 1)
    return [story("begin", empty, base / "first", base), story("correct", loaded, base / "second", base)]


def killed(data: Path, delivery: Path, after: float) -> bool:
    """Kill a load after so many seconds; was it still running?"""
    run = start(data, delivery)
    time.sleep(after)
    run.kill()
    return run.wait() == -signal.SIGKILL


def nothing_half(data: Path) -> None:
    """Whole deliveries only, each with its ledger; the published CDM opens."""
    if (data / "repository.db").exists():
        with sqlite3.connect(data / "repository.db") as db:
            known = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'submission'").fetchone()[0]
            if known:
                assert db.execute("SELECT count(*) FROM submission WHERE state <> 'stored'").fetchone() == (0,)
                bare = "SELECT count(*) FROM submission WHERE id NOT IN (SELECT submission FROM ledger)"
                assert db.execute(bare).fetchone() == (0,)
    if (data / "cdm" / "cdm.duckdb").exists():
        with duckdb.connect(str(data / "cdm" / "cdm.duckdb"), read_only=True) as cdm:
            cdm.execute("SELECT count(*) FROM person").fetchone()


def strike(stories: list[Story], folder: Path, times: int, seed: int) -> None:
    moments = random.Random(seed)
    hits = 0
    for n in range(times):
        s = stories[n % len(stories)]
        at = moments.uniform(0.2, s.seconds)
        data = Path(shutil.copytree(s.before, folder / str(n)))
        hits += killed(data, s.delivery, at)
        nothing_half(data)
        assert load(data, s.delivery) == s.code, f"{s.name}, killed after {at:.3f} s"
        found = support_tables.tables(data)
        differing = sorted(k for k in found.keys() | s.after.keys() if found.get(k) != s.after.get(k))
        assert differing == [], f"{s.name}, killed after {at:.3f} s"
        assert not list((data / "scratch").iterdir())
        shutil.rmtree(data)
    assert hits > times // 3  # most loads were still running


def test_killed_at_some_random_moments(stories: list[Story], tmp_path: Path) -> None:
    assert stories[0].after != stories[1].after
    strike(stories, tmp_path, SAMPLED, seed=1)


@pytest.mark.slow
def test_killed_at_200_random_moments(stories: list[Story], tmp_path: Path) -> None:
    strike(stories, tmp_path, WHOLE, seed=2)
