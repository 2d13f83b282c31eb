"""How complete the registry's items are: filled, empty, never seen.

"Never seen" (no delivery has the item at all) is told apart from "empty": not tested is not passed.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ItemFill:
    """One item of `mappings/registry/items.csv` with its counts of records."""

    id: str
    group: str
    meaning: Mapping[str, str]  # language -> text
    obligation: str  # mandatory | recommended | optional
    filled: int
    empty: int

    @property
    def never_seen(self) -> bool:
        """No delivery carried it."""
        return self.filled + self.empty == 0

    @property
    def share(self) -> float | None:
        """Filled of seen, 0..1; None when never seen."""
        return None if self.never_seen else self.filled / (self.filled + self.empty)


def completeness(items: Path, counts: Mapping[str, tuple[int, int]]) -> list[ItemFill]:
    """The items of the list, in its order, with (filled, empty) from `counts`; an id not in `counts` was
    never seen.

    Raises KeyError for a count of an item that the list lacks: a map writes an item nobody defined.
    """
    with items.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    unknown = set(counts) - {row["id"] for row in rows}
    if unknown:
        raise KeyError(f"not in {items.name}: {', '.join(sorted(unknown))}")
    return [_item(row, *counts.get(row["id"], (0, 0))) for row in rows]


def _item(row: Mapping[str, str], filled: int, empty: int) -> ItemFill:
    meaning = {"en": row["meaning_en"], "ja": row["meaning_ja"]}
    return ItemFill(row["id"], row["group"], meaning, row["obligation"], filled, empty)
