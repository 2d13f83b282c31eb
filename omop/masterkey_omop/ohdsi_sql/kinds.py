"""What an expression is, as far as the text tells: `int`, `float`, `text`, `date`, `timestamp` or ""
(unknown).

T-SQL decides by type what `+`, `/` and CAST mean. Columns are known by the naming rules of the CDM
(https://ohdsi.github.io/CommonDataModel/cdm54.html): `*_date` is a date, `*_datetime` a timestamp, `*_id` an
integer except the five vocabulary identifiers, `*_source_value` and names are text.
"""

from __future__ import annotations

from sqlglot import exp

from masterkey_omop.ohdsi_sql.functions import FUNCTIONS
from masterkey_omop.ohdsi_sql.units import UNITS, WHOLE_DAYS

_TEXT_IDS = frozenset({"vocabulary_id", "domain_id", "concept_class_id", "relationship_id", "reverse_relationship_id"})
_SUFFIXES = (
    ("_datetime", "timestamp"),
    ("_date", "date"),
    ("_source_value", "text"),
    ("_name", "text"),
    ("_id", "int"),
)
_COLUMNS = {
    "concept_code": "text",
    "value_as_string": "text",
    "value_as_number": "float",
    "range_low": "float",
    "range_high": "float",
    "year_of_birth": "int",
    "month_of_birth": "int",
    "day_of_birth": "int",
    "days_supply": "int",
    **dict.fromkeys(_TEXT_IDS, "text"),
}
_TYPES = {
    "int": "TINYINT UTINYINT SMALLINT INT BIGINT BIT",
    "float": "FLOAT DOUBLE DECIMAL MONEY SMALLMONEY",
    "text": "CHAR NCHAR VARCHAR NVARCHAR TEXT",
    "date": "DATE",
    "timestamp": "DATETIME DATETIME2 SMALLDATETIME TIMESTAMP",
}
_KIND_OF_TYPE = {name: kind for kind, names in _TYPES.items() for name in names.split()}
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod)
_TRANSPARENT = (exp.Paren, exp.Neg, exp.Alias, exp.Window, exp.Distinct)


def kind(node: exp.Expr | None) -> str:
    """The kind of an expression, "" when the text does not tell."""
    match node:
        case exp.Literal():
            return _literal(node)
        case exp.Cast() | exp.TryCast() | exp.Convert():
            return kind_of_type(node.this if isinstance(node, exp.Convert) else node.to)
        case exp.Column():
            return _column(node.name.lower())
        case exp.DPipe():
            return "text"
        case exp.Anonymous():
            return _function(node)
        case exp.CurrentTimestamp():
            return "timestamp"
        case exp.Case():
            return _common([branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")])
        case exp.If():
            return _common([node.args.get("true"), node.args.get("false")])
        case exp.Subquery():
            return _subquery(node)
    if isinstance(node, _ARITHMETIC):
        return _arithmetic(kind(node.left), kind(node.right))
    if isinstance(node, _TRANSPARENT):
        return kind(node.this or next(iter(node.expressions), None))
    return ""


def kind_of_type(data_type: exp.Expr) -> str:
    """The kind of a T-SQL data type."""
    return _KIND_OF_TYPE.get(getattr(data_type.this, "name", ""), "")


def _literal(node: exp.Literal) -> str:
    if node.is_string:
        return "text"
    return "int" if node.is_int else "float"


def _column(name: str) -> str:
    if name in _COLUMNS:
        return _COLUMNS[name]
    return next((k for suffix, k in _SUFFIXES if name.endswith(suffix)), "")


def _function(node: exp.Anonymous) -> str:
    name = node.name.upper()
    if name in ("COALESCE", "ISNULL"):
        return _common(node.expressions)
    if name in ("DATEADD", "DATETRUNC"):
        return _moved(node)
    if name in ("DATEDIFF", "DATEDIFF_BIG", "DATEPART"):
        return "int"
    function = FUNCTIONS.get(name)
    if function is None:
        return ""
    return kind(next(iter(node.expressions), None)) if function.kind == "0" else function.kind


def _moved(node: exp.Anonymous) -> str:
    """DATEADD keeps the type of its date:
    https://learn.microsoft.com/en-us/sql/t-sql/functions/dateadd-transact-sql"""
    unit, moved = node.expressions[0], kind(node.expressions[-1])
    if moved == "date" and UNITS.get(unit.name.lower()) not in WHOLE_DAYS:
        return "timestamp"
    return moved


def _common(nodes: list[exp.Expr | None]) -> str:
    """The kind of a choice: that of its branches, NULL left out, when they agree."""
    kinds = {kind(n) for n in nodes if n is not None and not isinstance(n, exp.Null)}
    if kinds == {"int", "float"}:
        return "float"
    return kinds.pop() if len(kinds) == 1 else ""


def _arithmetic(left: str, right: str) -> str:
    if "float" in (left, right):
        return "float"
    return left if left == right == "int" else ""


def _subquery(node: exp.Subquery) -> str:
    select = node.this
    return kind(select.expressions[0]) if isinstance(select, exp.Select) and select.expressions else ""
