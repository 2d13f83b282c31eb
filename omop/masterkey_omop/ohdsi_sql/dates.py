"""Text that T-SQL reads as a date: 'YYYYMMDD' in arguments, comparisons and choices."""

from __future__ import annotations

import re
from datetime import datetime

from sqlglot import exp

from masterkey_omop.ohdsi_sql.functions import DATE_ARGUMENTS
from masterkey_omop.ohdsi_sql.kinds import kind
from masterkey_omop.ohdsi_sql.refused import RefusedError

_PLAIN = re.compile(r"\d{8}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")


def iso_date(text: str) -> str:
    """'20200131' -> '2020-01-31'; "" when the text is no date in that form. T-SQL reads it so in every
    locale."""
    if not _PLAIN.fullmatch(text):
        return ""
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def as_date(node: exp.Expr) -> exp.Expr:
    """A text literal that stands where T-SQL wants a date, as a date."""
    if not (isinstance(node, exp.Literal) and node.is_string):
        return node
    text = iso_date(node.name) or node.name
    if _STAMP.fullmatch(text):
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build("TIMESTAMP"))
    if _ISO.fullmatch(text):
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build("DATE"))
    raise RefusedError(node, "a text that is not a date", "Write 'YYYYMMDD' or 'YYYY-MM-DD'")


def date_arguments(tree: exp.Expr, _: str) -> exp.Expr:
    for call in list(tree.find_all(exp.Anonymous)):
        for position in DATE_ARGUMENTS.get(call.name.upper(), ()):
            if position < len(call.expressions):
                argument = call.expressions[position]
                _swap(argument, as_date(argument))
    return tree


def _swap(old: exp.Expr, new: exp.Expr) -> None:
    if new is not old:
        old.replace(new)


def date_literals(tree: exp.Expr, _: str) -> exp.Expr:
    """'YYYYMMDD' beside a date (compared, in a list, as another branch of a choice) -> a date."""
    if not any(node.is_string and iso_date(node.name) for node in tree.find_all(exp.Literal)):
        return tree
    for node in reversed(list(tree.walk())):  # inner choices first: their kind decides the outer one
        peers = _peers(node)
        if {kind(p) for p in peers} & {"date", "timestamp"}:
            for peer in peers:
                if isinstance(peer, exp.Literal) and peer.is_string and iso_date(peer.name):
                    peer.replace(as_date(peer))
    return tree


_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def _peers(node: exp.Expr) -> list[exp.Expr]:
    """Expressions that T-SQL brings to one type."""
    if isinstance(node, _COMPARED):
        return [node.left, node.right]
    if isinstance(node, exp.Between):
        return [node.this, node.args["low"], node.args["high"]]
    if isinstance(node, exp.In):
        return [node.this, *node.expressions]
    if isinstance(node, exp.Case):
        return [b for b in (*(i.args["true"] for i in node.args["ifs"]), node.args.get("default")) if b is not None]
    if isinstance(node, exp.Anonymous) and node.name.upper() in ("COALESCE", "ISNULL", "NULLIF"):
        return list(node.expressions)
    return []
