"""The account of a tree: leaves seen at each path. In a table a cell is row x column; here it is a leaf.

Only paths that the source model knows are kept one by one, so that keys made of data (a name, a number) cost no
memory and stand in no message.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from masterkey_etl.tree_model import parts, plain

if TYPE_CHECKING:
    from masterkey_etl.source_model import SourceModel

UNKNOWN = "no column of the source model takes it"
_NAME = re.compile(r"@?[A-Za-z_][A-Za-z0-9_:-]{0,39}")
_MANY_DIGITS = re.compile(r"(?:.*[0-9]){4}")
_SHOWN = 500  # distinct paths named in the ledger; what stands elsewhere is one line


@dataclass(slots=True)
class Leaves:
    """`of_column`: leaves a column took; `strays`: leaves of no column, by (where, status, reason); `at`: leaves
    at each path of the model; `total`: leaves seen at all; `refused`: records kept out whole."""

    of_column: Counter[int] = field(default_factory=Counter)
    strays: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    at: Counter[str] = field(default_factory=Counter)
    total: int = 0
    refused: int = 0

    def taken(self, column: int, path: str, n: int) -> None:
        """`n` more leaves at `path` (plain) belong to a column."""
        self.of_column[column] += n
        self.at[path] += n
        self.total += n

    def stray(self, where: str, status: str, reason: str, n: int = 1, *, at: str = "") -> None:
        """`n` more leaves that no column takes; `at`: their plain path, when the model knows it."""
        if len(self.strays) > _SHOWN and (where, status, reason) not in self.strays:
            where = "(other paths)"
        self.strays[where, status, reason] += n
        self.total += n
        if at:
            self.at[at] += n

    def differs(self, counted: Mapping[str, int]) -> str:
        """The first path of the model where another count found another number of leaves; "" when none."""
        paths = sorted({*self.at, *counted})
        return next((p for p in paths if self.at[p] != counted.get(p, 0)), "")


def known_paths(model: SourceModel) -> frozenset[str]:
    """The plain path of every column of a tree, from the record."""
    return frozenset(plain(p) for c in model.columns for p in model.leaf_paths(c.position))


def shown(path: str) -> str:
    """A path for a message: a name that may be data (long, with many digits, not ASCII) is `?`."""
    return ".".join(name if _named(name) else "?" for name in parts(path)[:12]) or "."


def _named(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and _MANY_DIGITS.match(name) is None
