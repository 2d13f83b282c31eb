"""Tokens to the syntax tree, by precedence climbing.

FHIRPath N1 2.0.0, section 6.8 (http://hl7.org/fhirpath/N1/#operator-precedence) and appendix B.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import lru_cache

from masterkey_fhir.fhirpath.errors import FhirPathError, syntax
from masterkey_fhir.fhirpath.lexer import Token, tokens
from masterkey_fhir.fhirpath.tree import (
    Binary,
    Call,
    Constant,
    Empty,
    Index,
    Literal,
    Member,
    Name,
    Node,
    QuantityLiteral,
    TemporalLiteral,
    Tree,
    TypeTest,
    Unary,
    Variable,
    children,
)

# Section 6.8, from the weakest to the strongest binary operator; `is` and `as` stand between | and +.
_LEVELS = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "~", "!=", "!~"),
    ("<=", "<", ">", ">="),
    ("|",),
    ("is", "as"),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
)
_BINDS = {op: strength for strength, ops in enumerate(_LEVELS) for op in ops}
_RESERVED = frozenset({"and", "or", "xor", "implies", "div", "mod", "true", "false"})  # never an identifier
_VARIABLES = frozenset({"this", "index", "total"})
_CALENDAR = re.compile(r"(?:year|month|week|day|hour|minute|second|millisecond)s?")
_DEEPEST = 80  # nested brackets; keeps the recursion well inside Python's limit
_DEEPEST_TREE = 150
_LONGEST = 20_000  # tokens
_MOST_DIGITS = 1_000


@lru_cache(maxsize=4096)
def parse(text: str) -> Tree:
    """The syntax tree of an expression.

    Raises FhirPathError (kind "syntax") with the offset and what was expected there.
    """
    tree = _Parser(text).whole()
    if _depth(tree) > _DEEPEST_TREE:
        raise syntax(0, f"an expression of at most {_DEEPEST_TREE} steps in a row", "more")
    return tree


def _depth(tree: Node) -> int:
    """Without recursion: every later walk over the tree may then recurse."""
    deepest, waiting = 0, [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((child, depth + 1) for child in children(node))
    return deepest


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.next = 0
        self.depth = 0
        if len(self.tokens) > _LONGEST:
            raise syntax(self.tokens[_LONGEST].at, "an expression that ends", "more")

    def whole(self) -> Node:
        tree = self.expression(0)
        if self.peek.kind != "end":
            raise self.expected("an operator or the end")
        return tree

    # -- the stream

    @property
    def peek(self) -> Token:
        return self.tokens[self.next]

    def take(self) -> Token:
        token = self.tokens[self.next]
        self.next += 1
        return token

    def is_symbol(self, text: str) -> bool:
        return self.peek.kind == "symbol" and self.peek.text == text

    def accept(self, text: str) -> bool:
        if not self.is_symbol(text):
            return False
        self.next += 1
        return True

    def require(self, text: str) -> None:
        if not self.accept(text):
            raise self.expected(f"'{text}'")

    def expected(self, what: str) -> FhirPathError:
        return syntax(self.peek.at, what, str(self.peek))

    # -- operators

    def expression(self, weakest: int) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise self.expected(f"at most {_DEEPEST} nested brackets")
        left = self.unary()
        while (strength := self.operator_strength()) >= weakest:
            left = self.operation(left, self.take(), strength)
        self.depth -= 1
        return left

    def operator_strength(self) -> int:
        token = self.peek
        return _BINDS.get(token.text, -1) if token.kind in ("symbol", "name") else -1

    def operation(self, left: Node, op: Token, strength: int) -> Node:
        if op.text in ("is", "as"):
            namespace, name = self.type_specifier()
            return TypeTest(op.at, op.text, left, namespace, name)
        return Binary(op.at, op.text, left, self.expression(strength + 1))

    def type_specifier(self) -> tuple[str, str]:
        first = self.identifier("a type name")
        if not self.accept("."):
            return "", first
        return first, self.identifier("a type name")

    def unary(self) -> Node:
        """`-` and `+` bind weaker than a path: `-1.abs()` is `-(1.abs())`."""
        signs: list[Token] = []
        while self.is_symbol("-") or self.is_symbol("+"):
            signs.append(self.take())
        node = self.path()
        for sign in reversed(signs):
            node = Unary(sign.at, sign.text, node)
        return node

    # -- paths

    def path(self) -> Node:
        node = self.term()
        while True:
            if self.accept("."):
                node = self.invocation(node)
            elif self.is_symbol("["):
                at = self.take().at
                index = self.expression(0)
                self.require("]")
                node = Index(at, node, index)
            else:
                return node

    def invocation(self, of: Node) -> Node:
        if self.peek.kind == "variable":
            return self.variable()
        at = self.peek.at
        # after a point a reserved word is a name: Narrative.div
        is_name = self.peek.kind == "name"
        name = self.take().text if is_name else self.identifier("an element or a function")
        return Call(at, of, name, self.arguments()) if self.is_symbol("(") else Member(at, of, name)

    def arguments(self) -> tuple[Node, ...]:
        self.require("(")
        if self.accept(")"):
            return ()
        found = [self.expression(0)]
        while self.accept(","):
            found.append(self.expression(0))
        if not self.accept(")"):
            raise self.expected("',' or ')'")
        return tuple(found)

    def identifier(self, what: str) -> str:
        token = self.peek
        if token.kind == "delimited" or (token.kind == "name" and token.text not in _RESERVED):
            return self.take().text
        raise self.expected(what)

    # -- terms

    def term(self) -> Node:
        token = self.peek
        match token.kind:
            case "number":
                return self.number()
            case "string":
                return Literal(token.at, self.take().text)
            case "date" | "time":
                return TemporalLiteral(token.at, token.kind, self.take().text)
            case "datetime":
                return TemporalLiteral(token.at, "dateTime", self.take().text)
            case "variable":
                return self.variable()
            case "name" if token.text in ("true", "false"):
                return Literal(token.at, self.take().text == "true")
            case "name" | "delimited":
                return self.start_of_path()
        return self.bracketed()

    def start_of_path(self) -> Node:
        at = self.peek.at
        name = self.identifier("a term")
        return Call(at, None, name, self.arguments()) if self.is_symbol("(") else Name(at, name)

    def bracketed(self) -> Node:
        at = self.peek.at
        if self.accept("("):
            node = self.expression(0)
            self.require(")")
            return node
        if self.accept("{"):
            self.require("}")
            return Empty(at)
        if self.accept("%"):
            return Constant(at, self.constant_name())
        raise self.expected("a term")

    def constant_name(self) -> str:
        if self.peek.kind == "string":
            return self.take().text
        return self.identifier("the name of a constant")

    def variable(self) -> Node:
        token = self.take()
        if token.text not in _VARIABLES:
            raise syntax(token.at, "$this, $index or $total", f"'${token.text}'")
        return Variable(token.at, token.text)

    def number(self) -> Node:
        token = self.take()
        if len(token.text) > _MOST_DIGITS:
            raise syntax(token.at, f"a number of at most {_MOST_DIGITS} characters", "more")
        unit = self.peek
        if unit.kind == "string":
            return QuantityLiteral(token.at, Decimal(token.text), self.take().text, False)
        if unit.kind == "name" and _CALENDAR.fullmatch(unit.text):
            return QuantityLiteral(token.at, Decimal(token.text), self.take().text, True)
        return Literal(token.at, Decimal(token.text) if "." in token.text else int(token.text))
