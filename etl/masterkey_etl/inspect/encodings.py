"""Which encoding a text is in: a mark decides, then what decodes strictly and reads like a language.

A decoding is judged by its letters outside ASCII: how many belong to the script that the encoding is used for.
Encodings and their users: site-formats 4.1.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable

from masterkey_etl.inspect.kinds import Guess
from masterkey_etl.readers.text import marked

SAMPLE = 1 << 22  # bytes that are decoded


def encoding(data: bytes, whole: bool) -> Guess:
    """The encoding of the first bytes of a file; `whole` when nothing follows them."""
    if mark := marked(data):
        return Guess(mark[0], 1.0, "a byte order mark stands first")
    if data[1:400:2].count(0) > len(data[1:400:2]) * 0.4:
        return Guess("utf-16-le", 0.8, "every second byte is zero, without a byte order mark")
    if re.search(rb"\x1b\$[@B]|\x1b\([BJ]", data) and _decoded(data, "iso2022_jp", whole) is not None:
        return Guess("iso2022_jp", 0.98, "escape sequences of ISO-2022-JP")
    if data.isascii():
        return Guess("utf-8", 1.0, "only ASCII was seen")
    if _decoded(data, "utf-8", whole) is not None:
        return Guess("utf-8", 0.99, "all bytes outside ASCII are valid UTF-8")
    return _legacy(data, whole)


def _legacy(data: bytes, whole: bool) -> Guess:
    scores = {name: score for name in _SCRIPTS if (score := _score(data, name, whole)) is not None}
    if not scores:
        return Guess("utf-8", 0.2, "no encoding decodes all bytes: several are mixed, or this is no text")
    best = max(scores, key=lambda name: scores[name])
    second = max((s for n, s in scores.items() if n != best), default=0.0)
    share, script = scores[best], _SCRIPTS[best][0]
    sure = min(0.95, share * (1 if share - second > 0.1 else 0.7))
    return Guess(best, sure, f"decodes strictly and {share:.0%} of what is outside ASCII reads as {script}; not UTF-8")


def _decoded(data: bytes, name: str, whole: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(name)("strict").decode(data, whole)
    except UnicodeError:
        return None


def _score(data: bytes, name: str, whole: bool) -> float | None:
    text = _decoded(data[: 1 << 18], name, whole and len(data) <= 1 << 18)
    if text is None or _decoded(data, name, whole) is None:
        return None
    foreign = [c for c in text if ord(c) > 127]
    reads = _SCRIPTS[name][1]
    return sum(map(reads, foreign)) / len(foreign) if foreign else 0.0


def _japanese(c: str) -> float:
    if "ぁ" <= c <= "ヿ" or c in "、。・「」（）％：／　":
        return 1.0
    if "一" <= c <= "\u9fff":
        return 1.0 if _common(c) else 0.4
    return 0.9 if "！" <= c <= "～" else 0.1  # half-width kana: legacy systems write them, wrong decodings more


def _common(c: str) -> bool:
    """JIS X 0208 level 1: the first byte of its Shift_JIS form is below 0x98."""
    code = c.encode("cp932", "ignore")
    return len(code) == 2 and code[0] < 0x98


def _thai(c: str) -> float:
    if "ก" <= c <= "ฮ":
        return 1.0
    return 0.9 if "ะ" <= c <= "ๆ" else 0.4 if "็" <= c <= "๎" or "๐" <= c <= "๙" else 0.1  # signs stand on consonants


def _vietnamese(c: str) -> float:
    if c in "đĐăĂơƠưƯ\u0300\u0301\u0303\u0309\u0323":  # Windows-1258 writes tones behind their vowel
        return 1.0
    return 0.4 if unicodedata.normalize("NFD", c)[0].isascii() else 0.1


def _western(c: str) -> float:
    base = unicodedata.normalize("NFD", c)[0]
    return 0.8 if base.isascii() and base.isalpha() else 0.3 if c in "°µ±–—‘’“”…" else 0.1


_SCRIPTS: dict[str, tuple[str, Callable[[str], float]]] = {
    "cp932": ("Japanese", _japanese),
    "euc_jp": ("Japanese", _japanese),
    "cp874": ("Thai", _thai),
    "cp1258": ("Vietnamese", _vietnamese),
    "cp1252": ("a western language", _western),
}
