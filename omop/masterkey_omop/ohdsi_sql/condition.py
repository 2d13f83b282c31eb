"""The condition language of SqlRender: `{@a == 'x' & !(@b IN (1, 2) | @c)}?{...}`.

Precedence, tightest first: parentheses, `!`, comparison (`==` `=` `!=` `<>` `<` `<=` `>` `>=` `IN`), `&`,
`|`. Operands are text; `true`, `false`, `1`, `0` are truth values. A renderer that splits on `|` before it
looks at parentheses computes other checks without any error.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from masterkey_omop.ohdsi_sql.errors import OhdsiSqlError, line_column

Substitute = Callable[[str, int], str]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>'[^']*'|"[^"]*")|(?P<op>==|!=|<>|<=|>=|&&|\|\||[=<>!&|(),])|(?P<word>[^\s()&|=!<>,'"]+))"""
)
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


class Condition:
    """One condition, judged at once: `Condition(text, start, end, substitute).judge()`.

    `substitute(text, offset)` puts parameter values into an operand. Raises OhdsiSqlError at the operand.
    """

    def __init__(self, text: str, start: int, end: int, substitute: Substitute) -> None:
        self._text, self._end, self._substitute = text, end, substitute
        self._tokens = _tokens(text, start, end)
        self._at = 0

    def judge(self) -> bool:
        verdict = self._or()
        if self._peek():
            raise self._error(f"'{self._peek()}' is left over", "Join two conditions with & or |")
        return verdict

    def _or(self) -> bool:
        verdict = self._and()
        while self._take("|", "||"):
            verdict = self._and() or verdict
        return verdict

    def _and(self) -> bool:
        verdict = self._not()
        while self._take("&", "&&"):
            verdict = self._not() and verdict
        return verdict

    def _not(self) -> bool:
        if self._take("!"):
            return not self._not()
        if self._take("("):
            verdict = self._or()
            self._expect(")")
            return verdict
        return self._comparison()

    def _comparison(self) -> bool:
        at, left = self._here(), self._operand()
        if self._take("==", "="):
            return left == self._operand()
        if self._take("!=", "<>"):
            return left != self._operand()
        if sign := self._take("<", "<=", ">", ">="):
            return _ORDER[sign](self._number(left, at), self._number(self._operand(), at))
        if self._word("in"):
            return left in self._list()
        return self._truth(left, at)

    def _list(self) -> list[str]:
        self._expect("(")
        items: list[str] = []
        while not self._take(")"):
            quoted = self._kind() == "string"
            value = self._operand()
            items += [value] if quoted else [unquote(v.strip()) for v in value.split(",")]
            self._take(",")
        return items

    def _operand(self) -> str:
        if self._kind() not in ("string", "word"):
            raise self._error(
                "a value is missing",
                "Write a parameter, a word or a quoted text on both sides of an operator",
            )
        token = self._tokens[self._at]
        self._at += 1
        return unquote(self._substitute(token.text, token.offset).strip())

    def _truth(self, value: str, at: int) -> bool:
        if value.lower() not in _TRUTH:
            raise self._error("it is neither true nor false", "Compare it: {@name == 'value'}", at)
        return _TRUTH[value.lower()]

    def _number(self, value: str, at: int) -> float:
        try:
            return float(value)
        except ValueError:
            raise self._error("an order is asked of what is not a number", "Use == or IN", at) from None

    def _kind(self) -> str:
        return self._tokens[self._at].kind if self._at < len(self._tokens) else ""

    def _peek(self) -> str:
        return self._tokens[self._at].text if self._at < len(self._tokens) else ""

    def _here(self) -> int:
        return self._tokens[self._at].offset if self._at < len(self._tokens) else self._end

    def _take(self, *signs: str) -> str:
        sign = self._peek() if self._kind() == "op" and self._peek() in signs else ""
        self._at += bool(sign)
        return sign

    def _word(self, word: str) -> bool:
        found = self._kind() == "word" and self._peek().lower() == word
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._error(f"'{sign}' is missing", "Close every parenthesis of the condition")

    def _error(self, what: str, instead: str, at: int | None = None) -> OhdsiSqlError:
        place = line_column(self._text, self._here() if at is None else at)
        return OhdsiSqlError("condition", *place, what, instead)


def unquote(text: str) -> str:
    """The text without one pair of quotes around it."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _tokens(text: str, start: int, end: int) -> list[_Token]:
    tokens: list[_Token] = []
    while text[start:end].strip():
        match = _TOKEN.match(text, start, end)
        if match is None or match.lastgroup is None:
            place = line_column(text, start + len(text[start:end]) - len(text[start:end].lstrip()))
            raise OhdsiSqlError("condition", *place, "a quote is not closed", "Close the quoted text")
        kind = match.lastgroup
        tokens.append(_Token(kind, match[kind], match.start(kind)))
        start = match.end()
    return tokens
