"""What was changed in a workspace's overlay, by whom: one line per change in `mappings/CHANGES.csv`."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

from masterkey_etl.files import WorkspaceError, read_issue, replacing
from masterkey_fhir.issue import Place

COLUMNS = ("date", "by", "what", "from", "to")
UNNAMED = "unnamed"


def note(overlay: Path, by: str, what: str, before: str = "", after: str = "") -> None:
    """Add a line; the file appears whole or stays as it was. Raises WorkspaceError."""
    path = overlay / "CHANGES.csv"
    try:
        kept = path.read_bytes() if path.exists() else ",".join(COLUMNS).encode() + b"\r\n"
    except OSError as error:
        raise WorkspaceError(read_issue(error, path, Place(file=path.name))) from None
    line = io.StringIO()
    csv.writer(line).writerow([date.today().isoformat(), *(_plain(t) for t in (by or UNNAMED, what, before, after))])
    with replacing(path) as out:
        out.write(kept + line.getvalue().encode())


def _plain(text: str) -> str:
    """One line that no spreadsheet takes for a formula."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]
    return f"'{clean}" if clean[:1] in ("=", "+", "-", "@") else clean


def write(path: Path, text: str) -> Path:
    """A file of the overlay, whole or not at all; its folders are made. Raises WorkspaceError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(read_issue(error, path.parent, Place(file=path.parent.name))) from None
    with replacing(path) as out:
        out.write(text.encode())
    return path


__all__ = ["COLUMNS", "UNNAMED", "note", "write"]
