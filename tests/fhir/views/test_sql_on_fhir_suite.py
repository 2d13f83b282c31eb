"""The official SQL on FHIR v2 tests: all of them, on the closures."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from masterkey_fhir.json import loads
from masterkey_fhir.views import View, ViewError

ALL = 134


def _judge(test: dict[str, Any], resources: list[dict[str, Any]]) -> str:
    try:
        view = View.load(test["view"])
        rows = [row for r in resources for row in view.rows(r)]
    except ViewError as error:
        return "" if test.get("expectError") else f"refused: {error}"
    if test.get("expectError"):
        return "must be refused"
    names = [c.name for c in view.columns]
    if "expectColumns" in test and names != test["expectColumns"]:
        return f"columns {names}"
    ours = Counter(_key(dict(zip(names, row, strict=True))) for row in rows)
    wanted = Counter(_key(row) for row in test["expect"])
    return "" if ours == wanted else f"{ours - wanted} instead of {wanted - ours}"


def _key(row: dict[str, Any]) -> str:
    """JSON values; numbers by value, false is not 0."""
    return json.dumps(row, sort_keys=True, default=_number)


def _number(value: Any) -> float:
    assert isinstance(value, Decimal)
    return float(value)


@pytest.mark.shared
def test_sql_on_fhir_suite(shared: Path) -> None:
    files = sorted((shared / "data" / "suites" / "sql-on-fhir" / "tests").glob("*.json"))
    failed, total = {}, 0
    for file in files:
        suite = loads(file.read_bytes())
        for test in suite["tests"]:
            total += 1
            found = _judge(test, suite["resources"])
            if found:
                failed[f"{file.stem}/{test['title']}"] = found
    print(f"\nSQL on FHIR v2: {total - len(failed)} of {total}")
    assert not failed, "\n".join(f"{name}: {why}" for name, why in failed.items())
    assert total == ALL
