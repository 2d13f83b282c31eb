"""From the FHIRPath tree to typed nodes. What the language does not offer is refused here, with its position."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from masterkey_etl.concepts import Concepts
from masterkey_etl.source_model import Column, SourceModel
from masterkey_etl.template.functions import ANY, FUNCTIONS, OFFERED, OPERATORS, Function
from masterkey_etl.template.loader import nearest
from masterkey_etl.template.nodes import Node, Nodes, Scope
from masterkey_etl.template.tree import Expression
from masterkey_fhir.fhirpath import tree as t

_COLUMN_TYPES = {"integer": "integer", "decimal": "decimal", "date": "date", "flag": "boolean"}
_COMPARE = {"<": ("less", 0, 1), ">": ("less", 1, 0), "<=": ("at_most", 0, 1), ">=": ("at_most", 1, 0)}
_NUMBERS = ("integer", "decimal")
_LABEL_OPS = ("lookup", "codeable")


class Refused(Exception):  # noqa: N818  not an error of the program: a finding about a map
    """An expression can't be compiled: rule, facts and offset in the text. Never leaves this package."""

    def __init__(self, rule: str, at: int, **facts: str) -> None:
        super().__init__(rule)
        self.rule, self.at, self.facts = rule, at, facts


@dataclass(frozen=True, slots=True)
class Environment:
    """What names mean at one place of a map."""

    scope: Scope
    let: Mapping[str, tuple[Expression, Environment]] = field(default_factory=dict)
    groups: Mapping[str, Scope] = field(default_factory=dict)  # group name -> its scope, when inside
    items: Mapping[str, Node] = field(default_factory=dict)


class Builder:
    """Makes nodes from trees, for one map over one source model."""

    def __init__(self, nodes: Nodes, model: SourceModel, concepts: Concepts, record: Scope) -> None:
        self.nodes, self.model, self.concepts, self.record = nodes, model, concepts, record
        self.labels = {p.code: p.label for p in model.pairs}
        self.topics: set[str] = set()
        self.inside: list[str] = []  # let names being resolved, to refuse circles

    # -- trees

    def build(self, tree: t.Tree, env: Environment) -> Node:
        """Raises Refused."""
        match tree:
            case t.Literal(value=value):
                return self.nodes.literal(value, _literal_type(value))
            case t.TemporalLiteral(kind="date", text=text):
                return self.nodes.literal(text, "date")
            case t.Empty():
                return self.nodes.literal(None, "empty")
            case t.Name(at=at, name=name):
                return self.name(name, at, env)
            case t.Constant(name="site"):
                return self.nodes.make("site", (), "string", sure=True)
            case t.Call():
                return self.call(tree, env)
            case t.Index(of=of, index=index):
                return self.index(tree.at, self.build(of, env), self.build(index, env))
            case t.Unary(at=at, op=op, operand=operand):
                return self.unary(at, op, self.build(operand, env))
            case t.Binary():
                return self.binary(tree, env)
        return self.refuse_syntax(tree)

    def refuse_syntax(self, tree: t.Tree) -> Node:
        what = {
            t.Member: "a path below a value",
            t.Variable: "$this, $index, $total",
            t.Constant: "this constant",
            t.TypeTest: "is/as",
            t.QuantityLiteral: "a quantity literal",
            t.TemporalLiteral: "a time literal",
        }.get(type(tree), "this")
        raise Refused("etl.map-function", tree.at, function=what, offered=", ".join(OFFERED))

    # -- names

    def name(self, name: str, at: int, env: Environment) -> Node:
        if name in env.items:
            return env.items[name]
        if name in env.let:
            return self.named(name, at, *env.let[name])
        if name in self.model.index:
            return self.column(self.model.columns[self.model.index[name]], at, env)
        if name in self.model.groups:
            return self.nodes.make("group", (), "group", fact=name, many=True, scope=self.record)
        known = [*env.items, *env.let, *self.model.index, *self.model.groups]
        raise Refused("etl.map-name", at, name=name, alternatives=nearest(name, known))

    def named(self, name: str, at: int, expression: Expression, env: Environment) -> Node:
        if name in self.inside:
            raise Refused("etl.map-argument", at, function=name, problem="is defined by itself")
        self.inside.append(name)
        try:
            return self.build(expression.tree, env)
        finally:
            self.inside.pop()

    def column(self, column: Column, at: int, env: Environment) -> Node:
        group = self.model.group_of.get(column.position)
        if group is None:
            scope = self.record
        elif group in env.groups:
            scope = env.groups[group]
        else:
            raise Refused("etl.map-group", at, column=column.id, group=group)
        type_ = _COLUMN_TYPES.get(column.type, "string")
        # the reader keeps rows without a complete key out, so a text in the key is always there
        keyed = column.position in self.model.key_positions and type_ == "string"
        return self.nodes.make("column", (), type_, fact=column.position, scope=scope, sure=keyed)

    # -- operators

    def unary(self, at: int, op: str, operand: Node) -> Node:
        self.need(at, f"unary {op}", operand, _NUMBERS)
        if op == "+" or operand.op == "literal":
            sign = 1 if op == "+" else -1
            value = operand.fact
            return operand if sign == 1 else self.nodes.literal(_negative(value), operand.type)
        return self.strict("negative", "-{0}", (operand,), operand.type, True)

    def binary(self, tree: t.Binary, env: Environment) -> Node:
        if tree.op == "in":
            return self.membership(tree, env)
        if tree.op not in OPERATORS:
            offered = ", ".join((*OPERATORS, "coalesce()"))
            raise Refused("etl.map-function", tree.at, function=f"operator {tree.op}", offered=offered)
        left, right = self.build(tree.left, env), self.build(tree.right, env)
        if tree.op in ("and", "or", "xor", "implies"):
            return self.logic(tree, left, right)
        for side in (left, right):
            self.need(tree.at, tree.op, side, (*ANY, "empty"))
        if "empty" in (left.type, right.type) and tree.op not in ("&", "~", "!~"):
            return self.nodes.literal(None, "empty")
        if tree.op == "&":
            return self.nodes.make("concat", (left, right), "string", sure=True)
        if tree.op in ("=", "!=", "~", "!~"):
            return self.equality(tree, left, right)
        if tree.op in _COMPARE:
            return self.comparison(tree, left, right)
        return self.arithmetic(tree, left, right)

    def logic(self, tree: t.Binary, left: Node, right: Node) -> Node:
        for side in (left, right):
            self.need(tree.at, tree.op, side, ("boolean", "empty"))
        if tree.op == "xor":
            return self.strict("xor", "{0} is not {1}", (left, right), "boolean", True)
        return self.nodes.make(tree.op, (left, right), "boolean", sure=left.sure and right.sure)

    def equality(self, tree: t.Binary, left: Node, right: Node) -> Node:
        kind = self.same_kind(tree, left, right)
        negative = tree.op.startswith("!")
        if tree.op.endswith("~"):
            helper = {"string": "equivalent_text", "number": "equivalent_number"}.get(kind, "equivalent_other")
            code = f"{'not ' if negative else ''}{helper}({{0}}, {{1}})"
            return self.nodes.make("loose", (left, right), "boolean", fact=code, sure=True)
        if kind == "date":
            found = self.strict("date_equal", "date_equal({0}, {1})", (left, right), "boolean", False)
            return self.strict("not", "not {0}", (found,), "boolean", True) if negative else found
        return self.strict(tree.op, f"{{0}} {'!=' if negative else '=='} {{1}}", (left, right), "boolean", True)

    def comparison(self, tree: t.Binary, left: Node, right: Node) -> Node:
        kind = self.same_kind(tree, left, right)
        if kind not in ("string", "number", "date"):
            self.need(tree.at, tree.op, left, ("string", "date", *_NUMBERS))
        if kind != "date":
            return self.strict(tree.op, f"{{0}} {tree.op} {{1}}", (left, right), "boolean", True)
        name, first, second = _COMPARE[tree.op]
        pair = (left, right)
        code = f"date_{name}({{0}}, {{1}})"
        return self.strict(f"date_{name}", code, (pair[first], pair[second]), "boolean", False)

    def arithmetic(self, tree: t.Binary, left: Node, right: Node) -> Node:
        if tree.op == "+" and left.type == right.type == "string":
            return self.strict("+", "{0} + {1}", (left, right), "string", True)
        for side in (left, right):
            self.need(tree.at, tree.op, side, _NUMBERS)
        both_whole = left.type == right.type == "integer"
        special = {"/": "divide", "div": "whole_divide", "mod": "remainder"}
        if tree.op in special:
            type_ = {"/": "decimal", "div": "integer"}.get(tree.op, "integer" if both_whole else "decimal")
            return self.strict(tree.op, f"{special[tree.op]}({{0}}, {{1}})", (left, right), type_, False)
        type_ = "integer" if both_whole else "decimal"
        return self.strict(tree.op, f"{{0}} {tree.op} {{1}}", (left, right), type_, True)

    def membership(self, tree: t.Binary, env: Environment) -> Node:
        left = self.build(tree.left, env)
        literals = [self.build(x, env) for x in _union(tree.right)]
        for node in literals:
            if node.op != "literal" or node.fact is None:
                raise Refused("etl.map-argument", tree.at, function="in", problem="takes literals: x in ('1' | '2')")
            self.same_kind(tree, left, node)
        if left.type == "empty":
            return left
        members = tuple(n.fact for n in literals)
        return self.nodes.make("in", (left,), "boolean", fact=members, sure=left.sure)

    # -- calls

    def call(self, tree: t.Call, env: Environment) -> Node:
        special: Callable[[t.Call, Environment], Node] | None = getattr(self, f"call_{tree.name}", None)
        if tree.name in OFFERED and special is not None:
            return special(tree, env)
        function = FUNCTIONS.get(tree.name)
        if function is None:
            raise Refused("etl.map-function", tree.at, function=f"{tree.name}()", offered=", ".join(OFFERED))
        return self.plain_call(tree, function, env)

    def plain_call(self, tree: t.Call, function: Function, env: Environment) -> Node:
        value = self.receiver(tree, env, many=function.takes_many)
        if value.type == "empty":
            return value
        self.need(tree.at, f"{tree.name}()", value, function.takes, many=function.takes_many)
        args = [self.build(a, env) for a in tree.args]
        self.arity(tree, function, args)
        code = function.code
        if tree.name == "join" and not args:
            args = [self.nodes.literal("", "string")]
        args, code = self.compiled(tree, function, args, code)
        gives = value.type if function.gives == "same" else function.gives
        placed = ", ".join(f"{{{i}}}" for i in range(len(args) + 1))
        code = code.replace("{args}", placed)
        return self.strict(tree.name, code, (value, *args), gives, function.sure, many=function.many)

    def arity(self, tree: t.Call, function: Function, args: list[Node]) -> None:
        least = sum(not a.endswith(("?", "*")) for a in function.args)
        most = 99 if function.args[-1:] and function.args[-1].endswith("*") else len(function.args)
        if not least <= len(args) <= most:
            takes = ", ".join(function.args) or "no argument"
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=f"takes {takes}")
        for i, a in enumerate(args):
            type_ = function.args[min(i, len(function.args) - 1)].rstrip("?*")
            wanted = {"regex": "string", "template": "string"}.get(type_, type_)
            self.need(tree.at, f"{tree.name}()", a, (wanted,))

    def compiled(self, tree: t.Call, function: Function, args: list[Node], code: str) -> tuple[list[Node], str]:
        """Literal regular expressions become constants of the generated module."""
        kept: list[Node] = []
        for kind, a in zip(function.args, args, strict=False):
            if kind not in ("regex", "template"):
                kept.append(a)
                continue
            if a.op != "literal" or not isinstance(a.fact, str):
                raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem="takes a literal text")
            kept.append(self.nodes.make(kind, (), "string", fact=_regex(tree, kind, a.fact), sure=True))
        return kept, code

    def receiver(self, tree: t.Call, env: Environment, *, many: bool = False) -> Node:
        if tree.of is None:
            raise Refused(
                "etl.map-argument",
                tree.at,
                function=f"{tree.name}()",
                problem="is called on a value: x." + tree.name + "()",
            )
        node = self.build(tree.of, env)
        if node.many and not many:
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=_SEVERAL)
        return node

    def arguments(self, tree: t.Call, least: int, most: int) -> None:
        if not least <= len(tree.args) <= most:
            takes = f"{least}" if least == most else f"{least} to {most}"
            problem = f"takes {takes} argument{'' if most == 1 else 's'}"
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=problem)

    def literal_text(self, tree: t.Call, i: int) -> str:
        arg = tree.args[i]
        if not isinstance(arg, t.Literal) or not isinstance(arg.value, str):
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem="takes a literal text")
        return arg.value

    def call_exists(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 0, 0)
        return self.nodes.make("exists", (self.receiver(tree, env, many=True),), "boolean", sure=True)

    def call_empty(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 0, 0)
        return self.nodes.make("empty", (self.receiver(tree, env, many=True),), "boolean", sure=True)

    def call_count(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 0, 0)
        return self.nodes.make("count", (self.receiver(tree, env, many=True),), "integer", sure=True)

    def call_first(self, tree: t.Call, env: Environment) -> Node:
        return self.index(tree.at, self.receiver(tree, env, many=True), self.nodes.literal(0, "integer"))

    def call_last(self, tree: t.Call, env: Environment) -> Node:
        return self.index(tree.at, self.receiver(tree, env, many=True), self.nodes.literal(-1, "integer"))

    def index(self, at: int, value: Node, index: Node) -> Node:
        if value.type == "group" or index.type != "integer" or index.op != "literal":
            raise Refused("etl.map-argument", at, function="[ ]", problem="takes a literal number, on a list of values")
        if not value.many:
            return value if index.fact in (0, -1) else self.nodes.literal(None, "empty")
        n = index.fact
        code = "({0}[-1] if {0} else None)" if n == -1 else f"({{0}}[{n}] if len({{0}}) > {n} else None)"
        return self.strict("index", code, (value,), value.type, False)

    def call_coalesce(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 1, 20)
        args = tuple(n for a in tree.args if (n := self.single(tree, a, env)).type != "empty")
        if not args:
            return self.nodes.literal(None, "empty")
        type_ = self.one_type(tree, args)
        return self.nodes.make("coalesce", args, type_, sure=any(a.sure for a in args))

    def call_iif(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 2, 3)
        condition = self.single(tree, tree.args[0], env)
        self.need(tree.at, "iif()", condition, ("boolean", "empty"))
        branches = [self.build(a, env) for a in tree.args[1:]]
        if len(branches) == 1:
            branches.append(self.nodes.literal(None, "empty"))
        type_ = self.one_type(tree, tuple(b for b in branches if b.type != "empty"))
        many, sure = any(b.many for b in branches), all(b.sure for b in branches)
        return self.nodes.make("iif", (condition, *branches), type_, many=many, sure=sure)

    def single(self, tree: t.Call, arg: t.Tree, env: Environment) -> Node:
        node = self.build(arg, env)
        if node.many:
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=_SEVERAL)
        return node

    def one_type(self, tree: t.Call, nodes: tuple[Node, ...]) -> str:
        found = {n.type for n in nodes}
        if found <= {"integer", "decimal"} and len(found) == 2:
            return "decimal"
        if found == {"string", "date"}:
            return "string"
        if len(found) > 1:
            problem = f"mixes {' and '.join(sorted(found))}"
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=problem)
        return found.pop() if found else "empty"

    # -- keys

    def call_id(self, tree: t.Call, env: Environment) -> Node:
        raise Refused("etl.map-argument", tree.at, function="id()", problem="stands alone, as id: of a block")

    def call_reference(self, tree: t.Call, env: Environment) -> Node:
        raise Refused("etl.map-argument", tree.at, function="reference()", problem="stands alone, as a whole leaf")

    def id_parts(self, tree: t.Tree, env: Environment) -> tuple[Node, ...]:
        """The parts of `id(a, b)`, the only thing an `id:` may be."""
        if not isinstance(tree, t.Call) or tree.name != "id" or tree.of is not None or not tree.args:
            raise Refused("etl.map-argument", tree.at, function="id", problem="must be = id(part, ...)")
        parts = tuple(self.single(tree, a, env) for a in tree.args)
        for p in parts:
            self.need(tree.at, "id()", p, ANY)
        return parts

    def call_pseudonym(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 1, 1)
        value = self.receiver(tree, env)
        self.need(tree.at, "pseudonym()", value, ANY)
        purpose = self.literal_text(tree, 0)
        return self.nodes.make("pseudonym", (value,), "string", fact=purpose, sure=value.sure)

    # -- concepts

    def lookup(self, tree: t.Call, env: Environment, most: int) -> Node:
        self.arguments(tree, 1, most)
        value = self.receiver(tree, env)
        self.need(tree.at, f"{tree.name}()", value, ("string", "integer", "boolean"))
        topic = self.literal_text(tree, 0)
        if topic not in self.concepts.topics:
            near = nearest(topic, self.concepts.topics)
            raise Refused("etl.map-topic", tree.at, topic=topic, alternatives=near)
        self.topics.add(topic)
        by_label = self.by_label(value)
        if value.type != "string":
            key = self.strict("toString", "to_string({0})", (value,), "string", True)
        else:
            key = self.strict("label", "nfkc({0})", (value,), "string", True) if by_label else value
        return self.nodes.make("lookup", (key,), "rows", fact=(topic, by_label))

    def by_label(self, value: Node) -> bool:
        """Labels are compared in NFKC, codes exactly (site-formats: code/label pairs)."""
        if value.op != "column" or not isinstance(value.fact, int):
            return any(self.by_label(a) for a in value.args) if value.op in ("normalise", "coalesce") else False
        column = self.model.columns[value.fact]
        return column.type == "label" or column.winner == "label"

    def call_translate(self, tree: t.Call, env: Environment) -> Node:
        found = self.lookup(tree, env, 1)
        self.one_row(tree, found)
        return self.strict("translate", '{0}[0]["code"]', (found,), "string", True)

    def call_known(self, tree: t.Call, env: Environment) -> Node:
        return self.nodes.make("known", (self.lookup(tree, env, 1),), "boolean", sure=True)

    def version(self, tree: t.Call, env: Environment) -> tuple[Node, ...]:
        if len(tree.args) < 2:
            return ()
        node = self.single(tree, tree.args[1], env)
        self.need(tree.at, f"{tree.name}()", node, TEXT_LIKE)
        return (node,)

    def call_coding(self, tree: t.Call, env: Environment) -> Node:
        found = self.lookup(tree, env, 2)
        many = self.several(found)
        return self.nodes.make("coding", (found, *self.version(tree, env)), "Coding", many=many)

    def call_codeable(self, tree: t.Call, env: Environment) -> Node:
        found = self.lookup(tree, env, 2)
        value = self.receiver(tree, env)
        text = self.label_of(value) or found.args[0]
        return self.nodes.make("codeable", (found, text, *self.version(tree, env)), "CodeableConcept")

    def call_label(self, tree: t.Call, env: Environment) -> Node:
        self.arguments(tree, 0, 0)
        value = self.receiver(tree, env)
        found = self.label_of(value)
        if found is None:
            raise Refused(
                "etl.map-argument", tree.at, function="label()", problem="is called on a code column that has a label"
            )
        return found

    def label_of(self, value: Node) -> Node | None:
        """The text of the label column that belongs to a code column, else its code; None for other values."""
        if value.op != "column" or value.fact not in self.labels:
            return None
        position = self.labels[value.fact]
        label = self.nodes.make("column", (), "string", fact=position, scope=value.scope)
        text = self.strict("label", "nfkc({0}) or None", (label,), "string", False)
        return self.nodes.make("pair", (text, value), "string")  # one fact: both are used

    def several(self, lookup: Node) -> bool:
        assert isinstance(lookup.fact, tuple)
        return self.concepts.several(*lookup.fact)

    def one_row(self, tree: t.Call, lookup: Node) -> None:
        if self.several(lookup):
            problem = "needs a table with one row per subject"
            raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=problem)

    # -- shared

    def strict(self, op: str, code: str, args: tuple[Node, ...], type_: str, sure: bool, *, many: bool = False) -> Node:
        """A node that is empty when a part is."""
        all_sure = sure and all(a.sure for a in args) and not many
        if any(a.type == "empty" for a in args):
            return self.nodes.literal(None, "empty")
        return self.nodes.make(op, args, type_, fact=code, many=many, sure=all_sure)

    def same_kind(self, tree: t.Binary, left: Node, right: Node) -> str:
        kinds = {_kind(left.type), _kind(right.type)} - {"empty"}
        if len(kinds) > 1:
            raise Refused("etl.map-compare", tree.at, left=left.type, operator=tree.op, right=right.type)
        return kinds.pop() if kinds else "empty"

    def need(self, at: int, function: str, node: Node, types: tuple[str, ...], *, many: bool = False) -> None:
        accepted = {*types, *(("integer",) if "decimal" in types else ()), *(("date",) if "string" in types else ())}
        if node.type not in accepted:
            problem = f"takes {' or '.join(types)}, this is {node.type}"
            raise Refused("etl.map-argument", at, function=function, problem=problem)
        if node.many and not many:
            raise Refused("etl.map-argument", at, function=function, problem=_SEVERAL)


TEXT_LIKE = ("string",)
_SEVERAL = "can't take several values: use $each, first() or [n]"


def _literal_type(value: object) -> str:
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer"}.get(type(value), "decimal")


def _kind(type_: str) -> str:
    return "number" if type_ in _NUMBERS else type_


def _negative(value: object) -> object:
    return -value if isinstance(value, int) or hasattr(value, "as_tuple") else value  # type: ignore[operator]


def _union(tree: t.Tree) -> list[t.Tree]:
    if isinstance(tree, t.Binary) and tree.op == "|":
        return [*_union(tree.left), *_union(tree.right)]
    return [tree]


def _regex(tree: t.Call, kind: str, text: str) -> str:
    if kind == "template":
        return text
    try:
        re.compile(text, re.DOTALL)
    except re.error as error:
        problem = f"the pattern can't be read: {error.msg}"
        raise Refused("etl.map-argument", tree.at, function=f"{tree.name}()", problem=problem) from None
    return text
