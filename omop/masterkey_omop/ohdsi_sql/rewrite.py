"""T-SQL's meaning made explicit in the tree: a tuple of passes, each a plain function over one statement.

After them the writers only spell. What can't be said exactly is refused with its place; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from difflib import get_close_matches
from functools import partial

from sqlglot import exp

from masterkey_omop.ohdsi_sql.functions import DATE_ARGUMENTS, FUNCTIONS, REFUSED
from masterkey_omop.ohdsi_sql.kinds import kind, kind_of_type
from masterkey_omop.ohdsi_sql.units import COUNTS, TABLES, UNITS


class Refused(Exception):
    """A node that can't be said exactly; `translate` gives it its place."""

    def __init__(self, node: exp.Expression, what: str, instead: str, rule: str = "unsupported") -> None:
        super().__init__(what)
        self.node, self.what, self.instead, self.rule = node, what, instead, rule


def rewrite(tree: exp.Expression, target: str) -> exp.Expression | None:
    """One statement in T-SQL's meaning -> the same in the meaning of `target`; None when nothing is left of it."""
    statement: exp.Expression | None = _statement(tree)
    for step in PASSES:
        if statement is None:
            return None
        statement = step(statement, target)
    return statement


Pass = Callable[[exp.Expression, str], exp.Expression | None]


# --- statements -------------------------------------------------------------------------------------------------

_STATEMENTS = (exp.Select, exp.SetOperation, exp.Subquery, exp.Insert, exp.Update, exp.Delete, exp.TruncateTable)


def _statement(tree: exp.Expression) -> exp.Expression | None:
    """The statement to translate; None for one that only tells a server how to plan."""
    if isinstance(tree, exp.IfBlock):
        return _guarded(tree)
    if isinstance(tree, exp.Command):
        return _command(tree)
    if isinstance(tree, exp.Create):
        return _create(tree)
    if isinstance(tree, exp.Drop) and str(tree.args.get("kind")).upper() == "TABLE":
        return tree
    if isinstance(tree, _STATEMENTS):
        return _target_is_a_table(tree)
    raise Refused(tree, f"a statement of the kind {tree.key.upper()}", "Write SELECT, INSERT, UPDATE, DELETE or a table")


def _command(tree: exp.Command) -> None:
    """UPDATE STATISTICS is advice to one server: https://ohdsi.github.io/SqlRender/. Everything else is refused."""
    if tree.name.upper() != "UPDATE STATISTICS":
        raise Refused(tree, f"the command {tree.name.upper()}", "Leave it out, or do it outside of the query")


def _create(tree: exp.Create) -> exp.Expression | None:
    created = str(tree.args.get("kind")).upper()
    if created.endswith("INDEX"):
        return None  # an index changes no result
    if created != "TABLE":
        raise Refused(tree, f"CREATE {created}", "Create a #temp table: SELECT ... INTO #name FROM ...")
    return tree


def _guarded(tree: exp.IfBlock) -> exp.Expression:
    """IF OBJECT_ID('x', 'U') IS [NOT] NULL DROP | CREATE TABLE x -> DROP | CREATE TABLE IF [NOT] EXISTS x."""
    guarded = tree.args["true"].expressions if isinstance(tree.args.get("true"), exp.Block) else []
    test = next((c for c in tree.find_all(exp.Anonymous) if c.name.upper() == "OBJECT_ID" and c.expressions), None)
    wanted = exp.Drop if isinstance(tree.this, exp.Not) else exp.Create
    if test is None or len(guarded) != 1 or not isinstance(guarded[0], wanted) or tree.args.get("false"):
        raise Refused(tree, "IF", "Write IF OBJECT_ID('name', 'U') IS NOT NULL DROP TABLE name, or leave it out")
    inner = guarded[0]
    table = inner.find(exp.Table)
    if table is None or table.name.lower() != test.expressions[0].name.rpartition(".")[2].lstrip("#").lower():
        raise Refused(test, "an OBJECT_ID of another table", "Name the table that is created or dropped")
    inner.set("exists", True)
    return inner


def _target_is_a_table(tree: exp.Expression) -> exp.Expression:
    """UPDATE a SET ... FROM table a, DELETE a FROM table a: forms that only T-SQL has."""
    source = tree.args.get("from_")
    if isinstance(tree, exp.Update) and source and any(t.alias_or_name == tree.this.name for t in source.find_all(exp.Table)):
        raise Refused(tree.this, "UPDATE of an alias", "Write UPDATE table SET ... FROM (SELECT ...) a WHERE a.id = table.id")
    if isinstance(tree, exp.Delete) and tree.args.get("tables"):
        raise Refused(tree, "DELETE of an alias", "Write DELETE FROM table WHERE EXISTS (SELECT ...)")
    return tree


# --- tables and names -------------------------------------------------------------------------------------------


def _refuse_constructs(tree: exp.Expression, _: str) -> exp.Expression:
    for node in tree.walk():
        if text := next((text for kind_, text in _NO.items() if isinstance(node, kind_)), None):
            raise Refused(node, *text)
        if isinstance(node, exp.LimitOptions):
            _refuse_top(node)
    return tree


def _refuse_top(options: exp.LimitOptions) -> None:
    limit = options.parent
    if options.args.get("with_ties"):
        raise Refused(limit or options, "TOP ... WITH TIES", "Filter on RANK() OVER (ORDER BY ...)")
    if options.args.get("percent"):
        if isinstance(limit, exp.Limit) and limit.expression.name == "100" and limit.parent:
            limit.pop()
            return
        raise Refused(limit or options, "TOP ... PERCENT", "Filter on PERCENT_RANK() OVER (ORDER BY ...)")


_NO: dict[type[exp.Expression], tuple[str, str]] = {
    exp.Parameter: ("a variable", "Write @name with a value, or {DEFAULT @name = ...}"),
    exp.Pivot: ("PIVOT", "Write SUM(CASE WHEN column = value THEN ... END)"),
    exp.ForClause: ("FOR XML or FOR JSON", "Return rows"),
    exp.WithinGroup: ("WITHIN GROUP", "Rank the rows by ROW_NUMBER() OVER (ORDER BY ...)"),
    exp.Returning: ("OUTPUT", "Select the rows before you change them"),
    exp.TableSample: ("TABLESAMPLE", "Write TOP n ... ORDER BY NEWID()"),
    exp.AtTimeZone: ("AT TIME ZONE", "The CDM keeps local wall dates: leave it out"),
}


def _strip_hints(tree: exp.Expression, _: str) -> exp.Expression:
    for node in list(tree.walk()):
        for key in ("options", "hints", "hint"):
            if node.args.get(key) is not None:
                node.set(key, None)
        if isinstance(node, exp.Join) and node.args.get("hint"):
            node.set("hint", None)
    return tree


def _temp_names(tree: exp.Expression, target: str) -> exp.Expression:
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


def _into(tree: exp.Expression, _: str) -> exp.Expression:
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


def _top_of_branch(tree: exp.Expression, _: str) -> exp.Expression:
    """TOP belongs to its own SELECT: a branch of a UNION with a limit needs parentheses."""
    for union in list(tree.find_all(exp.SetOperation)):
        if isinstance(limit := union.args.get("limit"), exp.Limit):
            _last(union).set("limit", limit.pop())
    for union in list(tree.find_all(exp.SetOperation)):
        for side in (union.this, union.expression):
            if isinstance(side, exp.Select) and side.args.get("limit"):
                side.replace(exp.Subquery(this=side.copy()))
    return tree


def _last(union: exp.SetOperation) -> exp.Expression:
    right = union.expression
    return _last(right) if isinstance(right, exp.SetOperation) else right


def _apply(tree: exp.Expression, _: str) -> exp.Expression:
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


# --- functions --------------------------------------------------------------------------------------------------


def _known_functions(tree: exp.Expression, target: str) -> exp.Expression:
    for call in tree.find_all(exp.Func):
        if isinstance(call, exp.Anonymous):
            _known(call)
        elif isinstance(call, exp.TryCast) and target == "postgres":
            raise Refused(call, "TRY_CAST on PostgreSQL", "Write CASE WHEN ISNUMERIC(x) = 1 THEN CAST(x AS FLOAT) END")
    return tree


def _known(call: exp.Anonymous) -> None:
    name, count = call.name.upper(), len(call.expressions)
    if name in TABLES:
        return _known_unit(call, name)
    function = FUNCTIONS.get(name)
    if function is None:
        raise Refused(call, f"the function {name}", REFUSED.get(name) or _nearest(name))
    if not function.least <= count <= function.most:
        raise Refused(call, f"{name} with {count} arguments", f"It takes {_range(function.least, function.most)}")
    return None


def _known_unit(call: exp.Anonymous, name: str) -> None:
    if len(call.expressions) != COUNTS[name]:
        raise Refused(call, f"{name} with {len(call.expressions)} arguments", f"It takes {COUNTS[name]}, the unit first")
    written = call.expressions[0].name.lower()
    unit = UNITS.get(written)
    if unit not in TABLES[name]:
        raise Refused(call, f"the unit {written} of {name}", f"Its units are {', '.join(TABLES[name])}")


def _nearest(name: str) -> str:
    close = get_close_matches(name, [*FUNCTIONS, *TABLES], 3, 0.6)
    return f"Nearest: {', '.join(close)}" if close else "The functions are listed in docs/sql.md"


def _range(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


# --- types ------------------------------------------------------------------------------------------------------

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


def _converts(tree: exp.Expression, target: str) -> exp.Expression:
    """CONVERT(type, x) -> CAST; CONVERT with a style -> a formatted text or a parsed date."""
    return tree.transform(partial(_convert, target=target))


def _convert(node: exp.Expression, target: str) -> exp.Expression:
    if not isinstance(node, exp.Convert):
        return node
    style = node.args.get("style")
    if style is None:
        cast = exp.TryCast if node.args.get("safe") else exp.Cast
        return cast(this=node.expression, to=node.this)
    return _styled(node, style, target)


def _styled(node: exp.Convert, style: exp.Expression, target: str) -> exp.Expression:
    pattern = _STYLES.get(style.name)
    made = kind_of_type(node.this)
    if pattern is None or made not in ("text", "date", "timestamp") or node.args.get("safe"):
        raise Refused(style, f"CONVERT with style {style.name}", f"Its styles are {', '.join(_STYLES)}, to VARCHAR or DATE")
    if made == "text":
        value = _as_date(node.expression)
        name = "STRFTIME" if target == "duckdb" else "TO_CHAR"
        return exp.Cast(this=_call(name, value, _pattern(pattern, target)), to=node.this)
    if kind(node.expression) in ("date", "timestamp"):
        return exp.Cast(this=node.expression, to=node.this)
    name = "STRPTIME" if target == "duckdb" else "TO_TIMESTAMP"
    return exp.Cast(this=_call(name, node.expression, _pattern(pattern, target)), to=node.this)


def _pattern(pattern: str, target: str) -> exp.Expression:
    if target == "postgres":
        pattern = re.sub("%.", lambda m: _POSTGRES_PARTS[m[0]], pattern)
    return exp.Literal.string(pattern)


class Spelled(exp.Expression):
    """A call that is already in the words of the target: name and arguments."""

    arg_types = {"this": True, "expressions": False}  # noqa: RUF012


def _call(name: str, *arguments: exp.Expression) -> Spelled:
    return Spelled(this=name, expressions=list(arguments))


def _types(tree: exp.Expression, target: str) -> exp.Expression:
    for data_type in list(tree.find_all(exp.DataType)):
        _type(data_type, target)
    return tree


def _type(node: exp.DataType, target: str) -> None:
    name = getattr(node.this, "name", "")
    if name in _NO_TYPES or (name == "BIT" and isinstance(node.parent, exp.Cast)):
        raise Refused(node.parent or node, f"the type {name}", _NO_TYPES.get(name, "Write SMALLINT"))
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


# --- values -----------------------------------------------------------------------------------------------------

_PLAIN = re.compile(r"\d{8}")
_ISO = re.compile(r"\d{4}-\d\d-\d\d")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?")


def iso_date(text: str) -> str:
    """'20200131' -> '2020-01-31'; "" when the text is no date in that form. T-SQL reads it so in every locale."""
    if not _PLAIN.fullmatch(text):
        return ""
    try:
        return datetime.strptime(text, "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _as_date(node: exp.Expression) -> exp.Expression:
    """A text literal that stands where T-SQL wants a date, as a date."""
    if not (isinstance(node, exp.Literal) and node.is_string):
        return node
    text = iso_date(node.name) or node.name
    if _STAMP.fullmatch(text):
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build("TIMESTAMP"))
    if _ISO.fullmatch(text):
        return exp.Cast(this=exp.Literal.string(text), to=exp.DataType.build("DATE"))
    raise Refused(node, "a text that is not a date", "Write 'YYYYMMDD' or 'YYYY-MM-DD'")


def _plain_values(tree: exp.Expression, _: str) -> exp.Expression:
    """N'text' is text; CURRENT_TIMESTAMP has no zone; SUBSTRING from a known positive start needs no case."""
    return tree.transform(_plain_value)


def _plain_value(node: exp.Expression) -> exp.Expression:
    if isinstance(node, exp.National):
        return exp.Literal.string(node.name)
    if isinstance(node, exp.CurrentTimestamp):
        return exp.Cast(this=node, to=exp.DataType.build("TIMESTAMP")) if not isinstance(node.parent, exp.Cast) else node
    if isinstance(node, exp.Anonymous) and node.name.upper() == "SUBSTRING" and len(node.expressions) == 3:
        start = node.expressions[1]
        return _call("SUBSTRING", *node.expressions) if start.is_int and start.is_number and start.to_py() > 0 else node
    return node


def _date_arguments(tree: exp.Expression, _: str) -> exp.Expression:
    for call in list(tree.find_all(exp.Anonymous)):
        for position in DATE_ARGUMENTS.get(call.name.upper(), ()):
            if position < len(call.expressions):
                argument = call.expressions[position]
                _swap(argument, _as_date(argument))
    return tree


def _swap(old: exp.Expression, new: exp.Expression) -> None:
    if new is not old:
        old.replace(new)


def _date_literals(tree: exp.Expression, _: str) -> exp.Expression:
    """'YYYYMMDD' beside a date (compared, in a list, as another branch of a choice) -> a date."""
    for node in reversed(list(tree.walk())):  # inner choices first: their kind decides the outer one
        peers = _peers(node)
        if {kind(p) for p in peers} & {"date", "timestamp"}:
            for peer in peers:
                if isinstance(peer, exp.Literal) and peer.is_string and iso_date(peer.name):
                    peer.replace(_as_date(peer))
    return tree


_COMPARED = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE)


def _peers(node: exp.Expression) -> list[exp.Expression]:
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


def _casts(tree: exp.Expression, target: str) -> exp.Expression:
    for node in list(tree.find_all(exp.Cast)):
        if rule := _CASTS.get(kind_of_type(node.to)):
            rule(node, target)
    return tree


def _cast_to_date(node: exp.Cast, target: str) -> None:
    """CAST('20200101' AS DATE), CAST(CONCAT(year, '0101') AS DATE): DuckDB only reads hyphens."""
    value = node.this
    if isinstance(value, exp.Literal) and value.is_string:
        if iso := iso_date(value.name):
            value.replace(exp.Literal.string(iso))
    elif target == "duckdb" and kind(value) == "text":
        parsed = _call("TRY_STRPTIME", value.copy(), exp.Literal.string("%Y%m%d"))
        plain = exp.Cast(this=value.copy(), to=exp.DataType.build("TIMESTAMP"))
        value.replace(_call("COALESCE", parsed, plain))


def _cast_to_int(node: exp.Cast, target: str) -> None:
    """T-SQL cuts the fraction off (CAST(2.7 AS INT) is 2); both engines round."""
    value = node.this
    known = kind(value)
    if known in ("int", "text", "date", "timestamp") or isinstance(value, exp.Null) or _is_whole(value):
        return
    if not known:  # may be text or a number: a decimal is exact for both
        data_type = "DECIMAL(38, 10)" if target == "duckdb" else "DECIMAL"
        value.replace(_call("TRUNC", exp.Cast(this=value.copy(), to=exp.DataType.build(data_type))))
    else:
        value.replace(_call("TRUNC", value.copy()))


def _is_whole(value: exp.Expression) -> bool:
    return isinstance(value, exp.Anonymous) and value.name.upper() in ("FLOOR", "CEILING")


def _cast_to_text(node: exp.Cast, target: str) -> None:
    """CAST(x AS VARCHAR(n)) cuts at n characters, CHAR(n) fills up; DuckDB ignores the length."""
    if kind(node.this) == "timestamp":
        raise Refused(node, "a timestamp CAST to text", "Write CONVERT(VARCHAR(19), x, 120)")
    length = next(iter(node.to.expressions), None)
    fills = getattr(node.to.this, "name", "") in ("CHAR", "NCHAR")
    plain = exp.Cast(this=node.this.copy(), to=exp.DataType.build("TEXT"))
    if length is None or not length.name.isdigit():
        node.set("to", exp.DataType.build("TEXT"))
    elif fills:
        node.replace(_call("RPAD", plain, exp.Literal.number(length.name), exp.Literal.string(" ")))
    elif target == "duckdb":
        node.replace(_call("LEFT", plain, exp.Literal.number(length.name)))
    else:
        node.to.set("this", exp.DType.VARCHAR)


_CASTS: dict[str, Callable[[exp.Cast, str], None]] = {
    "date": _cast_to_date,
    "timestamp": _cast_to_date,
    "int": _cast_to_int,
    "text": _cast_to_text,
}


def _text_plus(tree: exp.Expression, _: str) -> exp.Expression:
    """`+` between texts -> `||` (NULL stays NULL in both). Inner sums first."""
    for plus in reversed(list(tree.find_all(exp.Add))):
        left, right = plus.left, plus.right
        kinds = {kind(left), kind(right)}
        if "text" not in kinds:
            continue
        if kinds & {"int", "float"}:
            _text_and_number(plus)
        elif "" in kinds and any(_looks_numeric(side) for side in (left, right)):
            raise Refused(plus, "+ between a numeric text and a column of unknown type", _PLUS)
        else:
            plus.replace(exp.DPipe(this=left.copy(), expression=right.copy()))
    return tree


_PLUS = "Write CONCAT(a, b), or CAST(column AS VARCHAR) + '1'; for a sum CAST(text AS INT) + number"


def _text_and_number(plus: exp.Add) -> None:
    """T-SQL turns the text into a number: '5' + 1 is 6."""
    for side in (plus.left, plus.right):
        if kind(side) == "text" and not _looks_numeric(side):
            raise Refused(plus, "+ between a text and a number", _PLUS)
        if kind(side) == "text":
            side.replace(exp.Literal.number(side.name))


def _looks_numeric(node: exp.Expression) -> bool:
    return isinstance(node, exp.Literal) and node.is_string and node.name.strip().lstrip("+-").replace(".", "", 1).isdigit()


def _like(tree: exp.Expression, target: str) -> exp.Expression:
    """LIKE '[0-9]%': T-SQL has character classes, the engines don't: a regular expression does."""
    for like in list(tree.find_all(exp.Like)):
        pattern = like.expression
        if not (isinstance(pattern, exp.Literal) and "[" in pattern.name):
            continue
        if isinstance(like.parent, exp.Escape):
            raise Refused(like, "LIKE with [ and ESCAPE", "Write [%] for a percent sign and leave ESCAPE out")
        regex = exp.Literal.string(_regex(like, pattern.name))
        call: exp.Expression = exp.RegexpLike(this=like.this.copy(), expression=regex)
        if target == "duckdb":
            call = _call("REGEXP_MATCHES", like.this.copy(), regex, exp.Literal.string("s"))
        like.replace(exp.Not(this=call) if like.args.get("negate") else call)
    return tree


def _regex(node: exp.Expression, pattern: str) -> str:
    out = []
    for part in re.findall(r"\[[^\]]*\]|.", pattern, re.S):
        if part.startswith("[") and len(part) > 2:
            out.append("[" + part[1:-1].replace("\\", "\\\\") + "]")
        elif part == "[":
            raise Refused(node, "a LIKE pattern whose [ is not closed", "Write [[] for a bracket")
        else:
            out.append({"%": ".*", "_": "."}.get(part) or re.escape(part))
    return "^" + "".join(out) + "$"


PASSES: tuple[Pass, ...] = (
    _refuse_constructs,
    _strip_hints,
    _temp_names,
    _into,
    _top_of_branch,
    _apply,
    _known_functions,
    _plain_values,
    _converts,
    _date_arguments,
    _date_literals,
    _text_plus,
    _like,
    _types,
    _casts,
)
