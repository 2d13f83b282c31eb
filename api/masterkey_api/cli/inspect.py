"""`masterkey inspect`: what a file is, before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir

if TYPE_CHECKING:
    from masterkey_etl.inspect import Drafted, Inspection


def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    against: Annotated[
        str | None, typer.Option(metavar="SITE", help="What changed since the earlier deliveries of this site.")
    ] = None,
    draft: Annotated[bool, typer.Option("--draft", help="Write a source model and a map, the gaps marked.")] = False,
    site: Annotated[str | None, typer.Option(help="With --draft: the hospital whose map it is.")] = None,
    name: Annotated[str, typer.Option(help="With --draft: name of the format; default: of the file.")] = "",
    out: Annotated[
        Path | None, typer.Option(help="With --draft: a folder instead of the workspace's mappings.")
    ] = None,
    by: Annotated[str, typer.Option(help="With --draft: whose work it is.")] = "unnamed",
    rows: Annotated[int, typer.Option(min=1, help="Rows looked at; what follows is said, not read.")] = 20_000,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """What a file is, by its content: format, encoding, columns, codes, personal data, the source model that fits.

    Values are never shown, only shapes and counts. Exit code 1: a file of no known kind; 2: a file can't be read, or
    with --against it would stop a load.

    Example: `masterkey inspect export.csv` or `masterkey inspect export.csv --draft --site th_ramathibodi`
    """
    from masterkey_etl import inspect as inspecting

    if draft and not site:
        raise typer.BadParameter("--draft needs --site: a map belongs to a hospital")
    if against:
        return _against(files, against, json)
    overlay = data_dir() / "mappings"
    found = [i for f in files for i in inspecting.inspect(f, overlay=overlay if overlay.is_dir() else None, rows=rows)]
    if not json:
        print("\n".join(line for i in found for line in i.lines()))
    drafted = _drafts(found, site, out, name, by) if draft and site else []
    if not json:
        print("\n".join(line for d in drafted for line in ("", *d.lines())))
    else:
        told = [i.as_dict() for i in found]
        as_json({"files": told, "drafts": [d.as_dict() for d in drafted]} if draft else told)
    return int(any(i.kind.what in ("unknown", "empty") for i in found))


def _against(files: Sequence[Path], site: str, json: bool) -> int:
    """Each file beside the earlier deliveries of a site; nothing is loaded."""
    from masterkey_etl import drift

    found = {f.name: drift.against_file(f, site, data_dir()) for f in files}
    if json:
        as_json({name: None if d is None else drift.as_dicts(d) for name, d in found.items()})
    else:
        print("\n".join(line for name, d in found.items() for line in drift.told(name, site, d)))
    return 2 if any(d.stops for differences in found.values() for d in differences or ()) else 0


def _drafts(found: Sequence[Inspection], site: str, out: Path | None, name: str, by: str) -> list[Drafted]:
    """Drafts of what has columns, in `out` or in the workspace's overlay."""
    from masterkey_etl import inspect as inspecting
    from masterkey_etl.workspace import Workspace

    workspace = Workspace.open(data_dir(), create=out is None)
    return inspecting.draft_all(found, workspace.site(site).id, out or workspace.overlay, name=name, by=by)
