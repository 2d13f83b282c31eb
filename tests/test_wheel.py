"""The wheel works alone: built, unpacked outside the clone, run without the clone on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import httpx
import pytest

RUN = (
    "import sys; sys.path[:0] = [sys.argv.pop(1)]; sys.path.append(sys.argv.pop(1));"
    "from masterkey_api.cli import script; script()"
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> tuple[list[str], Path]:
    """(command that runs the installed wheel, a folder outside the clone). `-S` keeps the editable install out."""
    base = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(base)], cwd=repository_root, check=True
    )
    (wheel,) = base.glob("*.whl")
    target = base / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*pip, str(wheel)], check=True)
    return [sys.executable, "-S", "-c", RUN, str(target), sysconfig.get_paths()["purelib"]], base


def run(alone: tuple[list[str], Path], *words: str, code: int = 0) -> str:
    command, folder = alone
    done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_help_synth_load_sql(alone: tuple[list[str], Path]) -> None:
    assert "synth" in run(alone, "--help")
    run(alone, "synth", "cohort", "--patients", "5", "--seed", "4", "--identifiers", "0")
    command, folder = alone
    done = subprocess.run(
        [*command, "load", "cohort", "--json"], cwd=folder, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode in (0, 1), done.stderr
    assert sum(f["rows"] for f in json.loads(done.stdout)["files"]) > 5
    assert json.loads(run(alone, "sql", "run", "SELECT COUNT(*) AS n FROM person", "--json")) == [{"n": 5}]
    run(alone, "map", "check")
    assert (folder / "masterkey-data" / "workspace.json").exists()


def test_serve(alone: tuple[list[str], Path]) -> None:
    command, folder = alone
    words = ["--data", "served", "serve", "--open", "--port", "0", "--site", "jp_ncch"]
    with subprocess.Popen([*command, *words], cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        base = process.stdout.readline().split(" at ")[1].split()[0]
        deadline = time.monotonic() + 60
        answer = None
        while answer is None and time.monotonic() < deadline:
            try:
                answer = httpx.get(f"{base}/metadata", timeout=10)
            except httpx.TransportError:
                time.sleep(0.2)
        process.terminate()
    assert answer is not None and answer.json()["resourceType"] == "CapabilityStatement"
    assert process.returncode == 0
