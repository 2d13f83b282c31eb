"""The commands of the group `submissions` as a person types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from masterkey_api.cli import main
from masterkey_etl.data import folder


def said(capsys: pytest.CaptureFixture[str], code: int, *words: str) -> str:
    assert main(list(words)) == code
    out = capsys.readouterr()
    return out.out + out.err


def test_a_delivery_is_listed_shown_previewed_and_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder("mappings") / "cases" / "jp_ncch" / "sarcoma_three_lines" / "ccat_case.csv"
    (tmp_path / "jp_ncch").mkdir()
    shutil.copy(source, tmp_path / "jp_ncch" / "ccat_case.csv")
    data = ("--data", str(tmp_path / "ws"))
    main([*data, "load", str(tmp_path / "jp_ncch")])
    capsys.readouterr()
    (row,) = json.loads(said(capsys, 0, *data, "submissions", "list", "--json"))
    assert row["balanced"] is True and row["kind"] == "load" and row["mapped"] > 100
    assert "ccat_case.csv" in said(capsys, 0, *data, "submissions", "list")
    shown = said(capsys, 0, *data, "submissions", "show", "1")
    assert "supersedes nothing" in shown and "Patient" in shown and "hash_id" in shown
    preview = json.loads(said(capsys, 0, *data, "submissions", "undo", "1", "--dry-run", "--json"))
    assert preview["cdm"]["person"] == {"before": 1, "after": 0} and preview["dry_run"] is True
    assert "a preview" in said(capsys, 0, *data, "submissions", "undo", "1", "--dry-run")
    assert "no confirmed deletion waits" in said(capsys, 0, *data, "submissions", "confirm-deletions")
    assert "no resource changes" in said(capsys, 0, *data, "submissions", "recompute", "--dry-run")
    assert "CDM person: 1 -> 0" in said(capsys, 0, *data, "submissions", "undo", "1")
    assert "already" in said(capsys, 2, *data, "submissions", "undo", "1")
    assert "no delivery 9" in said(capsys, 2, *data, "submissions", "show", "9")
    told = said(capsys, 2, *data, "submissions", "merge", str(tmp_path / "none.csv"), "--site", "jp_ncch")
    assert "none.csv" in told
