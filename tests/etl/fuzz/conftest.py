"""Seeds of the fuzz from the synthetic layouts, and what was run at its end."""

from __future__ import annotations

from typing import Any

import pytest
from support_fuzz import Judge, Seeds, inputs, rules

from masterkey_etl.synth import LAYOUTS, synth
from masterkey_etl.synth.key import read_key


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    folder = tmp_path_factory.mktemp("seeds")
    synth(folder, 4, 3, layouts=list(LAYOUTS), plant_identifiers=12, example=False)
    key = [p for p in read_key(folder) if p.kind.startswith("identifier-")]
    return Seeds(folder, frozenset(p.value for p in key if len(p.value) > 3))


@pytest.fixture(scope="session")
def judge(seeds: Seeds) -> Judge:
    return Judge(seeds.planted)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if inputs:
        said = ", ".join(f"{n:,} {reader}" for reader, n in sorted(inputs.items()))
        terminalreporter.write_line(f"fuzz: {sum(inputs.values()):,} inputs ({said}), {len(rules)} rules told")
