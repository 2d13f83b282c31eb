"""What one column holds: counts gathered row batch by row batch in bounded memory, then a verdict.

Distinct values are counted by 64-bit hashes (keyed per process) up to a bound; texts are kept only while there
are few of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from masterkey_etl import values
from masterkey_etl.inspect.dates import Dates, DateVerdict
from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.inspect.personal import Suspicion, by_header, by_shape, kinds
from masterkey_etl.inspect.shapes import FULL_WIDTH, header_unit, number_kind, shape, unit_of
from masterkey_etl.inspect.words import meaning
from masterkey_etl.values import nfkc

HASHES = 100_000  # distinct values counted exactly
FEW = 60  # distinct texts kept: what may be a code list
SHAPES = 500
_NULL_WORDS = "na|n/a|#n/a|null|(null)|nan|<na>|-|--|―|ー|.|?|unk|not available|未記入|未入力|空欄|ไม่มีข้อมูล"
NULLS = frozenset(_NULL_WORDS.split("|"))
UNKNOWN = frozenset(("unknown", "不明", "ไม่ทราบ", "không rõ", "tidak diketahui", "tidak tahu", "不詳"))


@dataclass(slots=True)
class ColumnProfile:
    """One column of a file. `verdict()` once all rows are in."""

    number: int
    header: str
    rows: int = 0
    empty: int = 0
    nulls: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    units: Counter[str] = field(default_factory=Counter)
    dates: Dates = field(default_factory=Dates)
    full_width: int = 0
    suspect: Counter[str] = field(default_factory=Counter)
    few: Counter[str] | None = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    largest: Counter[float] = field(default_factory=Counter)
    length: int = 0
    blanks: int = 0
    _hashes: set[int] = field(default_factory=set)

    def add(self, texts: Sequence[str]) -> None:
        """The cells of this column in the next rows."""
        self.rows += len(texts)
        for text, n in Counter(texts).items():
            self._one(text, n)

    def _one(self, text: str, n: int) -> None:
        clean = nfkc(text)
        if not clean:
            self.empty += n
        elif clean.casefold() in NULLS:
            self.nulls[text] += n
        else:
            self._value(text, clean, n)

    def _value(self, text: str, clean: str, n: int) -> None:
        if len(self._hashes) < HASHES:
            self._hashes.add(hash(text))
        if self.few is not None:
            self.few[text] += n
            self.few = self.few if len(self.few) <= FEW else None
        self.full_width += n * bool(FULL_WIDTH.search(text))
        self.unknown[text] += n if clean.casefold() in UNKNOWN else 0
        self.length += len(clean) * n
        self.blanks += n * (" " in clean or "　" in text)
        self._number(clean, n)
        self.dates.add(clean, n)
        for kind in kinds(clean):
            self.suspect[kind] += n
        if len(self.shapes) < SHAPES:
            self.shapes[shape(text)] += n

    def _number(self, clean: str, n: int) -> None:
        kind = number_kind(clean)
        if kind:
            self.numbers[kind] += n
        if kind == "unit":
            self.units[unit_of(clean)] += n
        if kind == "integer" and len(clean) <= 8:
            self.largest[float(clean.replace(",", ""))] += n
            if len(self.largest) > 200:
                del self.largest[sorted(self.largest)[len(self.largest) // 2]]

    # -- what follows from the counts

    @property
    def n(self) -> int:
        """Values that are not null."""
        return self.rows - self.empty - self.nulls.total()

    @property
    def distinct(self) -> int:
        return len(self._hashes)

    @property
    def bounded(self) -> bool:
        """`distinct` is at its bound: there are at least so many."""
        return len(self._hashes) >= HASHES

    @property
    def unique(self) -> bool:
        return self.n > 1 and (self.distinct == self.n or (self.bounded and self.n > HASHES))

    @property
    def date(self) -> DateVerdict | None:
        """The dates of a column that is one of dates."""
        share = self.dates.n / self.n if self.n else 0.0
        found = self.dates.verdict() if share >= 0.8 else None
        if found and set(found.formats) <= {"%Y%m%d", "%Y%m%d%H%M"} and "japanese" not in found.calendars:
            return found if share >= 0.98 or self._means("date") else None
        return found

    def _means(self, type_: str) -> bool:
        found = meaning(self.header)
        return found is not None and found[0].type == type_

    @property
    def type(self) -> Guess:
        """text, code, integer, decimal, date or flag, as in source models."""
        if not self.n:
            return Guess("text", 0.1, "every cell is null")
        return next(found for look in _LOOKS if (found := look(self)) is not None)

    def share(self, *kinds_: str) -> float:
        return sum(self.numbers[k] for k in kinds_) / self.n if self.n else 0.0

    @property
    def personal(self) -> tuple[Suspicion, ...]:
        """What looks like a person, surest first."""
        said = by_header(self.header)
        shown = list(by_shape(self.suspect, self.n)) if self.n else []
        if self.date is not None or (self.few is not None and self.n > 20 * max(1, len(self.few))):
            shown = [s for s in shown if s.kind == "e-mail"]
        found = [*([said] if said else []), *shown]
        return tuple(sorted(found, key=lambda s: -s.confidence))

    @property
    def flag(self) -> str:
        """`personal` of a source model: identifier, free_text or none; fail closed for texts."""
        flags = [s.flag for s in self.personal if s.flag != "none"]
        if "identifier" in flags:
            return "identifier"
        if flags or self.type.what == "text":
            return "free_text" if flags or not self._looks_like_a_number_of_a_person else "identifier"
        return "none"

    @property
    def _looks_like_a_number_of_a_person(self) -> bool:
        """Texts of one shape that tell rows apart."""
        return (
            self.n > 1
            and self.distinct > 0.2 * self.n
            and self.length / self.n <= 20
            and not self.blanks
            and (self.numbers.total() + sum(n for s, n in self.shapes.items() if "9" in s) > 0.9 * self.n)
        )

    @property
    def unit(self) -> str:
        if named := header_unit(self.header):
            return named
        unit, n = self.units.most_common(1)[0] if self.units and not self.dates.n else ("", 0)
        return unit if n > 0.5 * self.n else ""

    @property
    def sentinels(self) -> tuple[str, ...]:
        """Numbers of nines that lie far above the others: 999 among ages."""
        nines = {v for v in self.largest if v >= 9 and set(f"{v:.0f}") == {"9"} and len(f"{v:.0f}") > 1}
        rest = [v for v in self.largest if v not in nines]
        far = [v for v in sorted(nines) if rest and self.largest[v] > 1 and v > 1.5 * max(rest)]
        return tuple(f"{v:.0f}" for v in far)

    def notes(self) -> Iterator[str]:
        """What a person should know before a column is mapped."""
        date = self.date
        if date is not None and date.open_order:
            yield "the order of day and month is open: %d before %m and %m before %d both fit"
        if date is not None and not date.calendar:
            yield "Buddhist and CE years stand in one column"
        if date is not None and date.n < self.n:
            yield f"{self.n - date.n} values are no date"
        if self.dates.two_digit:
            yield f"{self.dates.two_digit} dates have two-digit years: the century is open"
        if self.full_width:
            yield f"{self.full_width} values have full-width digits"
        if self.numbers["leading-zero"] and date is None:
            yield f"{self.numbers['leading-zero']} values have leading zeros: numbers would lose them"
        if self.numbers["exponent"]:
            yield f"{self.numbers['exponent']} values have the exponent form of a spreadsheet: digits are lost"
        if self.numbers["comma"]:
            yield f"{self.numbers['comma']} numbers have a decimal comma, or are two values"
        if self.sentinels:
            yield f"{', '.join(self.sentinels)} lies far above the other numbers: a code for unknown?"
        yield from self._mixed()

    def _mixed(self) -> Iterator[str]:
        kind = self.type.what
        odd = {"integer": self.n - self._ints(), "decimal": self.n - self._ints() - self.numbers["decimal"]}.get(
            kind, 0
        )
        if odd:
            yield f"{odd} values are no {kind}"
        if kind == "text" and 0.1 <= self.share("integer", "decimal") <= 0.9:
            yield f"types are mixed: {self.share('integer', 'decimal'):.0%} are numbers"

    def _ints(self) -> int:
        return self.numbers["integer"] + self.numbers["leading-zero"]

    def as_dict(self, codes: Sequence[str] = (), hidden: int = 0) -> dict[str, Any]:
        date = self.date
        return {
            "column": self.number,
            "header": self.header,
            "type": self.type.as_dict(),
            "rows": self.rows,
            "empty": self.empty,
            "null_tokens": dict(self.nulls),
            "distinct": self.distinct,
            "distinct_is_a_bound": self.bounded,
            "dates": _date_dict(date) if date else None,
            "codes": {"shown": list(codes), "not_shown": hidden},
            "unit": self.unit,
            "shapes": [{"shape": s, "count": n} for s, n in self.shapes.most_common(5)],
            "personal": [
                {"kind": s.kind, "confidence": round(s.confidence, 2), "evidence": s.evidence} for s in self.personal
            ],
            "notes": list(self.notes()),
        }


def _date_dict(date: DateVerdict) -> dict[str, Any]:
    return {"formats": list(date.formats), "calendars": list(date.calendars), "order_is_open": date.open_order}


def _date(c: ColumnProfile) -> Guess | None:
    if c.date is None:
        return None
    share = c.date.n / c.n
    how = ", ".join(f"{r.format or 'era'} ({r.calendar})" for r in c.date.readings)
    return Guess("date", share if c.date.sure else share * 0.5, f"{c.date.n} of {c.n} values read as {how}")


def _identifier(c: ColumnProfile) -> Guess | None:
    zeros = c.numbers["leading-zero"] + c.numbers["exponent"]
    long = sum(n for s, n in c.shapes.items() if s.startswith("9{") and len(s) > 4 and s[3].isdigit())
    personal = [s for s in c.personal if s.flag == "identifier"]
    if zeros or long > 0.5 * c.n:
        return Guess("text", 0.9, "digits with leading zeros, exponents or of great length: no number")
    return Guess("text", 0.9, f"looks like {personal[0].kind}") if personal else None


def _flag(c: ColumnProfile) -> Guess | None:
    if c.few is None or len(c.few) > 2 or any(values.flag(v)[0] is None or v in ("0", "1") for v in c.few):
        return None
    return Guess("flag", 0.8 if len(c.few) == 2 else 0.5, f"{len(c.few)} distinct words of yes and no")


def _number(c: ColumnProfile) -> Guess | None:
    whole, broken = c.share("integer"), c.share("integer", "decimal")
    if _may_be_code(c) and whole > 0.9 and len(c.few or ()) <= 10 and not c.unit and not _says_number(c):
        return Guess(
            "code", 0.6, f"{len(c.few or ())} distinct whole numbers in {c.n} values: a code, or a small number"
        )
    if whole >= 0.9 and c.numbers["decimal"] == 0:
        return Guess("integer", whole, f"{whole:.0%} of {c.n} values are whole numbers")
    if broken >= 0.9:
        return Guess("decimal", broken, f"{broken:.0%} of {c.n} values are numbers")
    return None


def _says_number(c: ColumnProfile) -> bool:
    found = meaning(c.header)
    return found is not None and found[0].type in ("integer", "decimal")


def _may_be_code(c: ColumnProfile) -> bool:
    return c.few is not None and 0 < len(c.few) <= 40 and c.n >= 3 * len(c.few) and c.length / c.n <= 40


def _code(c: ColumnProfile) -> Guess | None:
    if not _may_be_code(c):
        return None
    repeats = c.n / len(c.few or (1,))
    return Guess("code", min(0.95, 0.5 + repeats / 40), f"{len(c.few or ())} distinct texts in {c.n} values")


def _text(c: ColumnProfile) -> Guess:
    how = "one text per row" if c.unique else f"{c.distinct} distinct texts in {c.n} values"
    return Guess("text", 0.8, how)


_LOOKS = (_date, _identifier, _flag, _number, _code, _text)
