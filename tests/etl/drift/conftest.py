"""A site whose export of forty patients is loaded once; then it changes."""

from __future__ import annotations

import csv
import io
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support_delivery import Bytes

from masterkey_etl import loading
from masterkey_etl.drift import Difference, Look, against
from masterkey_etl.drift.look import look
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import LocalFile, Reading
from masterkey_etl.source_model import SourceModel
from masterkey_etl.workspace import Workspace

SITE = "my_nci"
MODEL = """
format: ward
revision: "1"
title: an export of a ward
citation: made for these tests
encoding: [utf-8-sig, cp932]
null_tokens: ["", NA]
record: case
key: [pid]
columns:
  # the patient
  - {id: pid, header: Patient ID, type: text, personal: identifier}
  - {id: sex, header: 性別, type: code, label: sex_label, codes: {"1": 男, "2": 女}}
  - {id: sex_label, header: 性別名称, type: label}
  - {id: born, header: Birth date, type: date, formats: ["%Y-%m-%d"]}
  - id: age
    header: Age
    type: integer
  # the tumour
  - {id: weight, header: Weight (kg), type: decimal}
  - {id: stage, header: Stage, type: code}
  - {id: remark, header: Remark, type: text, personal: free_text}
  - {id: unused, header: Ward code, type: text}
"""
MAP = """
source: ward/1
resources:
  patient:
    resourceType: Patient
    id: = id(pid)
    gender: = sex.label().translate('sex')
    birthDate: = born
  facts:
    resourceType: Observation
    id: = id(pid)
    status: final
    code: {text: facts}
    subject: = reference(patient)
    component:
      - {code: {text: age}, valueInteger: = age}
      - {code: {text: weight}, valueQuantity: {value: = weight}}
      - {code: {text: stage}, valueString: = stage}
      - {code: {text: remark}, valueString: = remark}
set_aside:
  - {columns: [unused], reason: of the ward}
"""
HEADER = ["Patient ID", "性別", "性別名称", "Birth date", "Age", "Weight (kg)", "Stage", "Remark", "Ward code"]
Rows = list[list[str]]


def export(n: int = 40, seed: int = 1) -> Rows:
    r = random.Random(seed)
    rows = [list(HEADER)]
    for i in range(n):
        sex = r.randrange(2)
        born = f"{r.randrange(1940, 1990)}-{r.randrange(1, 13):02d}-{r.randrange(1, 29):02d}"
        stage = ("I", "IIA", "III", "IV")[i % 4]
        words = " ".join(r.choice(("stable", "pain", "better", "worse")) for _ in range(1 + i % 3))
        age, weight = str(r.randrange(20, 90)), f"{r.randrange(40, 99)}.5"
        rows.append([f"A{i:05d}", str(1 + sex), "男女"[sex], born, age, weight, stage, words, "W1"])
    return rows


def written(rows: Rows, encoding: str = "utf-8") -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(encoding)


@dataclass
class Ward:
    """A workspace with the model and the map above; `send` loads rows as the site's file."""

    root: Path
    folder: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder = self.root / SITE
        self.folder.mkdir(exist_ok=True)
        Workspace.open(self.data, create=True)
        for name, text in ((f"sites/{SITE}/ward.yaml", MAP), ("sources/ward/1.yaml", MODEL)):
            path = self.data / "mappings" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    @property
    def data(self) -> Path:
        return self.root / "ws"

    def send(self, rows: Rows | bytes, by: str = "", name: str = "ward.csv") -> loading.LoadReport:
        (self.folder / name).write_bytes(rows if isinstance(rows, bytes) else written(rows))
        return loading.load(self.data, [self.folder / name], site=SITE, accept_drift=by)


@pytest.fixture(scope="module", autouse=True)
def _up_to_store() -> Iterator[None]:
    """Loads go up to `store`: the CDM has its own tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading.pipeline, "project", lambda stored: stored)
        patch.setattr(loading.pipeline, "assess", lambda stored: None)
        yield


@pytest.fixture
def empty_ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path)


@pytest.fixture(scope="module")
def sent_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a ward that sent its export once."""
    root = tmp_path_factory.mktemp("ward")
    first = Ward(root).send(export())
    assert first.stored and not first.drift, [str(i) for i in first.issues]
    return root


@pytest.fixture
def ward(sent_once: Path, tmp_path: Path) -> Ward:
    """Such a ward, its own copy."""
    shutil.copytree(sent_once / "ws", tmp_path / "ws")
    return Ward(tmp_path)


@pytest.fixture(scope="module")
def differs(sent_once: Path) -> Callable[[Rows | bytes], list[Difference]]:
    """What rows would change, compared with what the ward sent; nothing is loaded."""
    workspace = Workspace.open(sent_once / "ws")
    model = SourceModel.load("ward/1", workspace.overlay)

    def run(rows: Rows | bytes) -> list[Difference]:
        path = sent_once / "other.csv"
        path.write_bytes(rows if isinstance(rows, bytes) else written(rows))
        found = against(LocalFile(path), model, workspace, SITE)
        assert found is not None
        return found

    return run


@pytest.fixture
def rows() -> Callable[..., Rows]:
    return export


@pytest.fixture
def encoded() -> Callable[..., bytes]:
    return written


@pytest.fixture(scope="session")
def ward_model() -> SourceModel:
    return SourceModel.parse(MODEL)


@pytest.fixture(scope="session")
def look_of(ward_model: SourceModel) -> Callable[[Rows], Look]:
    def run(rows: Rows) -> Look:
        source = Bytes(written(rows))
        return look(source, ward_model, Reading(source, ward_model, Ledger(ward_model)), source.pseudonym)

    return run
