"""The case on the etl page is true, and every message of the intake is declared once in both languages."""

from __future__ import annotations

import re
import string
from collections import Counter
from pathlib import Path

import yaml

from masterkey_etl.ledger import balance
from masterkey_etl.source_model import SourceModel


def test_the_case_on_the_page(repository_root: Path, run_bytes):
    page = (repository_root / "etl" / "README.md").read_text(encoding="utf-8")
    table, model = re.findall(r"```(?:yaml)?\n(.*?)```", page, re.DOTALL)[:2]
    data = "".join(re.sub(r",\s+", ",", line) + "\n" for line in table.splitlines())
    got = run_bytes(data.encode(), SourceModel.parse(model))
    assert [r.values for r in got.records] == [
        ["a1", "1", "男", "６０", "2019/11/1"],
        ["a2", "2", "", "61", ""],
    ]
    for found in got.issues:
        assert str(found).partition("tiny.csv, ")[2][:70] in page
    totals = balance(got.rows)
    told = f"{totals['mapped']} mapped + {totals['absent']} absent + {totals['rejected']} rejected"
    assert f"{got.reading.counts.values} values = {told}" in page


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_rules_are_declared_once_and_say_the_same_in_both_languages(repository_root: Path):
    path = repository_root / "etl" / "masterkey_etl" / "messages.yaml"
    text = path.read_text(encoding="utf-8")
    rules = Counter(re.findall(r"^(etl\.[a-z0-9-]+):", text, re.MULTILINE))
    assert {r for r, n in rules.items() if n > 1} == set()
    for rule, entry in yaml.safe_load(text).items():
        for part in ("fact", "remedy"):
            assert fields(entry["ja"][part]) <= fields(entry["en"]["fact"] + entry["en"]["remedy"]), rule


def test_rules_used_by_the_intake_are_declared(repository_root: Path):
    folder = repository_root / "etl" / "masterkey_etl"
    declared = yaml.safe_load((folder / "messages.yaml").read_text(encoding="utf-8"))
    sources = [*folder.glob("*.py"), *(folder / "readers").glob("*.py")]
    used = {rule for path in sources for rule in re.findall(r'"(etl\.[a-z0-9-]+)"', path.read_text(encoding="utf-8"))}
    used |= {f"etl.value-{problem}" for problem in ("nul", "bytes", "long")}
    used |= {f"etl.{problem}" for problem in ("code-undeclared", "code-missing", "label-missing")}
    assert used - declared.keys() == set()
