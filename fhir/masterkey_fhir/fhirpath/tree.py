"""The one syntax tree of FHIRPath: plain data, no Python callables.

Both back ends (closures, SQL) and the map compiler walk it. `at` is the offset of the node's first
character in the source text, for messages that point. Grammar: FHIRPath N1 2.0.0, appendix B.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Node:
    at: int


@dataclass(frozen=True, slots=True)
class Empty(Node):
    """`{}`"""


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A boolean, string, integer or decimal. Decimals keep their digits (`1.0` stays `1.0`)."""

    value: bool | str | int | Decimal


@dataclass(frozen=True, slots=True)
class TemporalLiteral(Node):
    """`@2015-02`, `@2015-02-04T14:34:28Z`, `@T14:34`; text without the `@` (a time keeps no `T`)."""

    kind: str  # "date" | "dateTime" | "time"
    text: str


@dataclass(frozen=True, slots=True)
class QuantityLiteral(Node):
    """`4.5 'mg'`, `3 months`: unit is the UCUM code or the calendar word."""

    value: Decimal
    unit: str
    calendar: bool


@dataclass(frozen=True, slots=True)
class Name(Node):
    """An identifier at the start of a path: a member of the input, or a type name at the root."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """`$this`, `$index`, `$total`: name without the sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """`%resource`, `%'vs-name'`: name without the sign."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    of: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function; `of` is None when it is called on the input itself (`exists()`)."""

    of: Node | None
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index(Node):
    of: Node
    index: Node


@dataclass(frozen=True, slots=True)
class Unary(Node):
    op: str  # "+" | "-"
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """op: `* / div mod + - & | <= < > >= = ~ != !~ in contains and or xor implies`."""

    op: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class TypeTest(Node):
    """`x is System.String`, `x as Quantity`; namespace "" when not written."""

    op: str  # "is" | "as"
    operand: Node
    namespace: str
    type_name: str


Tree: TypeAlias = Node


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below, in the order of the text."""
    match node:
        case Member(of=of):
            return (of,)
        case Call(of=of, args=args):
            return args if of is None else (of, *args)
        case Index(of=of, index=index):
            return (of, index)
        case Unary(operand=operand) | TypeTest(operand=operand):
            return (operand,)
        case Binary(left=left, right=right):
            return (left, right)
    return ()
