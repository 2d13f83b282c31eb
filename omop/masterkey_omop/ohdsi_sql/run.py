"""OHDSI-SQL on a DuckDB connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from masterkey_omop.ohdsi_sql.errors import OhdsiSqlError
from masterkey_omop.ohdsi_sql.template import parameters
from masterkey_omop.ohdsi_sql.translate import Statement, statements

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

# What every OHDSI text asks for and a CDM of one schema answers.
SCHEMAS = ("cdm_database_schema", "cdmDatabaseSchema", "vocabulary_database_schema", "vocabDatabaseSchema")


@dataclass(frozen=True, slots=True)
class Result:
    """The rows of the last statement that returns rows; empty when none does."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def frame(self) -> pd.DataFrame:
        """A pandas data frame, one row per row."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(self.columns))


def run(sql: str, connection: duckdb.DuckDBPyConnection, params: Mapping[str, Any] | None = None) -> Result:
    """Render, translate and execute every statement; the result of the last SELECT.

    The schema parameters of OHDSI texts (`@cdm_database_schema` ...) are `main` unless given. Raises
    OhdsiSqlError at the line and column of the statement that the dialect or DuckDB refuses.
    """
    result = Result((), [])
    for statement in statements(sql, "duckdb", with_schemas(sql, params)):
        answer = _execute(connection, statement)
        result = answer or result
    return result


def with_schemas(sql: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters, the schema ones that the text uses filled with `main`."""
    used = parameters(sql)
    return {**{name: "main" for name in SCHEMAS if name in used and used[name] is None}, **(params or {})}


def _execute(connection: duckdb.DuckDBPyConnection, statement: Statement) -> Result | None:
    import duckdb

    try:
        cursor = connection.execute(statement.sql)
        if not statement.returns_rows:
            return None
        return Result(tuple(c[0] for c in cursor.description or ()), cursor.fetchall())
    except duckdb.Error as error:
        raise OhdsiSqlError("execution", statement.line, statement.column, *_reason(error)) from None


def _reason(error: Exception) -> tuple[str, str]:
    """What DuckDB said. Names of tables and columns travel; a message that may hold a value does not."""
    import duckdb

    if isinstance(error, (duckdb.CatalogException, duckdb.BinderException, duckdb.ParserException)):
        return str(error).partition("\n")[0], "Check the names against the CDM tables"
    if isinstance(error, duckdb.ConversionException):
        return (
            "a value can't be converted to the type that is asked for",
            "Test it with ISNUMERIC, CAST it, or write a date as 'YYYY-MM-DD'",
        )
    if "Division by zero" in str(error):
        return "a division by zero", "Write a / NULLIF(b, 0)"
    if "read-only" in str(error):
        return "the CDM is open for reading only", "Write into a #temp table"
    return f"DuckDB stops with {type(error).__name__}", "Try the statement on fewer rows"
