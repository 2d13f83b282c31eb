"""Commands of the group `submissions`: deliveries over time, and what a steward does to them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from masterkey_api.cli.shown import as_json, data_dir, issue_lines, table, waiting

if TYPE_CHECKING:
    from masterkey_etl.submissions import Act

app = typer.Typer(no_args_is_help=True, help="Deliveries over time: their balance, undo, merges, deletions.")
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")]
OneSite = Annotated[str | None, typer.Option(help="Only this site.")]

_LISTED = ("id", "site", "kind", "file", "received", "state", "rows", "values", "resources")


@app.command("list")
def list_(site: OneSite = None, json: AsJson = False) -> None:
    """Every delivery with its balance, state and map version. Example: `masterkey submissions list`"""
    from masterkey_etl import submissions

    rows = submissions.listed(data_dir(), site)
    if json:
        return as_json(rows)
    header = [*_LISTED, "balance", "map"]
    table(header, [[*(row[name] for name in _LISTED), _balance(row), str(row["map"])[:12]] for row in rows])
    return None


def _balance(row: dict[str, Any]) -> str:
    from masterkey_etl.ledger import STATUSES

    parts = [f"{row[s]:,} {s.replace('_', ' ')}" for s in STATUSES if row[s]]
    return " + ".join(parts) + ("" if row["balanced"] else " DOES NOT BALANCE")


@app.command("show")
def show(number: Annotated[int, typer.Argument(help="As `submissions list` has it.")], json: AsJson = False) -> None:
    """One delivery: ledger by column, resources by type and action, Issues, what it superseded.

    Example: `masterkey submissions show 3`
    """
    from masterkey_etl import submissions

    told = submissions.show(data_dir(), number)
    if json:
        return as_json(told)
    print(f"{number}: {told['kind']} of {told['site']}/{told['file']}, {told['received']}, {told['state']}")
    print(f"map {told['map'] or '-'}; supersedes {told['supersedes'] or 'nothing'}; {_balance(told) or 'no values'}")
    _part("resources", ["type", "action", "n"], told["resources_by_type"])
    _part("waiting", ["resource", "waits_for", "released_by"], told["waiting"])
    _part("issues", ["id", "did", "state", "severity", "rule", "n", "text"], told["issues"])
    _part("ledger", ["column", "status", "n", "reason"], told["ledger"])
    return None


def _part(title: str, header: list[str], rows: list[dict[str, Any]]) -> None:
    if rows:
        print(f"\n{title}")
        table(header, [[_cell(row[name]) for name in header] for row in rows])


def _cell(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


@app.command("undo")
def undo(
    number: Annotated[int, typer.Argument(help="A delivery, merge or deletion.")],
    with_later: Annotated[bool, typer.Option("--with-later", help="Also the later ones that rest on it.")] = False,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> int:
    """Take one delivery back, as new versions; history stays. To undo an undo, load the file again.

    Example: `masterkey submissions undo 3 --dry-run`
    """
    from masterkey_etl import submissions

    return _done(
        submissions.take_back(data_dir(), number, with_later=with_later, dry_run=dry_run, waiting=waiting), json
    )


@app.command("merge")
def merge(
    file: Annotated[Path, typer.Argument(help="CSV with the columns old,new: local numbers of one patient.")],
    site: Annotated[str, typer.Option(help="Site id, `<country>_<site>`.")],
    dry_run: DryRun = False,
    json: AsJson = False,
) -> int:
    """Two local numbers are one patient: everything of the old one goes to the new one.

    Example: `masterkey submissions merge merged.csv --site jp_ncch`
    """
    from masterkey_etl import submissions

    return _done(submissions.merge(data_dir(), site, file, dry_run=dry_run, waiting=waiting), json)


@app.command("confirm-deletions")
def confirm_deletions(site: OneSite = None, dry_run: DryRun = False, json: AsJson = False) -> int:
    """Delete the records whose deletion a site confirmed (`masterkey issues answer ID confirmed`).

    Example: `masterkey submissions confirm-deletions --dry-run`
    """
    from masterkey_etl import submissions

    return _done(submissions.delete_confirmed(data_dir(), site, dry_run=dry_run, waiting=waiting), json)


@app.command("recompute")
def recompute(
    site: OneSite = None,
    map_version: Annotated[
        str | None, typer.Option("--map", help="An earlier map version (its hash), from now on; `latest`: the files'.")
    ] = None,
    dry_run: DryRun = False,
    json: AsJson = False,
) -> int:
    """Map what was received again, after a change of a map or a concept table.

    Example: `masterkey submissions recompute --site jp_ncch --dry-run`
    """
    from masterkey_etl import submissions

    act = submissions.recompute(data_dir(), site, map_version=map_version, dry_run=dry_run, waiting=waiting)
    return _done(act, json)


def _done(act: Act, json: bool) -> int:
    if json:
        as_json(act.as_dict())
        return act.exit_code
    print("\n".join(act.lines()))
    if act.issues:
        print("\nissues")
        issue_lines(act.issues)
    return act.exit_code
