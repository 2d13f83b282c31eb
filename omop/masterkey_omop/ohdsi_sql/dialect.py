"""The sqlglot dialect "ohdsi": T-SQL with a table of differences, and the two writers it is said in.

Reading: every function of `functions.py` and `units.py` stays a plain call (`exp.Anonymous`) under its T-SQL
name, so that one table decides what it becomes. FLOAT is DOUBLE, a double quote always begins a name.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.tsql import TSQL
from sqlglot.generators.duckdb import DuckDBGenerator
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.parsers.tsql import TSQLParser
from sqlglot.tokenizer_core import TokenType

from masterkey_omop.ohdsi_sql import kinds, reserved
from masterkey_omop.ohdsi_sql.calls import Spelled
from masterkey_omop.ohdsi_sql.functions import FUNCTIONS
from masterkey_omop.ohdsi_sql.units import ADD, TABLES, UNIT_NAMES, UNITS, WHOLE_DAYS

_CASTS = ("CAST", "CONVERT", "TRY_CAST", "TRY_CONVERT")


def _keep(name: str) -> Any:
    return lambda args: exp.Anonymous(this=name, expressions=args)


class Ohdsi(TSQL):
    """OHDSI-SQL as it is read."""

    class Tokenizer(TSQL.Tokenizer):
        QUOTES = ["'"]  # noqa: RUF012  (sqlglot's own form)
        KEYWORDS = {  # noqa: RUF012
            **TSQL.Tokenizer.KEYWORDS,
            "FLOAT": TokenType.DOUBLE,
            "TIMESTAMP": TokenType.TIMESTAMP,
        }

    class Parser(TSQLParser):
        FUNCTIONS = {  # noqa: RUF012
            "IIF": TSQLParser.FUNCTIONS["IIF"],
            **{name: _keep(name) for name in (*FUNCTIONS, *UNIT_NAMES)},
        }
        FUNCTION_PARSERS = {name: TSQLParser.FUNCTION_PARSERS[name] for name in _CASTS}  # noqa: RUF012


def _spelled(writer: Any, node: exp.Expr) -> str:
    """A call that a pass has already put into the target's words."""
    return f"{node.name}({', '.join(writer.sql(a) for a in node.expressions)})"


class _Writer:
    """What both writers share: a call becomes its template."""

    TARGET = ""

    def anonymous_sql(self, node: exp.Anonymous) -> str:
        name = node.name.upper()
        arguments = [self.sql(argument) for argument in node.expressions]  # type: ignore[attr-defined]
        if name in UNIT_NAMES:
            return self._with_unit(name, node)
        function = FUNCTIONS.get(name)
        template = function.template(self.TARGET, len(arguments)) if function else ""
        if not template:
            return f"{name}({', '.join(arguments)})"
        return template.replace("{*}", ", ".join(arguments)).format(*arguments)

    def _with_unit(self, name: str, node: exp.Anonymous) -> str:
        unit = UNITS[node.expressions[0].name.lower()]
        if name == "DATEADD":
            return self._add(unit, node)
        template = TABLES[name][unit][self.TARGET == "postgres"]
        arguments = [self.sql(argument) for argument in node.expressions[1:]]  # type: ignore[attr-defined]
        return self._dated(template.format(*arguments), node if name == "DATETRUNC" else None)

    def _add(self, unit: str, node: exp.Anonymous) -> str:
        call, interval, times = ADD[unit]
        number = self._whole(node.expressions[1], times)
        date = self.sql(node.expressions[2])  # type: ignore[attr-defined]
        if self.TARGET == "postgres":
            return self._dated(f"({date} + {number} * INTERVAL '{interval}')", node)
        return self._dated(f"({date} + {call}({number}))", node)

    def _whole(self, number: exp.Expr, times: int) -> str:
        """The number of DATEADD, its fraction cut off as T-SQL does; the engines would round."""
        text = self.sql(number)  # type: ignore[attr-defined]
        if number.is_int and number.is_number:
            return f"({int(text) * times})" if text.startswith("-") else str(int(text) * times)
        inner = f"({text})" if kinds.kind(number) == "int" else f"TRUNC({text})"
        return f"CAST({inner}{f' * {times}' if times > 1 else ''} AS INTEGER)"

    def _dated(self, text: str, node: exp.Anonymous | None) -> str:
        """As a date again, where T-SQL keeps the date type and the engine gives a timestamp."""
        if node is None or kinds.kind(node) != "date":
            return text
        return f"CAST({text} AS DATE)" if UNITS[node.expressions[0].name.lower()] in WHOLE_DAYS else text


class ToDuckDB(DuckDB):
    """OHDSI-SQL as DuckDB says it."""

    class Generator(_Writer, DuckDBGenerator):
        TARGET = "duckdb"
        TRANSFORMS = {**DuckDBGenerator.TRANSFORMS, Spelled: _spelled}  # noqa: RUF012
        RESERVED_KEYWORDS = reserved.DUCKDB

        def div_sql(self, node: exp.Div) -> str:
            """T-SQL divides by type: two integers give an integer cut towards zero, division by zero is an
            error.

            DuckDB's `//` does exactly that, also for decimals and doubles; its `/` never (tested on 1.5 and
            2.0).
            """
            return self.binary(node, "//")


class ToPostgres(Postgres):
    """OHDSI-SQL as PostgreSQL says it."""

    class Generator(_Writer, PostgresGenerator):
        TARGET = "postgres"
        TRANSFORMS = {**PostgresGenerator.TRANSFORMS, Spelled: _spelled}  # noqa: RUF012
        RESERVED_KEYWORDS = reserved.POSTGRES

        def div_sql(self, node: exp.Div) -> str:
            return self.binary(node, "/")

        def like_sql(self, node: exp.Like) -> str:
            """A backslash is a plain character in a T-SQL pattern (PostgreSQL 15, section 9.7.1: ESCAPE
            '')."""
            escape = " ESCAPE ''" if "\\" in node.expression.name else ""
            return super().like_sql(node) + escape
