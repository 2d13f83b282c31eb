"""One file looked at: what it is, and what its columns hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from masterkey_etl.containers import no_file
from masterkey_etl.files import WorkspaceError, read_issue
from masterkey_etl.free_text import Words
from masterkey_etl.inspect import dialect, kinds, tables
from masterkey_etl.inspect.column import ColumnProfile
from masterkey_etl.inspect.fits import Fit, fits
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.inspect.relations import KeyGuess, Keys, Neighbours, PairGuess, series
from masterkey_etl.readers.delimited import LocalFile, Readable
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.readers.sheet_book import book_form
from masterkey_etl.values import nfkc
from masterkey_fhir.issue import Place

TREES = ("JSON", "NDJSON", "FHIR bundle", "FHIR resource", "FHIR NDJSON", "XML", "FHIR XML")
SURE = 0.7  # a header row
ROWS = 20_000  # rows looked at unless said otherwise


@dataclass
class Inspection:
    """What a file is. `columns` is empty for kinds that have none; `bounded`: more rows follow than were looked at."""

    file: str
    container: Guess
    kind: Guess
    encoding: Guess | None = None
    delimiter: Guess | None = None
    quote: Guess | None = None
    header: Guess | None = None
    rows: int = 0
    bounded: bool = False
    columns: list[ColumnProfile] = field(default_factory=list)
    pairs: list[PairGuess] = field(default_factory=list)
    keys: list[KeyGuess] = field(default_factory=list)
    series: list[tuple[str, int]] = field(default_factory=list)
    fits: tuple[Fit, ...] = ()
    sheet: str = ""
    members: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    words: Words | None = field(default=None, repr=False)

    @property
    def names(self) -> list[str]:
        return [c.header for c in self.columns]

    def name(self, column: ColumnProfile) -> str:
        """A header as it may be told: where it is not sure that names stand there, unknown words are masked."""
        text = " ".join(column.header.split())[:80]
        sure = self.header is None or self.header.confidence >= SURE
        return text if sure or self.words is None else self.words.cleaned(text)[0]

    @property
    def header_index(self) -> int | None:
        return int(self.header.what) if self.header and self.header.what else None

    def codes(self, column: ColumnProfile) -> tuple[list[str], int]:
        """Texts of a small code list that may be shown, and how many may not."""
        if column.few is None or column.type.what not in ("code", "flag") or column.personal or self.words is None:
            return [], 0
        shown = [v for v in sorted(column.few) if self.may_show(v)]
        return shown, len(column.few) - len(shown)

    def may_show(self, text: str) -> bool:
        """It looks like a code, or every word of it is known: no name is."""
        if self.words is None or not text.strip():
            return False
        clean = nfkc(text)
        return code_for_message(clean) == clean or self.words.cleaned(clean)[1] == 0

    def as_dict(self) -> dict[str, Any]:
        from masterkey_etl.inspect.report import as_dict

        return as_dict(self)

    def lines(self) -> list[str]:
        from masterkey_etl.inspect.report import lines

        return list(lines(self))


def inspect(path: Path, *, overlay: Path | None = None, rows: int = ROWS) -> list[Inspection]:
    """Look at a file; a container gives one Inspection for itself and one for each member it can open.

    Raises WorkspaceError (etl.unreadable, etl.not-a-file) when the file can't be read.
    """
    try:
        if is_none := no_file(path, Place(file=path.name)):
            raise WorkspaceError(is_none)
        return inspect_source(LocalFile(path), path.name, overlay=overlay, rows=rows)
    except OSError as error:
        raise WorkspaceError(read_issue(error, path, Place(file=path.name))) from None


def inspect_source(source: Readable, name: str, *, overlay: Path | None = None, rows: int = ROWS) -> list[Inspection]:
    """The same for anything that can be opened."""
    with source.open() as stream:
        head = stream.read(kinds.HEAD)
    box = kinds.container(head)
    if book_form(head) == "html":
        box = Guess("html", 0.9, "begins as a web page, as some programs write workbooks")
    if not head:
        return [Inspection(name, box, Guess("empty", 1.0, "the file has no bytes"))]
    if box.what != "plain":
        from masterkey_etl.inspect.contained import contained

        return contained(source, name, box, overlay, rows)
    return [_plain(source, name, box, head, overlay, rows)]


def _plain(source: Readable, name: str, box: Guess, head: bytes, overlay: Path | None, rows: int) -> Inspection:
    encoding = tables.encoding_of(source)
    kind = kinds.text_kind(head.decode(encoding.what, "replace"))
    found = Inspection(name, box, kind, encoding)
    if kind.what in ("delimited", "MAF"):
        table = tables.Delimited.of(source, encoding)
        found.delimiter, found.quote = table.delimiter, table.quote
        _binary(found, head)
        profile(found, table, overlay, rows)
    elif kind.what in TREES:
        from masterkey_etl.inspect.trees import profile_tree

        profile_tree(found, source, overlay, rows)
    return found


def _binary(found: Inspection, head: bytes) -> None:
    zeros = head.count(0)
    if zeros > len(head) * 0.1 and not (found.encoding and found.encoding.what.startswith("utf-16")):
        found.kind = Guess(
            "unknown", 0.7, f"{zeros} of the first {len(head)} bytes are zero: no text of a known encoding"
        )


def profile(found: Inspection, table: tables.HasRows, overlay: Path | None, bound: int) -> None:
    """Fill in the columns of an Inspection from a table's rows: two passes, the first over its beginning."""
    first = tables.first_rows(table)
    found.header = dialect.header(first)
    names = first[found.header_index] if found.header_index is not None else []
    width = len(names) or max(map(len, first), default=0)
    found.columns = [ColumnProfile(i + 1, names[i] if names else "") for i in range(width)]
    if width and found.kind.what != "unknown":
        _through(found, table, bound)
        _judge(found, overlay)
    if found.kind.what == "delimited" and found.delimiter:
        found.kind = replace(
            found.kind, confidence=min(0.99, 0.4 + found.delimiter.confidence * 0.5), evidence=_why(found)
        )


def _through(found: Inspection, table: tables.HasRows, bound: int) -> None:
    neighbours, keys = Neighbours(len(found.columns)), Keys()
    rows = table.rows()
    for _ in range(0 if found.header_index is None else found.header_index + 1):
        next(rows, None)
    for batch in tables.batches(rows, len(found.columns), bound):
        columns = list(zip(*batch, strict=True))
        for profile_, texts in zip(found.columns, columns, strict=True):
            profile_.add(texts)
        neighbours.add(columns)
        keys.add(batch)
        found.rows += len(batch)
    found.bounded = found.rows >= bound and next(rows, None) is not None
    found.pairs = list(neighbours.pairs(found.columns))
    found.keys = keys.guesses(found.columns)


def _judge(found: Inspection, overlay: Path | None) -> None:
    from masterkey_etl.identity import Policy

    found.words = Policy.load(overlay).words
    found.series = series(found.names)
    if found.header_index is not None:
        found.fits = fits(found.names, overlay)
    found.notes += _special(found.names)


def _special(names: Sequence[str]) -> list[str]:
    """Exports that are known by their columns (site-formats 11.1)."""
    keys = {n.strip().lower() for n in names}
    if {"redcap_repeat_instrument", "redcap_repeat_instance"} & keys or "redcap_event_name" in keys:
        return ["a flat export of REDCap: it has redcap_* columns"]
    if {"field type", "form name", "field label"} <= keys:
        return ["a data dictionary of REDCap: it describes columns and holds no records"]
    return []


def _why(found: Inspection) -> str:
    return f"{found.delimiter.evidence}; {found.header.evidence}" if found.delimiter and found.header else ""


__all__ = ["ROWS", "Inspection", "inspect", "inspect_source", "profile"]
