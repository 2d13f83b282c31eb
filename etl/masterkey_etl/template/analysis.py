"""A map, checked against FHIR, the source model and the concept tables, as what the writer needs.

Every mistake is an Issue at file and line; one run names them all.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeAlias

from masterkey_etl.concepts import Concepts
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template import shape
from masterkey_etl.template.expressions import Builder, Environment, Refused
from masterkey_etl.template.loader import nearest
from masterkey_etl.template.nodes import Node, Nodes, Scope, uses
from masterkey_etl.template.tree import Block, Expression, Literal, MapFile, Object, Sequence, Value, Where
from masterkey_fhir.fhirpath import tree as t
from masterkey_fhir.issue import Issue, issue

Chain: TypeAlias = "tuple[Node, ...]"  # the conditions around a place, outermost first


@dataclass(frozen=True, slots=True)
class Const:
    value: str | int | Decimal | bool


@dataclass(frozen=True, slots=True)
class Leaf:
    """An expression in its place. `chain`: the conditions it stands under; `scope`: where it is evaluated."""

    node: Node
    path: str
    expression: Expression
    scope: Scope
    chain: Chain


@dataclass(frozen=True, slots=True)
class Link:
    """`reference(block)`; `many`: all resources of a block whose scope lies further inside."""

    block: str
    many: bool
    path: str
    expression: Expression


@dataclass(frozen=True, slots=True)
class Group:
    """An object of the target."""

    members: tuple[tuple[str, Part], ...]
    path: str
    where: Where
    scope: Scope
    loops: tuple[Scope, ...] = ()  # a $each inside an object: its scopes, outermost first
    when: Node | None = None
    when_text: Expression | None = None
    otherwise: str | None = None
    chain: Chain = ()  # conditions around it, its own not included


@dataclass(frozen=True, slots=True)
class Row:
    """A list."""

    items: tuple[Part, ...]


Part: TypeAlias = "Const | Leaf | Link | Group | Row"


@dataclass(frozen=True, slots=True)
class Resource:
    """One block."""

    name: str
    type: str
    body: Group
    id_parts: tuple[Node, ...]
    id_text: Expression
    where: Where
    external: bool = False

    @property
    def scope(self) -> Scope:
        return self.body.scope


@dataclass(slots=True)
class Analysis:
    """`resources` in the order of the map; unusable when `issues` has an error."""

    model: SourceModel
    concepts: Concepts
    resources: list[Resource] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    record: Scope = field(default_factory=lambda: Scope("record", None, 1))
    nodes: Nodes = field(default_factory=Nodes)
    labels: dict[int, int] = field(default_factory=dict)
    topics: set[str] = field(default_factory=set)
    used: set[int] = field(default_factory=set)
    aside: dict[int, str] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


def analyse(map_: MapFile, model: SourceModel, concepts: Concepts) -> Analysis:
    """Check and resolve a whole map."""
    out = Analysis(model, concepts)
    out.record.parent = out.nodes.constant
    out.scopes = [out.nodes.constant, out.record]
    _Analyst(map_, out).run()
    return out


class _Analyst:
    def __init__(self, map_: MapFile, out: Analysis) -> None:
        self.map, self.out, self.model = map_, out, out.model
        self.builder = Builder(out.nodes, out.model, out.concepts, out.record)
        self.shared: dict[tuple[Hashable, ...], Scope] = {}
        self.block_scopes: dict[str, Scope] = {}
        self.used: set[int] = set()

    def run(self) -> None:
        out = self.out
        out.labels = self.builder.labels
        base = self.top_environment()
        places = {name: self.block_environment(b, base) for name, b in self.map.blocks.items()}
        self.block_scopes = {name: env.scope for name, env in places.items()}
        for name, block in self.map.blocks.items():
            if (resource := self.block(block, places[name])) is not None:
                out.resources.append(resource)
        out.topics = self.builder.topics
        out.used = self.used
        self.set_aside()
        for name, (expression, env) in base.let.items():
            self.node(expression, env, f"let.{name}")  # one that nothing uses is checked too

    # -- environments

    def top_environment(self) -> Environment:
        return self.with_let(Environment(self.out.record), self.map.let, self.map.where)

    def with_let(self, env: Environment, let: Mapping[str, Expression], where: Where) -> Environment:
        """A let expression sees what was in scope before it."""
        for name, expression in let.items():
            if name in self.model.index or name in self.model.groups:
                self.wrong(
                    "etl.map-argument",
                    expression.where,
                    function=name,
                    problem="is the name of a column; choose another",
                )
            env = replace(env, let={**env.let, name: (expression, env)})
        return env

    def block_environment(self, block: Block, env: Environment) -> Environment:
        for part in block.body.each:
            env = self.enter(env, part, block.body, share=True) or env
        return self.with_let(env, block.body.let, block.where)

    def enter(self, env: Environment, part: str | Expression, body: Object, share: bool) -> Environment | None:
        if isinstance(part, str):
            return self.enter_group(env, part, body, share)
        node = self.node(part, env, "$each")
        if node is None:
            return None
        if node.type not in ("string", "date"):
            self.wrong(
                "etl.map-argument", part.where, function="$each", problem="takes a group or texts: = x.split(';')"
            )
            return None
        scope = self.scope(env.scope, "values", body.item, share, node)
        item = self.out.nodes.make("item", (), "string", fact=scope.number, scope=scope, sure=True)
        return replace(env, scope=scope, items={**env.items, body.item: item})

    def enter_group(self, env: Environment, name: str, body: Object, share: bool) -> Environment | None:
        if name not in self.model.groups:
            near = nearest(name, self.model.groups)
            self.wrong("etl.map-name", body.where, name=name, alternatives=near)
            return None
        scope = self.scope(env.scope, "group", name, share, None)
        return replace(env, scope=scope, groups={**env.groups, name: scope})

    def scope(self, parent: Scope, kind: str, name: str, share: bool, source: Node | None) -> Scope:
        """Blocks with the same path share a scope; a $each inside an object has its own."""
        path = (*parent.path, (kind, name, id(source)))
        if share and path in self.shared:
            return self.shared[path]
        found = Scope(kind, parent, len(self.out.scopes), name, source, path, share)
        self.out.scopes.append(found)
        if share:
            self.shared[path] = found
        return found

    # -- blocks

    def block(self, block: Block, env: Environment) -> Resource | None:
        ident = block.body.members.get("id")
        body = self.object(block.body, block.type, block.type, env, (), loops=(), skip=("resourceType", "id"))
        if not isinstance(ident, Expression):
            self.wrong("etl.map-argument", block.where, function="id", problem="must be = id(part, ...)")
            return None
        try:
            parts = self.builder.id_parts(ident.tree, env)
        except Refused as refused:
            self.refuse(refused, ident)
            return None
        for p in parts:
            self.note_uses(p)
        return Resource(block.name, block.type, body, parts, ident, block.where, block.external)

    # -- values

    def object(
        self, body: Object, type_: str, path: str, env: Environment, chain: Chain,
        loops: tuple[Scope, ...], skip: tuple[str, ...] = (),
    ) -> Group:  # fmt: skip
        when = self.condition(body, env)
        inner = (*chain, when) if when is not None else chain
        members: list[tuple[str, Part]] = []
        for name, value in body.members.items():
            if name in skip:
                continue
            part = self.member(name, value, type_, f"{path}.{name}", env, inner)
            if part is not None:
                members.append((name, part))
        return Group(tuple(members), path, body.where, env.scope, loops, when, body.when, body.otherwise, chain)

    def condition(self, body: Object, env: Environment) -> Node | None:
        if body.when is None:
            return None
        node = self.node(body.when, env, "$when")
        if node is None:
            return None
        if node.type not in ("boolean", "empty") or node.many:
            self.wrong(
                "etl.map-argument",
                body.when.where,
                function="$when",
                problem="must be true or false: x.exists(), x = '1'",
            )
            return None
        return node

    def member(self, name: str, value: Value, type_: str, path: str, env: Environment, chain: Chain) -> Part | None:
        slot = shape.slots(type_).get(name)
        if slot is None:
            near = nearest(name, shape.slots(type_))
            self.wrong("etl.map-element", value.where, element=name, of=type_, alternatives=near)
            return None
        if isinstance(value, Sequence) != slot.is_list:
            expected = "a list: start the line with '- '" if slot.is_list else "a single value, no list"
            self.wrong("etl.map-shape", value.where, what=path, expected=expected)
            return None
        if isinstance(value, Sequence):
            items = [self.item(v, slot, path, env, chain, type_, name) for v in value.items]
            return Row(tuple(i for i in items if i is not None))
        return self.item(value, slot, path, env, chain, type_, name, single=True)

    def item(
        self, value: Value, slot: shape.Slot, path: str, env: Environment, chain: Chain,
        type_: str, name: str, single: bool = False,
    ) -> Part | None:  # fmt: skip
        if isinstance(value, Literal):
            return self.literal(value, slot, path)
        if isinstance(value, Expression):
            return self.leaf(
                value, slot, path, env, chain, identifies=(type_, name) == ("Identifier", "value"), single=single
            )
        if isinstance(value, Sequence):
            self.wrong("etl.map-shape", value.where, what=path, expected="no list inside a list")
            return None
        return self.nested(value, slot, path, env, chain, single)

    def literal(self, value: Literal, slot: shape.Slot, path: str) -> Part | None:
        problem = shape.literal_problem(value.value, slot)
        if problem is None:
            return Const(value.value)
        self.wrong("etl.map-type", value.where, path=path, problem=problem[0], alternatives=problem[1])
        return None

    def nested(
        self, value: Object, slot: shape.Slot, path: str, env: Environment, chain: Chain, single: bool
    ) -> Part | None:
        if shape.is_primitive(slot.type):
            self.wrong("etl.map-shape", value.where, what=path, expected=f"a {slot.type}, no object")
            return None
        if value.each and single:
            self.wrong("etl.map-shape", value.where, what=path, expected="no $each: this element does not repeat")
            return None
        outer = len(self.out.scopes)
        for part in value.each:
            env = self.enter(env, part, value, share=False) or env
        loops = tuple(self.out.scopes[outer:])
        return self.object(value, slot.type, path, self.with_let(env, value.let, value.where), chain, loops)

    def leaf(
        self, value: Expression, slot: shape.Slot, path: str, env: Environment, chain: Chain,
        *, identifies: bool, single: bool,
    ) -> Part | None:  # fmt: skip
        if isinstance(value.tree, t.Call) and value.tree.name == "reference":
            return self.link(value, slot, path, env, single)
        node = self.node(value, env, path, identifies=identifies)
        if node is None or node.type == "empty":
            return None
        if slot.type not in shape.FILLS.get(node.type, frozenset()):
            self.wrong(
                "etl.map-type",
                value.where,
                path=path,
                problem=f"the expression gives {node.type}, {slot.type} is expected",
                alternatives=slot.type,
            )
            return None
        if node.many and single:
            self.wrong("etl.map-shape", value.where, what=path, expected="one value; the expression gives several")
            return None
        return Leaf(node, path, value, env.scope, chain)

    # -- references

    def link(self, value: Expression, slot: shape.Slot, path: str, env: Environment, single: bool) -> Part | None:
        name = _block_name(value.tree)
        if slot.type != "Reference" or name is None:
            self.wrong(
                "etl.map-reference",
                value.where,
                block=name or "",
                problem="reference(block) fills an element of type Reference",
                alternatives="subject: = reference(patient)",
            )
            return None
        if name not in self.map.blocks:
            self.wrong(
                "etl.map-reference",
                value.where,
                block=name,
                problem="no such block",
                alternatives=nearest(name, self.map.blocks),
            )
            return None
        target = self.map.blocks[name]
        allowed = slot.element.targets
        if allowed and target.type not in allowed and "Resource" not in allowed:
            self.wrong(
                "etl.map-reference",
                value.where,
                block=name,
                problem=f"{path} can't point to {target.type}",
                alternatives=", ".join(allowed),
            )
            return None
        return self.reach(value, path, env.scope, name, single)

    def reach(self, value: Expression, path: str, here: Scope, name: str, single: bool) -> Part | None:
        """Same scope or outside: one. Further inside: all, as items of a list. Else refused."""
        there, resource_scope = self.block_scopes[name], _resource_level(here)
        if here.within(there):
            return Link(name, False, path, value)
        if there.within(resource_scope) and not single:
            return Link(name, True, path, value)
        problem = (
            "stands under another $each"
            if not there.within(resource_scope)
            else "gives several: only as item of a list"
        )
        reachable = [n for n, s in self.block_scopes.items() if here.within(s)]
        self.wrong("etl.map-reference", value.where, block=name, problem=problem, alternatives=", ".join(reachable))
        return None

    # -- expressions

    def node(self, expression: Expression, env: Environment, path: str, *, identifies: bool = False) -> Node | None:
        try:
            node = self.builder.build(expression.tree, env)
        except Refused as refused:
            self.refuse(refused, expression)
            return None
        if path.startswith("let."):
            return node
        self.note_uses(node)
        if not identifies and (leak := _personal(node, self.model)):
            self.wrong("etl.map-personal", expression.where, column=leak, path=path)
        return node

    def note_uses(self, node: Node) -> None:
        self.used.update(u.position for u in uses(node, self.out.labels))

    def refuse(self, refused: Refused, expression: Expression) -> None:
        self.wrong(refused.rule, expression.where, position=refused.at + 1, expression=expression.text, **refused.facts)

    # -- columns nobody uses

    def set_aside(self) -> None:
        for entry in self.map.set_aside:
            for name in entry.columns:
                if name not in self.model.index:
                    self.wrong(
                        "etl.map-set-aside",
                        entry.where,
                        column=name,
                        problem="is not a column",
                        alternatives=nearest(name, self.model.index),
                    )
                elif self.model.index[name] not in self.used:
                    self.out.aside[self.model.index[name]] = entry.reason
                elif entry.where.file == self.map.where.file:
                    self.wrong(
                        "etl.map-set-aside",
                        entry.where,
                        column=name,
                        problem="is used by the map",
                        alternatives="one of the two",
                    )

    def wrong(self, rule: str, where: Where, **facts: Any) -> None:
        found = issue(rule, where.place, **facts)
        if found not in self.out.issues:
            self.out.issues.append(found)


def parts(part: Part) -> Iterator[Part]:
    """A part and all below it."""
    yield part
    inside = [member for _, member in part.members] if isinstance(part, Group) else []
    for inner in part.items if isinstance(part, Row) else inside:
        yield from parts(inner)


def leaves(part: Part) -> Iterator[Leaf]:
    """All leaves from a part down."""
    return (p for p in parts(part) if isinstance(p, Leaf))


def groups(part: Part) -> Iterator[Group]:
    """All objects from a part down, itself first."""
    return (p for p in parts(part) if isinstance(p, Group))


def links(part: Part) -> Iterator[Link]:
    """All references from a part down."""
    return (p for p in parts(part) if isinstance(p, Link))


def _resource_level(scope: Scope) -> Scope:
    while not scope.resource_level and scope.parent is not None:
        scope = scope.parent
    return scope


def _block_name(tree: t.Tree) -> str | None:
    if isinstance(tree, t.Call) and tree.of is None and len(tree.args) == 1 and isinstance(tree.args[0], t.Name):
        return tree.args[0].name
    return None


def _personal(node: Node, model: SourceModel) -> str | None:
    """A column that identifies a person and is not behind pseudonym()."""
    if node.op == "pseudonym" or node.op in ("exists", "empty", "count", "known"):
        return None
    if node.op == "column" and isinstance(node.fact, int) and model.columns[node.fact].personal == "identifier":
        return model.columns[node.fact].id
    return next((leak for a in node.args if (leak := _personal(a, model))), None)
