"""`masterkey quality`: run the checks, write the report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir, table

app = typer.Typer(no_args_is_help=True, help="Run the check suites, write their report.")


class Language(StrEnum):
    en = "en"
    ja = "ja"


@app.command("run")
def run(
    runner: Annotated[str, typer.Option(help="sql (own, fast) | gx (Great Expectations)")] = "sql",
    json: Annotated[bool, typer.Option("--json")] = False,
) -> int:
    """Run the checks on the published CDM. Exit code 1 when one of severity error fails; a query is a question.

    Example: `masterkey quality run --runner gx`
    """
    from masterkey_etl import assessment

    results = assessment.quality(data_dir(), runner=runner)
    if json:
        as_json([r.as_dict() for r in results])
    else:
        table(
            ["check", "site", "rows", "violated", "status"],
            [(r.check_id, r.site, f"{r.denominator:,}", f"{r.violated:,}", r.status) for r in results],
        )
    return int(any(r.status == "error" or (r.status == "failed" and r.severity == "error") for r in results))


@app.command("report")
def report(
    out: Annotated[Path | None, typer.Option(help="Default: reports/ in the workspace.")] = None,
    language: Annotated[Language, typer.Option()] = Language.en,
) -> None:
    """One self-contained HTML page and its JSON twin. Example: `masterkey quality report --language ja`"""
    from masterkey_etl import assessment

    print(assessment.write_report(data_dir(), out=out, language=language.value))
