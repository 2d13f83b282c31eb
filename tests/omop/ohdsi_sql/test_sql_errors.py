"""What the dialect lacks is an error at line and column that says what to write instead; never another
answer."""

from __future__ import annotations

import datetime
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from masterkey_omop.ohdsi_sql import OhdsiSqlError, run, translate
from masterkey_omop.ohdsi_sql.reserved import DUCKDB

# text, line, column, part of what is lacking, part of what to write
REFUSED = [
    ("SELECT\n FOO(1)", 2, 2, "the function FOO", "FLOOR"),
    ("SELECT LENGTH(a) FROM t", 1, 8, "LENGTH", "LEN"),
    ("SELECT a,\n  '1' + b FROM t", 2, 3, "unknown type", "CONCAT"),
    ("SELECT CAST(a AS VARCHAR) + 1 FROM t", 1, 13, "a text and a number", "CONCAT"),
    ("SELECT TOP 10 PERCENT a FROM t", 1, 12, "PERCENT", "PERCENT_RANK"),
    ("SELECT TOP 3 WITH TIES a FROM t ORDER BY a", 1, 12, "WITH TIES", "RANK()"),
    ("SELECT DATEADD(fortnight, 1, a_date) FROM t", 1, 8, "fortnight", "year, quarter"),
    ("SELECT DATEPART(week, a_date) FROM t", 1, 8, "week", "iso_week"),
    ("SELECT DATEADD(day, 1) FROM t", 1, 8, "2 arguments", "3"),
    ("SELECT ROUND(a, 1, 1) FROM t", 1, 8, "ROUND with 3", "takes 2"),
    ("SELECT YEAR('soon')", 1, 13, "not a date", "YYYYMMDD"),
    ("DECLARE @x INT", 1, 9, "@x has no value", "DEFAULT"),
    ("SELECT 1; EXEC sp_who", 1, 11, "EXECUTE", "SELECT"),
    ("SELECT 1;\nBEGIN TRAN", 2, 1, "TRANSACTION", "SELECT"),
    ("IF EXISTS (SELECT 1 FROM t) SELECT 2", 1, 1, "IF", "OBJECT_ID"),
    ("UPDATE a SET x = 1 FROM t a", 1, 8, "alias", "UPDATE table"),
    ("DELETE a FROM t a", 1, 1, "alias", "DELETE FROM"),
    ("CREATE VIEW v AS SELECT 1 AS a", 1, 1, "VIEW", "#temp"),
    ("SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY a) FROM t", 1, 8, "WITHIN GROUP", "ROW_NUMBER"),
    ("SELECT CAST(a AS BIT) FROM t", 1, 13, "BIT", "SMALLINT"),
    ("SELECT CAST(x_datetime AS VARCHAR(20)) FROM t", 1, 13, "timestamp", "CONVERT"),
    ("SELECT CONVERT(VARCHAR(20), a_date, 9) FROM t", 1, 37, "style 9", "112"),
    ("SELECT a FROM t FOR XML PATH('')", 1, 30, "FOR XML", "rows"),
    ("SELECT a FROM\nWHERE", 2, 1, "'WHERE'", "clause"),
    ("SELECT a\n FROM t WHERE b = 'x", 2, 19, "quote", "Close"),
    ("SELECT @a FROM t", 1, 8, "@a has no value", "DEFAULT"),
    ("{DEFAULT @a = 5}\n{@a == 5}?{SELECT\n LENGTH(x) FROM t}", 3, 2, "LENGTH", "LEN"),
    ("SELECT a FROM t WHERE a LIKE '[x'", 1, 23, "not closed", "[[]"),
]


@pytest.mark.parametrize(("sql", "line", "column", "what", "instead"), REFUSED)
@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_refused(sql: str, line: int, column: int, what: str, instead: str, target: str) -> None:
    with pytest.raises(OhdsiSqlError) as caught:
        translate(sql, target)
    error = caught.value
    assert what in error.what
    assert instead in error.instead
    assert (error.line, error.column) == (line, column)
    assert f"line {line}, column {column}" in str(error)


def test_postgres_has_no_try_cast() -> None:
    assert translate("SELECT TRY_CAST(a AS FLOAT) FROM t", "duckdb")
    with pytest.raises(OhdsiSqlError, match="ISNUMERIC"):
        translate("SELECT TRY_CAST(a AS FLOAT) FROM t", "postgres")


def test_an_unknown_target_is_named() -> None:
    with pytest.raises(ValueError, match="duckdb, postgres"):
        translate("SELECT 1", "oracle")


@pytest.fixture
def cdm(tmp_path: Path) -> Any:
    path = tmp_path / "cdm.duckdb"
    with duckdb.connect(str(path)) as writer:
        writer.execute("CREATE TABLE person (person_id INTEGER, person_source_value VARCHAR)")
        writer.execute("INSERT INTO person VALUES (1, 'Yamada')")
    with duckdb.connect(str(path), read_only=True) as reader:
        yield reader


RUNTIME = [
    ("SELECT 1;\nSELECT nothing FROM @cdm_database_schema.person", 2, "nothing"),
    ("SELECT person_id / 0 FROM @cdm_database_schema.person", 1, "division by zero"),
    ("SELECT CAST(person_source_value AS INT) FROM person", 1, "can't be converted"),
    ("SELECT person_id INTO kept FROM person", 1, "reading only"),
]


@pytest.mark.parametrize(("sql", "line", "what"), RUNTIME)
def test_what_duckdb_refuses_has_its_statement_and_no_value(cdm: Any, sql: str, line: int, what: str) -> None:
    with pytest.raises(OhdsiSqlError) as caught:
        run(sql, cdm)
    assert caught.value.line == line
    assert what in caught.value.what
    assert "Yamada" not in str(caught.value)


def test_run_gives_a_table_and_a_frame_on_a_read_only_cdm(cdm: Any) -> None:
    result = run("SELECT person_id, @n AS n INTO #x FROM @cdm_database_schema.person; SELECT * FROM #x", cdm, {"n": 7})
    assert result.columns == ("person_id", "n")
    assert result.rows == [(1, 7)]
    assert result.frame().to_dict("records") == [{"person_id": 1, "n": 7}]


def test_a_temp_table_never_hides_a_table_of_the_cdm(cdm: Any) -> None:
    assert run("SELECT 9 AS person_id INTO #person; SELECT person_id FROM person", cdm).rows == [(1,)]


def test_today_is_a_date(cdm: Any) -> None:
    assert isinstance(run("SELECT GETDATE()", cdm).rows[0][0], datetime.date)


def test_reserved_words_are_those_of_the_engine() -> None:
    rows = duckdb.execute(
        "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category IN ('reserved', 'type_function')"
    ).fetchall()
    assert {word for (word,) in rows} - DUCKDB == set()


def test_a_long_text_is_translated_in_a_breath() -> None:
    """Not a benchmark: a guard against something quadratic. 14 kB, cold cache."""
    block = "SELECT TOP 5 person_id, DATEADD(day, 1, start_date) AS d FROM #x_{i} WHERE start_date >= '20200101';\n"
    sql = "".join(block.replace("{i}", str(i)) for i in range(150))
    started = time.process_time()
    translate(sql)
    assert len(sql) > 14_000
    assert time.process_time() - started < 3


def test_the_page_lists_every_function_and_what_is_refused() -> None:
    from masterkey_omop import ohdsi_sql
    from masterkey_omop.ohdsi_sql.functions import FUNCTIONS, REFUSED
    from masterkey_omop.ohdsi_sql.units import UNIT_NAMES

    page = Path(ohdsi_sql.__file__).with_name("README.md").read_text(encoding="utf-8")
    assert [name for name in (*FUNCTIONS, *REFUSED, *UNIT_NAMES) if f"`{name}`" not in page] == []
