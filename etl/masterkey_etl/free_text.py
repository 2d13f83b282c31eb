"""Free text at a registry: what is known stays, the rest becomes ▢.

Known are whole texts (labels of concept tables, registry items, code lists), words and terms of
`registry/clinical_words.txt` (longest first; Latin and katakana words only as whole words, Japanese and Thai terms
anywhere), and tokens of harmless form. Digits that could be a number of a person or a date are masked.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

MASK = "▢"
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_CACHED = 100_000
# five digits in a row; three numbers joined by signs (dates); two joined by a hyphen with five digits in all
# (telephones); a Japanese or Thai style date
_QUOTED = re.compile(r"'([^']*)'")
NUMBERS = re.compile(
    r"[0-9]{5,}|[0-9]+(?:[-/.:][0-9]+){2,}|[0-9]{3,}-[0-9]{2,}|[0-9]{2,}-[0-9]{3,}"
    r"|[0-9]+\s*年\s*[0-9]+\s*月(?:\s*[0-9]+\s*日)?|[0-9]+\s*月\s*[0-9]+\s*日"
)


class Words:
    """What is known. Build it once; `cleaned` remembers its verdicts."""

    def __init__(self, words: Iterable[str], texts: Iterable[str], patterns: Iterable[str]) -> None:
        self.texts = frozenset(map(_folded, texts))
        self.pattern = re.compile("|".join(rf"(?:{p})(?!\w)" for p in patterns) or r"(?!)")
        self.by_start: dict[str, dict[int, set[str]]] = {}
        for word in map(_folded, words):
            if word:
                self.by_start.setdefault(word[0], {}).setdefault(len(word), set()).add(word)
        self.cleaned = lru_cache(_CACHED)(self._cleaned)

    def _cleaned(self, text: str) -> tuple[str, int]:
        """The text with unknown parts masked, and how many there were."""
        clean = unicodedata.normalize("NFC", text)
        if _folded(clean) in self.texts:
            return text, 0
        out = "".join(self._masked(clean))
        joined = re.sub(f"{MASK}+", MASK, out)
        return (joined, joined.count(MASK)) if MASK in joined else (text, 0)

    def _masked(self, text: str) -> Iterator[str]:
        folded = _folded_same_length(text)
        i = 0
        while i < len(text):
            end = self._number(folded, i)
            if end:
                yield MASK
                i = end
                continue
            end = self._known(text, folded, i)
            yield text[i:end] if end else MASK
            i = end or _token_end(folded, i)

    def _number(self, folded: str, i: int) -> int:
        """End of digits to be masked that start here, or 0."""
        if not folded[i].isdigit() or (i and folded[i - 1].isdigit()):
            return 0
        found = NUMBERS.match(folded, i)
        return found.end() if found else 0

    def _known(self, text: str, folded: str, i: int) -> int:
        """End of the known part that starts here, or 0."""
        if not _starts_word(folded, i):
            return 0
        found = self.pattern.match(text, i)
        if found and found.end() > i and _ends_word(folded, found.end()):
            return found.end()
        for length in sorted(self.by_start.get(folded[i], ()), reverse=True):
            end = i + length
            if folded[i:end] in self.by_start[folded[i]][length] and _ends_word(folded, end):
                return end
        if _script(folded[i]) == "sign":
            return i + 1
        if folded[i].isdigit():
            return _digits_end(folded, i)
        return 0


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _folded_same_length(text: str) -> str:
    """Per character, so that positions stay those of the text."""
    return "".join(f if len(f := unicodedata.normalize("NFKC", c).lower()) == 1 else c for c in text)


def _script(c: str) -> str:
    """`latin` and `katakana` have word boundaries, `digit` and `sign` end words, the others run on."""
    if c.isdigit():
        return "digit"
    if "゠" <= c <= "ヿ" and c != "・":
        return "katakana"
    if "ぁ" <= c <= "ゟ":
        return "hiragana"
    if "\u3400" <= c <= "\u9fff" or "\uf900" <= c <= "\ufaff" or ord(c) > 0x1FFFF or c == "々":
        return "han"
    if "\u0e00" <= c <= "\u0eff":
        return "thai"
    return "latin" if c.isalnum() or unicodedata.category(c).startswith("M") else "sign"


_WHOLE = frozenset(("latin", "katakana"))


def _starts_word(text: str, i: int) -> bool:
    script = _script(text[i])
    return i == 0 or script not in _WHOLE or _script(text[i - 1]) != script


def _ends_word(text: str, end: int) -> bool:
    if end >= len(text):
        return end == len(text)
    script = _script(text[end - 1])
    return script not in _WHOLE or _script(text[end]) != script


def _digits_end(text: str, i: int) -> int:
    while i < len(text) and text[i].isdigit():
        i += 1
    return i


def _token_end(text: str, i: int) -> int:
    """End of an unknown part: the word for scripts that have words, else one character."""
    script = _script(text[i])
    if script not in _WHOLE:
        return i + 1
    while i < len(text) and _script(text[i]) == script:
        i += 1
    return i


# -- where known texts come from


def load_words(patterns: Iterable[str], roots: Iterable[Path]) -> Words:
    """Words and texts of `mappings` folders (the shipped one, an overlay)."""
    words: list[str] = []
    texts: list[str] = []
    for root in roots:
        words += word_list(root / "registry" / "clinical_words.txt")
        for path in (*sorted((root / "concepts").glob("*.csv")), *sorted((root / "registry").glob("*.csv"))):
            texts += _labels(path)
        for path in sorted((root / "sources").glob("*/*.yaml")):
            texts += _code_labels(path)
        for path in sorted((root / "sites").glob("*/*.yaml")):
            texts += _literals(yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader))
    return Words(words, texts, patterns)


def word_list(path: Path) -> list[str]:
    """The words of a file, one a line; `#` begins a remark. No file, no words."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [w for line in lines if (w := line.strip()) and not w.startswith("#")]


def _labels(path: Path) -> Iterator[str]:
    """Every text of a table of ours that names a meaning: labels, not notes or sources."""
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            for name, value in row.items():
                if isinstance(name, str) and isinstance(value, str) and _is_label(name):
                    yield value


def _is_label(column: str) -> bool:
    return column in ("subject_id",) or any(w in column for w in ("label", "title", "meaning", "name", "display"))


def _literals(node: Any) -> Iterator[str]:
    """Every text that a map writes itself."""
    if isinstance(node, yaml.ScalarNode):
        yield from _QUOTED.findall(node.value) if node.value.startswith("= ") else (node.value,)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _literals(item)
    elif isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _literals(value)


def _code_labels(path: Path) -> Iterator[str]:
    document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    columns = document.get("columns", ()) if isinstance(document, dict) else ()
    for column in columns:
        if isinstance(column, dict) and isinstance(column.get("codes"), dict):
            yield from column["codes"].values()
