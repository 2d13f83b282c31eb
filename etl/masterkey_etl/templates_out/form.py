"""The registry's form: parts and their columns, from mappings/registry (items.csv says what each item means)."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml

from masterkey_etl.data import folder
from masterkey_fhir.issue import MasterkeyError, Place, issue

LANGUAGES = ("en", "ja", "th", "vi", "id", "ms")
KEY = "patient_id"
Obligation = Literal["mandatory", "recommended", "optional"]
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FormError(MasterkeyError):
    """The tables of mappings/registry don't fit each other."""


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer: its code and its label per language (en, ja)."""

    code: str
    labels: Mapping[str, str]

    def label(self, language: str) -> str:
        return self.labels.get(language) or self.labels["en"]


@dataclass(frozen=True, slots=True)
class Item:
    """One column. `type`: identifier, code, text, integer, quantity (in `unit`) or date.

    `choices`: the answers of its list; `open`: others may be typed. `topic`: the concept table of the list, if any.
    `obligation` is the item list's; `required`: told when it is empty (a last date alive is mandatory, but not always
    known). `dated`, `about`: the column that dates the finding, the block it is about (diagnosis, specimen).
    """

    part: str
    column: str
    item: str
    type: str
    topic: str
    choices: tuple[Choice, ...]
    open: bool
    unit: str
    min: str
    max: str
    dated: str
    about: str
    asked_when: str
    obligation: Obligation
    required: bool
    element: str
    meaning: str
    labels: Mapping[str, str]

    def label(self, language: str) -> str:
        return self.labels.get(language) or self.labels["en"]

    @property
    def closed(self) -> bool:
        return bool(self.choices) and not self.open


@dataclass(frozen=True, slots=True)
class Part:
    """A sheet, an instrument, a group. `key`: the column that tells rows of one patient apart, "" for one row."""

    name: str
    key: str
    items: tuple[Item, ...]

    @property
    def repeats(self) -> bool:
        return bool(self.key)

    @property
    def keys(self) -> tuple[str, ...]:
        return (KEY, self.key) if self.key else (KEY,)


@dataclass(frozen=True, slots=True)
class Form:
    parts: tuple[Part, ...]
    texts: Mapping[str, Mapping[str, Any]] = field(repr=False)

    @property
    def items(self) -> Iterator[Item]:
        return (i for part in self.parts for i in part.items)

    def text(self, language: str, group: str, name: str) -> str:
        """A text of the templates, English where the language has none."""
        return str(self.texts[language].get(group, {}).get(name) or self.texts["en"][group][name])

    def instructions(self, language: str) -> list[str]:
        return list(self.texts[language].get("instructions") or self.texts["en"]["instructions"])


@cache
def form(root: Path | None = None) -> Form:
    """The form of `root` (a mappings folder; default: the shipped one). Raises FormError."""
    registry = (root or folder("mappings")) / "registry"
    texts = {language: _texts(registry, language) for language in LANGUAGES}
    known = {r["id"]: r for r in _rows(registry / "items.csv")}
    choices = _choices(registry)
    keys = {r["part"]: r["key"] for r in _rows(registry / "parts.csv")}
    items = [_item(r, known, choices, texts) for r in _rows(registry / "template.csv")]
    _check(items, keys)
    parts = tuple(Part(name, key, tuple(i for i in items if i.part == name)) for name, key in keys.items())
    return Form(parts, texts)


def _check(items: list[Item], keys: Mapping[str, str]) -> None:
    columns = [i.column for i in items]
    wrong = [i.column for i in items if i.part not in keys or columns.count(i.column) > 1]
    wrong += [i.column for i in items if i.dated and i.dated not in columns]
    wrong += [k for k in keys.values() if k and k not in columns]
    if wrong:
        raise FormError(issue("etl.form-mistake", Place(file="registry/template.csv"), columns=", ".join(wrong)))


def _item(
    row: Mapping[str, str],
    known: Mapping[str, Mapping[str, str]],
    choices: Mapping[str, tuple[Choice, ...]],
    texts: Mapping[str, Mapping[str, Any]],
) -> Item:
    place = Place(file="registry/template.csv")
    if row["item"] and row["item"] not in known:
        raise FormError(issue("etl.form-mistake", place, columns=row["column"]))
    named = known.get(row["item"], {})
    topic = row["answers"].removesuffix("+")
    if topic and topic not in choices:
        raise FormError(issue("etl.form-mistake", place, columns=row["column"]))
    labels = {"en": row["label_en"] or _short(named["meaning_en"]), "ja": row["label_ja"] or named["meaning_ja"]}
    for language in LANGUAGES[2:]:
        if label := texts[language].get("items", {}).get(row["item"]):
            labels[language] = label
    known_only = row["needed"] == "when-known"
    obligation: Any = (not known_only and row["needed"]) or named.get("obligation", "optional")
    return Item(
        row["part"], row["column"], row["item"], row["type"], topic, choices.get(topic, ()),
        row["answers"].endswith("+"), row["unit"], row["min"], row["max"], row["dated"], row["about"],
        row["asked_when"], obligation, obligation == "mandatory" and not known_only,
        named.get("fhir_element", ""), _short(named.get("meaning_en", "")), labels,
    )  # fmt: skip


def _short(meaning: str) -> str:
    return meaning.partition(" (result; test method")[0]


def _choices(registry: Path) -> dict[str, tuple[Choice, ...]]:
    out: dict[str, tuple[Choice, ...]] = {}
    for r in _rows(registry / "choices.csv"):
        choice = Choice(r["code"], {"en": r["label_en"], "ja": r["label_ja"]})
        out[r["list"]] = (*out.get(r["list"], ()), choice)
    return out


def _texts(registry: Path, language: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.load(
        (registry / "texts" / f"{language}.yaml").read_text(encoding="utf-8"), Loader=_Loader
    )
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


__all__ = ["KEY", "LANGUAGES", "Choice", "Form", "FormError", "Item", "Part", "form"]
