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
SCRATCH_MEMORY = 32 << 20  # bytes of a workbook or a container held in memory before they go to encrypted scratch
SHEET_CELLS = 1_500_000  # cells of a workbook held in memory before they go to encrypted scratch
STRINGS = 64 << 20  # characters of shared strings held in memory before they go to encrypted scratch
XLS_BYTES = 256 << 20  # of an .xls or an .html table: these are not streamed
UNPACKED = 16 << 30  # bytes that a container may unpack to
RATIO = 200  # bytes out per byte in, once more than RATIO_FROM came out: more is a bomb (deflate ends at 1,032)
RATIO_FROM = 64 << 20
MEMBERS = 20_000  # members of a container
DIRECTORY = 16 << 20  # bytes of a zip's central directory
DOCUMENT = 256 << 20  # characters of one record of a tree
TREE_BATCH = 256  # records of a tree cleaned at once
TREE_CHARACTERS = 4 << 20  # or so many characters of them
DEPTH = 300  # objects, arrays or elements within each other in one record
