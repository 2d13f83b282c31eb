"""The worked cases of the C-CAT site: what `masterkey map test` compares."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterkey_etl.data import folder
from masterkey_etl.template import cases

CASES = sorted(p for p in (folder("mappings") / "cases" / "jp_ncch").iterdir() if p.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda p: p.name)
def test_a_case_gives_what_was_reviewed(case: Path) -> None:
    (found,) = cases.test([case])
    assert found.passed, str(found)
    assert found.resources >= 5


def test_a_registry_keeps_no_name_that_was_typed_into_a_text() -> None:
    kept = (folder("mappings") / "cases" / "jp_ncch" / "names_in_free_text" / "fhir.json").read_text(encoding="utf-8")
    for typed in ("青柳", "晶子", "090-0000", "0012345678", "Kagami", "CASE0004"):
        assert typed not in kept
    assert "腺様嚢胞癌（▢" in kept
