"""Columns, their flags, and the values that leaves share, as lines of generated code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import takewhile
from typing import Any

from masterkey_etl import values
from masterkey_etl.template import runtime
from masterkey_etl.template.nodes import Node, Scope, Use
from masterkey_etl.template.plan import Planned, is_of_text

UNREADABLE = -1  # in a note, in place of a topic


class Values(Planned):
    """Needs the plan; knows nothing of objects."""

    # -- columns and their flags

    def value_name(self, position: int, scope: Scope) -> str:
        return f"v{position}" if scope is self.a.record else f"v{position}_{scope.number}"

    def columns(self, scope: Scope) -> None:
        for position in sorted(self.plan.read.get(scope, ())):
            cell = self.cell(position, scope)
            name = self.value_name(position, scope)
            memo = self.memo(position)
            keyed = position in self.model.key_positions  # never empty: see expressions.column
            self.line(f"{name} = {memo}[{cell}]" if memo else f"{name} = {cell}" + ("" if keyed else " or None"))

    def cell(self, position: int, scope: Scope) -> str:
        if scope is self.a.record:
            return f"V[{position}]"
        return f"W{scope.number}[{self.model.group_positions(scope.name).index(position)}]"

    def memo(self, position: int) -> str | None:
        """The memory of a column's converter, one for all columns of a kind; None for texts."""
        column = self.model.columns[position]
        convert = _converter(column)
        if convert is None:
            return None
        alike = (column.type, column.min, column.max, tuple(column.formats), column.calendar)
        name = self.memos.setdefault(alike, f"C{position}")
        return name if name in self.constants else self.constant(name, runtime.Memo(convert))

    def flags(self, scope: Scope) -> None:
        if not self.is_plain(scope):
            return
        here = sorted(self.plan.columns.get(scope, ()))
        for letter, positions, start in (
            ("u", [p for p in here if p not in self.plan.sure], "False"),
            ("m", [p for p in here if p in self.plan.looked_up], "0"),
            ("s", [p for p in here if p in self.plan.excused and p not in self.plan.sure], "0"),
        ):
            if positions:
                self.line(" = ".join(f"{letter}{p}" for p in positions) + f" = {start}")

    def listed(self) -> Iterator[tuple[str, list[int]]]:
        """Groups whose flags are lists, with the columns used in them."""
        found: dict[str, set[int]] = {}
        for scope, positions in self.plan.columns.items():
            if scope.kind == "group" and not self.is_plain(scope):
                found.setdefault(scope.name, set()).update(positions)
        return ((name, sorted(positions)) for name, positions in found.items())

    def list_flags(self) -> None:
        for name, positions in self.listed():
            count = self.fresh("n")
            self.line(f"{count} = len(G.get({name!r}, ()))")
            for p in positions:
                self.line(f"U{p}, M{p}, S{p} = [False] * {count}, [0] * {count}, [0] * {count}")

    def flag(self, letter: str, use: Use) -> str:
        if self.is_plain(use.scope):
            return f"{letter}{use.position}"
        return f"{letter.upper()}{use.position}[n{use.scope.number}]"

    def accounts(self, scope: Scope, owner: str) -> None:
        """What no emitted value used, lacked a concept, or could not be read."""
        if not self.is_plain(scope):
            return
        for p in sorted(self.plan.columns.get(scope, ())):
            value = self.value_name(p, scope)
            excuse = f"s{p}" if p in self.plan.excused else "0"
            unused = f"if not u{p} and {value} is not None: notes.append(({p}, {owner}, 0, {excuse}))"
            if p in self.plan.looked_up:
                self.line(f"if m{p} and {value} is not None: notes.append(({p}, {owner}, m{p}, 0))")
                unused = f"el{unused}"
            if p not in self.plan.sure:
                self.line(unused)
            if self.memo(p):
                self.line(
                    f"if {value} is None and {self.cell(p, scope)}: notes.append(({p}, {owner}, {UNREADABLE}, 0))"
                )

    def list_accounts(self) -> None:
        for name, positions in self.listed():
            order = self.model.group_positions(name)
            with self.block(f"for n, g in enumerate(G.get({name!r}, ())):"):
                for p in positions:
                    self.list_account(p, f"g.values[{order.index(p)}]")

    def list_account(self, p: int, cell: str) -> None:
        tests = [(f"M{p}[n] and {cell}", f"M{p}[n], 0"), (f"not U{p}[n] and {cell}", f"0, S{p}[n]")]
        if memo := self.memo(p):
            tests.insert(0, (f"{cell} and {memo}[{cell}] is None", f"{UNREADABLE}, 0"))
        for word, (test, what) in zip(("if", "elif", "elif"), tests, strict=False):
            self.line(f"{word} {test}: notes.append(({p}, g, {what}))")

    # -- shared values

    def temps(self, scope: Scope) -> None:
        """Every needed value of this scope, parts first."""
        for node in sorted(self.plan.needed, key=lambda n: n.number):
            if node.scope is scope and node.op not in _NAMED:
                self.line(f"t{node.number} = {self.code(node)}")

    def var(self, node: Node) -> str:
        match node.op:
            case "literal":
                return self.literal(node)
            case "column":
                assert isinstance(node.fact, int)
                return self.value_name(node.fact, node.scope)
            case "item":
                return f"i{node.fact}"
            case "site":
                return "site"
            case "regex":
                return self.constant(f"R{node.number}", _pattern(str(node.fact)))
            case "template":
                return repr(runtime.replacement(str(node.fact)))
            case "group":
                return f"G.get({node.fact!r}, ())"
        return f"t{node.number}"

    def literal(self, node: Node) -> str:
        if isinstance(node.fact, Decimal):
            return self.constant(f"K{node.number}", node.fact)
        return repr(node.fact)

    def code(self, node: Node) -> str:
        special = getattr(self, f"code_{node.op}", None)
        if special is not None:
            return str(special(node))
        names = [self.var(a) for a in node.args]
        return self.guarded(str(node.fact).format(*names), node.args)

    def guarded(self, code: str, args: Iterable[Node]) -> str:
        guards = " and ".join(dict.fromkeys(f"{self.var(a)} is not None" for a in args if not a.sure))
        return f"({code}) if {guards} else None" if guards else code

    def code_lookup(self, node: Node) -> str:
        assert isinstance(node.fact, tuple)
        topic, by_label = node.fact
        name = f"L{node.number}"
        self.constant(name, self.a.concepts.table(topic, by_label).get)
        return f"{name}({self.var(node.args[0])})"

    def code_coding(self, node: Node) -> str:
        rows, *version = (self.var(a) for a in node.args)
        if not version and not node.many:
            return self.guarded(f"{rows}[0]", node.args[:1])
        helper = "coding" if node.many else "one_coding"
        return self.guarded(f"{helper}({', '.join([rows, *version])})", node.args[:1])

    def code_codeable(self, node: Node) -> str:
        if not is_of_text(node):
            return f"codeable({', '.join(self.var(a) for a in node.args)})"
        # one object per text, shared by all resources (which nobody changes in place)
        found, text = node.args
        assert isinstance(found.fact, tuple)
        look_up = self.a.concepts.table(*found.fact).get
        memo = runtime.Memo(lambda said: runtime.codeable(look_up(said), said))
        return f"{self.constant(f'X{node.number}', memo)}[{self.var(text)}]"

    def unknown(self, lookup: Node) -> str:
        """The test whether there is a value and no concept for it."""
        assert isinstance(lookup.fact, tuple)
        topic, by_label = lookup.fact
        known = frozenset((*self.a.concepts.table(topic, by_label), "", None))
        name = self.tables.setdefault(lookup.fact, f"T{lookup.number}")
        return f"{self.var(lookup.args[0])} not in {self.constant(name, known)}"

    def code_known(self, node: Node) -> str:
        return f"{self.var(node.args[0])} is not None"

    def code_exists(self, node: Node) -> str:
        value = node.args[0]
        if value.many:
            return f"bool({self.var(value)})"
        return "True" if value.sure else f"{self.var(value)} is not None"

    def code_empty(self, node: Node) -> str:
        return f"not ({self.code_exists(node)})"

    def code_count(self, node: Node) -> str:
        value = node.args[0]
        return f"len({self.var(value)} or ())" if value.many else f"int({self.code_exists(node)})"

    def code_coalesce(self, node: Node) -> str:
        tried = list(takewhile(lambda a: not a.sure, node.args))
        *head, last = (self.var(a) for a in node.args[: len(tried) + 1])
        return "".join(f"{name} if {name} is not None else " for name in head) + last

    code_pair = code_coalesce

    def code_iif(self, node: Node) -> str:
        condition, yes, no = (self.var(a) for a in node.args)
        return f"{yes} if {condition} else {no}"

    def code_in(self, node: Node) -> str:
        assert isinstance(node.fact, tuple)
        name = self.constant(f"IN{node.number}", frozenset(node.fact))
        return self.guarded(f"{self.var(node.args[0])} in {name}", node.args)

    def code_and(self, node: Node) -> str:
        return self.logic(node, "and", "both")

    def code_or(self, node: Node) -> str:
        return self.logic(node, "or", "either")

    def code_implies(self, node: Node) -> str:
        return f"implies({', '.join(self.var(a) for a in node.args)})"

    def logic(self, node: Node, word: str, helper: str) -> str:
        left, right = (self.var(a) for a in node.args)
        return f"{left} {word} {right}" if node.sure else f"{helper}({left}, {right})"

    def code_loose(self, node: Node) -> str:
        return str(node.fact).format(*(self.var(a) for a in node.args))

    def code_concat(self, node: Node) -> str:
        """`&`: an empty side is an empty text (N1 6.6.7)."""
        return " + ".join(self.as_text(a) for a in node.args)

    def as_text(self, node: Node) -> str:
        name = self.var(node)
        if node.type in ("string", "date"):
            return name if node.sure else f"({name} or '')"
        if node.type == "empty":
            return "''"
        return f"to_string({name})" if node.sure else f"('' if {name} is None else to_string({name}))"

    def code_pseudonym(self, node: Node) -> str:
        value, purpose = node.args[0], str(node.fact)
        if value.type not in ("string", "date"):
            return self.guarded(f"hide(framed(site, {purpose!r}, {self.var(value)}))", node.args)
        name = f"q{node.number}"
        self.prefixes[name] = f"framed(site, {purpose!r}) + '|'"
        return self.guarded(f'hide(f"{{{name}}}{{len({self.var(value)})}}:{{{self.var(value)}}}")', node.args)


_NAMED = frozenset(("literal", "column", "item", "site", "regex", "template", "group"))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.DOTALL)


def _converter(column: Any) -> Any:
    """Text of a cell -> value, for columns that are not text. What does not convert is None."""
    match column.type:
        case "integer":
            return lambda text: values.integer(text, column.min, column.max)[0]
        case "decimal":
            return lambda text: values.decimal(text, column.min, column.max)[0]
        case "date":
            return lambda text: values.date(text, column.formats, column.calendar)[0]
        case "flag":
            return lambda text: values.flag(text)[0]
    return None
