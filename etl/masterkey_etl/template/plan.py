"""What is known before the first line of a map is written, and the page the lines go to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from masterkey_etl.template.analysis import Analysis, Group, Leaf, Resource, groups, leaves, links
from masterkey_etl.template.nodes import Node, Scope, Use, filled, lookups, origins, true_with, uses


@dataclass(slots=True)
class Plan:
    """What is known before the first line is written."""

    flagged: set[int] = field(default_factory=set)  # columns some value comes from
    sure: set[int] = field(default_factory=set)  # ... and that are used whenever they have a value
    looked_up: set[int] = field(default_factory=set)
    excused: set[int] = field(default_factory=set)  # columns a $else may speak for
    needed: set[Node] = field(default_factory=set)
    columns: dict[Scope, set[int]] = field(default_factory=dict)  # that values come from: they have flags
    read: dict[Scope, set[int]] = field(default_factory=dict)  # those, and what exists() asks about


class Planned:
    """The page, its constants, and the plan."""

    def __init__(self, analysis: Analysis) -> None:
        self.a, self.model, self.labels = analysis, analysis.model, analysis.labels
        self.lines: list[str] = []
        self.level = 0
        self.counter = 0
        self.constants: dict[str, Any] = {}
        self.subtrees: dict[str, str] = {}  # display of literals -> its name
        self.prefixes: dict[str, str] = {}  # of pseudonyms: name -> code, made once per site
        self.tables: dict[tuple[Any, ...], str] = {}  # topic -> name of the set of what has a concept
        self.memos: dict[tuple[Any, ...], str] = {}  # kind of column -> name of its converter's memory
        self.known: frozenset[str] = frozenset()  # tests that hold where the next line stands
        self.reasons: list[str] = []
        self.topics: list[str] = []
        self.conditions: list[Group] = []
        self.resources = {r.name: r for r in analysis.resources}
        self.constant_blocks = _constant_blocks(analysis.resources, analysis.nodes.constant)
        self.simple = _simple_groups(analysis)
        self.plan = self.planned()

    # -- text

    def line(self, text: str) -> None:
        self.lines.append("    " * self.level + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """An indented block; `pass` when nothing was written in it."""
        self.line(head)
        self.level += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.line("pass")
        self.level -= 1

    def fresh(self, letter: str) -> str:
        self.counter += 1
        return f"{letter}{self.counter}"

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = value
        return name

    # -- the plan

    def planned(self) -> Plan:
        plan = Plan()
        for r in self.a.resources:
            self.plan_resource(r, plan)
        for scope in self.a.scopes:
            if scope.source is not None:
                self.plan_node(scope.source, plan)
        return plan

    def plan_resource(self, r: Resource, plan: Plan) -> None:
        for part in r.id_parts:
            self.plan_node(part, plan)
        for leaf in leaves(r.body):
            self.plan_node(leaf.node, plan)
            plan.sure |= set(self.always_used(leaf, r))
        for group in groups(r.body):
            if group.when is not None:
                self.plan_node(group.when, plan)
            if group.otherwise is not None:
                plan.excused |= {u.position for u in self.group_uses(group)}

    def plan_node(self, node: Node, plan: Plan) -> None:
        plan.needed |= set(_computed(node))
        for use in uses(node, self.labels):
            plan.flagged.add(use.position)
            plan.columns.setdefault(use.scope, set()).add(use.position)
            plan.read.setdefault(use.scope, set()).add(use.position)
        for n in node.walk():
            if n.op == "column" and isinstance(n.fact, int):
                plan.read.setdefault(n.scope, set()).add(n.fact)
        for found, _ in lookups(node):
            plan.looked_up |= {u.position for u in origins(found, {})}

    def always_used(self, leaf: Leaf, r: Resource) -> Iterator[int]:
        """Columns this leaf uses whenever they have a value, whatever else the record holds."""
        keyed = {n.fact for n in r.id_parts if n.op == "column"} & set(self.model.key_positions)
        if not keyed and not any(p.sure for p in r.id_parts):
            return
        for use in uses(leaf.node, {}):
            at_home = use.scope is leaf.scope is r.scope and self.is_plain(use.scope)
            certain = at_home and not use.conditions and filled(leaf.node, use.position)
            if certain and all(true_with(w, use.position) for w in leaf.chain):
                yield use.position

    def is_plain(self, scope: Scope) -> bool:
        """Are the flags of this scope's columns local variables (else lists, one place per item)?"""
        return scope is self.a.record or scope in self.simple

    def group_uses(self, group: Group) -> Iterator[Use]:
        if group.when is not None:
            yield from uses(group.when, self.labels)
        for inner in groups(group):
            if inner.when is not None and inner is not group:
                yield from uses(inner.when, self.labels)
            for scope in inner.loops:
                if scope.source is not None:
                    yield from uses(scope.source, self.labels)
        for leaf in leaves(group):
            yield from uses(leaf.node, self.labels)


def _computed(node: Node) -> Iterator[Node]:
    """A node and its parts, less the look-up of a CodeableConcept that its text alone decides."""
    for part in node.args[1:] if is_of_text(node) else node.args:
        yield from _computed(part)
    yield node


def is_of_text(node: Node) -> bool:
    """Is this a CodeableConcept whose text is what was looked up, without a version?"""
    return node.op == "codeable" and len(node.args) == 2 and node.args[1] is node.args[0].args[0]


def _constant_blocks(resources: list[Resource], constant: Scope) -> list[str]:
    """Blocks that are the same for every record."""
    found = {r.name for r in resources if _is_constant(r, constant)}
    while True:
        kept = {n for n in found if all(k.block in found for r in resources if r.name == n for k in links(r.body))}
        if kept == found:
            return [r.name for r in resources if r.name in found]
        found = kept


def _is_constant(r: Resource, constant: Scope) -> bool:
    nodes = [*r.id_parts, *(leaf.node for leaf in leaves(r.body)), *(g.when for g in groups(r.body) if g.when)]
    loops = any(g.loops for g in groups(r.body))
    return r.scope.kind == "record" and not loops and all(n.scope is constant for n in nodes)


def _simple_groups(a: Analysis) -> set[Scope]:
    """Groups that are walked once per record, so that their accounts can be closed on the way."""
    of_group: dict[str, list[Scope]] = {}
    for s in a.scopes:
        if s.kind == "group":
            of_group.setdefault(s.name, []).append(s)
    return {
        scopes[0]
        for scopes in of_group.values()
        if len(scopes) == 1 and scopes[0].resource_level and scopes[0].parent is a.record
    }
