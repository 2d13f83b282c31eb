"""Data types of T-SQL, and CONVERT with its styles."""

from __future__ import annotations

import re

from sqlglot import exp

from masterkey_omop.ohdsi_sql.calls import spell
from masterkey_omop.ohdsi_sql.dates import as_date
from masterkey_omop.ohdsi_sql.kinds import kind, kind_of_type
from masterkey_omop.ohdsi_sql.refused import RefusedError

_STYLES = {  # https://learn.microsoft.com/en-us/sql/t-sql/functions/cast-and-convert-transact-sql (style)
    "23": "%Y-%m-%d",
    "101": "%m/%d/%Y",
    "102": "%Y.%m.%d",
    "103": "%d/%m/%Y",
    "104": "%d.%m.%Y",
    "105": "%d-%m-%Y",
    "108": "%H:%M:%S",
    "110": "%m-%d-%Y",
    "111": "%Y/%m/%d",
    "112": "%Y%m%d",
    "120": "%Y-%m-%d %H:%M:%S",
}
_POSTGRES_PARTS = {"%Y": "YYYY", "%m": "MM", "%d": "DD", "%H": "HH24", "%M": "MI", "%S": "SS"}


def converts(tree: exp.Expr, target: str) -> exp.Expr:
    """CONVERT(type, x) -> CAST; CONVERT with a style -> a formatted text or a parsed date."""
    for node in list(tree.find_all(exp.Convert)):
        node.replace(_convert(node, target))
    return tree


def _convert(node: exp.Convert, target: str) -> exp.Expr:
    style = node.args.get("style")
    if style is None:
        cast = exp.TryCast if node.args.get("safe") else exp.Cast
        return cast(this=node.expression, to=node.this)
    return _styled(node, style, target)


def _styled(node: exp.Convert, style: exp.Expr, target: str) -> exp.Expr:
    pattern = _STYLES.get(style.name)
    made = kind_of_type(node.this)
    if pattern is None or made not in ("text", "date", "timestamp") or node.args.get("safe"):
        raise RefusedError(
            style,
            f"CONVERT with style {style.name}",
            f"Its styles are {', '.join(_STYLES)}, to VARCHAR or DATE",
        )
    if made == "text":
        value = as_date(node.expression)
        name = "STRFTIME" if target == "duckdb" else "TO_CHAR"
        return exp.Cast(this=spell(name, value, _pattern(pattern, target)), to=node.this)
    if kind(node.expression) in ("date", "timestamp"):
        return exp.Cast(this=node.expression, to=node.this)
    name = "STRPTIME" if target == "duckdb" else "TO_TIMESTAMP"
    return exp.Cast(this=spell(name, node.expression, _pattern(pattern, target)), to=node.this)


def _pattern(pattern: str, target: str) -> exp.Expr:
    if target == "postgres":
        pattern = re.sub("%.", lambda m: _POSTGRES_PARTS[m[0]], pattern)
    return exp.Literal.string(pattern)


def types(tree: exp.Expr, target: str) -> exp.Expr:
    for data_type in list(tree.find_all(exp.DataType)):
        _type(data_type, target)
    return tree


def _type(node: exp.DataType, target: str) -> None:
    name = getattr(node.this, "name", "")
    if name in _NO_TYPES or (name == "BIT" and isinstance(node.parent, exp.Cast)):
        raise RefusedError(node.parent or node, f"the type {name}", _NO_TYPES.get(name, "Write SMALLINT"))
    if name in _SAID_AS:
        node.replace(exp.DataType.build(_SAID_AS[name]))
    elif name in _TEXTS and any(p.name.upper() == "MAX" for p in node.expressions):
        node.replace(exp.DataType.build("TEXT"))
    elif name == "DECIMAL" and len(node.expressions) < 2:  # DECIMAL is DECIMAL(18, 0) in T-SQL
        precision = node.expressions[0].name if node.expressions else "18"
        node.replace(exp.DataType.build(f"DECIMAL({precision}, 0)"))
    elif name == "UTINYINT" and target == "postgres":
        node.replace(exp.DataType.build("SMALLINT"))


_TEXTS = ("VARCHAR", "NVARCHAR")
_SAID_AS = {
    "DATETIME": "TIMESTAMP",
    "DATETIME2": "TIMESTAMP",
    "SMALLDATETIME": "TIMESTAMP",
    "DOUBLE": "DOUBLE",
    "FLOAT": "FLOAT",
    "MONEY": "DECIMAL(19, 4)",
    "SMALLMONEY": "DECIMAL(10, 4)",
    "BIT": "SMALLINT",
}
_NO_TYPES = {
    "TIMESTAMPTZ": "The CDM keeps local wall time: write DATETIME",
    "BINARY": "Write VARCHAR",
    "VARBINARY": "Write VARCHAR",
    "IMAGE": "Write VARCHAR",
    "ROWVERSION": "Write DATETIME",
    "VARIANT": "Write the type you mean",
    "XML": "Write VARCHAR",
}
