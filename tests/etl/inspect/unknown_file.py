"""A hospital's file as nobody has described it, made from a seed, and the truth about it."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from masterkey_etl.inspect.words import meanings

Maker = Callable[[int], tuple[str, str]]  # patient -> (text as written, what it truly is)


@dataclass
class Column:
    """`kind`: key, name, phone, sex, label, birth, date, number, code, remark. `texts` and `truth` by row."""

    kind: str
    header: str
    texts: list[str]
    truth: list[str]


@dataclass
class UnknownFile:
    seed: int
    columns: list[Column] = field(default_factory=list)
    encoding: str = "utf-8"
    delimiter: str = ","

    def __post_init__(self) -> None:
        self.r = random.Random(self.seed)
        self.language = self.r.choice(["ja", "th", "ascii"])
        self.encoding = self.r.choice(_ENCODINGS[self.language])
        self.delimiter = self.r.choice([",", ";", "\t", "|"])
        self.n = self.r.randrange(40, 70)
        self._fill()
        first, *rest = self.columns
        self.r.shuffle(rest)
        self.columns = [first, *_beside(rest)]

    def of(self, kind: str) -> list[Column]:
        return [c for c in self.columns if c.kind == kind]

    def write(self, folder: Path) -> Path:
        text = io.StringIO()
        csv.writer(text, delimiter=self.delimiter).writerows(self.rows())
        path = folder / "export.csv"
        path.write_bytes(text.getvalue().encode(self.encoding))
        return path

    def write_sheet(self, folder: Path) -> Path:
        import openpyxl

        book = openpyxl.Workbook()
        for row in self.rows():
            book.active.append(row)
        path = folder / "export.xlsx"
        book.save(path)
        return path

    def rows(self) -> list[list[str]]:
        return [[c.header for c in self.columns], *map(list, zip(*(c.texts for c in self.columns), strict=True))]

    # -- columns

    def _fill(self) -> None:
        r = self.r
        width = r.randrange(4, 8)
        self._add("key", "patient_id", lambda i: (f"{i:0{width}d}", ""), known=0.7)
        self._add("name", "name", lambda i: (r.choice(_NAMES[self.language]) + str(i % 7), ""), known=1)
        self._add("phone", "phone", lambda i: (f"0{r.randrange(10**8, 10**9)}", ""), known=0.7)
        self._sex()
        self._dates("birth", "birth_date", 1930, 30_000)
        self._dates("date", "diagnosis_date", 2012, 3_000)
        self._add("number", "", lambda i: (f"{r.randrange(35, 99)}.{r.randrange(10)}", ""), known=0)
        self._add("code", "", lambda i: (r.choice("0123"), ""), known=0)
        self._add("remark", "remark", lambda i: (f"{r.choice(_WORDS)} {r.choice(_WORDS)} {i}", ""), known=0.5)

    def _add(self, kind: str, meaning: str, make: Maker, known: float, nulls: bool = False) -> Column:
        made = [make(i) for i in range(self.n)]
        column = Column(kind, self._header(meaning, known), [t for t, _ in made], [t for _, t in made])
        if nulls and (token := self.r.choice(["", "NA", "-"])) is not None:
            for i in self.r.sample(range(self.n), 4):
                column.texts[i], column.truth[i] = token, ""
        self.columns.append(column)
        return column

    def _header(self, meaning: str, known: float) -> str:
        """A word of one of six languages that the encoding can write, or a name that says nothing."""
        taken = {c.header for c in self.columns}
        words = [w for m in meanings() if m.id == meaning for w in m.words if _writes(self.encoding, w)]
        while True:
            header = self.r.choice(words) if words and self.r.random() < known else f"Q{self.r.randrange(100, 999)}"
            if header not in taken:
                return header

    def _sex(self) -> None:
        words = self.r.choice([w for w in _SEXES if _writes(self.encoding, "".join(w))])
        men = [self.r.randrange(2) for _ in range(self.n)]
        truth = ["male" if m else "female" for m in men]
        if self.r.random() < 0.5:
            numbers = self.r.choice([("1", "2"), ("2", "1"), ("0", "1")])
            self.columns.append(Column("sex", self._header("sex", 0.8), [numbers[1 - m] for m in men], truth))
            self.columns.append(Column("label", "", [words[1 - m] for m in men], truth))
            self.columns[-1].header = f"{self.columns[-2].header} label"
        else:
            self.columns.append(Column("sex", self._header("sex", 0.8), [words[1 - m] for m in men], truth))

    def _dates(self, kind: str, meaning: str, first: int, days: int) -> None:
        styles = [s for s in _STYLES if s not in ("era", "kanji") or self.language == "ja"]
        style = self.r.choice(styles)

        def make(_: int) -> tuple[str, str]:
            day = date(first, 1, 1) + timedelta(
                self.r.randrange(min(days, (date(2024, 12, 31) - date(first, 1, 1)).days))
            )
            if style == "open":
                day = day.replace(day=1 + day.day % 12)
            return _STYLES[style](day), day.isoformat()

        self._add(kind, meaning, make, known=0.8, nulls=True)


def _beside(columns: list[Column]) -> list[Column]:
    """Labels right of their codes, as exports have them."""
    labels = [c for c in columns if c.kind == "label"]
    out: list[Column] = []
    for c in columns:
        if c.kind != "label":
            out += [c, *labels] if c.kind == "sex" else [c]
    return out


def _writes(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _era(day: date) -> str:
    for name, first, start in (("令和", 2019, date(2019, 5, 1)), ("平成", 1989, date(1989, 1, 8))):
        if day >= start:
            return f"{name}{day.year - first + 1}年{day.month}月{day.day}日"
    return f"昭和{day.year - 1925}年{day.month}月{day.day}日"


_STYLES: dict[str, Callable[[date], str]] = {
    "iso": date.isoformat,
    "slash": lambda d: f"{d.year}/{d.month}/{d.day}",
    "packed": lambda d: f"{d:%Y%m%d}",
    "kanji": lambda d: f"{d.year}年{d.month}月{d.day}日",
    "era": _era,
    "buddhist": lambda d: f"{d.day:02d}/{d.month:02d}/{d.year + 543}",
    "american": lambda d: f"{d.month}/{d.day}/{d.year}",
    "open": lambda d: f"{d.day}/{d.month}/{d.year}",
}
_ENCODINGS = {
    "ja": ["utf-8", "utf-8-sig", "cp932", "euc_jp"],
    "th": ["utf-8", "utf-8-sig", "cp874"],
    "ascii": ["utf-8", "utf-8-sig"],
}
_SEXES = [("男", "女"), ("M", "F"), ("ชาย", "หญิง"), ("x", "y"), ("Nam", "Nu")]
_NAMES = {
    "ja": ["山田 花子", "佐藤 一郎", "鈴木 次郎"],
    "th": ["นาย สมชาย ใจดี", "นาง มาลี สุขใจ"],
    "ascii": ["Yamada Hanako", "Maria Santos", "Budi Santoso"],
}
_WORDS = ["stable", "worse", "seen in ward", "no pain", "better"]
