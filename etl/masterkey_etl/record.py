"""What a reader yields: values under the column positions of a source model, and where they stood."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Record:
    """One record of a source, ready to be mapped.

    `values[i]` is the text of the model's i-th column as read, with three settled exceptions:
      - `""` for a declared null token (the reader has counted the cell as `absent`);
      - `""` for a value the reader refused: impossible date, out of range, undecodable, the loser of a
        code/label disagreement (counted as `rejected`, an Issue says why);
      - a code column with `winner: label` holds the label's text (NFKC), one with `winner: code` its code.
    So a map needs one test, `if value`, and never looks at null tokens or pairs.

    `groups[name]` holds the repeated parts of a collapsed record, in order of first appearance: child Records
    whose `values[j]` is the j-th column of that group (`SourceModel.group_positions(name)[j]` is its position
    in the whole record). A child's `rows` are those where just its values stand; its `accounted` and `filled` are
    of those rows, under positions of the whole record. Positions of group columns in the parent hold the first
    row's values.

    `row` is the first row it came from, counted like a spreadsheet (header = 1); `rows` all of them.
    `accounted[i]` is the number of this record's cells in column i that the reader already entered in the
    ledger (absent or rejected): a map that gives the whole column another status enters
    `len(rows) - accounted.get(i, 0)` cells. (`Ledger.cells(record, i)` does that sum.) `filled[i]` is the number of
    rows where the value of code column i was read from the label beside it: there the label's cell holds the value.
    """

    values: list[str]
    row: int
    rows: tuple[int, ...] = ()
    groups: dict[str, list[Record]] = field(default_factory=dict)
    accounted: dict[int, int] = field(default_factory=dict)
    filled: dict[int, int] = field(default_factory=dict)
