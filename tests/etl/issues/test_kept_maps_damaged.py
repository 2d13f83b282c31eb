"""What a workspace says when its kept maps are gone or damaged, and how they come back."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterkey_api import cli


def test_maps_gone_or_damaged_are_told_and_made_anew_by_a_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cohort, data = tmp_path / "cohort", tmp_path / "data"

    def say(*words: str) -> tuple[int, str]:
        code = cli.main([*words, "--data", str(data)])
        out = capsys.readouterr()
        return code, out.out + out.err

    say("synth", str(cohort), "--patients", "5")
    assert say("load", str(cohort))[0] in (0, 1)
    for damage in ("{", "[]", None):
        for path in (data / "maps").glob("*.json"):
            path.write_text(damage, encoding="utf-8") if damage else path.unlink()
        code, told = say("explain", "person:1")
        assert code == 2 and "is gone from the workspace, or damaged" in told and "loading the same file again" in told
        assert say("load", str(cohort))[0] in (0, 1)
        assert say("explain", "person:1")[0] == 0
