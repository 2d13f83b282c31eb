"""CAST in T-SQL's meaning: numbers are cut, texts have a length, dates may be written without hyphens."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from masterkey_omop.ohdsi_sql.calls import spell
from masterkey_omop.ohdsi_sql.dates import iso_date
from masterkey_omop.ohdsi_sql.kinds import kind, kind_of_type
from masterkey_omop.ohdsi_sql.refused import RefusedError


def casts(tree: exp.Expr, target: str) -> exp.Expr:
    for call in list(tree.find_all(exp.Anonymous)):
        if call.name.upper() == "POWER" and kind(call.expressions[0]) == "int":
            _whole_power(call)
    for node in list(tree.find_all(exp.Cast)):
        if rule := _CASTS.get(kind_of_type(node.to)):
            rule(node, target)
    return tree


def _whole_power(call: exp.Anonymous) -> None:
    """POWER has the type of its base: https://learn.microsoft.com/en-us/sql/t-sql/functions/power-transact-sql"""
    cut = spell("TRUNC", spell("POWER", *(e.copy() for e in call.expressions)))
    call.replace(exp.Cast(this=cut, to=exp.DataType.build("BIGINT")))


def _cast_to_date(node: exp.Cast, target: str) -> None:
    """CAST('20200101' AS DATE), CAST(CONCAT(year, '0101') AS DATE): DuckDB only reads hyphens."""
    value = node.this
    if isinstance(value, exp.Literal) and value.is_string:
        if iso := iso_date(value.name):
            value.replace(exp.Literal.string(iso))
    elif target == "duckdb" and kind(value) == "text":
        parsed = spell("TRY_STRPTIME", value.copy(), exp.Literal.string("%Y%m%d"))
        plain = exp.Cast(this=value.copy(), to=exp.DataType.build("TIMESTAMP"))
        value.replace(spell("COALESCE", parsed, plain))


def _cast_to_int(node: exp.Cast, target: str) -> None:
    """T-SQL cuts the fraction off (CAST(2.7 AS INT) is 2); both engines round."""
    value = node.this
    known = kind(value)
    if known in ("int", "text", "date", "timestamp") or isinstance(value, exp.Null) or _is_whole(value):
        return
    if not known:  # may be text or a number: a decimal is exact for both
        data_type = "DECIMAL(38, 10)" if target == "duckdb" else "DECIMAL"
        value.replace(spell("TRUNC", exp.Cast(this=value.copy(), to=exp.DataType.build(data_type))))
    else:
        value.replace(spell("TRUNC", value.copy()))


def _is_whole(value: exp.Expr) -> bool:
    return isinstance(value, exp.Anonymous) and value.name.upper() in ("FLOOR", "CEILING")


def _cast_to_text(node: exp.Cast, target: str) -> None:
    """CAST(x AS VARCHAR(n)) cuts at n characters, CHAR(n) fills up; DuckDB ignores the length."""
    if kind(node.this) == "timestamp":
        raise RefusedError(node, "a timestamp CAST to text", "Write CONVERT(VARCHAR(19), x, 120)")
    length = next(iter(node.to.expressions), None)
    fills = getattr(node.to.this, "name", "") in ("CHAR", "NCHAR")
    plain = exp.Cast(this=node.this.copy(), to=exp.DataType.build("TEXT"))
    if length is None or not length.name.isdigit():
        node.set("to", exp.DataType.build("TEXT"))
    elif fills:
        node.replace(spell("RPAD", plain, exp.Literal.number(length.name), exp.Literal.string(" ")))
    elif target == "duckdb":
        node.replace(spell("LEFT", plain, exp.Literal.number(length.name)))
    else:
        node.to.set("this", exp.DType.VARCHAR)


_CASTS: dict[str, Callable[[exp.Cast, str], None]] = {
    "date": _cast_to_date,
    "timestamp": _cast_to_date,
    "int": _cast_to_int,
    "text": _cast_to_text,
}
