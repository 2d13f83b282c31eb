"""Which source model a file belongs to, by its content: the header decides, the file's name never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from masterkey_etl.header import header_key, header_keys
from masterkey_etl.readers import limits
from masterkey_etl.readers.rows import Rows
from masterkey_etl.source_model import SourceModel, known_models

ENOUGH = 0.5


@dataclass(frozen=True, slots=True)
class Recognition:
    """How well a header fits a source model: `found` of its `expected` columns, among `width` names.

    `score` compares all three; 1.0 is a perfect fit.
    """

    model: str
    found: int
    expected: int
    width: int

    @property
    def score(self) -> float:
        return 2 * self.found / (self.expected + self.width) if self.found else 0.0

    @property
    def evidence(self) -> str:
        return f"{self.found} of {self.expected} columns of {self.model}, in {self.width} columns of the file"


def recognise(header: Sequence[str], models: Iterable[SourceModel] | None = None) -> list[Recognition]:
    """Source models that this header may belong to, best first; empty when none fits."""
    names = {header_key(name) for name in header}
    found = [
        Recognition(
            m.id, len({i for k, i in header_keys(m).items() if k in names}), len(m.columns), len(header)
        )
        for m in (known_models() if models is None else models)
    ]
    return sorted((r for r in found if r.score >= ENOUGH), key=lambda r: (-r.score, r.model))


def _found(model: SourceModel, names: set[str]) -> int:
    return len({column for key, column in header_keys(model).items() if key in names})


def recognise_file(path: Path, overlay: Path | None = None) -> list[Recognition]:
    """Like `recognise`, for a file: each model's encodings and delimiter are tried. Raises OSError."""
    models = known_models(overlay)
    found: dict[str, Recognition] = {}
    for encoding, delimiter in dict.fromkeys((e, m.delimiter) for m in models for e in m.encoding):
        with path.open("rb") as stream:
            for header in _first_rows(stream, encoding, delimiter):
                for r in recognise(header, [m for m in models if m.delimiter == delimiter]):
                    if r.model not in found or r.score > found[r.model].score:
                        found[r.model] = r
    return sorted(found.values(), key=lambda r: (-r.score, r.model))


def _first_rows(stream: BinaryIO, encoding: str, delimiter: str) -> list[list[str]]:
    return [row.fields for row in islice(Rows(stream, encoding, delimiter), limits.HEADER_ROWS)]
