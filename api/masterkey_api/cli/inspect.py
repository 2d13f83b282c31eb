"""`masterkey inspect`: what a file is, before anything is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir


def inspect(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    rows: Annotated[int, typer.Option(min=1, help="Rows looked at; what follows is said, not read.")] = 20_000,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """What a file is, by its content: format, encoding, columns, codes, personal data, the source model that fits.

    Values are never shown, only shapes and counts. Exit code 1: a file of no known kind; 2: a file can't be read.

    Example: `masterkey inspect export.csv`
    """
    from masterkey_etl import inspect as inspecting

    overlay = data_dir() / "mappings"
    found = [i for f in files for i in inspecting.inspect(f, overlay=overlay if overlay.is_dir() else None, rows=rows)]
    if json:
        as_json([i.as_dict() for i in found])
    else:
        print("\n".join(line for i in found for line in i.lines()))
    return int(any(i.kind.what in ("unknown", "empty") for i in found))
