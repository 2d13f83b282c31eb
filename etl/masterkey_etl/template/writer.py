"""From the analysis to Python source: one function per map, straight-line code over local variables.

    def bind(ctx):            # once per site: keys, constants
        def run(record):      # once per record
            columns -> shared values -> which blocks -> items of groups -> objects -> what was left over
        return run

Names: `v7` column 7, `t12` a shared value, `i_x` the id of block x (None: not emitted), `u7`/`m7`/`s7` whether
column 7 was used, lacked a concept, was set aside by an `$else` (the rest is derived, so a clean record costs
almost nothing), `k3` a subtree of literals, made once. Generated code is a cache: readable, never edited, never
committed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from masterkey_etl.template import runtime
from masterkey_etl.template.analysis import (
    Analysis,
    Chain,
    Const,
    Group,
    Leaf,
    Link,
    Part,
    Resource,
    Row,
    groups,
    leaves,
    links,
)
from masterkey_etl.template.nodes import Node, Scope, lookups, origins, uses
from masterkey_etl.template.shared_values import Values


@dataclass(slots=True)
class Written:
    """Source text, the constants it needs, and what the numbers in its notes mean."""

    source: str
    constants: dict[str, Any]
    reasons: list[str]  # s7 = 1 is reasons[0]
    topics: list[str]  # m7 = 1 is topics[0]
    conditions: list[Group]
    resources: list[Resource]


def write(analysis: Analysis) -> Written:
    return _Writer(analysis).write()


# Notes that are not about an unused value (see `settle.py`)
CONDITION, NO_ID, SAME_ID = -1, -2, -3


class _Writer(Values):
    # -- the whole

    def write(self) -> Written:
        with self.block("def bind(ctx):"):
            self.line("site, once, settle = ctx.site, ctx.once, ctx.settle")
            self.line("keyed, hide = ctx.keyed, ctx.hide")
            self.temps(self.a.nodes.constant)
            for r in self.a.resources:
                self.prefix(r)
            with self.block("def run(record):"):
                self.run()
            self.line("return run")
        head, *body = self.lines
        shared = [f"{name} = {code}" for code, name in self.subtrees.items()]
        prefixes = [f"    {name} = {code}" for name, code in self.prefixes.items()]
        source = "\n".join([*shared, head, body[0], *prefixes, *body[1:]]) + "\n"
        constants = {**vars(runtime), "Decimal": Decimal, **self.constants}
        return Written(source, constants, self.reasons, self.topics, self.conditions, self.a.resources)

    def prefix(self, r: Resource) -> None:
        self.line(f"p_{r.name} = framed(site, {r.name!r}) + '|'")
        if r.name in self.constant_blocks:
            self.line(f"i_{r.name} = {self.id_code(r)}")

    def run(self) -> None:
        self.line("V, G, notes, out, more, where = record.values, record.groups, [], [], [], []")
        self.list_flags()
        for r in self.a.resources:
            if r.scope is not self.a.record:
                self.line(f"d_{r.name} = {{}}")
        self.scope_body(self.a.record, "record")
        self.list_accounts()
        with self.block("if notes:"):
            self.line("settle(record, notes)")
        self.line("return out, more, where")

    def scope_body(self, scope: Scope, owner: str) -> None:
        """Everything of one scope: values, findings, which blocks, inner scopes, objects, accounts."""
        here = [r for r in self.a.resources if r.scope is scope and r.name not in self.constant_blocks]
        inner = [s for s in self.a.scopes if s.parent is scope and s.resource_level and s.kind in ("group", "values")]
        self.columns(scope)
        self.flags(scope)
        for target in self.collected(scope):
            self.line(f"r_{target}_{scope.number} = []")
        self.temps(scope)
        for r in here:
            self.findings(r.body, scope, owner)
        for r in here:
            self.decide(r, owner)
        for s in inner:
            self.loop(s)
        if scope is self.a.record:
            for name in self.constant_blocks:
                if not self.resources[name].external:
                    self.emit_once(self.resources[name])
        for r in here:
            self.emit(r, owner)
        self.accounts(scope, owner)

    # -- findings: missing concepts, $else, empty conditions

    def findings(self, body: Group, scope: Scope, owner: str) -> None:
        """Of all parts of an object that are evaluated in this scope."""
        for leaf in leaves(body):
            if leaf.scope is scope:
                self.missing(leaf.node, leaf.chain)
        for group in groups(body):
            if group.scope is scope and group.when is not None:
                self.missing(group.when, group.chain)
                self.excuse(group, owner)

    def missing(self, node: Node, chain: Chain) -> None:
        """Mark the columns of a value that has no concept, under the conditions that let them be asked."""
        for found, conditions in lookups(node):
            assert isinstance(found.fact, tuple)
            marks: dict[str, dict[str, None]] = {}
            for use in origins(found, {}):
                tests = [self.condition(*c) for c in (*conditions, *use.conditions)]
                test = self.all(chain, self.unknown(found), *dict.fromkeys(tests))
                marks.setdefault(test, {})[self.flag("m", use)] = None
            for test, flags in marks.items():
                self.line(f"if {test}: {' = '.join(flags)} = {self.topic(found.fact[0])}")

    def topic(self, name: str) -> int:
        if name not in self.topics:
            self.topics.append(name)
        return self.topics.index(name) + 1

    def condition(self, sign: str, node: Node) -> str:
        if node.sure and sign in ("some", "none"):
            return str(sign == "some")
        forms = {"true": "{} is True", "false": "{} is not True", "some": "{} is not None", "none": "{} is None"}
        return forms[sign].format(self.var(node))

    def all(self, chain: Chain, *tests: str) -> str:
        return " and ".join([*tests, *(f"{self.var(w)} is True" for w in chain)])

    def excuse(self, group: Group, owner: str) -> None:
        assert group.when is not None
        when = self.var(group.when)
        if group.otherwise is None:
            if not group.when.sure:
                self.conditions.append(group)
                note = f"notes.append(({CONDITION}, {owner}, {len(self.conditions) - 1}, 0))"
                self.line(f"if {self.all(group.chain, f'{when} is None')}: {note}")
            return
        marks = self.excuses(group)
        if marks:
            with self.block(f"if {self.all(group.chain, f'{when} is not True')}:"):
                for m in marks:
                    self.line(m)

    def excuses(self, group: Group) -> list[str]:
        assert group.otherwise is not None
        if group.otherwise not in self.reasons:
            self.reasons.append(group.otherwise)
        number = self.reasons.index(group.otherwise) + 1
        plain: dict[str, None] = {}
        for use in self.group_uses(group):
            if use.position in self.plan.sure:
                continue
            if self.is_plain(use.scope) or group.scope.within(use.scope):
                plain[self.flag("s", use)] = None
            else:
                plain[f"S{use.position}[:]"] = None
        lists = [f"{k} = [{number}] * len({k[:-3]})" for k in plain if k.endswith("[:]")]
        single = [k for k in plain if not k.endswith("[:]")]
        return lists + ([" = ".join(single) + f" = {number}"] if single else [])

    # -- which blocks

    def decide(self, r: Resource, owner: str) -> None:
        """`i_name`: the id when the block is emitted, else None."""
        test = self.emitted(r.body)
        if any(p.sure for p in r.id_parts):
            self.line(f"i_{r.name} = {self.id_code(r)}" + (f" if {test} else None" if test else ""))
            return
        parts = " or ".join(f"{self.var(p)} is not None" for p in r.id_parts)
        self.line(f"i_{r.name} = None")
        with self.block(f"if {test or 'True'}:"):
            self.line(f"if {parts}: i_{r.name} = {self.id_code(r)}")
            self.line(f"else: notes.append(({NO_ID}, {owner}, {self.a.resources.index(r)}, 0))")

    def emitted(self, body: Group) -> str:
        """The test for a block; "" = always."""
        if body.when is not None:
            return f"{self.var(body.when)} is True"
        return self.some(body, with_links=False)

    def some(self, group: Group, *, with_links: bool) -> str:
        """The test whether an object has content; "" = always (or it holds literals only)."""
        tests: dict[str, None] = {}
        for _, member in group.members:
            for test in self.content(member, with_links):
                if test == "True":
                    return ""
                tests[test] = None
        return " or ".join(tests)

    def content(self, part: Part, with_links: bool) -> Iterator[str]:
        if isinstance(part, Leaf):
            yield self.present(part.node) or "True"
        elif isinstance(part, Link) and with_links:
            yield self.link_test(part)
        elif isinstance(part, Row):
            for item in part.items:
                yield from self.content(item, with_links)
        elif isinstance(part, Group):
            yield from self.group_content(part, with_links)

    def group_content(self, part: Group, with_links: bool) -> Iterator[str]:
        if part.loops:
            scope = part.loops[0]
            yield f"G.get({scope.name!r})" if scope.source is None else self.present(scope.source) or "True"
        elif part.when is not None:
            yield f"{self.var(part.when)} is True"
        elif any(True for _ in leaves(part)) or (with_links and any(True for _ in links(part))):
            yield self.some(part, with_links=with_links) or "True"

    def present(self, node: Node) -> str:
        """The test whether a leaf has a value; "" = always. An empty text is none (FHIR strings are never empty)."""
        name = self.var(node)
        if node.many:
            return name
        if node.sure and node.op == "column":
            return ""
        if node.type == "string" and node.op not in ("column", "item", "site", "pseudonym"):
            return "" if node.op == "literal" and node.fact else name
        return "" if node.sure else f"{name} is not None"

    def id_code(self, r: Resource) -> str:
        """`keyed(...)` over (site, block, parts), framed as `runtime.framed` does, in one f-string."""
        if any(p.op == "literal" for p in r.id_parts):
            return f"keyed(p_{r.name} + framed({', '.join(self.var(p) for p in r.id_parts)}))"
        only = len(r.id_parts) == 1  # then the caller has seen that it is not empty
        framed = "|".join(self.framed(p, p.sure or only) for p in r.id_parts)
        return f'keyed(f"{{p_{r.name}}}{framed}")'

    def framed(self, part: Node, sure: bool) -> str:
        name = self.var(part)
        if part.type not in ("string", "date"):
            return f"{{frame({name})}}"
        return (
            f"{{len({name})}}:{{{name}}}" if sure else f"{{'-' if {name} is None else f'{{len({name})}}:{{{name}}}'}}"
        )

    # -- loops

    def loop(self, scope: Scope) -> None:
        with self.loop_head(scope):
            self.scope_body(scope, self.owner(scope))

    @contextmanager
    def loop_head(self, scope: Scope) -> Iterator[None]:
        n = scope.number
        if scope.kind == "group":
            head = f"for n{n}, g{n} in enumerate(G.get({scope.name!r}, ())):"
            with self.block(head):
                self.line(f"W{n} = g{n}.values")
                yield
            return
        assert scope.source is not None
        name = self.var(scope.source)
        several = f"({name} or ())" if scope.source.many else f"(({name},) if {name} is not None else ())"
        with self.block(f"for i{n} in {several}:"):
            self.line(f"if not i{n}: continue")
            self.used(scope.source)
            yield

    def owner(self, scope: Scope) -> str:
        """The Record that a finding of this scope is about."""
        while scope.kind == "values" and scope.parent is not None:
            scope = scope.parent
        return f"g{scope.number}" if scope.kind == "group" else "record"

    # -- objects

    def collected(self, scope: Scope) -> list[str]:
        """Blocks further inside, to which a block of this scope refers."""
        here = [r for r in self.a.resources if r.scope is scope]
        return list(dict.fromkeys(k.block for r in here for k in links(r.body) if k.many))

    def emit_once(self, r: Resource) -> None:
        with self.block(f"if {r.name!r} not in once:"):
            self.line(f"once.add({r.name!r})")
            self.build_resource(r)
            self.line(f"out.append(({r.name!r}, o_{r.name}))")

    def emit(self, r: Resource, owner: str) -> None:
        if r.external:
            return
        with self.when(self.has_id(r.name)):
            self.build_resource(r)
            for part in r.id_parts:
                self.used(part)
            self.keep(r, owner)
            for scope in self.a.scopes:
                if r.scope is not scope and r.scope.within(scope) and r.name in self.collected(scope):
                    self.line(f"r_{r.name}_{scope.number}.append({r.type + '/'!r} + i_{r.name})")

    @contextmanager
    def when(self, test: str) -> Iterator[None]:
        """What follows happens under a test ("" = always), and need not ask it again."""
        if not test:
            yield
            return
        before = self.known
        self.known = before | {test}
        with self.block(f"if {test}:"):
            yield
        self.known = before

    def keep(self, r: Resource, owner: str) -> None:
        """Equal resources of one record are one, of all their rows; different ones with one id are a finding."""
        if r.scope is self.a.record:
            self.line(f"out.append(({r.name!r}, o_{r.name}))")
            return
        self.line(f"d = d_{r.name}.setdefault(i_{r.name}, o_{r.name})")
        self.line(f"if d is o_{r.name}: more.append(({r.name!r}, d)); where.append({owner}.rows)")
        self.line(f"elif d == o_{r.name}: also_from(more, where, d, {owner}.rows)")
        self.line(f"else: notes.append(({SAME_ID}, {owner}, {self.a.resources.index(r)}, 0))")

    def build_resource(self, r: Resource) -> None:
        head = f"'resourceType': {r.type!r}, 'id': i_{r.name}"
        self.object(r.body, f"o_{r.name}", head)

    def object(self, group: Group, name: str, head: str = "") -> None:
        """Statements that make an object: what is certain in one display, the rest by tests, in map order."""
        pieces, rest = [head] if head else [], list(group.members)
        while rest and (code := self.inline(rest[0][1])) is not None:
            pieces.append(f"{rest[0][0]!r}: {code}")
            rest.pop(0)
        self.line(f"{name} = {{{', '.join(pieces)}}}")
        if group.when is not None:
            self.used(group.when)
        for key, part in group.members:
            if (key, part) not in rest:
                self.used_parts(part)
        for key, part in rest:
            self.member(part, f"{name}[{key!r}] = {{}}")

    def member(self, part: Part, put: str) -> None:
        """Statements that put a part in its place when it has content. `put` is `o['x'] = {}`."""
        if (code := self.inline(part)) is not None:
            self.line(put.format(code) if "{}" in put else put)
            self.used_parts(part)
        elif isinstance(part, Leaf):
            with self.when(self.present(part.node)):
                self.line(_put(put, self.var(part.node)))
                self.used(part.node)
        elif isinstance(part, Link):
            with self.when(self.link_test(part)):
                self.line(_put(put, self.link_code(part)))
        elif isinstance(part, Group):
            self.group(part, put)
        elif isinstance(part, Row):
            self.row(part, put)

    def group(self, part: Group, put: str) -> None:
        test = f"{self.var(part.when)} is True" if part.when is not None else self.some(part, with_links=True)
        with self.when(test):
            if (code := self.members_code(part)) is not None:
                self.line(_put(put, code))
                self.used_all(part)
                return
            name = self.fresh("o")
            self.object(part, name)
            certain = any(self.inline(m) is not None for _, m in part.members)
            if part.when is not None and not certain:
                self.line(f"if {name}: {_put(put, name)}")
            else:
                self.line(_put(put, name))

    def row(self, part: Row, put: str) -> None:
        if len(part.items) == 1 and not _splices(part.items[0]):
            self.member(part.items[0], put.replace("{}", "[{}]"))
            return
        name = self.fresh("l")
        self.line(f"{name} = []")
        for item in part.items:
            self.item(item, name)
        self.line(f"if {name}: {_put(put, name)}")

    def item(self, part: Part, name: str) -> None:
        if isinstance(part, Leaf) and part.node.many:
            with self.block(f"if {self.var(part.node)}:"):
                self.line(f"{name}.extend(x for x in {self.var(part.node)} if x)")
                self.used(part.node)
        elif isinstance(part, Link) and part.many:
            self.line(f"{name}.extend({{'reference': x}} for x in dict.fromkeys({self.link_list(part)}))")
        elif isinstance(part, Group) and part.loops:
            self.looped(part, name)
        else:
            self.member(part, f"{name}.append({{}})")

    def looped(self, part: Group, name: str) -> None:
        """A $each inside an object: its values and findings are those of its own scopes."""
        with self.nested(part.loops):
            scope = part.loops[-1]
            self.findings(part, scope, self.owner(scope))
            self.group(part, f"{name}.append({{}})")

    @contextmanager
    def nested(self, scopes: tuple[Scope, ...]) -> Iterator[None]:
        head, *rest = scopes
        with self.loop_head(head):
            self.columns(head)
            self.temps(head)
            if rest:
                with self.nested(tuple(rest)):
                    yield
            else:
                yield

    def inline(self, part: Part) -> str | None:
        """An expression for a part that is always there; None when it depends on the record."""
        if _is_literal(part):
            return self.subtree(part)
        if isinstance(part, Leaf):
            return self.var(part.node) if self.certain(self.present(part.node)) and not part.node.many else None
        if isinstance(part, Link):
            return self.link_code(part) if not part.many and self.certain(self.link_test(part)) else None
        if isinstance(part, Group):
            return self.members_code(part) if part.when is None and not part.loops else None
        if isinstance(part, Row):
            items = [self.inline(i) for i in part.items]
            return None if not items or None in items else f"[{', '.join(i for i in items if i)}]"
        return None

    def certain(self, test: str) -> bool:
        return not test or test in self.known

    def members_code(self, part: Group) -> str | None:
        """A display of the members when all of them are certain here."""
        members = [(k, self.inline(m)) for k, m in part.members]
        if not members or any(code is None for _, code in members):
            return None
        return "{" + ", ".join(f"{k!r}: {code}" for k, code in members) + "}"

    def subtree(self, part: Part) -> str:
        """Literals: every resource holds the same dict or list, since nobody changes a resource in place."""
        if isinstance(part, Const):
            return self.const(part.value)
        return self.subtrees.setdefault(self.display(part), f"k{len(self.subtrees) + 1}")

    def display(self, part: Part) -> str:
        """Python's text for literals."""
        if isinstance(part, Group):
            return "{" + ", ".join(f"{k!r}: {self.display(m)}" for k, m in part.members) + "}"
        if isinstance(part, Row):
            return f"[{', '.join(map(self.display, part.items))}]"
        assert isinstance(part, Const)
        return self.const(part.value)

    def const(self, value: Any) -> str:
        if isinstance(value, Decimal):
            return self.constant(f"D{value}".replace(".", "_").replace("-", "m"), value)
        return repr(value)

    # -- links

    def link_test(self, link: Link) -> str:
        return self.link_list(link) if link.many else self.has_id(link.block)

    def has_id(self, block: str) -> str:
        """The test whether a block is emitted; "" = always."""
        r = self.resources[block]
        always = any(p.sure for p in r.id_parts) and not self.emitted(r.body) and not r.body.loops
        return "" if always and r.scope is self.a.record else f"i_{block} is not None"

    def link_list(self, link: Link) -> str:
        owner = next(r for r in self.a.resources if any(k is link for k in links(r.body)))
        return f"r_{link.block}_{owner.scope.number}"

    def link_code(self, link: Link) -> str:
        return f"{{'reference': {self.resources[link.block].type + '/'!r} + i_{link.block}}}"

    # -- use

    def used_all(self, group: Group) -> None:
        if group.when is not None:
            self.used(group.when)
        self.used_parts(group)

    def used_parts(self, part: Part) -> None:
        for leaf in leaves(part):
            self.used(leaf.node)

    def used(self, node: Node) -> None:
        """Mark the columns a value came from. Those that are always used have no flag."""
        certain: dict[str, None] = {}
        for use in uses(node, self.labels):
            if use.position in self.plan.sure and self.is_plain(use.scope):
                continue
            flag = self.flag("u", use)
            if use.conditions:
                tests = " and ".join(self.condition(*c) for c in use.conditions)
                self.line(f"if {tests}: {flag} = True")
            else:
                certain[flag] = None
        if certain:
            self.line(" = ".join(certain) + " = True")


def _is_literal(part: Part) -> bool:
    """Does it hold literals only (and at least one)?"""
    if isinstance(part, Group):
        plain = part.when is None and not part.loops and bool(part.members)
        return plain and all(_is_literal(m) for _, m in part.members)
    return bool(part.items) and all(map(_is_literal, part.items)) if isinstance(part, Row) else isinstance(part, Const)


def _put(put: str, code: str) -> str:
    return put.replace("{}", code, 1)


def _splices(part: Part) -> bool:
    """May this list item give several?"""
    return (
        (isinstance(part, Leaf) and part.node.many)
        or (isinstance(part, Link) and part.many)
        or (isinstance(part, Group) and bool(part.loops))
    )
