"""The SqlRender layer: `@param`, `{DEFAULT @a = 'x'}`, `{condition}?{then}:{else}`, nested.

Written from the documented behaviour of OHDSI/SqlRender
(https://ohdsi.github.io/SqlRender/articles/UsingSqlRender.html): a list becomes comma separated text, the
quotes of a default are dropped, the longest parameter name that fits wins (`@prefix_1` with a parameter
`prefix`), and what has no value stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from masterkey_omop.ohdsi_sql.condition import Condition, unquote
from masterkey_omop.ohdsi_sql.errors import OhdsiSqlError, line_column, offset_of

_PARAMETER = re.compile(r"(?<!@)@([A-Za-z_]\w*)")
_DEFAULT = re.compile(r"\{\s*DEFAULT\s+@([A-Za-z_]\w*)\s*=\s*(.*?)\s*\}\s*", re.S | re.I)
_OPENING = {sign: re.compile(rf"\s*\{sign}\s*\{{") for sign in "?:"}
_NEXT = re.compile(r"[{}]|(?<!@)@[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Rendered:
    """Rendered text that knows where each piece came from."""

    source: str
    text: str
    pieces: tuple[tuple[int, int], ...]  # (offset in text, offset in source), ascending

    def origin(self, line: int, column: int) -> tuple[int, int]:
        """Line and column in the source of a line and column in the text."""
        offset = offset_of(self.text, line, column)
        here, there = max((p for p in self.pieces if p[0] <= offset), default=(0, 0))
        end = min((p[1] for p in self.pieces if p[0] > offset), default=len(self.source))
        return line_column(self.source, min(there + offset - here, max(there, end - 1)))


def render(sql: str, params: Mapping[str, Any] | None = None) -> str:
    """The SQL text with parameters put in and conditions decided. Raises OhdsiSqlError at line and column.

    A parameter without value stays in the text (and differs from every value in a condition), as in
    SqlRender, so that a text can be rendered in two steps; `trace(..., strict=True)`, `translate` and `run`
    refuse it.
    """
    return trace(sql, params).text


def trace(sql: str, params: Mapping[str, Any] | None = None, *, strict: bool = False) -> Rendered:
    """`render`, keeping the origin of every piece.

    `strict` refuses a parameter without value in a condition and a given parameter that the text does not
    use.
    """
    given = {name.removeprefix("@"): as_text(value) for name, value in (params or {}).items()}
    if strict:
        _refuse_unused(sql, given)
    renderer = _Renderer(sql, {**_defaults(sql), **given}, strict)
    return renderer.run()


def parameters(sql: str) -> dict[str, str | None]:
    """Names of the parameters of a text, in order, with their defaults (None = must be given)."""
    defaults = _defaults(sql)
    names = dict.fromkeys(match[1] for match in _PARAMETER.finditer(sql))
    return {name: defaults.get(name) for name in names}


def as_text(value: Any) -> str:
    """A Python value as it stands in SQL text: lists comma separated, None as NULL, dates ISO."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(as_text(v) for v in value)
    return "NULL" if value is None else str(value)


class _Renderer:
    def __init__(self, sql: str, values: Mapping[str, str], strict: bool) -> None:
        self._sql, self._values, self._strict = sql, values, strict
        self._close = _braces(sql)
        self._names = sorted(values, key=len, reverse=True)
        self._out: list[str] = []
        self._pieces: list[tuple[int, int]] = []
        self._length = 0

    def run(self) -> Rendered:
        self._block(0, len(self._sql))
        return Rendered(self._sql, "".join(self._out), tuple(self._pieces))

    def _block(self, start: int, end: int) -> None:
        for match in self._stops(start, end):
            self._emit(start, match.start())
            start = self._step(match)
        self._emit(start, end)

    def _stops(self, start: int, end: int) -> Iterator[re.Match[str]]:
        """Each brace or parameter from `start` on, skipping what a step has consumed."""
        self._resume = start
        while match := _NEXT.search(self._sql, self._resume, end):
            yield match

    def _step(self, match: re.Match[str]) -> int:
        """Handle one brace or parameter; returns and remembers where to go on."""
        at = match.start()
        if match[0].startswith("@"):
            resume = self._parameter(match)
        elif default := _DEFAULT.match(self._sql, at):
            resume = default.end()
        elif match[0] == "{" and (then := self._part(self._close[at], "?")):
            resume = self._choice(at, then)
        else:
            self._emit(at, at + 1)
            resume = at + 1
        self._resume = resume
        return resume

    def _choice(self, at: int, then: int) -> int:
        close = self._close[then]
        other = self._part(close, ":")
        chosen = then if Condition(self._sql, at + 1, self._close[at], self._operand).judge() else other
        if chosen:
            self._block(chosen + 1, self._close[chosen])
        return (self._close[other] if other else close) + 1

    def _part(self, close: int, sign: str) -> int:
        """Offset of the brace that opens the next part of a choice, 0 when there is none."""
        match = _OPENING[sign].match(self._sql, close + 1)
        return match.end() - 1 if match else 0

    def _parameter(self, match: re.Match[str]) -> int:
        name = self._known(match[0][1:])
        if name is None:
            self._emit(match.start(), match.end())
            return match.end()
        self._write(self._values[name], match.start())
        return match.start() + 1 + len(name)

    def _known(self, token: str) -> str | None:
        return next((name for name in self._names if token.startswith(name)), None)

    def _operand(self, text: str, offset: int) -> str:
        return _PARAMETER.sub(lambda match: self._value(match, offset), text)

    def _value(self, match: re.Match[str], offset: int) -> str:
        name = self._known(match[1])
        if name is not None:
            return self._values[name] + match[1][len(name) :]
        if self._strict:
            raise _no_value(self._sql, offset + match.start(), match[1])
        return match[0]

    def _emit(self, start: int, end: int) -> None:
        if end > start:
            self._write(self._sql[start:end], start)

    def _write(self, text: str, origin: int) -> None:
        self._out.append(text)
        self._pieces.append((self._length, origin))
        self._length += len(text)


def _defaults(sql: str) -> dict[str, str]:
    return {match[1]: unquote(match[2]) for match in _DEFAULT.finditer(sql)}


def _braces(sql: str) -> dict[int, int]:
    """Opening offset -> closing offset. Raises at a brace without partner."""
    partner: dict[int, int] = {}
    open_: list[int] = []
    for match in re.finditer(r"[{}]", sql):
        if match[0] == "{":
            open_.append(match.start())
        elif open_:
            partner[open_.pop()] = match.start()
        else:
            raise _brace(sql, match.start(), "}", "{")
    if open_:
        raise _brace(sql, open_[-1], "{", "}")
    return partner


def _brace(sql: str, offset: int, found: str, missing: str) -> OhdsiSqlError:
    what = f"'{found}' has no '{missing}'"
    return OhdsiSqlError(
        "template", *line_column(sql, offset), what, "Write {condition}?{then}:{else}, braces in pairs"
    )


def _no_value(sql: str, offset: int, name: str) -> OhdsiSqlError:
    return OhdsiSqlError(
        "parameter",
        *line_column(sql, offset),
        f"the parameter @{name} has no value",
        f"Give it a value, or write {{DEFAULT @{name} = ...}} at the top",
    )


def _refuse_unused(sql: str, given: Mapping[str, str]) -> None:
    tokens = [match[1] for match in _PARAMETER.finditer(sql)]
    for name in given:
        if not any(token.startswith(name) for token in tokens):
            known = ", ".join(dict.fromkeys(tokens)) or "none"
            what = f"a value is given for @{name}, which the text does not use"
            raise OhdsiSqlError("parameter", 1, 1, what, f"Its parameters are: {known}")
