"""What columns say of each other: code and label side by side, keys, repeated parts."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from masterkey_etl.inspect.column import NULLS, ColumnProfile
from masterkey_etl.inspect.words import meaning
from masterkey_etl.values import nfkc

MANY = 60  # distinct pairs beyond which two columns are no code and label
KEY_ROWS = 20_000  # rows in which keys are looked for
WIDE = 400  # columns beyond which only the first ones are compared


@dataclass(frozen=True, slots=True)
class PairGuess:
    """Column `code` (0-based) and the label column right of or left of it. `against`: rows that contradict."""

    code: int
    label: int
    confidence: float
    evidence: str
    labels: dict[str, str]


@dataclass(slots=True)
class Neighbours:
    """Counts the pairs of texts that neighbouring columns show; few kept, else forgotten."""

    width: int
    seen: list[Counter[tuple[str, str]] | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen = [Counter() for _ in range(max(0, self.width - 1))]

    def add(self, columns: Sequence[Sequence[str]]) -> None:
        for i, counts in enumerate(self.seen):
            if counts is not None:
                counts.update(zip(columns[i], columns[i + 1], strict=True))
                if len(counts) > MANY:
                    self.seen[i] = None

    def pairs(self, columns: Sequence[ColumnProfile]) -> Iterator[PairGuess]:
        taken: set[int] = set()
        for i, counts in enumerate(self.seen):
            if counts is None or i in taken:
                continue
            found = _pair(i, i + 1, counts, columns)
            if found is not None:
                taken |= {found.code, found.label}
                yield found


def _pair(i: int, j: int, counts: Counter[tuple[str, str]], columns: Sequence[ColumnProfile]) -> PairGuess | None:
    stated = Counter({(nfkc(a), nfkc(b)): n for (a, b), n in counts.items() if _stated(a) and _stated(b)})
    total = stated.total()
    if total < 4 or not _code_like(columns[i]) or _code_like(columns[j]):
        return None
    best = _commonest(stated)
    agreeing = sum(n for (a, b), n in stated.items() if best[a] == b)
    one_to_one = len(set(best.values())) == len(best)
    if len(best) < 2 or total < 2 * len(best) or not one_to_one or agreeing < 0.9 * total:
        return None
    named = _says_label(columns[i].header, columns[j].header)
    sure = min(0.97, agreeing / total * (0.95 if named else 0.8))
    told = f"{len(best)} codes with one text each in {agreeing} of {total} rows" + (
        ", the header says so" if named else ""
    )
    return PairGuess(i, j, sure, told, best)


def _stated(text: str) -> bool:
    return bool(text.strip()) and nfkc(text).casefold() not in NULLS


def _commonest(stated: Counter[tuple[str, str]]) -> dict[str, str]:
    by_code: dict[str, Counter[str]] = defaultdict(Counter)
    for (a, b), n in stated.items():
        by_code[a][b] += n
    return {a: texts.most_common(1)[0][0] for a, texts in by_code.items()}


_CODE = re.compile(r"[A-Z]{0,3}[0-9]{1,6}|[A-Za-z]{1,2}")


def _code_like(column: ColumnProfile) -> bool:
    return column.few is not None and bool(column.few) and all(_CODE.fullmatch(nfkc(v)) for v in column.few)


_LABEL_WORDS = re.compile(
    r"名称|ラベル|内容|label|name|desc|text|display|ชื่อ|คำอธิบาย|tên|nhãn|keterangan|nama", re.IGNORECASE
)


def _says_label(code: str, label: str) -> bool:
    return bool(_LABEL_WORDS.search(label)) or (len(code) > 2 and label.startswith(code))


# -- keys -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class KeyGuess:
    """`unique`: one row per value; else rows of one value are one record and `varying` columns differ in them."""

    column: int
    unique: bool
    confidence: float
    evidence: str
    varying: tuple[int, ...] = ()


@dataclass(slots=True)
class Keys:
    """Rows of the beginning as hashes, to see which column holds a record together."""

    rows: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        room = KEY_ROWS - len(self.rows)
        self.rows += [tuple(0 if not v.strip() else hash(v) for v in row[:WIDE]) for row in rows[:room]]

    def guesses(self, columns: Sequence[ColumnProfile]) -> list[KeyGuess]:
        found = [g for c in columns[:WIDE] if (g := self._guess(c, columns)) is not None]
        return sorted(found, key=lambda g: -g.confidence)[:5]

    def _guess(self, column: ColumnProfile, columns: Sequence[ColumnProfile]) -> KeyGuess | None:
        at = column.number - 1
        said = meaning(column.header)
        named = said is not None and said[0].id == "patient_id"
        if column.n < column.rows or column.distinct < 2 or column.date is not None or not (named or _tells(column)):
            return None
        if column.unique:
            return KeyGuess(at, True, 0.9 if named else 0.5, _told(column, named, "one row per value"))
        if column.distinct < 0.02 * column.rows or not named:
            return None
        constant, varying = self._within(at)
        told = f"{column.distinct} values in {column.rows} rows; {len(constant)} other columns are the same within one"
        return KeyGuess(at, False, 0.85 if constant else 0.3, _told(column, named, told), tuple(varying))

    def _within(self, at: int) -> tuple[list[int], list[int]]:
        """Columns that stay the same within a key, and those that change; blanks say nothing."""
        first: dict[int, list[int]] = {}
        changed: Counter[int] = Counter()
        several: Counter[int] = Counter()
        for row in self.rows:
            kept = first.setdefault(row[at], list(row))
            for i, value in enumerate(row):
                if value and kept[i]:
                    several[i] += 1
                    changed[i] += value != kept[i]
                elif value:
                    kept[i] = value
        width = len(self.rows[0]) if self.rows else 0
        again = max(1, len(self.rows) - len(first))
        varying = [i for i in range(width) if changed[i] > 0.02 * again]
        return [i for i in range(width) if i != at and i not in varying], varying


def _tells(column: ColumnProfile) -> bool:
    return column.unique and column.type.what == "text" and not column.blanks


def _told(column: ColumnProfile, named: bool, what: str) -> str:
    return what + (", the header names a patient or record" if named else "")


# -- repeated parts written side by side --------------------------------------------------------------------------

_NUMBERED = re.compile(r"^(.*?)[\s_.(\[]*([0-9０-９]{1,3})[\s_.)\]]*([^0-9０-９]*)$")


def series(headers: Sequence[str]) -> list[tuple[str, int]]:
    """Headers that differ by a number only (`drug_1, drug_2`): the name with # and how often it stands."""
    found: dict[str, set[str]] = defaultdict(set)
    for header in headers:
        if match := _NUMBERED.fullmatch(nfkc(header)):
            found[f"{match[1]}#{match[3]}"].add(match[2])
    return [(name, len(numbers)) for name, numbers in found.items() if len(numbers) > 1 and name != "#"]
