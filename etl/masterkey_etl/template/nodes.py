"""Typed, hash-consed nodes: equal expressions in equal scopes are one node, so they are computed once.

A scope is where a value varies: never (constant), per record, per item of a group, per value of an
expression. A node lives in the deepest scope of its parts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Scope:
    kind: str  # "constant" | "record" | "group" | "values"
    parent: Scope | None
    number: int
    name: str = ""  # of the group; what the map calls the value
    source: Node | None = None  # values: where they come from
    path: tuple[Hashable, ...] = ()
    resource_level: bool = True  # False: a $each inside an object

    @property
    def depth(self) -> int:
        return 0 if self.parent is None else self.parent.depth + 1

    def within(self, other: Scope) -> bool:
        """Is this scope the other one, or inside it?"""
        return self is other or (self.parent is not None and self.parent.within(other))


@dataclass(eq=False, slots=True)
class Node:
    op: str  # "column" | "literal" | "item" | "group" | "site" | an operator | a function
    args: tuple[Node, ...]
    fact: Hashable  # literal value, column position, topic, name of the code template ...
    type: str  # string integer decimal boolean date Coding CodeableConcept Quantity group empty
    scope: Scope
    many: bool = False
    sure: bool = False  # never empty
    number: int = 0

    def walk(self) -> Iterator[Node]:
        for a in self.args:
            yield from a.walk()
        yield self


@dataclass(frozen=True, slots=True)
class Use:
    """A column that a value came from; under `conditions` ("true" | "false" | "some" | "none", node) only."""

    position: int
    scope: Scope
    conditions: tuple[tuple[str, Node], ...] = ()


@dataclass(slots=True)
class Nodes:
    """Makes nodes and keeps equal ones once."""

    constant: Scope = field(default_factory=lambda: Scope("constant", None, 0))
    known: dict[tuple[Hashable, ...], Node] = field(default_factory=dict)

    def make(
        self,
        op: str,
        args: tuple[Node, ...],
        type_: str,
        *,
        fact: Hashable = None,
        many: bool = False,
        sure: bool = False,
        scope: Scope | None = None,
    ) -> Node:
        scopes = [a.scope for a in args] + ([scope] if scope else [self.constant])
        home = max(scopes, key=lambda s: s.depth)
        key = (op, tuple(id(a) for a in args), type(fact).__name__, str(fact), id(home))
        if key not in self.known:
            self.known[key] = Node(op, args, fact, type_, home, many, sure, len(self.known))
        return self.known[key]

    def literal(self, value: Hashable, type_: str) -> Node:
        return self.make("literal", (), type_, fact=value, sure=value is not None)


def uses(node: Node, labels: dict[int, int]) -> Iterator[Use]:
    """The columns a value comes from. `labels`: code column -> its label column, which is used with it."""
    if node.op == "column" and isinstance(node.fact, int):
        yield Use(node.fact, node.scope)
        if node.fact in labels:
            yield Use(labels[node.fact], node.scope)
    elif node.op in ("exists", "empty", "count"):  # asks whether there is a value: it does not carry it over
        return
    elif node.op == "iif":
        yield from _chosen(node, labels)
    elif node.op == "coalesce":
        before: tuple[tuple[str, Node], ...] = ()
        for a in node.args:
            yield from _under(a, (*before, ("some", a)), labels)
            before = (*before, ("none", a))
    else:
        for a in node.args:
            yield from uses(a, labels)


def origins(node: Node, labels: dict[int, int]) -> Iterator[Use]:
    """The same, through the `$each` that gave an item too."""
    yield from uses(node, labels)
    for part in node.walk():
        if part.op == "item" and part.scope.source is not None:
            yield from origins(part.scope.source, labels)


def _chosen(node: Node, labels: dict[int, int]) -> Iterator[Use]:
    condition, *branches = node.args
    yield from uses(condition, labels)
    for branch, sign in zip(branches, ("true", "false"), strict=False):
        yield from _under(branch, ((sign, condition),), labels)


def _under(node: Node, conditions: tuple[tuple[str, Node], ...], labels: dict[int, int]) -> Iterator[Use]:
    for use in uses(node, labels):
        yield Use(use.position, use.scope, conditions + use.conditions)


def lookups(node: Node) -> Iterator[tuple[Node, tuple[tuple[str, Node], ...]]]:
    """Every concept look-up that a value depends on, with the conditions under which it counts."""
    if node.op == "iif":
        condition, *branches = node.args
        yield from lookups(condition)
        for branch, sign in zip(branches, ("true", "false"), strict=False):
            yield from ((n, ((sign, condition), *c)) for n, c in lookups(branch))
        return
    if node.op == "coalesce":
        before: tuple[tuple[str, Node], ...] = ()
        for a in node.args:
            yield from ((n, before + c) for n, c in lookups(a))
            before = (*before, ("none", a))
        return
    if node.op == "known":  # asks whether a row exists: none is no finding
        return
    if node.op == "lookup":
        yield node, ()
    for a in node.args:
        yield from lookups(a)


def filled(node: Node, position: int) -> bool:
    """Is the value never empty when this column has one (a missing concept is told apart)?"""
    if node.sure or (node.op == "column" and node.fact == position):
        return True
    if node.op == "concat":
        return any(filled(a, position) for a in node.args)
    if node.op in ("lookup", "translate", "coding", "codeable", "pseudonym", "quantity", "label"):
        return filled(node.args[0], position)
    if node.op in ("coalesce", "pair"):
        return any(filled(a, position) for a in node.args)
    return False


def true_with(node: Node, position: int) -> bool:
    """Is this condition true whenever the column has a value?"""
    if node.op == "literal":
        return node.fact is True
    if node.op == "exists":
        return not node.args[0].many and _present(node.args[0], position)
    if node.op == "and":
        return all(true_with(a, position) for a in node.args)
    return node.op == "or" and any(true_with(a, position) for a in node.args)


def _present(node: Node, position: int) -> bool:
    translated = any(n.op in ("lookup", "known") for n in node.walk())
    return not translated and not node.sure and filled(node, position)
