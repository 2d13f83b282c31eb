"""OHDSI-SQL: the SqlRender layer, a sqlglot dialect of T-SQL, translation to DuckDB and PostgreSQL,
execution.

    render(sql, params)         @param, {DEFAULT @a = 'x'}, {condition}?{then}:{else}
    translate(sql, to, params)  statements of "duckdb" or "postgres"
    run(sql, connection, params)  on a DuckDB connection, as rows or a pandas frame

The claim is semantic parity, shown by equal results on the same data. What differs knowingly from SQL
Server: text is compared by case and with its trailing blanks, AVG of integers keeps its fraction, GETDATE()
is a date, DECIMAL division keeps more digits.
"""

from masterkey_omop.ohdsi_sql.errors import OhdsiSqlError
from masterkey_omop.ohdsi_sql.run import Result, run
from masterkey_omop.ohdsi_sql.template import parameters, render
from masterkey_omop.ohdsi_sql.translate import Statement, statements, translate

__all__ = ["OhdsiSqlError", "Result", "Statement", "parameters", "render", "run", "statements", "translate"]
