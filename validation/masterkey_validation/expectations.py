"""Runner 2: the same rows of the catalogue as a Great Expectations suite, on pandas frames.

A native kind is judged by Great Expectations on the table itself; every other check on its judged rows.
Imported late (4 s), in an ephemeral context, analytics off, and no raw value of a record in what is given
back.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from masterkey_omop import ohdsi_sql
from masterkey_validation.catalogue import KINDS, Check
from masterkey_validation.results import Result, counted, error, not_applicable
from masterkey_validation.run import (
    FRAME,
    OF_PERSON,
    SCHEMA,
    UNEXPECTED,
    absent,
    check_text,
    params,
    sited,
    tables,
    wrapped,
)

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_NATIVE = "SELECT {site} AS site, {columns}\nFROM {table} t\n" + OF_PERSON.replace("{row}", "t")

# What a result of Great Expectations may hold of a record's values.
_RAW = ("list", "index", "partial", "query", "value_counts")


def great_expectations() -> Any:
    """The library, with analytics and progress bars off before its first import."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx

    return gx


def run_gx(cdm_path: Path | str, checks: Sequence[Check], *, as_of: date | None = None) -> list[Result]:
    """All checks on a published CDM by Great Expectations. One Result per check and site, counts as runner
    1."""
    import duckdb

    with duckdb.connect(str(cdm_path), read_only=True) as connection:
        runner = _Runner(connection, as_of or date.today())
        return [result for check in checks for result in runner.judge(check)]


def expectation(check: Check, as_of: date) -> Any:
    """The expectation of one check; `meta` carries its id, so that results find their way back."""
    classes = great_expectations().expectations
    arguments = _ARGUMENTS[check.kind](check, check.values(as_of))
    meta = {"check_id": check.id, "severity": check.severity, "title": check.title["en"]}
    return getattr(classes, KINDS[check.kind])(**arguments, **_mostly(check), meta=meta)


def portable(check: Check, as_of: date) -> Any:
    """The expectation as another installation can run it on a CDM in PostgreSQL: what has no native form is
    its SQL."""
    if check.kind != "rows":
        return expectation(check, as_of)
    meta = {"check_id": check.id, "severity": check.severity, "title": check.title["en"]}
    query = wrapped(check, UNEXPECTED, as_of, to="postgres")
    return great_expectations().expectations.UnexpectedRowsExpectation(unexpected_rows_query=query, meta=meta)


def write_suite(checks: Sequence[Check], path: Path, *, name: str = "core", as_of: date | None = None) -> Path:
    """The suite as the JSON file of plain Great Expectations."""
    gx = great_expectations()
    built = gx.ExpectationSuite(name=name)
    for check in checks:
        built.add_expectation(portable(check, as_of or date.today()))
    path.write_text(json.dumps(built.to_json_dict(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path


def stripped(result: Any) -> dict[str, Any]:
    """A validation result as plain data without any list of values: counts and percentages."""
    found = dict(result.result)
    return {k: v for k, v in found.items() if not any(part in k for part in _RAW)} | {"success": bool(result.success)}


class _Runner:
    def __init__(self, connection: duckdb.DuckDBPyConnection, as_of: date) -> None:
        gx = great_expectations()
        self._connection, self._as_of = connection, as_of
        self._there = tables(connection)
        self._context = gx.get_context(mode="ephemeral")
        self._context.variables.progress_bars = {"globally": False}
        source = self._context.data_sources.add_pandas("cdm")
        asset = source.add_dataframe_asset("frame")
        self._batches = asset.add_batch_definition_whole_dataframe("all")

    def judge(self, check: Check) -> Iterator[Result]:
        if missing := absent(check, self._there):
            yield not_applicable(check, f"not in this CDM: {', '.join(missing)}", runner="gx")
            return
        try:
            frame = self._frame(check)
        except (ohdsi_sql.OhdsiSqlError, KeyError) as reason:
            yield error(check, str(reason), runner="gx")
            return
        if frame.empty:
            yield not_applicable(check, "no row to judge", runner="gx")
        for site, part in frame.groupby("site", sort=True):
            yield self._site(check, str(site), part)

    def _site(self, check: Check, site: str, frame: pd.DataFrame) -> Result:
        """One check at one site. What Great Expectations can't evaluate is an error of its own."""
        started = time.perf_counter()
        batch = self._batches.get_batch(batch_parameters={"dataframe": frame})
        how = {"result_format": "BASIC", "partial_unexpected_count": 0}
        found = batch.validate(expectation(check, self._as_of), result_format=how)
        seconds = time.perf_counter() - started
        if "exception_info" in found and _raised(found.exception_info):
            return error(check, "Great Expectations could not evaluate it", runner="gx", seconds=seconds)
        numbers = stripped(found)
        denominator = int(numbers["element_count"]) - int(numbers.get("missing_count") or 0)
        if check.kind == "not_null":
            denominator = int(numbers["element_count"])
        violated = int(numbers["unexpected_count"])
        return counted(check, site, denominator, violated, runner="gx", seconds=seconds)

    def _frame(self, check: Check) -> pd.DataFrame:
        if check.kind == "rows":
            text, given = check_text(check, sited(FRAME, self._there)), params(check, self._as_of)
        else:
            text, given = _native(check, self._there), {"cdm_database_schema": SCHEMA}
        frame = ohdsi_sql.run(text, self._connection, given).frame()
        return _complete(frame, check)


def _native(check: Check, there: frozenset[str]) -> str:
    """The columns that a native expectation looks at."""
    wanted = [check.field, check.parameters.get("later", ""), check.parameters.get("condition_column", "")]
    columns = ", ".join(f"t.{name}" for name in wanted if name)
    table = check.table if "." in check.table else f"@cdm_database_schema.{check.table}"
    return sited(_NATIVE, there).replace("{columns}", columns).replace("{table}", table)


def _complete(frame: pd.DataFrame, check: Check) -> pd.DataFrame:
    """Rows that the check judges: those of its condition, for a pair those with both values."""
    column = check.parameters.get("condition_column")
    if column:
        frame = frame[frame[column] == check.parameters["condition_value"]]
    if check.kind == "pair_order":
        frame = frame.dropna(subset=[check.field, check.parameters["later"]])
    return frame.reset_index(drop=True)


def _raised(information: Any) -> bool:
    """GX nests exception_info per metric when metrics fail: {"raised_exception": ...} or {metric: {...}}."""
    entries = [information, *(v for v in dict(information).values() if isinstance(v, dict))]
    return any(e.get("raised_exception") for e in entries)


def _mostly(check: Check) -> dict[str, float]:
    return {"mostly": 1 - check.threshold / 100} if check.threshold else {}


_ARGUMENTS: dict[str, Any] = {
    "not_null": lambda c, v: {"column": c.field},
    "unique": lambda c, v: {"column": c.field},
    "in_set": lambda c, v: {"column": c.field, "value_set": v["values"]},
    "not_in_set": lambda c, v: {"column": c.field, "value_set": v["values"]},
    "between": lambda c, v: {"column": c.field, "min_value": v["min"], "max_value": v["max"]},
    "pair_order": lambda c, v: {
        "column_A": c.parameters["later"],
        "column_B": c.field,
        "or_equal": True,
        "ignore_row_if": "either_value_is_missing",
    },
    "not_match_regex": lambda c, v: {"column": c.field, "regex": v["regex"]},
    "rows": lambda c, v: {"column": "violated", "value_set": [0]},
}
