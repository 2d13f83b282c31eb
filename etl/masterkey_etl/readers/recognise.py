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
    models = [m for m in known_models(overlay) if m.kind in ("delimited", "sheet")]
    found: list[Recognition] = []
    with source.open() as stream:
        mark = marked(stream.read(4))
    for encoding, delimiter in dict.fromkeys((e, m.delimiter) for m in models for e in (*mark, *m.encoding)):
        asked = [m for m in models if m.delimiter == delimiter and encoding in (*mark, *m.encoding)]
        for header in _first_rows(source, encoding, delimiter):
            found += recognise_header(header, asked)
    return best(found)


def recognise_header(header: Sequence[str], models: Iterable[SourceModel] | None = None) -> list[Recognition]:
    """Source models with a column in this header, best fit first."""
    names = {header_key(name) for name in header}
    asked = [m for m in known_models() if m.kind in ("delimited", "sheet")] if models is None else models
    found = (Recognition(m.id, _found(m, names), len(m.columns), len(header)) for m in asked)
    return _sorted(r for r in found if r.found)


def best(found: Iterable[Recognition]) -> list[Recognition]:
    """The best fit of each model, best first."""
    of_model: dict[str, Recognition] = {}
    for r in found:
        if r.model not in of_model or r.score > of_model[r.model].score:
            of_model[r.model] = r
    return _sorted(of_model.values())


def _sorted(found: Iterable[Recognition]) -> list[Recognition]:
    return sorted(found, key=lambda r: (-r.score, r.model))


def _found(model: SourceModel, names: set[str]) -> int:
    return len({column for key, column in header_keys(model).items() if key in names})


def _first_rows(source: Readable, encoding: str, delimiter: str) -> list[list[str]]:
    with closing(Rows(source.open(), encoding, delimiter)) as rows:
        return [row.fields for row in islice(rows, limits.HEADER_ROWS)]


# -- what no reader takes, by its first bytes ---------------------------------------------------------

_SIGNATURES = (  # of each format's own specification; (offset, bytes, what it is)
    (0, b"%PDF-", "a PDF document"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\0", "a TIFF image"),
    (0, b"MM\0*", "a TIFF image"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"ARROW1", "an Arrow file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"$FL2", "an SPSS file"),
    (0, b"<stata_dta>", "a Stata file"),
    (0, b"\0\0\0\0\0\0\0\0\0\0\0\0\xc2\xea\x81\x60", "a SAS file"),
    (4, b"Standard Jet DB", "an Access database"),
    (4, b"Standard ACE DB", "an Access database"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (0, b"\xfd7zXZ\0", "an xz archive"),
    (0, b"BZh", "a bzip2 archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (0, b"PGDMP", "a PostgreSQL dump"),
    (0, b"BAM\1", "a BAM file"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x7fELF", "a program"),
    (0, b"MZ\x90\0", "a program"),
)
_OFFICE = (  # in the names of a zip's first members, and the mimetype member of OpenDocument
    (b"word/", "a Word document"),
    (b"ppt/", "a PowerPoint presentation"),
    (b"xl/workbook.bin", "a binary workbook (XLSB)"),
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet"),
    (b"opendocument.text", "an OpenDocument text"),
)


def is_office(head: bytes) -> bool:
    """A zip that is a document (ECMA-376 part 2, OpenDocument 1.2 part 3), by the name of its first member."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")] if head.startswith(b"PK\x03\x04") else b""
    return name.startswith((b"[Content_Types].xml", b"_rels/", b"docProps/", b"xl/", b"word/", b"ppt/", b"mimetype"))


def known_form(source: Readable) -> str:
    """What a file is that no reader takes, in words, by its first bytes; "" when it is not known."""
    with source.open() as stream:
        head = stream.read(1 << 16)
    if is_office(head):
        return next((what for name, what in _OFFICE if name in head), "")
    return next((what for at, mark, what in _SIGNATURES if head[at : at + len(mark)] == mark), "")
