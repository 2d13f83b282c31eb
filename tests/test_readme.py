"""What the README shows works as printed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from masterkey_api import cli


@pytest.fixture(scope="module")
def blocks(repository_root: Path) -> list[tuple[str, str]]:
    text = (repository_root / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def test_the_commands_run_in_their_order(
    blocks: list[tuple[str, str]], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.delenv("MASTERKEY_DATA", raising=False)
    shown = "".join(b for language, b in blocks if not language and "masterkey " in b)
    lines = [line.split("  #")[0].strip() for line in shown.splitlines() if line.startswith("masterkey ")]
    assert len(lines) == 11
    (place / "inbox").mkdir()
    for line in lines:
        words = shlex.split(line.replace("--patients 200", "--patients 10"))[1:]
        if words[0] != "serve":
            assert cli.main(words) in (0, 1), line


def test_the_python_runs(blocks: list[tuple[str, str]], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (shown,) = [b for language, b in blocks if language == "python"]
    names: dict[str, object] = {}
    exec(compile(shown, "README.md", "exec"), names)
    masterkey, r4 = names["masterkey"], names["r4"]
    assert masterkey.validate(r4.dump(names["patient"])) == []  # type: ignore[attr-defined]


def test_the_worked_case_is_what_the_case_holds(blocks: list[tuple[str, str]], repository_root: Path) -> None:
    import json

    (shown,) = [json.loads(b) for language, b in blocks if language == "json"]
    case = repository_root / "mappings/cases/jp_ncch/sarcoma_three_lines/fhir.json"
    entries = json.loads(case.read_text(encoding="utf-8"))
    (held,) = [e["resource"] for e in entries if e["block"] == "diagnosis"]
    assert shown.items() <= held.items()
