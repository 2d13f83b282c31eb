"""Invented identifiers to plant: names, phones, national numbers. They belong to nobody.

Check digits are right where the number has one (site-formats 4.3), so that a verifier can't wave them through as
misprints; phone numbers use the exchange 0000, which is not given to subscribers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from masterkey_etl.synth.tables import words


@cache
def _names(list_name: str) -> tuple[str, ...]:
    return words(list_name)


def japanese_name(rng: Random) -> str:
    return f"{rng.choice(_names('family_names'))} {rng.choice(_names('given_names'))}"


def roman_name(rng: Random) -> str:
    first, last = rng.sample(_names("roman_names"), 2)
    return f"{last}, {first}"


def phone(rng: Random) -> str:
    return f"090-0000-{rng.randrange(10_000):04d}"


def email(rng: Random) -> str:
    return f"{rng.choice(_names('roman_names')).lower()}{rng.randrange(1000)}@example.org"


def my_number(rng: Random) -> str:
    """Japan, 12 digits: check = (-sum of weights 6 5 4 3 2 7 6 5 4 3 2) mod 11, 10 counts as 0."""
    digits = [rng.randrange(10) for _ in range(11)]
    weights = (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    check = -sum(w * d for w, d in zip(weights, digits, strict=True)) % 11 % 10
    return "".join(map(str, digits)) + str(check)


def hospital_number(rng: Random) -> str:
    return f"{rng.randrange(10**8):010d}"


KINDS: tuple[tuple[str, Callable[[Random], str]], ...] = (
    ("name", japanese_name),
    ("roman-name", roman_name),
    ("phone", phone),
    ("email", email),
    ("my-number", my_number),
    ("hospital-number", hospital_number),
)
