"""Where each leaf of a tree goes: the paths of a source model as one tree of names, and the rows it fills.

A row is one record, one item of a group, or one element a group is spread over; each kind of row is a Scope.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from masterkey_etl.leaves import known_paths
from masterkey_etl.source_model import SourceModel
from masterkey_etl.tree_model import OUTSIDE, Ignored, joined, parts, plain

_INDEXED = re.compile(r"(.+)\[([0-9]+)\]")
RECORD = 0  # the scope of the record itself


@dataclass(slots=True, eq=False)
class Node:
    """An element (or attribute, `@name`) that the model knows. `path` is plain, from the record.

    `slot`: its text fills this place of the row. `fast`: names below whose texts do, by slot. `indexed`: of
    several elements here, those with a place of their own. `scope`: each element here starts a row of it.
    """

    path: str
    slot: int = -1
    scope: int = -1
    alias: bool = False
    shared: bool = False  # another path fills the slot too
    ignored: Ignored | None = None
    names: dict[str, Node] = field(default_factory=dict)
    indexed: dict[int, Node] = field(default_factory=dict)
    fast: dict[str, int] = field(default_factory=dict)

    def at(self, name: str) -> Node:
        """The node of a name below (made when new); `name[0]` is one of several."""
        found = _INDEXED.fullmatch(name)
        head, index = (found[1], int(found[2])) if found else (name, -1)
        path = joined(self.path, head)
        node = self.names.setdefault(head, Node(path))
        return node if index < 0 else node.indexed.setdefault(index, Node(path))


@dataclass(slots=True)
class Scope:
    """A kind of row: the model's positions of its slots. `parent`: the scope whose rows its rows belong to."""

    group: str
    parent: int
    positions: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Plan:
    """`above`: names from the root to the records. `known`: every plain path of a column. `outside`: what is ignored
    above or beside the records, by its path from the root."""

    model: SourceModel
    root: Node
    scopes: list[Scope]
    above: tuple[str, ...]
    known: frozenset[str]
    outside: dict[str, Ignored]

    def ignored_outside(self, path: str) -> Ignored | None:
        """What the model says of a leaf above or beside the records, at a plain path from the root."""
        names = parts(path)
        tried = (".".join(names[:n]) for n in range(1, len(names) + 1))
        return next((self.outside[p] for p in tried if p in self.outside), None)


def plan_of(model: SourceModel) -> Plan:
    """The plan of a tree's model."""
    root = Node("", scope=RECORD)
    scopes = [Scope("", RECORD)]
    for group, path in model.paths.items():
        _scope_at(root, path, scopes, Scope(group, RECORD))
        if group in model.spread:
            _scope_at(root, joined(path, model.spread[group]), scopes, Scope(group, len(scopes) - 1))
    for column in model.columns:
        for n, path in enumerate(model.leaf_paths(column.position)):
            _column_at(root, path, scopes, column.position, alias=n > 0, shared=bool(column.aliases))
    for ignored in model.ignored:
        if not ignored.path.startswith(OUTSIDE):
            _ignore(root, parts(ignored.path), ignored)
    _quicken(root)
    outside = {i.path.removeprefix(OUTSIDE): i for i in model.ignored if i.path.startswith(OUTSIDE)}
    return Plan(model, root, scopes, parts(plain(model.records)), known_paths(model), outside)


def _ignore(node: Node, names: tuple[str, ...], ignored: Ignored) -> None:
    """Mark what is ignored, in elements with a place of their own too."""
    if not names:
        node.ignored = ignored
        return
    below = node.at(names[0])
    for one in (below, *below.indexed.values()):
        _ignore(one, names[1:], ignored)


def _scope_at(root: Node, path: str, scopes: list[Scope], scope: Scope) -> None:
    _walk(root, path)[0].scope = len(scopes)
    scopes.append(scope)


def _walk(root: Node, path: str) -> tuple[Node, int]:
    """The node of a path, and the scope it lies in."""
    node, scope = root, RECORD
    for name in parts(path):
        node = node.at(name)
        scope = node.scope if node.scope >= 0 else scope
    return node, scope


def _column_at(root: Node, path: str, scopes: list[Scope], position: int, *, alias: bool, shared: bool) -> None:
    node, number = _walk(root, path)
    scope = scopes[number]
    if position not in scope.positions:
        scope.positions.append(position)
    node.slot, node.alias, node.shared = scope.positions.index(position), alias, shared


def _quicken(node: Node) -> None:
    """Names below that are nothing but the text of one slot."""
    for name, child in node.names.items():
        only_text = not (child.names or child.indexed or child.shared or child.ignored) and child.scope < 0
        if child.slot >= 0 and only_text:
            node.fast[name] = child.slot
        _quicken(child)
    for child in node.indexed.values():
        _quicken(child)
