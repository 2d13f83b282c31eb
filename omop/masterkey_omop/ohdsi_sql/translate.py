"""OHDSI-SQL text -> statements of DuckDB or PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from masterkey_omop.ohdsi_sql.errors import OhdsiSqlError, line_column
from masterkey_omop.ohdsi_sql.template import Rendered, trace

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.tokenizer_core import Token

TARGETS = ("duckdb", "postgres")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of the target, with the line and column where its source begins."""

    sql: str
    line: int
    column: int
    returns_rows: bool


def translate(sql: str, to: str = "duckdb", params: Mapping[str, Any] | None = None) -> str:
    """The text in the words of the target (`duckdb` or `postgres`), statements joined by semicolons.

    Raises OhdsiSqlError at line and column for what the dialect lacks; ValueError for an unknown target.
    """
    return ";\n".join(statement.sql for statement in statements(sql, to, params))


def statements(sql: str, to: str = "duckdb", params: Mapping[str, Any] | None = None) -> list[Statement]:
    """`translate`, with the origin of each statement."""
    if to not in TARGETS:
        raise ValueError(f"{to}: the targets are {', '.join(TARGETS)}")
    rendered = trace(sql, params, strict=True)
    try:
        return [_placed(s, rendered) for s in _translated(rendered.text, to)]
    except OhdsiSqlError as error:
        raise error.moved(*rendered.origin(error.line, error.column)) from None


def _placed(statement: Statement, rendered: Rendered) -> Statement:
    line, column = rendered.origin(statement.line, statement.column)
    return Statement(statement.sql, line, column, statement.returns_rows)


@lru_cache(maxsize=512)
def _translated(sql: str, to: str) -> tuple[Statement, ...]:
    return tuple(s for tokens in _chunks(sql) if (s := _statement(sql, tokens, to)))


def _chunks(sql: str) -> Iterator[list[Token]]:
    """The tokens of each statement. T-SQL's semicolons are optional, OHDSI-SQL's are not."""
    from sqlglot.errors import TokenError
    from sqlglot.tokenizer_core import TokenType

    from masterkey_omop.ohdsi_sql.dialect import Ohdsi

    try:
        tokens = Ohdsi().tokenize(sql)
    except TokenError:
        raise OhdsiSqlError(
            "syntax", *_open_quote(sql), "a quote is not closed", "Close it; double it inside a text"
        ) from None
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type == TokenType.SEMICOLON:
            yield chunk
            chunk = []
        else:
            chunk.append(token)
    yield chunk


def _open_quote(sql: str) -> tuple[int, int]:
    """Where the text that never ends begins: comments and closed quotes are skipped."""
    import re

    closed = re.compile(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|\"[^\"]*\"|\[[^\]]*\]", re.S)
    rest = closed.sub(lambda m: " " * len(m[0]), sql)
    offset = next((i for i, c in enumerate(rest) if c in "'\"["), max(0, len(sql) - 1))
    return line_column(sql, offset)


# Advice to one server that changes no result.
_ADVICE = ("UPDATE STATISTICS",)


def _statement(sql: str, tokens: list[Token], to: str) -> Statement | None:
    if not tokens or tokens[0].text.upper() in _ADVICE:
        return None
    from masterkey_omop.ohdsi_sql.refused import RefusedError
    from masterkey_omop.ohdsi_sql.rewrite import rewrite

    tree = _parsed(sql, tokens)
    try:
        tree = rewrite(tree, to) if tree is not None else None
    except RefusedError as refused:
        place = line_column(sql, _offset(refused.node, tokens[0].start))
        raise OhdsiSqlError(refused.rule, *place, refused.what, refused.instead) from None
    if tree is None:
        return None
    return Statement(_write(tree, to), *line_column(sql, tokens[0].start), _returns_rows(tree))


def _parsed(sql: str, tokens: list[Token]) -> exp.Expr | None:
    from sqlglot.errors import ErrorLevel, ParseError

    from masterkey_omop.ohdsi_sql.dialect import Ohdsi

    _no_variables(sql, tokens)
    try:
        trees = Ohdsi().parser(error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)
    except ParseError as error:
        raise _syntax(sql, tokens, error) from None
    return trees[0] if trees else None


def _no_variables(sql: str, tokens: list[Token]) -> None:
    """`@name` that is left after rendering: a parameter without value or a T-SQL variable."""
    from sqlglot.tokenizer_core import TokenType

    for token in tokens:
        if token.token_type == TokenType.PARAMETER or token.text.startswith("@"):
            name = sql[token.start : token.end + 40].split()[0].lstrip("@").split(".")[0].rstrip(",;)")
            what = f"@{name} has no value"
            place = line_column(sql, token.start)
            raise OhdsiSqlError("parameter", *place, what, f"Give it, or write {{DEFAULT @{name} = ...}} at the top")


def _syntax(sql: str, tokens: list[Token], error: Any) -> OhdsiSqlError:
    """sqlglot counts columns at the end of a token; the token itself tells where it begins."""
    found = error.errors[0] if error.errors else {}
    line, end = found.get("line") or 1, found.get("col") or 1
    at = next((t.start for t in tokens if (t.line, t.col) == (line, end)), tokens[-1].end)
    word = str(found.get("highlight") or "the end")[:40]
    return OhdsiSqlError("syntax", *line_column(sql, at), f"'{word}' can't stand here", "Check the clause before it")


def _offset(node: exp.Expr, default: int) -> int:
    """The first place that a node knows, its own or inside of it; a whole statement begins where it begins."""
    if node.parent is None:
        return default
    known = [n.meta["start"] for n in node.walk() if "start" in n.meta]
    return min(known, default=default)


def _write(tree: exp.Expr, to: str) -> str:
    from sqlglot.errors import ErrorLevel

    from masterkey_omop.ohdsi_sql.dialect import ToDuckDB, ToPostgres

    dialect = ToDuckDB if to == "duckdb" else ToPostgres
    return dialect().generate(tree, comments=False, unsupported_level=ErrorLevel.IGNORE)


def _returns_rows(tree: exp.Expr) -> bool:
    from sqlglot import exp

    return isinstance(tree, exp.Query)
