"""The published FHIRPath R4 tests: every one passes, or stands in deviations.csv with its reason."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import fhirpath_suite as suite  # noqa: E402  (beside this file; the tests are no package)

DEVIATIONS = HERE / "deviations.csv"
MUST_PASS = 930


@pytest.mark.shared
def test_official_suite(shared: Path) -> None:
    folder = shared / "data" / "suites" / "fhirpath"
    cases = list(suite.cases(folder / "tests-fhir-r4.xml"))
    failed = {(c.group, c.name): found for c in cases if (found := suite.judge(c, folder / "input"))}
    passed = len(cases) - sum(1 for c in cases if (c.group, c.name) in failed)
    print(f"\nFHIRPath R4 official suite: {passed} of {len(cases)}")
    known = _deviations()
    unexpected = {f"{g}/{n}": why for (g, n), why in failed.items() if (g, n) not in known}
    assert not unexpected, "\n".join(f"{name}: {why}" for name, why in unexpected.items())
    assert not known.keys() - failed.keys(), f"these pass now: {known.keys() - failed.keys()}"
    assert passed >= MUST_PASS


def _deviations() -> dict[tuple[str, str], str]:
    with DEVIATIONS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert max(Counter((r["group"], r["test"]) for r in rows).values(), default=1) == 1
    assert all(r["reason"] for r in rows)
    return {(r["group"], r["test"]): r["reason"] for r in rows}
