"""The command `watch`: a drop folder."""

from __future__ import annotations

import json as json_
from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import data_dir, progress


def watch(
    folder: Annotated[Path, typer.Argument(help="The drop folder; it or the folders inside may be named as sites.")],
    site: Annotated[str | None, typer.Option(help="Site id, `<country>_<site>`.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Take what is there now, then leave.")] = False,
    settle: Annotated[float, typer.Option(min=0, help="Seconds a file stands still until it is complete.")] = 5.0,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="One receipt a line.")] = False,
) -> int:
    """Load each file dropped into FOLDER, move it to `done` or `refused`, and lay a receipt beside it.

    Exit code with `--once`: that of the worst receipt. Ctrl-C is safe at any time.

    Example: `masterkey watch /srv/drop/jp_ncch --site jp_ncch`
    """
    from masterkey_etl.watch import watch as watching
    from masterkey_fhir.issue import Issue

    def tell(found: Issue) -> None:
        typer.echo(f"masterkey: {found}", err=True)

    def waiting(holder: str, seconds: float) -> None:
        typer.echo(f"another masterkey is writing here ({holder}); waiting, {seconds:.0f} s so far", err=True)

    typer.echo(f"watching {folder}; Ctrl-C ends it", err=True)
    worst = 0
    options = {"progress": progress, "waiting": waiting}
    for receipt in watching(data_dir(), folder, site=site, once=once, every=every, settle=settle, tell=tell, **options):
        worst = max(worst, receipt.report.exit_code)
        print(json_.dumps(receipt.as_dict(), ensure_ascii=False) if json else "\n".join(receipt.lines()), flush=True)
    return worst
