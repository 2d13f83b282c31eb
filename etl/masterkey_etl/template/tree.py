"""A map as data: blocks, objects, lists, literals, expressions. No knowledge of FHIR or of the source yet.

MasterkeyError
  MapError    a map, a concept table or identity.yaml can't be used; carries every mistake found
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

from masterkey_fhir.fhirpath.tree import Tree
from masterkey_fhir.issue import MasterkeyError, Place


class MapError(MasterkeyError):
    """A map can't be used. `issues` holds every mistake found, each with file and line."""


@dataclass(frozen=True, slots=True)
class Where:
    file: str
    line: int

    @property
    def place(self) -> Place:
        return Place(file=self.file, row=self.line)


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands behind the sigil `= `."""

    text: str
    tree: Tree
    where: Where


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | int | Decimal | bool
    where: Where


@dataclass(frozen=True, slots=True)
class Sequence:
    items: tuple[Value, ...]
    where: Where


@dataclass(frozen=True, slots=True)
class Object:
    """An object of the target with its directives; `each` holds group names and expressions, outermost first."""

    members: Mapping[str, Value]
    where: Where
    when: Expression | None = None
    otherwise: str | None = None
    each: tuple[str | Expression, ...] = ()
    item: str = "item"
    let: Mapping[str, Expression] = field(default_factory=dict)


Value: TypeAlias = "Literal | Expression | Sequence | Object"


@dataclass(frozen=True, slots=True)
class Block:
    """One resource template; its name is its role in the id."""

    name: str
    type: str
    body: Object
    external: bool = False  # written by another map of the site: only pointed at

    @property
    def where(self) -> Where:
        return self.body.where


@dataclass(frozen=True, slots=True)
class SetAside:
    columns: tuple[str, ...]
    reason: str
    where: Where


@dataclass(frozen=True, slots=True)
class MapFile:
    """A map with what it extends merged in. `texts` are the files it was read from, the map itself first."""

    path: Path
    source: str
    where: Where
    let: Mapping[str, Expression]
    blocks: Mapping[str, Block]
    set_aside: tuple[SetAside, ...]
    texts: tuple[str, ...]
