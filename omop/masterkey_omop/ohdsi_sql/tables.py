"""Tables and names: hints, #temp names, SELECT INTO, APPLY, and the constructs that are
refused."""

from __future__ import annotations

import re

from sqlglot import exp

from masterkey_omop.ohdsi_sql.refused import RefusedError


def refuse_constructs(tree: exp.Expr, _: str) -> exp.Expr:
    for node in tree.walk():
        if type(node) in _NO:
            raise RefusedError(node, *_NO[type(node)])
        if isinstance(node, exp.LimitOptions):
            _refuse_top(node)
    return tree


def _refuse_top(options: exp.LimitOptions) -> None:
    limit = options.parent
    if options.args.get("with_ties"):
        raise RefusedError(limit or options, "TOP ... WITH TIES", "Filter on RANK() OVER (ORDER BY ...)")
    if options.args.get("percent"):
        if isinstance(limit, exp.Limit) and limit.expression.name == "100" and limit.parent:
            limit.pop()
            return
        raise RefusedError(limit or options, "TOP ... PERCENT", "Filter on PERCENT_RANK() OVER (ORDER BY ...)")


_NO: dict[type[exp.Expr], tuple[str, str]] = {
    exp.Parameter: ("a variable", "Write @name with a value, or {DEFAULT @name = ...}"),
    exp.Pivot: ("PIVOT", "Write SUM(CASE WHEN column = value THEN ... END)"),
    exp.ForClause: ("FOR XML or FOR JSON", "Return rows"),
    exp.WithinGroup: ("WITHIN GROUP", "Rank the rows by ROW_NUMBER() OVER (ORDER BY ...)"),
    exp.Returning: ("OUTPUT", "Select the rows before you change them"),
    exp.TableSample: ("TABLESAMPLE", "Write TOP n ... ORDER BY NEWID()"),
    exp.AtTimeZone: ("AT TIME ZONE", "The CDM keeps local wall dates: leave it out"),
}


def strip_hints(tree: exp.Expr, _: str) -> exp.Expr:
    for node in list(tree.find_all(exp.Table, exp.Query, exp.Join)):
        for key in ("options", "hints", "hint"):
            if node.args.get(key) is not None:
                node.set(key, None)
    return tree


def temp_names(tree: exp.Expr, target: str) -> exp.Expr:
    """`#name` -> the quoted name "#name": it can't hide a table of the CDM that has the same name."""
    for name in list(tree.find_all(exp.Identifier)):
        if name.args.get("temporary"):
            name.replace(exp.to_identifier("#" + name.name.lower(), quoted=True))
        elif target == "postgres" and name.args.get("quoted"):
            name.replace(_folded(name))
    for table in list(tree.find_all(exp.Table)):
        if table.name.startswith("#"):
            table.set("db", None)
            table.set("catalog", None)
    return tree


def _folded(name: exp.Identifier) -> exp.Identifier:
    """T-SQL names have no case: [Person] is person."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", name.name) is not None
    return exp.to_identifier(name.name.lower(), quoted=not plain)


def into(tree: exp.Expr, _: str) -> exp.Expr:
    """SELECT ... INTO t -> CREATE TABLE t AS SELECT ..., also at the head of a UNION or behind WITH."""
    first = tree
    while isinstance(first, (exp.SetOperation, exp.Subquery)):
        first = first.this
    into = first.args.get("into") if isinstance(first, exp.Select) else None
    if into is None:
        return tree
    table = into.pop().this
    temporary = table.name.startswith("#")
    properties = exp.Properties(expressions=[exp.TemporaryProperty()]) if temporary else None
    return exp.Create(this=table, kind="TABLE", expression=tree, properties=properties)


def apply(tree: exp.Expr, _: str) -> exp.Expr:
    """CROSS | OUTER APPLY (...) -> CROSS | LEFT JOIN LATERAL (...)."""
    for join in list(tree.find_all(exp.Join)):
        lateral = join.this
        if isinstance(lateral, exp.Lateral) and lateral.args.get("cross_apply") is not None:
            outer = not lateral.args["cross_apply"]
            lateral.set("cross_apply", None)
            join.set("side", "LEFT" if outer else None)
            join.set("kind", None if outer else "CROSS")
            join.set("on", exp.true() if outer else None)
    return tree
