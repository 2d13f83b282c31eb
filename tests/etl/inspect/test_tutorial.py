"""docs/new-source.md, followed literally: its commands and edits, on files made from seeds, until patients are in."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from masterkey_api import cli
from masterkey_etl import values
from masterkey_etl.inspect import Drafted, draft, inspect
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.store import Repository

SITE = "th_ramathibodi"


def unknown_file(seed: int) -> Any:
    """tests/etl/inspect/unknown_file.py, which lies beside (tests are no package)."""
    name = "unknown_file_of_the_tutorial"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("unknown_file.py"))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name].UnknownFile(seed)


@dataclass
class Step:
    """A command with the exit codes the page names, or an edit of a file."""

    words: list[str]
    codes: set[int]
    path: str = ""
    before: str = ""
    after: str = ""


def steps(page: str) -> Iterator[Step]:
    for kind, rest, body in re.findall(r"^```(sh|edit)([^\n]*)\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        if kind == "edit":
            before, after = body.split("=>\n")
            yield Step([], set(), rest.strip(), before.removesuffix("\n"), after.removesuffix("\n"))
            continue
        for line in body.splitlines():
            command, _, note = line.partition("#")
            codes = {int(n) for n in re.findall(r"\d", note.partition(":")[0])} or {0}
            yield Step(shlex.split(command)[1:], codes)


def filled(text: str, truth: dict[str, str]) -> str:
    for name, value in truth.items():
        text = re.sub(rf"\b{name}\b", value, text)
    return text


def edit(step: Step, root: Path, truth: dict[str, str]) -> None:
    path = root / filled(step.path, {})
    text = path.read_text(encoding="utf-8")
    before, after = filled(step.before, truth), filled(step.after, truth)
    if before.endswith("…"):
        text = "".join(line for line in text.splitlines(True) if not line.startswith(before.removesuffix("…")))
    else:
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def ids(model: SourceModel) -> dict[str, str]:
    return {c.header: c.id for c in model.columns}


def no_false_mapping(file: Any, model: SourceModel, mapped: tuple[str, ...]) -> None:
    """Whatever the draft says is true; what it can't say is left open."""
    of_header = ids(model)
    kind_of = {of_header[c.header]: c for c in file.columns}
    leaves = {"Patient.id": "key", "Patient.birthDate": "birth", "Patient.gender": "sex"}
    for leaf, column in (m.split(": ") for m in mapped):
        assert kind_of[column].kind == leaves[leaf], f"{leaf} from {kind_of[column].kind}"
    for c in model.columns:
        truth = kind_of[c.id]
        if c.type == "date":
            read = [
                values.date(t, c.formats, c.calendar)[0] or "" for t in truth.texts if t not in model.nulls[c.position]
            ]
            assert read == [t for t in truth.truth if t], c.header
        assert c.type not in ("integer", "decimal") or truth.kind == "number", c.header
        assert c.personal != "none" or truth.kind not in ("key", "name", "phone", "remark"), c.header
        assert c.label is None or truth.kind == "sex"


def drafted(file: Any, path: Path, out: Path) -> tuple[SourceModel, Drafted]:
    found = draft(next(i for i in inspect(path) if i.columns), SITE, out)
    return SourceModel.load(found.source, out), found


SEEDS = (*range(9), 101, 105, 115)


@pytest.fixture(scope="module")
def drafts(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Any, SourceModel, Drafted]]:
    """A draft of each of these files."""
    made = {}
    for seed in SEEDS:
        folder, file = tmp_path_factory.mktemp("unknown"), unknown_file(seed)
        made[seed] = (file, *drafted(file, file.write(folder), folder / "out"))
    return made


@pytest.mark.parametrize("seed", SEEDS)
def test_no_draft_says_what_is_not_so(drafts: dict[int, tuple[Any, SourceModel, Drafted]], seed: int) -> None:
    file, model, found = drafts[seed]
    assert [c.header for c in model.columns] == [c.header for c in file.columns]
    no_false_mapping(file, model, found.mapped)
    assert found.gaps


def test_what_can_be_known_is_drafted(drafts: dict[int, tuple[Any, SourceModel, Drafted]]) -> None:
    """Over the seeds most keys and birth dates are found, and a sex in reviewed words: gaps are no excuse."""
    mapped = [" ".join(found.mapped) for _, _, found in drafts.values()]
    seen = {leaf: sum(leaf in m for m in mapped) for leaf in ("Patient.id", "Patient.birthDate", "Patient.gender")}
    assert seen["Patient.id"] >= 6 and seen["Patient.birthDate"] >= 2 and seen["Patient.gender"] >= 3, seen


@pytest.mark.parametrize(("seed", "kind"), [(101, "csv"), (3, "xlsx")])
def test_the_page_leads_to_accepted_patients(
    tmp_path: Path, repository_root: Path, monkeypatch: pytest.MonkeyPatch, seed: int, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MASTERKEY_DATA", raising=False)
    file = unknown_file(seed)
    (file.write if kind == "csv" else file.write_sheet)(tmp_path)
    page = (
        (repository_root / "docs" / "new-source.md").read_text(encoding="utf-8").replace("export.csv", f"export.{kind}")
    )
    for step in steps(page):
        if step.words:
            assert cli.main(step.words) in step.codes, step.words
        else:
            edit(step, tmp_path, truth_of(file, tmp_path / "masterkey-data"))
    patients = list(stored(tmp_path / "masterkey-data"))
    assert len(patients) == file.n >= 1
    genders = Counter(p["gender"] for p in patients if "gender" in p)
    assert not genders or genders == Counter(file.of("sex")[0].truth)
    years = Counter(p["birthDate"][:4] for p in patients if "birthDate" in p)
    assert not years or years == Counter(t[:4] for t in file.of("birth")[0].truth if t)


def truth_of(file: Any, data: Path) -> dict[str, str]:
    """What the reader of the page knows about the own file: which column is which."""
    of_header = ids(SourceModel.load("export/1", data / "mappings"))
    return {"KEY": of_header[file.of("key")[0].header], "COLUMN": of_header[file.of("number")[0].header]}


def stored(data: Path) -> Iterator[dict[str, Any]]:
    repository = Repository.open(f"sqlite:///{data / 'repository.db'}")
    try:
        yield from (json.loads(s.text) for s in repository.of_type(SITE, "Patient"))
    finally:
        repository.close()


def test_the_words_of_the_page_are_those_of_the_program(repository_root: Path) -> None:
    page = (repository_root / "docs" / "new-source.md").read_text(encoding="utf-8")
    found = list(steps(page))
    assert sum(bool(s.words) for s in found) >= 7 and sum(bool(s.path) for s in found) == 6
