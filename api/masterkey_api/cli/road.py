"""Commands of the road: init, load, explain, validate."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir, issue_lines, progress
from masterkey_api.cli.shown import waiting as _waiting

AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


class Role(StrEnum):
    site = "site"
    registry = "registry"


def init(
    role: Annotated[Role, typer.Option(help="site: keeps identities; registry: never stores them.")] = Role.registry,
) -> None:
    """Make a workspace. Example: `masterkey init --role registry --data ./masterkey-data`"""
    from masterkey_etl.workspace import Workspace

    ws = Workspace.open(data_dir(), create=True, role=role.value)
    print(f"workspace {ws.root} is ready, role {ws.role}. Its keys are in keys.json: back them up apart.")


def load(
    paths: Annotated[list[Path], typer.Argument(help="Files or folders; a folder `OUT/<site>/...` tells the site.")],
    site: Annotated[str | None, typer.Option(help="Site id, `<country>_<site>`.")] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Accept what changed since the earlier deliveries.")
    ] = False,
    by: Annotated[str, typer.Option(help="With --accept-drift: who accepts it.")] = "unnamed",
    json: AsJson = False,
) -> int:
    """The whole road: file to FHIR to OMOP, with an account of every value.

    Exit code 0: everything arrived; 1: errors stay open; 2: the balance is broken or nothing could be read.

    An export that changed since the earlier deliveries is shown side by side; what would lose or change values stops
    it, until `--accept-drift --by NAME` writes a new revision of its source model.

    Example: `masterkey load cohort` or `masterkey load export.csv --site jp_ncch`
    """
    from masterkey_etl import loading

    accepted = (by.strip() or "unnamed") if accept_drift else ""
    report = loading.load(data_dir(), paths, site=site, progress=progress, waiting=_waiting, accept_drift=accepted)
    if json:
        as_json(report.as_dict())
    else:
        _show_load(report)
    return report.exit_code


def _show_load(report: object) -> None:
    from masterkey_etl.loading import LoadReport

    assert isinstance(report, LoadReport)
    for line in report.lines():
        print(line)
    if report.issues:
        print("\nissues")
        issue_lines(report.issues)
    print(f"\n{report.next_step()}")


def explain(
    what: Annotated[
        str,
        typer.Argument(help="`Condition/<id>`, `person:12`, `measurement:77`, or `file.csv:12` (row of a delivery)."),
    ],
    site: Annotated[str | None, typer.Option()] = None,
    json: AsJson = False,
) -> int:
    """A CDM row or resource back to file, row, column and map line; a source row forward to what it became.

    Example: `masterkey explain condition_occurrence:1`
    """
    from masterkey_etl import explain as explaining

    told = explaining.explain(data_dir(), what, site=site)
    if json:
        as_json(told.as_dict())
    else:
        print("\n".join(told.lines()))
    return 0


def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    json: Annotated[bool, typer.Option("--json", help="One OperationOutcome a line.")] = False,
) -> int:
    """Judge resources (JSON, NDJSON, Bundles) by the base rules of R4. Exit code 1 when there are errors.

    Example: `masterkey validate bundle.json`
    """
    from masterkey_api.cli.judge import judge_files

    return judge_files(paths, json)
