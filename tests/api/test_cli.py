"""The command line: it teaches, takes --data anywhere, and never shows a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from masterkey_api import cli
from masterkey_etl import synth


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that can be run, groups unfolded."""
    if hasattr(command, "commands"):
        for word, inner in command.commands.items():
            yield from commands(inner, f"{name} {word}".strip())
    else:
        yield name, command


ALL = dict(commands(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("name", ALL)
def test_every_help_shows_an_example(name: str) -> None:
    text = ALL[name].help or ""
    assert f"Example: `masterkey {name}" in " ".join(text.split()), text


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from masterkey_api import cli; cli.main(['--help']);"
        "heavy = {'pandas', 'pyarrow', 'great_expectations', 'fhir.resources', 'duckdb', 'sqlglot', 'sqlalchemy'};"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "HEAVY []" in out


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["load", "x", "--data", "d"], ["--data", "d", "load", "x"]),
        (["--data=d", "load"], ["--data=d", "load"]),
        (["sql", "run", "--", "--data"], ["sql", "run", "--", "--data"]),
        (["load", "--data"], ["--data", "load"]),
    ],
)
def test_data_may_stand_anywhere(given: list[str], meant: list[str]) -> None:
    assert cli.data_first(given) == meant


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["load"],
        ["load", "no/such/file.csv", "--site", "jp_ncch"],
        ["load", ".", "--site", "xx_nowhere"],
        ["explain", "Condition/none"],
        ["explain", "what?"],
        ["sql", "run", "SELECT"],
        ["sql", "run", "SELECT 1", "-p", "novalue"],
        ["sql", "translate", "SELECT {", "--to", "duckdb"],
        ["quality", "run", "--runner", "other"],
        ["quality", "report"],
        ["view", "none.json", "none.ndjson"],
        ["vocabulary", "load", "none.zip"],
        ["validate", "none.json"],
        ["map", "check", "none.yaml"],
        ["serve", "--open", "--host", "0.0.0.0"],
        ["init", "--role", "king"],
    ],
)
def test_a_wrong_command_is_told_without_a_traceback(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = cli.main(["--data", str(tmp_path / "ws"), *words])
    said = capsys.readouterr()
    assert code in (1, 2)
    assert "Traceback" not in said.err + said.out and "unexpected" not in said.err
    assert (said.err + said.out).strip()


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("cli")
    synth.synth(base / "cohort", patients=6, seed=5, plant_identifiers=0)
    assert cli.main(["load", str(base / "cohort"), "--data", str(base / "ws")]) in (0, 1)
    return base / "ws"


def said(capsys: pytest.CaptureFixture[str], data: Path, *words: str) -> str:
    capsys.readouterr()
    assert cli.main([*words, "--data", str(data)]) in (0, 1)
    return capsys.readouterr().out


def test_explain_leads_from_a_cdm_row_to_file_row_column_and_map_line(
    loaded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    back = json.loads(said(capsys, loaded, "explain", "person:1", "--json"))
    (resource,) = back["became"]
    assert resource["what"].startswith("Patient/") and "ccat_case.csv, row " in resource["file"]
    gender = next(o for o in resource["origins"] if o["element"] == "Patient.gender")
    assert gender["columns"][0] == "sex" and "case.yaml line" in gender["map_line"]
    assert gender["headers"][0] == "症例.基本情報.性別"
    assert "person:1" in resource["cdm"]


def test_explain_leads_from_a_row_forward(loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, loaded, "explain", "ccat_case.csv:2", "--json"))
    made = {t["what"].split("/")[0] for t in told["became"]}
    assert {"Patient", "Condition", "Observation"} <= made
    assert any(t["cdm"] for t in told["became"])


def test_view_runs_over_ndjson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    view = {"resource": "Patient", "status": "active", "select": [{"column": [{"name": "id", "path": "id"}]}]}
    (tmp_path / "view.json").write_text(json.dumps(view), encoding="utf-8")
    lines = ['{"resourceType":"Patient","id":"a"}', "{broken", '{"resourceType":"Patient","id":"b"}']
    (tmp_path / "in.ndjson").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out.csv"
    assert cli.main(["view", str(tmp_path / "view.json"), str(tmp_path / "in.ndjson"), "--out", str(out)]) == 1
    assert out.read_text(encoding="utf-8").split() == ["id", "a", "b"]
    assert "2" in capsys.readouterr().err


def test_submissions_issues_and_vocabulary_are_listed(loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ccat_case.csv" in said(capsys, loaded, "submissions", "list")
    assert json.loads(said(capsys, loaded, "issues", "list", "--json")) is not None
    assert "release:" in said(capsys, loaded, "vocabulary", "status")
    assert "person" in said(capsys, loaded, "project", "--all")


def test_checks_by_both_runners_agree(loaded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def counts(runner: str) -> list[tuple[str, str, int, int]]:
        found = json.loads(said(capsys, loaded, "quality", "run", "--runner", runner, "--json"))
        return [(r["check_id"], r["site"], r["denominator"], r["violated"]) for r in found]

    assert counts("sql") == counts("gx")
