"""Header words of six languages: what a column may mean, and whether that identifies a person (`words.csv`)."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Callable, Iterator
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
    said = _tokens(header)
    bare, key = [t for t in said if t not in _UNITS and not t.isdigit()], header_key(header)
    found = [(m, word) for m, word, says in _words() if says(said, bare, key)]
    return max(found, key=lambda f: len(f[1])) if found else None


_Says = Callable[[list[str], list[str], str], bool]  # of a header: its tokens, those without units and numbers, its key


@cache
def _words() -> tuple[tuple[Meaning, str, _Says], ...]:
    return tuple((m, word, _says(word)) for m in meanings() for word in m.words)


def _says(word: str) -> _Says:
    """Latin words as whole words (one alone must be all that the header says, units aside); others anywhere."""
    if _latin(word):
        wanted = _tokens(word)
        size = len(wanted)
        if size == 1:
            return lambda said, bare, key: bare == wanted
        return lambda said, bare, key: any(said[i : i + size] == wanted for i in range(len(said) - size + 1))
    mine = header_key(word)
    if len(mine) < 2:
        return lambda said, bare, key: key == mine
    return lambda said, bare, key: mine in key


_UNITS = frozenset(("kg", "cm", "mm", "g", "mg", "years", "yrs", "y"))


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
