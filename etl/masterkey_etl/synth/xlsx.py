"""Workbooks written row by row, the same bytes for the same rows: no clock, no library version in them.

ECMA-376 part 1, section 18.3 (SpreadsheetML). Sheets are spooled to temporary files, so memory stays flat; cells are
inline strings, numbers, days (serials with a date format), errors, or formulas without a stored result.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

EPOCH = 693594  # ordinal of 1899-12-30, day 0 of a workbook (18.17.4.1)
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # of a zip
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]+)?")
_STYLES = (
    f'{_HEAD}<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell that is no plain text: a day (ordinal), a number, an error (`#REF!`), a formula without a result."""

    kind: Literal["day", "number", "error", "formula"]
    value: str


def day(ordinal: int) -> Cell:
    return Cell("day", str(ordinal - EPOCH))


def number(text: str) -> Cell | str:
    """As a spreadsheet keeps what was typed: a number where it is one."""
    return Cell("number", text) if _NUMBER.fullmatch(text) else text


class Book:
    """A workbook with these sheets; `add` rows, then `close`. A context manager."""

    def __init__(self, path: Path, sheets: Sequence[str]) -> None:
        self.path, self.sheets = path, tuple(sheets)
        self.rows = dict.fromkeys(sheets, 0)
        self._spooled: dict[str, IO[str]] = {
            s: tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115 - closed by `close`
            for s in sheets
        }

    def add(self, sheet: str, row: Iterable[Cell | str], hidden: bool = False) -> int:
        """Append a row; its number."""
        self.rows[sheet] += 1
        n = self.rows[sheet]
        cells = "".join(_cell(f"{column_name(i)}{n}", cell) for i, cell in enumerate(row) if cell != "")
        style = ' hidden="1"' if hidden else ""
        self._spooled[sheet].write(f'<row r="{n}"{style}>{cells}</row>')
        return n

    def close(self) -> None:
        """Write the file. Raises OSError."""
        with ZipFile(self.path, "w", ZIP_DEFLATED) as zipped:
            for name, text in _parts(self.sheets):
                zipped.writestr(_info(name), text)
            for n, sheet in enumerate(self.sheets, 1):
                with zipped.open(_info(f"xl/worksheets/sheet{n}.xml"), "w") as part:
                    _sheet(part, self._spooled[sheet])
        for file in self._spooled.values():
            file.close()

    def __enter__(self) -> Book:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()


def column_name(index: int) -> str:
    """0 -> A, 26 -> AA."""
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(65 + letter) + name
    return name


def _cell(place: str, cell: Cell | str) -> str:
    if isinstance(cell, str):
        return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'
    if cell.kind == "error":
        return f'<c r="{place}" t="e"><v>{escape(cell.value)}</v></c>'
    if cell.kind == "formula":
        return f'<c r="{place}"><f>{escape(cell.value)}</f></c>'
    style = ' s="1"' if cell.kind == "day" else ""
    return f'<c r="{place}"{style}><v>{cell.value}</v></c>'


def _info(name: str) -> ZipInfo:
    info = ZipInfo(name, _EARLIEST)
    info.compress_type = ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _sheet(part: IO[bytes], spooled: IO[str]) -> None:
    spooled.flush()
    spooled.seek(0)
    part.write(f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'.encode())
    shutil.copyfileobj(_Encoded(spooled), part, 1 << 20)
    part.write(b"</sheetData></worksheet>")


class _Encoded:
    """A text file read as UTF-8 bytes."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def read(self, n: int = -1, /) -> bytes:
        return self._file.read(n).encode()


def _parts(sheets: Sequence[str]) -> list[tuple[str, str]]:
    """Everything of the package but the sheets (ECMA-376 part 2)."""
    numbers = range(1, len(sheets) + 1)
    types = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPE}.worksheet+xml"/>' for n in numbers
    )
    named = "".join(f'<sheet name="{escape(s)}" sheetId="{n}" r:id="rId{n}"/>' for n, s in enumerate(sheets, 1))
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_RELATIONS}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    styles = f'<Relationship Id="rId{len(sheets) + 1}" Type="{_RELATIONS}/styles" Target="styles.xml"/>'
    root = f'<Relationship Id="rId1" Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
    return [
        (
            "[Content_Types].xml",
            f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
            f'<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPE}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPE}.styles+xml"/>{types}</Types>',
        ),
        ("_rels/.rels", f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{root}</Relationships>'),
        (
            "xl/workbook.xml",
            f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>{named}</sheets></workbook>',
        ),
        (
            "xl/_rels/workbook.xml.rels",
            f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{links}{styles}</Relationships>',
        ),
        ("xl/styles.xml", _STYLES),
    ]


__all__ = ["Book", "Cell", "column_name", "day", "number"]
