"""Rows of whatever holds rows, for inspection: the first ones, and all up to a bound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from masterkey_etl.inspect import dialect, encodings
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.readers import limits
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.rows import REFUSED, Rows
from masterkey_etl.readers.text import Lines


class HasRows(Protocol):
    """Whatever gives rows of texts; each call begins at the first."""

    def rows(self) -> Iterator[list[str]]: ...


LINES = 60  # that show the delimiter


@dataclass(frozen=True, slots=True)
class Delimited:
    """A delimited text and how it is written."""

    source: Readable
    encoding: Guess
    delimiter: Guess
    quote: Guess

    @classmethod
    def of(cls, source: Readable, encoding: Guess) -> Delimited:
        with closing(Lines(source.open(), encoding.what)) as lines:
            first = [line for line in islice(lines, LINES) if line.strip()]
        mark = dialect.delimiter(first)
        return cls(source, encoding, mark, dialect.quote(first, mark.what))

    def rows(self) -> Iterator[list[str]]:
        """Every row as texts; what was refused while splitting is empty."""
        with closing(Rows(self.source.open(), self.encoding.what, self.delimiter.what)) as rows:
            for row in rows:
                yield ["" if v == REFUSED else v for v in row.fields] if row.values else row.fields


def first_rows(table: HasRows) -> list[list[str]]:
    return list(islice(table.rows(), limits.HEADER_ROWS + 40))


def batches(rows: Iterator[list[str]], width: int, bound: int) -> Iterator[Sequence[list[str]]]:
    """At most `bound` rows, in batches, each cut or filled to the width of the header."""
    taken = islice(rows, bound)
    while batch := list(islice(taken, limits.BATCH)):
        yield [row if len(row) == width else (row + [""] * width)[:width] for row in batch]


def encoding_of(source: Readable) -> Guess:
    with source.open() as stream:
        data = stream.read(encodings.SAMPLE + 1)
    return encodings.encoding(data[: encodings.SAMPLE], len(data) <= encodings.SAMPLE)
