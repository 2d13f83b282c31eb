"""How much a reader takes in at once. Beyond these a file is not refused: the part is, with an Issue."""

from __future__ import annotations

LINE = 32 << 20  # characters of one physical line
FIELD = 1 << 20  # characters of one value that is carried on
ROW_LINES = 1000  # physical lines of one row: more means that a quote was left open
HEADER_ROWS = 10  # rows in which the header is looked for
BATCH = 1024  # rows cleaned at once
HELD_ROWS = 50_000  # rows of scattered keys held in memory before they go to encrypted scratch
RUNS = 4_000_000  # key runs compared in memory
SAME_ISSUES = 100  # structural Issues of one rule told singly per file, then one with the count
ROWS_PER_RECORD = 100_000  # rows of one key
