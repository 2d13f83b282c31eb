"""`masterkey map`: check, test and begin maps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import data_dir

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
