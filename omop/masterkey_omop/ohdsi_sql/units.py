"""DATEADD, DATEDIFF, DATEPART, DATETRUNC: the functions whose first argument is a unit.

Units and their abbreviations: https://learn.microsoft.com/en-us/sql/t-sql/functions/dateadd-transact-sql.
DATEDIFF counts the boundaries that are crossed, so 31 December to 1 January is one year; so does DuckDB's
DATE_DIFF, except that T-SQL's weeks begin on Sunday whatever the settings.
"""

from __future__ import annotations

_NAMES = {
    "year": "yy yyyy",
    "quarter": "qq q",
    "month": "mm m",
    "dayofyear": "dy y",
    "day": "dd d",
    "week": "wk ww",
    "weekday": "dw w",
    "iso_week": "isowk isoww",
    "hour": "hh",
    "minute": "mi n",
    "second": "ss s",
    "millisecond": "ms",
}
UNITS = {name: unit for unit, names in _NAMES.items() for name in (unit, *names.split())}

WHOLE_DAYS = frozenset({"year", "quarter", "month", "dayofyear", "day", "week", "weekday"})

# unit -> (DuckDB function, PostgreSQL interval, how many of it)
ADD = {
    "year": ("TO_YEARS", "1 year", 1),
    "quarter": ("TO_MONTHS", "1 month", 3),
    "month": ("TO_MONTHS", "1 month", 1),
    "dayofyear": ("TO_DAYS", "1 day", 1),
    "day": ("TO_DAYS", "1 day", 1),
    "weekday": ("TO_DAYS", "1 day", 1),
    "week": ("TO_DAYS", "1 day", 7),
    "hour": ("TO_HOURS", "1 hour", 1),
    "minute": ("TO_MINUTES", "1 minute", 1),
    "second": ("TO_SECONDS", "1 second", 1),
    "millisecond": ("TO_MILLISECONDS", "1 millisecond", 1),
}

_YEAR = "EXTRACT(YEAR FROM {0})"
_SUNDAY = "DATE '1899-12-31'"
_PG_EPOCH = "EXTRACT(EPOCH FROM DATE_TRUNC('%s', CAST({1} AS TIMESTAMP)) - DATE_TRUNC('%s', CAST({0} AS TIMESTAMP)))"


def _pg_years(per_year: int, part: str) -> str:
    years = f"(EXTRACT(YEAR FROM {{1}}) - EXTRACT(YEAR FROM {{0}})) * {per_year}"
    rest = f" + EXTRACT({part} FROM {{1}}) - EXTRACT({part} FROM {{0}})" if part else ""
    return f"CAST({years}{rest} AS INTEGER)"


def _pg_seconds(unit: str, seconds: str) -> str:
    return f"CAST({_PG_EPOCH % (unit, unit)} {seconds} AS BIGINT)"


def _weeks(days: str) -> str:
    return f"CAST(FLOOR({days.format('{1}')} / 7.0) - FLOOR({days.format('{0}')} / 7.0) AS INTEGER)"


# unit -> (DuckDB, PostgreSQL); {0} is the start, {1} the end
DIFF = {
    "year": ("DATE_DIFF('year', {0}, {1})", _pg_years(1, "")),
    "quarter": ("DATE_DIFF('quarter', {0}, {1})", _pg_years(4, "QUARTER")),
    "month": ("DATE_DIFF('month', {0}, {1})", _pg_years(12, "MONTH")),
    "week": (_weeks(f"DATE_DIFF('day', {_SUNDAY}, {{}})"), _weeks(f"(CAST({{}} AS DATE) - {_SUNDAY})")),
    "hour": ("DATE_DIFF('hour', {0}, {1})", _pg_seconds("hour", "/ 3600")),
    "minute": ("DATE_DIFF('minute', {0}, {1})", _pg_seconds("minute", "/ 60")),
    "second": ("DATE_DIFF('second', {0}, {1})", _pg_seconds("second", "")),
    "millisecond": ("DATE_DIFF('millisecond', {0}, {1})", _pg_seconds("milliseconds", "* 1000")),
}
DIFF |= dict.fromkeys(
    ("day", "dayofyear", "weekday"),
    ("DATE_DIFF('day', {0}, {1})", "(CAST({1} AS DATE) - CAST({0} AS DATE))"),
)


def _part(name: str) -> tuple[str, str]:
    return (f"EXTRACT({name} FROM {{0}})", f"CAST(FLOOR(EXTRACT({name} FROM {{0}})) AS INTEGER)")


# T-SQL's week number depends on the week day of 1 January: refused. Sunday is week day 1 (DATEFIRST 7).
PART = {
    "year": _part("YEAR"),
    "quarter": _part("QUARTER"),
    "month": _part("MONTH"),
    "dayofyear": _part("DOY"),
    "day": _part("DAY"),
    "iso_week": _part("WEEK"),
    "hour": _part("HOUR"),
    "minute": _part("MINUTE"),
    "second": _part("SECOND"),
    "weekday": ("(EXTRACT(DOW FROM {0}) + 1)", "(CAST(EXTRACT(DOW FROM {0}) AS INTEGER) + 1)"),
}

TRUNC = {unit: (f"DATE_TRUNC('{unit}', {{0}})",) * 2 for unit in ("year", "quarter", "month", "day", "hour", "minute")}

TABLES: dict[str, dict[str, tuple[str, str]]] = {
    "DATEDIFF": DIFF,
    "DATEDIFF_BIG": DIFF,
    "DATEPART": PART,
    "DATETRUNC": TRUNC,
}
UNIT_NAMES: dict[str, tuple[str, ...]] = {
    "DATEADD": tuple(ADD),
    **{name: tuple(t) for name, t in TABLES.items()},
}
COUNTS = {"DATEADD": 3, "DATEDIFF": 3, "DATEDIFF_BIG": 3, "DATEPART": 2, "DATETRUNC": 2}
