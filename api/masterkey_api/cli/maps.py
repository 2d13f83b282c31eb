"""`masterkey map`: check, test and begin maps."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir

if TYPE_CHECKING:
    from masterkey_etl.redcap.project import Drafted

app = typer.Typer(no_args_is_help=True, help="Check maps, run their cases, begin a new one.")


@app.command("check")
def check(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Map files; default: all that ship and the workspace's.")
    ] = None,
) -> int:
    """Read maps, source models and concept tables; name file, line and the alternatives for each mistake.

    Example: `masterkey map check`
    """
    from masterkey_etl import template

    found = template.check(paths or [], data=data_dir())
    for i in found:
        print(f"{i.severity}: {i}")
    errors = sum(i.is_error for i in found)
    print(f"{errors} mistakes" if errors else "no mistakes")
    return int(errors > 0)


@app.command("test")
def test(
    paths: Annotated[list[Path] | None, typer.Argument(help="Case folders; default: all.")] = None,
) -> int:
    """Run the worked cases: source in, FHIR out, compared leaf by leaf. Example: `masterkey map test`"""
    from masterkey_etl import template

    results = template.test(paths or [], data=data_dir())
    for result in results:
        print(result)
    return int(any(not r.passed for r in results))


@app.command("new")
def new(
    source: Annotated[str, typer.Argument(help="Source model, e.g. ccat_case/2020_04.")],
    out: Annotated[Path, typer.Argument(help="The map to write.")],
) -> None:
    """Draft a map from a source model, the gaps marked.

    Example: `masterkey map new ccat_case/2020_04 case.yaml`
    """
    from masterkey_etl import template

    template.new(source, out, data=data_dir())
    print(f"{out} written: fill the gaps marked ?, then `masterkey map check {out}`")


@app.command("redcap")
def redcap(
    dictionary: Annotated[Path, typer.Argument(help="The project's data dictionary, a CSV.")],
    site: Annotated[str, typer.Option("--site", help="The hospital whose project it is.")],
    export: Annotated[
        Path | None, typer.Option("--export", help="A flat export (CSV or JSON): shows what repeats, and events.")
    ] = None,
    name: Annotated[str, typer.Option("--name", help="Name of the format; default: the dictionary's file name.")] = "",
    revision: Annotated[str, typer.Option("--revision", help="Revision of the source model.")] = "1",
    repeating: Annotated[
        list[str] | None, typer.Option("--repeating", help="A form given several times per record; repeatable.")
    ] = None,
    missing: Annotated[
        list[str] | None, typer.Option("--missing", help="A missing data code of the project; repeatable.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """Draft source model and map of a REDCap project into the workspace, the gaps marked.

    Example: `masterkey map redcap dictionary.csv --site my_nci --export records.csv`
    """
    from masterkey_etl.redcap import project
    from masterkey_etl.workspace import Workspace

    workspace = Workspace.open(data_dir())
    found = project.begin(
        dictionary, workspace.site(site).id, workspace.overlay, export=export, name=name, revision=revision,
        repeating=tuple(repeating or ()), missing=tuple(missing or ()),
    )  # fmt: skip
    if json:
        as_json({**asdict(found), "issues": [str(i) for i in found.issues]})
    else:
        _say_redcap(found)
    return 0


def _say_redcap(found: Drafted) -> None:
    for i in found.issues:
        print(f"{i.severity}: {i}")
    repeat = f"; given several times per record: {', '.join(found.groups)}" if found.groups else ""
    print(f"{found.fields} fields, {found.columns} columns{repeat}")
    print(f"{found.model} written ({found.source})")
    print(f"{found.map} written: fill the gaps marked ?, then `masterkey map check {found.map}`")
