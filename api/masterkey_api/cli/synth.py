"""Command `synth`: a synthetic cohort, and how much of what was planted in it is reported."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from masterkey_api.cli.shown import as_json, data_dir, progress, table

_SHOWN = 20  # planted lines that were not found, reports that were not planted


class Layout(StrEnum):
    ccat = "ccat"
    ccat_xlsx = "ccat_xlsx"
    redcap = "redcap"
    workbook = "workbook"
    cats = "cats"
    foundationone = "foundationone"
    all = "all"


def synth(
    out: Annotated[Path, typer.Argument(help="Folder to write; one folder per site inside.")],
    patients: Annotated[int, typer.Option(min=1)] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    layout: Annotated[
        list[Layout] | None, typer.Option(help="The same patients in this layout; may be given several times.")
    ] = None,
    identifiers: Annotated[
        int | None, typer.Option(min=0, help="Planted names and numbers, to prove that none is kept.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Write nothing: hold the key in OUT against the Issues of the workspace.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> int:
    """A synthetic rare-cancer cohort in the sites' real layouts, with a key of the dirt planted.

    `--compare`, after `masterkey load OUT`: what of it is reported at its place, and what else is; exit code 1 when
    precision or recall of a layout is not above 99 %.

    Example: `masterkey synth cohort --patients 1000 --seed 7 --layout all`
    """
    if compare:
        return _compare(out, json)
    from masterkey_etl import synth as cohort

    chosen = _chosen(layout or [Layout.ccat])
    report = cohort.synth(
        out, patients=patients, seed=seed, layouts=chosen, plant_identifiers=identifiers, progress=progress("synth")
    )
    if json:
        as_json({"files": report.files, "planted": report.planted, "key": str(out / "key.csv")})
        return 0
    for file, rows in report.files.items():
        print(f"{out / file}: {rows:,} rows")
    planted = ", ".join(f"{n:,} {kind}" for kind, n in sorted(report.planted.items()))
    print(f"planted: {planted}; the key is {out / 'key.csv'}")
    return 0


def _chosen(layouts: list[Layout]) -> list[str]:
    from masterkey_etl.synth import LAYOUTS

    if Layout.all in layouts:
        return list(LAYOUTS)
    return list(dict.fromkeys(one.value for one in layouts))


def _compare(out: Path, json: bool) -> int:
    from masterkey_etl.synth import score

    found = score.compare(out, data_dir())
    if json:
        as_json(found.as_dict())
        return int(not found.good)
    table(["layout", "kind", "planted", "found", "beyond", "recall", "precision"], [list(r) for r in found.table()])
    for p in found.missed[:_SHOWN]:
        print(f"not found: {p.file} row {p.row}, column {p.column}: {p.kind} ({p.rule})")
    for spot, _, n in found.beyond[:_SHOWN]:
        print(f"not planted: {spot.site}/{spot.file}, column {spot.column}: {spot.rule} ({n})")
    return int(not found.good)
