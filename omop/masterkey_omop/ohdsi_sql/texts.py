"""Text: `+` between texts, LIKE with character classes, and what other engines spell in another way."""

from __future__ import annotations

import re

from sqlglot import exp

from masterkey_omop.ohdsi_sql.calls import spell
from masterkey_omop.ohdsi_sql.functions import TEXT_ARGUMENTS
from masterkey_omop.ohdsi_sql.kinds import kind
from masterkey_omop.ohdsi_sql.refused import RefusedError


def text_arguments(tree: exp.Expr, _: str) -> exp.Expr:
    """SUBSTRING(201201, 1, 4): T-SQL makes a text of the number, the engines want it said."""
    for call in list(tree.find_all(exp.Anonymous)):
        for position in TEXT_ARGUMENTS.get(call.name.upper(), ()):
            argument = call.expressions[position] if position < len(call.expressions) else exp.null()
            if kind(argument) != "text" and not isinstance(argument, exp.Null):
                argument.replace(exp.Cast(this=argument.copy(), to=exp.DataType.build("TEXT")))
    return tree


def plain_values(tree: exp.Expr, _: str) -> exp.Expr:
    """N'text' is text; CURRENT_TIMESTAMP has no zone; SUBSTRING from a known positive start needs no case."""
    for node in list(tree.find_all(exp.National, exp.CurrentTimestamp, exp.Anonymous)):
        plain = _plain_value(node)
        if plain is not None:
            node.replace(plain)
    return tree


def _plain_value(node: exp.Expr) -> exp.Expr | None:
    if isinstance(node, exp.National):
        return exp.Literal.string(node.name)
    if isinstance(node, exp.CurrentTimestamp):
        return exp.Cast(this=node.copy(), to=exp.DataType.build("TIMESTAMP"))
    if node.name.upper() != "SUBSTRING":
        return None
    start = node.expressions[1]
    positive = start.is_int and start.is_number and start.to_py() > 0
    return spell("SUBSTRING", *(e.copy() for e in node.expressions)) if positive else None


def text_plus(tree: exp.Expr, _: str) -> exp.Expr:
    """`+` between texts -> `||` (NULL stays NULL in both). Inner sums first."""
    for plus in reversed(list(tree.find_all(exp.Add))):
        left, right = plus.left, plus.right
        kinds = {kind(left), kind(right)}
        if "text" not in kinds:
            continue
        if kinds & {"date", "timestamp"}:
            raise RefusedError(
                plus, "+ between a text and a date", "Write CONVERT(VARCHAR(10), date, 120) for the date"
            )
        if kinds & {"int", "float"}:
            _text_and_number(plus)
        elif "" in kinds and any(_looks_numeric(side) for side in (left, right)):
            raise RefusedError(plus, "+ between a numeric text and a column of unknown type", _PLUS)
        else:
            plus.replace(exp.DPipe(this=left.copy(), expression=right.copy()))
    return tree


_PLUS = "Write CONCAT(a, b), or CAST(column AS VARCHAR) + '1'; for a sum CAST(text AS INT) + number"


def _text_and_number(plus: exp.Add) -> None:
    """T-SQL turns the text into a number: '5' + 1 is 6."""
    for side in (plus.left, plus.right):
        if kind(side) == "text" and not _looks_numeric(side):
            raise RefusedError(plus, "+ between a text and a number", _PLUS)
        if kind(side) == "text":
            side.replace(exp.Literal.number(side.name))


def _looks_numeric(node: exp.Expr) -> bool:
    return (
        isinstance(node, exp.Literal)
        and node.is_string
        and node.name.strip().lstrip("+-").replace(".", "", 1).isdigit()
    )


def like(tree: exp.Expr, target: str) -> exp.Expr:
    """LIKE '[0-9]%': T-SQL has character classes, the engines don't: a regular expression does."""
    for node in list(tree.find_all(exp.Like)):
        pattern = node.expression
        if not (isinstance(pattern, exp.Literal) and "[" in pattern.name):
            continue
        if isinstance(node.parent, exp.Escape):
            raise RefusedError(node, "LIKE with [ and ESCAPE", "Write [%] for a percent sign and leave ESCAPE out")
        regex = exp.Literal.string(_regex(node, pattern.name))
        call: exp.Expr = exp.RegexpLike(this=node.this.copy(), expression=regex)
        if target == "duckdb":
            call = spell("REGEXP_MATCHES", node.this.copy(), regex, exp.Literal.string("s"))
        node.replace(exp.Not(this=call) if node.args.get("negate") else call)
    return tree


def _regex(node: exp.Expr, pattern: str) -> str:
    out = []
    for part in re.findall(r"\[[^\]]*\]|.", pattern, re.S):
        if part.startswith("[") and len(part) > 2:
            out.append("[" + part[1:-1].replace("\\", "\\\\") + "]")
        elif part == "[":
            raise RefusedError(node, "a LIKE pattern whose [ is not closed", "Write [[] for a bracket")
        else:
            out.append({"%": ".*", "_": "."}.get(part) or re.escape(part))
    return "^" + "".join(out) + "$"
