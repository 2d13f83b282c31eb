"""Commands for researchers: view, project, vocabulary, sql."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir, issue_lines, progress, table

vocabulary = typer.Typer(no_args_is_help=True, help="The site's own Athena vocabulary.")
sql = typer.Typer(no_args_is_help=True, help="OHDSI-SQL: translate it, run it on the published CDM.")
Params = Annotated[
    list[str] | None,
    typer.Option("--param", "-p", metavar="NAME=VALUE", help="A @parameter; may be repeated."),
]


class Format(StrEnum):
    csv = "csv"
    ndjson = "ndjson"
    parquet = "parquet"


class Dialect(StrEnum):
    duckdb = "duckdb"
    postgres = "postgres"


def view(
    definition: Annotated[Path, typer.Argument(metavar="VIEW.json")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="JSON, NDJSON or Bundle files.")],
    engine: Annotated[str, typer.Option(help="python")] = "python",
    to: Annotated[Format, typer.Option()] = Format.csv,
    out: Annotated[Path | None, typer.Option(help="File to write; default standard output (not for parquet).")] = None,
) -> int:
    """Run a SQL-on-FHIR v2 ViewDefinition. Example: `masterkey view patients.json bundle.json --to csv`"""
    from masterkey_fhir import views

    result = views.run(definition, inputs, engine=engine)
    result.write(to.value, out or sys.stdout.buffer)
    for i in result.issues:
        print(f"{i.severity}: {i}", file=sys.stderr)
    return int(any(i.is_error for i in result.issues))


def project(
    everything: Annotated[bool, typer.Option("--all", help="Into an empty CDM, from the first resource on.")] = False,
) -> int:
    """FHIR to CDM for the patients that changed. Example: `masterkey project --all`"""
    from masterkey_etl import assessment

    result = assessment.project_only(data_dir(), everything=everything, progress=progress)
    table(["table", "rows"], sorted(result.rows.items()))
    issue_lines(result.issues)
    return int(any(i.is_error for i in result.issues))


@vocabulary.command("load")
def vocabulary_load(source: Annotated[Path, typer.Argument(help="Folder or zip from Athena.")]) -> int:
    """Load a vocabulary bundle; the ids our maps name are asserted against it.

    Example: `masterkey vocabulary load athena.zip`
    """
    from masterkey_etl import assessment

    report = assessment.load_vocabulary(data_dir(), source, told=lambda line: print(line, file=sys.stderr))
    table(["table", "rows"], sorted(report.rows.items()))
    issue_lines(report.issues)
    return int(any(i.is_error for i in report.issues))


@vocabulary.command("status")
def vocabulary_status() -> None:
    """Which vocabularies are here, in which version. Example: `masterkey vocabulary status`"""
    from masterkey_etl import assessment

    version, counts = assessment.vocabulary_status(data_dir())
    print(f"release: {version}")
    table(["vocabulary", "concepts"], counts)


def _text(query: str) -> str:
    path = Path(query)
    try:
        return path.read_text(encoding="utf-8") if query.lower().endswith(".sql") and path.is_file() else query
    except OSError:
        return query


def _params(given: list[str] | None) -> dict[str, str]:
    pairs = [p.partition("=") for p in given or []]
    for name, sign, _ in pairs:
        if not sign:
            raise typer.BadParameter(f"{name}: write NAME=VALUE")
    return {name.lstrip("@"): value for name, _, value in pairs}


@sql.command("translate")
def sql_translate(
    query: Annotated[str, typer.Argument(metavar='"SQL"|FILE.sql')],
    to: Annotated[Dialect, typer.Option()] = Dialect.duckdb,
    param: Params = None,
) -> None:
    """OHDSI-SQL to another dialect.

    Example: `masterkey sql translate "SELECT TOP 5 * FROM person" --to postgres`
    """
    from masterkey_omop import ohdsi_sql

    print(ohdsi_sql.translate(ohdsi_sql.render(_text(query), _params(param)), to=to.value))


@sql.command("run")
def sql_run(
    query: Annotated[str, typer.Argument(metavar='"SQL"|FILE.sql')],
    param: Params = None,
    json: Annotated[bool, typer.Option("--json")] = False,
    limit: Annotated[int, typer.Option(help="Rows shown.")] = 50,
) -> None:
    """Run OHDSI-SQL on the published CDM. Example: `masterkey sql run "SELECT COUNT(*) AS n FROM person"`"""
    from masterkey_etl import assessment

    result = assessment.query(data_dir(), _text(query), _params(param))
    if json:
        return as_json([dict(zip(result.columns, row, strict=True)) for row in result.rows])
    table(list(result.columns), result.rows[:limit])
    if len(result.rows) > limit:
        print(f"... {len(result.rows) - limit:,} more rows; --limit shows them, --json gives all")
    return None
