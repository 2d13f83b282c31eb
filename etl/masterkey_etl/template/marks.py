"""YAML with marks: plain values that know the line they stand on.

Plain scalars are typed like JSON (null, true/false, integer, decimal) and nothing else: `no` stays a word,
`01` keeps its zero, `2019-11` is text, `1.0` is a Decimal with its digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

import yaml

from masterkey_fhir.issue import Issue, Place, issue

Plain: TypeAlias = "str | int | Decimal | bool | None"
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)\.[0-9]+")
_WORDS: dict[str, Plain] = {"true": True, "false": False, "null": None, "~": None, "": None}


@dataclass(frozen=True, slots=True)
class Scalar:
    """A text as written, and the value it stands for (`quoted` texts are always strings)."""

    text: str
    quoted: bool
    line: int

    @property
    def value(self) -> Plain:
        if self.quoted:
            return self.text
        if self.text in _WORDS:
            return _WORDS[self.text]
        if _INTEGER.fullmatch(self.text):
            return int(self.text)
        return Decimal(self.text) if _DECIMAL.fullmatch(self.text) else self.text


@dataclass(frozen=True, slots=True)
class Items:
    items: tuple[Marked, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping in the order of the file; `lines` holds the line of each key."""

    entries: dict[str, Marked]
    line: int
    lines: dict[str, int] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, Marked]]:
        return iter(self.entries.items())


Marked: TypeAlias = "Scalar | Items | Fields"


def read(text: str, file: str) -> tuple[Marked | None, list[Issue]]:
    """The document, or None, with what is wrong with it as YAML (`etl.yaml`)."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        return None, [_unreadable(error, file)]
    found: list[Issue] = []
    return (None if node is None else _marked(node, file, found)), found


def _unreadable(error: yaml.YAMLError, file: str) -> Issue:
    mark = getattr(error, "problem_mark", None)
    problem = str(getattr(error, "problem", None) or "not YAML")
    trap = "mapping values" in problem or "did not find expected" in problem
    hint = "; quote an expression that holds ': ', or a comma inside [ ] and { }" if trap else ""
    return issue("etl.yaml", Place(file=file, row=mark.line + 1 if mark else None), problem=problem + hint)


def _marked(node: Any, file: str, found: list[Issue]) -> Marked:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return Scalar(node.value, bool(node.style), line)
    if isinstance(node, yaml.SequenceNode):
        return Items(tuple(_marked(n, file, found) for n in node.value), line)
    out = Fields({}, line)
    for key, value in node.value:
        at = key.start_mark.line + 1
        if key.value in out.entries:
            found.append(issue("etl.yaml", Place(file=file, row=at), problem=f"{key.value} is written twice"))
        out.entries[key.value] = _marked(value, file, found)
        out.lines[key.value] = at
    return out
