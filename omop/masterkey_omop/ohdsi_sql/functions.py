"""The functions of OHDSI-SQL as a table of differences: T-SQL name -> how DuckDB and PostgreSQL say the same.

`{0}`, `{1}` are the arguments; a missing template means the same name and arguments. `kind` is what the
function returns: a kind of `kinds.py`, `0` for the kind of the first argument, or "" when it can't be told.
What T-SQL means is taken from https://learn.microsoft.com/en-us/sql/t-sql/functions/functions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Function:
    """One function. `least` and `most` bound the number of arguments."""

    least: int
    most: int
    kind: str = ""
    duckdb: str = ""
    postgres: str = ""
    by_count: tuple[tuple[int, str, str], ...] = ()  # (number of arguments, DuckDB, PostgreSQL) where forms differ

    def template(self, target: str, count: int) -> str:
        for number, duckdb, postgres in self.by_count:
            if number == count:
                return duckdb if target == "duckdb" else postgres
        return self.duckdb if target == "duckdb" else self.postgres


def _same(least: int, most: int, kind: str = "") -> Function:
    return Function(least, most, kind)


def _as(name: str, least: int, most: int, kind: str = "") -> Function:
    """Another name, the same arguments, in both engines."""
    text = name + "({*})"
    return Function(least, most, kind, text, text)


# A number as ISNUMERIC sees it: sign, digits, point, exponent (currency signs are left out on purpose).
_NUMBER = r"'^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$'"
_EXTRACT = "CAST(EXTRACT({part} FROM {0}) AS INTEGER)"
_AFTER_START = "STRPOS(SUBSTRING({1}, {2}), {0})"
_LENGTH = "LENGTH(RTRIM(CAST({0} AS VARCHAR), ' '))"  # LEN ignores trailing blanks
_SUBSTRING = (  # a start below 1 counts from before the text in T-SQL, from its end in DuckDB
    "CASE WHEN ({1}) < 1 THEN SUBSTRING({0}, 1, GREATEST(({2}) + ({1}) - 1, 0)) ELSE SUBSTRING({0}, {1}, {2}) END"
)
_FIND = f"CASE WHEN {_AFTER_START} = 0 THEN 0 ELSE {_AFTER_START} + ({{2}}) - 1 END"

FUNCTIONS: dict[str, Function] = {
    # aggregates
    "COUNT": _same(1, 1, "int"),
    "COUNT_BIG": _as("COUNT", 1, 1, "int"),
    "SUM": _same(1, 1, "0"),
    "MIN": _same(1, 1, "0"),
    "MAX": _same(1, 1, "0"),
    "AVG": _same(1, 1, "float"),
    "STDEV": _as("STDDEV_SAMP", 1, 1, "float"),
    "STDEVP": _as("STDDEV_POP", 1, 1, "float"),
    "VAR": _as("VAR_SAMP", 1, 1, "float"),
    "VARP": _as("VAR_POP", 1, 1, "float"),
    # windows
    "ROW_NUMBER": _same(0, 0, "int"),
    "RANK": _same(0, 0, "int"),
    "DENSE_RANK": _same(0, 0, "int"),
    "NTILE": _same(1, 1, "int"),
    "PERCENT_RANK": _same(0, 0, "float"),
    "CUME_DIST": _same(0, 0, "float"),
    "LAG": _same(1, 3, "0"),
    "LEAD": _same(1, 3, "0"),
    "FIRST_VALUE": _same(1, 1, "0"),
    "LAST_VALUE": _same(1, 1, "0"),
    # absence
    "COALESCE": _same(1, 99, "0"),
    "ISNULL": _as("COALESCE", 2, 2, "0"),
    "NULLIF": _same(2, 2, "0"),
    # numbers
    "ABS": _same(1, 1, "0"),
    "CEILING": _same(1, 1, "0"),
    "FLOOR": _same(1, 1, "0"),
    "SIGN": _same(1, 1, "0"),
    "SQRT": _same(1, 1, "float"),
    "EXP": _same(1, 1, "float"),
    "POWER": _same(2, 2),
    "SQUARE": Function(1, 1, "float", "POWER({0}, 2)", "POWER({0}, 2)"),
    "PI": _same(0, 0, "float"),
    "SIN": _same(1, 1, "float"),
    "COS": _same(1, 1, "float"),
    "TAN": _same(1, 1, "float"),
    "LOG10": _same(1, 1, "float"),
    "LOG": Function(  # the natural logarithm; LOG of one argument is base 10 in both engines
        1, 2, "float", "LN({0})", "LN({0})", ((2, "(LN({0}) / LN({1}))", "(LN({0}) / LN({1}))"),)
    ),
    "ROUND": Function(2, 2, "0", "ROUND({0}, {1})", "ROUND(CAST({0} AS DECIMAL), {1})"),
    "RAND": Function(0, 0, "float", "RANDOM()", "RANDOM()"),
    "ISNUMERIC": Function(
        1,
        1,
        "int",
        f"CASE WHEN REGEXP_MATCHES(CAST({{0}} AS VARCHAR), {_NUMBER}) THEN 1 ELSE 0 END",
        f"CASE WHEN CAST({{0}} AS VARCHAR) ~ {_NUMBER} THEN 1 ELSE 0 END",
    ),
    # text
    "LEN": Function(1, 1, "int", _LENGTH, _LENGTH),
    "LOWER": _same(1, 1, "text"),
    "UPPER": _same(1, 1, "text"),
    "LTRIM": Function(1, 1, "text", "LTRIM({0}, ' ')", "LTRIM({0}, ' ')"),
    "RTRIM": Function(1, 1, "text", "RTRIM({0}, ' ')", "RTRIM({0}, ' ')"),
    "TRIM": Function(1, 1, "text", "TRIM({0}, ' ')", "BTRIM({0}, ' ')"),
    "REPLACE": _same(3, 3, "text"),
    "SUBSTRING": Function(3, 3, "text", _SUBSTRING, "SUBSTRING({0}, {1}, {2})"),
    "LEFT": _same(2, 2, "text"),
    "RIGHT": _same(2, 2, "text"),
    "REPLICATE": _as("REPEAT", 2, 2, "text"),
    "SPACE": Function(1, 1, "text", "REPEAT(' ', {0})", "REPEAT(' ', {0})"),
    "REVERSE": _same(1, 1, "text"),
    "CONCAT": _same(2, 254, "text"),
    "CHARINDEX": Function(2, 3, "int", "STRPOS({1}, {0})", "STRPOS({1}, {0})", ((3, _FIND, _FIND),)),
    "ASCII": _same(1, 1, "int"),
    "NEWID": Function(0, 0, "", "UUID()", "GEN_RANDOM_UUID()"),
    # dates: the CDM keeps local wall dates, so today is a date
    "GETDATE": Function(0, 0, "date", "CURRENT_DATE", "CURRENT_DATE"),
    "SYSDATETIME": Function(
        0, 0, "timestamp", "CAST(CURRENT_TIMESTAMP AS TIMESTAMP)", "CAST(CURRENT_TIMESTAMP AS TIMESTAMP)"
    ),
    "YEAR": Function(1, 1, "int", "YEAR({0})", _EXTRACT.replace("{part}", "YEAR")),
    "MONTH": Function(1, 1, "int", "MONTH({0})", _EXTRACT.replace("{part}", "MONTH")),
    "DAY": Function(1, 1, "int", "DAY({0})", _EXTRACT.replace("{part}", "DAY")),
    "DATEFROMPARTS": Function(
        3,
        3,
        "date",
        "MAKE_DATE(CAST({0} AS INTEGER), CAST({1} AS INTEGER), CAST({2} AS INTEGER))",
        "MAKE_DATE(CAST({0} AS INTEGER), CAST({1} AS INTEGER), CAST({2} AS INTEGER))",
    ),
    "DATETIMEFROMPARTS": Function(
        7,
        7,
        "timestamp",
        "MAKE_TIMESTAMP({0}, {1}, {2}, {3}, {4}, ({5}) + ({6}) / 1000.0)",
        "MAKE_TIMESTAMP({0}, {1}, {2}, {3}, {4}, CAST(({5}) + ({6}) / 1000.0 AS DOUBLE PRECISION))",
    ),
    "EOMONTH": Function(
        1,
        2,
        "date",
        "LAST_DAY({0})",
        "CAST(DATE_TRUNC('month', {0}) + INTERVAL '1 month -1 day' AS DATE)",
        (
            (
                2,
                "LAST_DAY({0} + TO_MONTHS(CAST({1} AS INTEGER)))",
                "CAST(DATE_TRUNC('month', {0} + ({1}) * INTERVAL '1 month') + INTERVAL '1 month -1 day' AS DATE)",
            ),
        ),
    ),
}

# Arguments that T-SQL reads as a date when they are a text literal.
DATE_ARGUMENTS: dict[str, tuple[int, ...]] = {
    "YEAR": (0,),
    "MONTH": (0,),
    "DAY": (0,),
    "EOMONTH": (0,),
    "DATEADD": (2,),
    "DATEDIFF": (1, 2),
    "DATEDIFF_BIG": (1, 2),
    "DATEPART": (1,),
    "DATETRUNC": (1,),
}

# Arguments that T-SQL turns into text by itself; the engines don't.
TEXT_ARGUMENTS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("LOWER", "UPPER", "LTRIM", "RTRIM", "TRIM", "REVERSE", "ASCII"), (0,)),
    **dict.fromkeys(("SUBSTRING", "LEFT", "RIGHT", "REPLICATE"), (0,)),
    "CHARINDEX": (0, 1),
    "REPLACE": (0, 1, 2),
}

# What people write instead, and what to write.
REFUSED: dict[str, str] = {
    "CHOOSE": "Write CASE WHEN ... THEN ... END",
    "DATENAME": "Write DATEPART(unit, date)",
    "DATE_ADD": "Write DATEADD(day, n, date)",
    "DATE_DIFF": "Write DATEDIFF(day, from, to)",
    "FORMAT": "Write CONVERT(VARCHAR(10), date, 120) or CAST(number AS VARCHAR)",
    "GREATEST": "Write CASE WHEN a > b THEN a ELSE b END",
    "HASHBYTES": "Hash outside of the query",
    "IFNULL": "Write ISNULL(a, b) or COALESCE(a, b, ...)",
    "INSTR": "Write CHARINDEX(part, text)",
    "LEAST": "Write CASE WHEN a < b THEN a ELSE b END",
    "LENGTH": "Write LEN(text)",
    "LN": "Write LOG(number)",
    "MEDIAN": "Rank the rows by ROW_NUMBER() OVER (ORDER BY ...) and take the middle one",
    "MOD": "Write a % b",
    "NOW": "Write GETDATE()",
    "NVL": "Write ISNULL(a, b)",
    "PATINDEX": "Write CHARINDEX(part, text), or text LIKE '%[0-9]%'",
    "PERCENTILE_CONT": "Rank the rows by ROW_NUMBER() OVER (ORDER BY ...) and take the row you need",
    "PERCENTILE_DISC": "Rank the rows by ROW_NUMBER() OVER (ORDER BY ...) and take the row you need",
    "QUOTENAME": "Write the name in brackets",
    "RANDOM": "Write RAND()",
    "STDDEV": "Write STDEV(number)",
    "STR": "Write CAST(number AS VARCHAR)",
    "STRING_AGG": "Fetch the rows and join them outside of the query",
    "STUFF": "Write LEFT(text, n) + new + SUBSTRING(text, m, 8000)",
    "SUBSTR": "Write SUBSTRING(text, start, length)",
    "TO_DATE": "Write CAST(text AS DATE) or CONVERT(DATE, text, 112)",
}
