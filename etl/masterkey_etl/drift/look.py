"""What a delivery looks like, cheaply: its header, its encoding, and of each column counts, shapes and codes.

The first ROWS rows are looked at wholly, code columns up to CODE_ROWS; both are bounds on work, not on the file.
Nothing that could name a person leaves: texts are kept only of codes that look like codes, as hashes otherwise.
"""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from masterkey_etl import values
from masterkey_etl.header import HeaderMatch, header_key
from masterkey_etl.inspect.column import NULLS
from masterkey_etl.inspect.dates import Dates
from masterkey_etl.inspect.shapes import number_kind, shape
from masterkey_etl.readers import limits
from masterkey_etl.readers.cells import check_of
from masterkey_etl.readers.delimited import Readable, Reading, RowSource
from masterkey_etl.readers.pairs import code_for_message
from masterkey_etl.readers.rows import REFUSED
from masterkey_etl.source_model import Column, SourceModel
from masterkey_etl.values import nfkc

ROWS = 1_000
CODE_ROWS = 4_000
CODES = 300  # distinct codes beyond which a column is no list
SHAPES = 12
NEW = "+"  # stands before the header of a column that no model knows, where others have their id

Hide = Callable[[str], str]


@dataclass(slots=True)
class ColumnLook:
    """One column. `formats`: dates per declared format; `bad`: values that don't convert, per problem."""

    n: int = 0
    null: int = 0
    tokens: Counter[str] = field(default_factory=Counter)  # words for nothing that the model does not declare
    kinds: Counter[str] = field(default_factory=Counter)  # integer, decimal, date, other
    formats: Counter[str] = field(default_factory=Counter)
    bad: Counter[str] = field(default_factory=Counter)
    same: Counter[str] = field(default_factory=Counter)  # bad values as written; never stored
    shapes: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] | None = None
    labels: dict[str, Counter[str]] = field(default_factory=dict)  # never stored
    dates: Dates = field(default_factory=Dates)  # never stored

    @property
    def rows(self) -> int:
        return self.n + self.null

    def share(self, counts: Counter[str]) -> float:
        return counts.total() / self.n if self.n else 0.0

    def as_dict(self) -> dict[str, Any]:
        """What a baseline keeps."""
        counters = {name: dict(getattr(self, name)) for name in ("tokens", "kinds", "formats", "bad")}
        kept = dict(self.shapes.most_common(SHAPES))
        codes = sorted(self.codes) if self.codes is not None else None
        return {"n": self.n, "null": self.null, **counters, "shapes": kept, "codes": codes}

    @classmethod
    def from_dict(cls, said: dict[str, Any]) -> ColumnLook:
        codes = Counter(said["codes"]) if said["codes"] is not None else None
        seen = cls(n=said["n"], null=said["null"], codes=codes)
        for name in ("tokens", "kinds", "formats", "bad", "shapes"):
            setattr(seen, name, Counter(said[name]))
        return seen


@dataclass(slots=True)
class Look:
    """One delivery. `columns`: by column id, or NEW + header of a column that no model knows, in file order."""

    encoding: str
    exact: bool
    rows: int
    columns: dict[str, ColumnLook]
    guess: str = ""  # the encoding it seems to be in when the declared ones don't fit
    delimiter: str = ""  # of a text
    hidden: dict[str, str] = field(default_factory=dict)  # new column -> what a baseline calls it: a keyed hash
    places: dict[str, int] = field(default_factory=dict)  # new column -> its number in the file, from 1

    @property
    def order(self) -> list[str]:
        return [name for name in self.columns if not name.startswith(NEW)]

    @property
    def extra(self) -> list[str]:
        return [name for name in self.columns if name.startswith(NEW)]


def look(source: Readable, model: SourceModel, reading: Reading, hide: Hide) -> Look:
    """Look at a table whose reading has begun (its encoding and header are known)."""
    names = _names(model, reading.header)
    columns = {name: ColumnLook() for name in names if name}
    watchers = [_Watcher(model, name, columns[name], hide) if name else None for name in names]
    for w in watchers:
        if w is not None:
            w.find_label(names)
    with closing(_below_header(reading)) as rows:
        _through((row.fields for row in rows), watchers, len(names))
    chosen = reading.encoding
    guess = "" if chosen.exact else _guess(source)
    plain = type(reading) is Reading
    size = _lines(source, chosen.name) if plain else _rows(reading)
    hidden = {name: NEW + hide(header_key(name)) for name in columns if name.startswith(NEW)}
    places = {name: i for i, name in enumerate(names, 1) if name in hidden}
    mark = reading.model.delimiter if plain else ""
    return Look(chosen.name, chosen.exact, size, columns, guess, mark, hidden, places)


def _below_header(reading: Reading) -> RowSource:
    rows = reading.rows()
    wanted = list(reading.header.names)
    for _ in range(limits.HEADER_ROWS):
        row = next(rows, None)
        if row is None or row.fields == wanted:
            break
    return rows


def _names(model: SourceModel, match: HeaderMatch) -> list[str]:
    """Per column of the file: its id, NEW + header, or "" when it has no name of its own."""
    names = [""] * match.width
    for i, place in enumerate(match.positions):
        if place is not None:
            names[place] = model.columns[i].id
    for place in match.extra:
        name = NEW + " ".join(match.names[place].split())
        names[place] = name if name != NEW and name not in names else ""
    return names


class _Watcher:
    """Fills the look of one column."""

    def __init__(self, model: SourceModel, name: str, seen: ColumnLook, hide: Hide) -> None:
        self.seen, self.hide = seen, hide
        self.column: Column | None = None if name.startswith(NEW) else model.column(name)
        self.nulls = model.nulls[self.column.position] if self.column else frozenset([""])
        self.label: int | None = None
        self.check = check_of(self.column, values.this_year() + 1) if self.column else None
        self.declared = _declared(model, self.column)
        if self.column is None or self.column.type in ("code", "label", "flag"):
            seen.codes = Counter()

    def find_label(self, names: Sequence[str]) -> None:
        if self.column is not None and self.column.label in names:
            self.label = names.index(self.column.label)

    @property
    def is_code(self) -> bool:
        return self.column is not None and self.seen.codes is not None

    def add(self, texts: Iterable[str], wholly: bool) -> None:
        for text, n in Counter(texts).items():
            if text.strip() == "" or text in self.nulls or text == REFUSED:
                self.seen.null += n if wholly else 0
            elif self._is_token(text):
                self.seen.tokens[nfkc(text)] += n
                self.seen.null += n if wholly else 0
            else:
                self._value(text, n, wholly)

    def _is_token(self, text: str) -> bool:
        return nfkc(text).casefold() in NULLS and not (self.column and text in self.column.codes)

    def _value(self, text: str, n: int, wholly: bool) -> None:
        seen = self.seen
        if seen.codes is not None:
            seen.codes[self._code(text)] += n
            seen.codes = seen.codes if len(seen.codes) <= CODES else None
        if wholly:
            seen.n += n
            seen.shapes[shape(text)] += n
            seen.kinds[_kind(text)] += n
            self._typed(text, n)

    def _code(self, text: str) -> str:
        """A declared code and what looks like one as written; another as a keyed hash."""
        clean = nfkc(text)
        declared = text in self.declared or clean in self.declared
        return clean if declared or code_for_message(clean) == clean else f"~{self.hide(clean)}"

    def _typed(self, text: str, n: int) -> None:
        if self.column is None or self.column.type == "date":
            self.seen.dates.add(text, n)
        if self.column is not None and self.column.type == "date":
            self._date(text, n)
        elif self.check is not None and (problem := self.check(text)):
            self._bad(text, problem, n)

    def _date(self, text: str, n: int) -> None:
        assert self.column is not None
        for f in self.column.formats or values.DEFAULT_FORMATS:
            _, problem = values.date(text, (f,), self.column.calendar)
            if problem is None:
                self.seen.formats[f] += n
                return
        _, problem = values.date(text, self.column.formats, self.column.calendar)
        self._bad(text, problem or "", n)

    def _bad(self, text: str, problem: str, n: int) -> None:
        self.seen.bad[problem] += n
        if text in self.seen.same or len(self.seen.same) < CODES:
            self.seen.same[text] += n

    def pair(self, codes: Sequence[str], labels: Sequence[str]) -> None:
        for (code, label), n in Counter(zip(codes, labels, strict=True)).items():
            if label.strip() and len(self.seen.labels) < CODES:
                self.seen.labels.setdefault(nfkc(code), Counter())[nfkc(label)] += n


def _declared(model: SourceModel, column: Column | None) -> frozenset[str]:
    """Codes of a code column; of a label column the texts of the codes it labels."""
    if column is None:
        return frozenset()
    owners = [c for c in model.columns if c.label == column.id]
    return frozenset((*column.codes, *(nfkc(text) for c in owners for text in c.codes.values())))


def _kind(text: str) -> str:
    kind = number_kind(nfkc(text))
    return {"integer": "integer", "leading-zero": "integer", "decimal": "decimal"}.get(kind, "other")


def _through(rows: Iterator[list[str]], watchers: Sequence[_Watcher | None], width: int) -> None:
    done = 0
    while done < CODE_ROWS and (batch := list(islice(rows, min(limits.BATCH, CODE_ROWS - done)))):
        whole = [row for row in batch if len(row) == width]
        columns = list(zip(*whole, strict=True)) or [()] * width
        wholly = max(0, ROWS - done)
        for i, w in enumerate(watchers):
            if w is None:
                continue
            w.add(columns[i][:wholly], True)
            if w.is_code:
                w.add(columns[i][wholly:], False)
                if w.label is not None:
                    w.pair(columns[i], columns[w.label])
        done += len(batch)
        if wholly <= len(batch) and not any(w and w.is_code for w in watchers):
            return


def _lines(source: Readable, encoding: str) -> int:
    """Line ends in the file: what its size is compared by. In UTF-16 a byte alone is no line end."""
    wide = codecs.getincrementaldecoder(encoding)("replace") if encoding.startswith("utf-16") else None
    n = 0
    with source.open() as stream:
        while block := stream.read(1 << 20):
            if wide:
                block = wide.decode(block).encode("utf-8")
            n += block.count(b"\n") or block.count(b"\r")
    return n


def _rows(reading: Reading) -> int:
    """Rows of what is no plain text: a workbook, JSON rows."""
    with closing(_below_header(reading)) as rows:
        return sum(1 for _ in rows)


def _guess(source: Readable) -> str:
    from masterkey_etl.inspect.tables import encoding_of

    found = encoding_of(source)
    return found.what if found.confidence >= 0.7 else ""


__all__ = ["NEW", "ColumnLook", "Look", "header_key", "look"]
