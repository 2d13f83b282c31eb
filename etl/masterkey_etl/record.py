"""What a reader yields: values under the column positions of a source model, and where they stood."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """One record of a source: `values[i]` is the raw text of the record's i-th column, exactly as read.

    `groups` holds the repeated groups of a collapsed record (one list of child Records per group name,
    in order of first appearance). `row` is the first row it came from, counted like a spreadsheet
    (header = 1); `rows` all of them.
    """

    values: list[str]
    row: int
    rows: tuple[int, ...] = ()
    groups: dict[str, list[Record]] = field(default_factory=dict)
