"""Which source model a file belongs to, by its content: the header decides, the file's name never does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from masterkey_etl.header import header_key, header_keys
from masterkey_etl.readers import limits
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.rows import Rows
from masterkey_etl.readers.text import marked
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_fhir.issue import MasterkeyError

ENOUGH = 0.5


class UnknownFormatError(MasterkeyError):
    """No source model fits a file, or two fit equally well."""


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


def recognitions(source: Readable, overlay: Path | None = None) -> list[Recognition]:
    """How well each source model fits a file, best first; its encodings are tried on the first rows."""
    models = [m for m in known_models(overlay) if m.kind == "delimited"]
    found: dict[str, Recognition] = {}
    with source.open() as stream:
        mark = marked(stream.read(4))
    for encoding, delimiter in dict.fromkeys((e, m.delimiter) for m in models for e in (*mark, *m.encoding)):
        asked = [m for m in models if m.delimiter == delimiter and encoding in (*mark, *m.encoding)]
        for header in _first_rows(source, encoding, delimiter):
            for r in recognise_header(header, asked):
                if r.model not in found or r.score > found[r.model].score:
                    found[r.model] = r
    return _sorted(found.values())


def recognise_header(header: Sequence[str], models: Iterable[SourceModel] | None = None) -> list[Recognition]:
    """Source models with a column in this header, best fit first."""
    names = {header_key(name) for name in header}
    asked = [m for m in known_models() if m.kind == "delimited"] if models is None else models
    found = (Recognition(m.id, _found(m, names), len(m.columns), len(header)) for m in asked)
    return _sorted(r for r in found if r.found)


def _sorted(found: Iterable[Recognition]) -> list[Recognition]:
    return sorted(found, key=lambda r: (-r.score, r.model))


def _found(model: SourceModel, names: set[str]) -> int:
    return len({column for key, column in header_keys(model).items() if key in names})


def _first_rows(source: Readable, encoding: str, delimiter: str) -> list[list[str]]:
    with closing(Rows(source.open(), encoding, delimiter)) as rows:
        return [row.fields for row in islice(rows, limits.HEADER_ROWS)]
