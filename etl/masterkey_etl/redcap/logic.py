"""REDCap branching logic, as far as one row can decide it.

    [sex] = '2' and ([age] >= 18 or [consent(1)] = '1')

Operators: and, or, = != <> < <= > >=, parentheses; a field, a checkbox `[field(code)]`, a number, a quoted text.
Numbers are compared as numbers when both sides are, else as texts (an empty field is '').
What asks for another event, another instance, a smart variable or a function is not evaluated: `NotEvaluableError`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

Row = Mapping[str, str]
Truth = Callable[[Row], bool]
Text = Callable[[Row], str]

_TOKEN = re.compile(
    r"""\s*(?: (?P<field>\[[^\[\]]*\]) | (?P<text>'[^']*'|"[^"]*") | (?P<number>-?\d+(?:\.\d+)?)
        | (?P<op><>|!=|<=|>=|=|<|>) | (?P<mark>[()]) | (?P<word>[A-Za-z_]\w*) | (?P<other>\S) )""",
    re.VERBOSE,
)
_FIELD = re.compile(r"\[\s*([a-z][a-z0-9_]*)\s*(?:\(\s*([^()]+?)\s*\))?\s*\]")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPARE_TEXT: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class NotEvaluableError(ValueError):
    """The logic needs more than one row holds, or is not written as this grammar."""


@dataclass(frozen=True, slots=True)
class Logic:
    """`holds(row)`: is the field shown? `fields`: the columns it asks for."""

    holds: Truth
    fields: frozenset[str]


def checkbox_column(field: str, code: str) -> str:
    """The export's column of one checkbox: `race`, `-2` -> `race____2` (a minus becomes an underscore)."""
    return f"{field}___{re.sub('[^a-z0-9_]', '_', code.lower())}"


def parse(text: str) -> Logic:
    """Raises NotEvaluableError."""
    parser = _Parser(text)
    try:
        holds = parser.either()
    except RecursionError:
        raise NotEvaluableError("it is nested too deeply") from None
    if parser.kind:
        raise NotEvaluableError(f"{parser.token} is not expected")
    return Logic(holds, frozenset(parser.fields))


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self.fields: set[str] = set()
        self.kind, self.token = next(self._tokens, ("", ""))

    def take(self) -> str:
        taken = self.token
        self.kind, self.token = next(self._tokens, ("", ""))
        return taken

    def word(self, *words: str) -> bool:
        if self.kind == "word" and self.token.lower() in words:
            self.take()
            return True
        return False

    def either(self) -> Truth:
        parts = [self.both()]
        while self.word("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda row: any(p(row) for p in parts)

    def both(self) -> Truth:
        parts = [self.one()]
        while self.word("and"):
            parts.append(self.one())
        return parts[0] if len(parts) == 1 else lambda row: all(p(row) for p in parts)

    def one(self) -> Truth:
        if self.kind == "mark" and self.token == "(":
            self.take()
            inner = self.either()
            if self.take() != ")":
                raise NotEvaluableError("a parenthesis is not closed")
            return inner
        return self.comparison()

    def comparison(self) -> Truth:
        left = self.operand()
        if self.kind != "op":
            raise NotEvaluableError("a comparison is expected")
        op = self.take()
        right = self.operand()
        return lambda row: _compare(op, left(row), right(row))

    def operand(self) -> Text:
        kind, token = self.kind, self.take()
        if kind == "text":
            return lambda row: token[1:-1]
        if kind == "number":
            return lambda row: token
        if kind == "field":
            return self.field(token)
        raise NotEvaluableError(f"{token or 'the end'} is not evaluated")

    def field(self, token: str) -> Text:
        found = _FIELD.fullmatch(token)
        if found is None or self.kind == "field":  # [event][field], [field][instance], a smart variable
            raise NotEvaluableError(f"{token} asks for another event or instance")
        name = found[1] if found[2] is None else checkbox_column(found[1], found[2])
        self.fields.add(name)
        return lambda row: row.get(name, "")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(text.strip()):
        kind = found.lastgroup or "other"
        yield kind, found[kind]


def _compare(op: str, left: str, right: str) -> bool:
    if _NUMBER.fullmatch(left) and _NUMBER.fullmatch(right):
        return _COMPARE[op](float(left), float(right))
    return _COMPARE_TEXT[op](left, right)


__all__ = ["Logic", "NotEvaluableError", "checkbox_column", "parse"]
