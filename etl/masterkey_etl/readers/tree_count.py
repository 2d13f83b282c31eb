"""The paths of a source model as names within names, with the leaves counted at each: for the independent counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from masterkey_etl.tree_model import parts


class Names(dict[str, "Names"]):
    """`n` leaves were found at this path; names below it that lead to columns."""

    __slots__ = ("n",)

    def __init__(self, paths: Iterable[str] = ()) -> None:
        super().__init__()
        self.n = 0
        for path in paths:
            node = self
            for name in parts(path):
                node = node.setdefault(name, Names())

    def found(self, path: str = "") -> Iterator[tuple[str, int]]:
        """(plain path, leaves) where there are some."""
        if self.n:
            yield path, self.n
        for name, below in self.items():
            yield from below.found(f"{path}.{name}" if path else name)
