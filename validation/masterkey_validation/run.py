"""Runner 1: every check as one query on DuckDB, counts by site; failing rows as ids only.

All SQL passes through `masterkey_omop.ohdsi_sql`. An error is a Result of its own, never a pass and never
silence.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_omop import ohdsi_sql
from masterkey_validation.catalogue import Check
from masterkey_validation.results import Result, counted, error, not_applicable

if TYPE_CHECKING:
    import duckdb

SCHEMA = "main"

# The site of a judged record is the one that sent its person; in a CDM of others, the person's care site.
CARE_SITE = "COALESCE(s.care_site_source_value, s.care_site_name, '')"
SENDER = f"COALESCE(o.site, {CARE_SITE})"
ORIGIN = "masterkey.origin"
OF_PERSON = """LEFT JOIN @cdm_database_schema.person p ON p.person_id = {row}.person_id
LEFT JOIN @cdm_database_schema.care_site s ON s.care_site_id = p.care_site_id
{origin}"""
_JUDGED = "FROM (\n{sql}\n) j\n" + OF_PERSON.replace("{row}", "j")
COUNTS = f"""SELECT {{site}} AS site, COUNT(*) AS denominator, SUM(j.violated) AS violated
{_JUDGED}GROUP BY {{site}}
ORDER BY site"""
FAILING = f"""SELECT TOP @most {{site}} AS site, j.record_table, j.record_id
{_JUDGED}WHERE j.violated = 1
ORDER BY site, j.record_table, j.record_id"""
FRAME = f"""SELECT {{site}} AS site, j.violated
{_JUDGED}"""
UNEXPECTED = """SELECT j.record_table, j.record_id
FROM (
{sql}
) j
WHERE j.violated = 1"""


@dataclass(frozen=True, slots=True)
class FailingRow:
    """Where a violated record is: table and id, no value. Stays inside the site."""

    site: str
    table: str
    record_id: str


def run_duckdb(
    cdm_path: Path | str,
    checks: Sequence[Check],
    *,
    as_of: date | None = None,
    progress: Callable[[Check], None] = lambda _: None,
) -> list[Result]:
    """All checks on a published CDM, opened for reading. One Result per check and site."""
    import duckdb

    with duckdb.connect(str(cdm_path), read_only=True) as connection:
        there = tables(connection)
        results: list[Result] = []
        for check in checks:
            progress(check)
            results += judge(connection, there, check, as_of or date.today())
        return results


def judge(connection: duckdb.DuckDBPyConnection, there: frozenset[str], check: Check, as_of: date) -> Iterator[Result]:
    """The Results of one check, one per site; one without site when it can't be judged."""
    if missing := absent(check, there):
        yield not_applicable(check, f"not in this CDM: {', '.join(missing)}")
        return
    started = time.perf_counter()
    try:
        counts = sited(COUNTS, there)
        query = wrapped(check, counts, as_of)
        rows = ohdsi_sql.run(check_text(check, counts), connection, params(check, as_of)).rows
    except (ohdsi_sql.OhdsiSqlError, KeyError) as reason:
        yield error(check, str(reason), seconds=time.perf_counter() - started)
        return
    seconds = time.perf_counter() - started
    if not rows:
        yield not_applicable(check, "no row to judge", query=query, seconds=seconds)
    for site, denominator, violated in rows:
        yield counted(check, site, int(denominator), int(violated), query=query, seconds=seconds)


def failing_rows(
    cdm_path: Path | str, check: Check, *, most: int = 1000, as_of: date | None = None
) -> list[FailingRow]:
    """Ids of violated records, at most `most`, in a fixed order. Raises OhdsiSqlError."""
    import duckdb

    with duckdb.connect(str(cdm_path), read_only=True) as connection:
        given = {**params(check, as_of or date.today()), "most": most}
        text = check_text(check, sited(FAILING, tables(connection)))
        # DuckDB 2.0.1 loses a LIMIT above an outer join with an empty table: the bound is held here too
        return [FailingRow(*row) for row in ohdsi_sql.run(text, connection, given).rows[:most]]


def sited(wrapper: str, there: frozenset[str]) -> str:
    """A wrapper with the words for the site, as the tables of this CDM allow."""
    known = ORIGIN in there
    join = f"LEFT JOIN {ORIGIN} o ON o.person_id = p.person_id AND o.table_name = 'person'\n" if known else ""
    return wrapper.replace("{site}", SENDER if known else CARE_SITE).replace("{origin}", join)


def check_text(check: Check, wrapper: str) -> str:
    """The check's SQL inside a wrapper, still with its parameters."""
    return wrapper.replace("{sql}", check.sql.strip())


def params(check: Check, as_of: date) -> dict[str, Any]:
    """The parameters that the check's SQL uses (some are for Great Expectations alone)."""
    used = ohdsi_sql.parameters(check.sql)
    return {"cdm_database_schema": SCHEMA, **{k: v for k, v in check.values(as_of).items() if k in used}}


def wrapped(check: Check, wrapper: str, as_of: date, to: str = "duckdb") -> str:
    """The query in the words of an engine, for people to read."""
    return ohdsi_sql.translate(check_text(check, wrapper), to, params(check, as_of))


def tables(connection: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Tables of the CDM by name, those of another schema as `schema.name`."""
    rows = connection.execute("SELECT schema_name, table_name FROM duckdb_tables()").fetchall()
    return frozenset(name if schema == SCHEMA else f"{schema}.{name}" for schema, name in rows)


def absent(check: Check, there: frozenset[str]) -> list[str]:
    """Tables that the check reads and this CDM lacks."""
    own = re.findall(r"@cdm_database_schema\.(\w+)", check.sql)
    side = re.findall(r"\b(masterkey\.\w+)", check.sql)
    return sorted({name for name in (*own, *side, "person", "care_site") if name not in there})
