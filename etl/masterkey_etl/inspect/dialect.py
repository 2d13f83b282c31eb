"""How a delimited text is written: its delimiter, its quote, the row of its header."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Sequence

from masterkey_etl.header import header_key
from masterkey_etl.inspect.dates import readings
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.inspect.personal import kinds
from masterkey_etl.inspect.words import meaning
from masterkey_etl.readers import limits
from masterkey_etl.values import nfkc

DELIMITERS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", "^": "caret"}
_NUMBER = re.compile(r"[+-]?[0-9][0-9.,/:\s-]*")


def delimiter(lines: Sequence[str]) -> Guess:
    """The character that gives most rows one width of two or more. `what` is the character."""
    scores = {d: _evenness(lines, d) for d in DELIMITERS}
    best = max(scores, key=lambda d: (scores[d][0] * min(scores[d][1], 4), scores[d][1]))
    share, width, rows = scores[best]
    if width < 2:
        return Guess(",", 0.3, "every row has one field")
    return Guess(best, share, f"{DELIMITERS[best]}: {round(share * rows)} of {rows} rows have {width} fields")


def _evenness(lines: Sequence[str], mark: str) -> tuple[float, int, int]:
    """Share of the commonest width, that width, number of rows."""
    try:
        widths = Counter(len(fields) for fields in csv.reader(lines, delimiter=mark) if fields)
    except csv.Error:
        return 0.0, 0, len(lines)
    rows = sum(widths.values())
    wide = {w: n for w, n in widths.items() if w > 1}
    if not wide:
        return 0.0, 1, rows
    width, n = max(wide.items(), key=lambda item: (item[1], item[0]))
    return n / rows, width, rows


def quote(lines: Sequence[str], mark: str) -> Guess:
    """The quote character; readers know the double quote only."""
    fields = [f.strip() for line in lines for f in line.rstrip("\r\n").split(mark)]
    single = sum(len(f) > 1 and f[0] == f[-1] == "'" for f in fields)
    double = sum(f.count('"') > 0 for f in fields)
    if single > max(double, len(fields) * 0.2):
        return Guess("'", 0.8, f"{single} of {len(fields)} fields stand in single quotes; no reader takes them off")
    return Guess('"', 1.0 if double else 0.5, f"{double} fields have double quotes" if double else "no quotes seen")


def header(rows: Sequence[Sequence[str]]) -> Guess:
    """The index (as text) of the header among the first rows, "" when there is none."""
    width = Counter(map(len, rows)).most_common(1)[0][0] if rows else 0
    for i, fields in enumerate(rows[: limits.HEADER_ROWS]):
        if len(fields) >= max(1, width * 0.6) and (width == 1 or len(fields) > 1):
            share = _likeness(fields)
            if share >= 0.7 and _of_a_person(fields, rows[i + 1 : i + 21]):
                break
            if share >= 0.7:
                return Guess(str(i), _sure(fields, rows[i + 1 :], share), _why(i, fields))
    return Guess("", 0.6, "no row of the first ones looks like names: numbers, dates or repeated texts stand there")


def _likeness(fields: Sequence[str]) -> float:
    """Share of the fields that could be names: filled, distinct, no number, no date."""
    keys = Counter(header_key(f) for f in fields)
    good = sum(bool(f.strip()) and keys[header_key(f)] == 1 and not is_data(f) for f in fields)
    return good / len(fields)


def _of_a_person(fields: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """A text has the shape of a name or number of a person, and so have those below it: a row of values."""
    for i, text in enumerate(fields):
        mine = set(kinds(nfkc(text))) if meaning(text) is None else set()
        column = [kinds(nfkc(row[i])) for row in below if len(row) > i]
        if any(2 * sum(kind in k for k in column) > len(column) > 0 for kind in mine):
            return True
    return False


def is_data(text: str) -> bool:
    """A number or a date: what no header is."""
    return bool(_NUMBER.fullmatch(text.strip())) or bool(readings(text.strip()))


def _sure(fields: Sequence[str], below: Sequence[Sequence[str]], share: float) -> float:
    known = sum(meaning(f) is not None for f in fields)
    data = sum(is_data(f) for row in below[:20] for f in row)
    sure = 0.6 + (0.2 if known else 0) + (0.15 if data else 0)
    return min(0.99, sure) * share


def _why(i: int, fields: Sequence[str]) -> str:
    known = sum(meaning(f) is not None for f in fields)
    before = f", {i} rows stand before it" if i else ""
    return f"row {i + 1} has {len(fields)} names, {known} of them known words{before}"
