"""The shape of a value, said without the value: letters by script, digits as 9, runs shortened."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

FULL_WIDTH = re.compile(r"[０-９．－]")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.[0-9]+|\.[0-9]+)")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_EXPONENT = re.compile(r"[+-]?[0-9](?:\.[0-9]+)?[eE]\+[0-9]{2}")
_UNIT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?\s?([a-zA-Zµμ%℃][A-Za-z0-9µμ%/^.]{0,11})")


@lru_cache(maxsize=65536)
def shape(value: str) -> str:
    """`Yamada 090-1234` -> `Aaa+ 999-9999`: scripts A a 漢 か カ ก, at most 24 signs."""
    runs = [("".join(run)) for _, run in groupby(map(_sign, value[:80]))]
    short = "".join(r if len(r) <= 4 or r[0] not in "Aa漢かカก9" else f"{r[0]}{{{len(r)}}}" for r in runs)
    return short if len(short) <= 40 else short[:39] + "…"


def _sign(c: str) -> str:
    if c.isdigit():
        return "9"
    if "ぁ" <= c <= "ゟ":
        return "か"
    if "゠" <= c <= "ヿ" or "ｦ" <= c <= "ﾟ":
        return "カ"
    if "一" <= c <= "\u9fff":
        return "漢"
    if "ก" <= c <= "๛":
        return "ก"
    if c.isalpha() or unicodedata.category(c).startswith("M"):
        return "A" if c.isupper() else "a"
    return c if c.isprintable() else "?"


@lru_cache(maxsize=65536)
def number_kind(text: str) -> str:
    """integer, leading-zero, decimal, exponent, comma (1,5), unit (61 kg) or "" for what is no number. NFKC text."""
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        return "leading-zero" if len(digits) > 1 and digits[0] == "0" else "integer"
    if _DECIMAL.fullmatch(text):
        return "decimal"
    if _GROUPED.fullmatch(text):
        return "decimal" if "." in text else "integer"
    if _EXPONENT.fullmatch(text):
        return "exponent"
    if _COMMA.fullmatch(text):
        return "comma"
    return "unit" if _UNIT.fullmatch(text) else ""


def unit_of(text: str) -> str:
    """The unit behind a number: `61.0 kg` -> `kg`."""
    found = _UNIT.fullmatch(text)
    return found[1] if found else ""


_HEADER_UNIT = re.compile(r"[(\[（［]\s*([A-Za-zµμ%℃][A-Za-z0-9µμ%/^.²³]{0,11})\s*[)\]）］]\s*$")
_UNIT_WORDS = ("kg", "cm", "mm", "mg", "ml", "mmhg", "bpm")
_TAIL = re.compile(r"(?:^|[_\s.-])([A-Za-z]+)$")


def header_unit(header: str) -> str:
    """The unit a header names: `体重(kg)`, `Weight [kg]`, `weight_kg`."""
    clean = unicodedata.normalize("NFKC", header)
    if found := _HEADER_UNIT.search(clean):
        return found[1]
    tail = _TAIL.search(clean.strip())
    return tail[1] if tail and tail[1].lower() in _UNIT_WORDS and tail[1] != clean.strip() else ""
