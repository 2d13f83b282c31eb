"""Header words of six languages: what a column may mean, and whether that identifies a person (`words.csv`)."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from masterkey_etl.header import header_key


@dataclass(frozen=True, slots=True)
class Meaning:
    """One row of words.csv. `personal`: identifier, free_text or empty; `type` as in source models."""

    id: str
    type: str
    personal: str
    words: tuple[str, ...]


@cache
def meanings() -> tuple[Meaning, ...]:
    text = files("masterkey_etl.inspect").joinpath("words.csv").read_text(encoding="utf-8")
    return tuple(
        Meaning(r["meaning"], r["type"], r["personal"], tuple(r["words"].split("|")))
        for r in csv.DictReader(text.splitlines())
    )


@lru_cache(maxsize=8192)
def meaning(header: str) -> tuple[Meaning, str] | None:
    """What a header says, and the word that says it: the longest that fits; None when no word does."""
    found = [(len(word), m, word) for m in meanings() for word in m.words if _says(header, word)]
    if not found:
        return None
    _, best, word = max(found, key=lambda f: f[0])
    return best, word


def _says(header: str, word: str) -> bool:
    """Latin words as whole words (one alone must be all that the header says, units aside); others anywhere."""
    if _latin(word):
        wanted, said = _tokens(word), _tokens(header)
        if len(wanted) == 1:
            return [t for t in said if t not in _UNITS and not t.isdigit()] == wanted
        return any(said[i : i + len(wanted)] == wanted for i in range(len(said) - len(wanted) + 1))
    key = header_key(word)
    return key == header_key(header) if len(key) < 2 else key in header_key(header)


_UNITS = frozenset(("kg", "cm", "mm", "g", "mg", "years", "yrs", "y"))


@cache
def _latin(word: str) -> bool:
    plain = unicodedata.normalize("NFD", word).replace("đ", "d")
    return all(c.isascii() or unicodedata.category(c) == "Mn" for c in plain)


@lru_cache(maxsize=8192)
def _tokens(text: str) -> list[str]:
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", unicodedata.normalize("NFKC", text))
    return re.findall(r"[^\W_]+", spaced.casefold())


def ascii_id(header: str, taken: set[str], number: int) -> str:
    """A column id: the meaning's, else the header's Latin letters, else `column_<number>`; unique."""
    found = meaning(header)
    plain = unicodedata.normalize("NFD", header).replace("đ", "d").replace("Đ", "D")
    slug = "_".join(re.findall(r"[a-z0-9]+", plain.encode("ascii", "ignore").decode().lower()))[:40].strip("_")
    base = found[0].id if found else slug if re.match(r"[a-z][a-z0-9_]{1,}", slug) else f"column_{number}"
    return next(i for i in _numbered(base) if i not in taken)


def _numbered(base: str) -> Iterator[str]:
    yield base
    n = 2
    while True:
        yield f"{base}_{n}"
        n += 1
