"""`masterkey map redcap`: source model and draft map of a REDCap project, written into the workspace's overlay."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from masterkey_etl.files import replacing
from masterkey_etl.redcap import dictionary, draft_map, model
from masterkey_etl.redcap.export import look
from masterkey_etl.redcap.model import Shape
from masterkey_etl.source_model import SourceModel
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

CHANGES = ("date", "by", "what", "from", "to")


class ProjectError(MasterkeyError):
    """The drafts can't be written."""


@dataclass(frozen=True, slots=True)
class Drafted:
    """What was written, and what the dictionary deviates in."""

    source: str
    model: Path
    map: Path
    fields: int
    columns: int
    groups: tuple[str, ...]
    issues: tuple[Issue, ...]


def begin(
    path: Path,
    site: str,
    overlay: Path,
    *,
    export: Path | None = None,
    name: str = "",
    revision: str = "1",
    repeating: tuple[str, ...] = (),
    missing: tuple[str, ...] = (),
    by: str = "masterkey map redcap",
) -> Drafted:
    """Draft both files for `site`. Raises DictionaryError, ProjectError (they are there already), SourceModelError."""
    found = dictionary.read(path)
    shape = look(export, found, missing) if export is not None else Shape(missing=missing)
    shape = replace(shape, repeating=tuple(f for f in found.forms if f in {*shape.repeating, *repeating}))
    format_ = _format(name or path.stem)
    drafted = model.draft(found, shape)
    if drafted.left_out:
        alike = issue("etl.redcap-alike", Place(file=path.name), columns=", ".join(drafted.left_out)[:400])
        found.issues.append(alike)
    text = model.as_yaml(found, shape, drafted, format_, revision, f"REDCap project {format_}")
    read = SourceModel.parse(text, f"{format_}/{revision}.yaml")
    places = overlay / "sources" / format_ / f"{revision}.yaml", overlay / "sites" / site / f"{format_}.yaml"
    for place in places:
        if place.exists():
            raise ProjectError(issue("etl.redcap-exists", Place(site), file=f"{place.parent.name}/{place.name}"))
    _write(places[0], text)
    _write(places[1], draft_map.draft(read, drafted.form_of))
    _log(overlay, by, read.id)
    groups = tuple(g for g in read.groups if g != model.ROWS)
    return Drafted(read.id, *places, len(found.fields), len(read.columns), groups, tuple(found.issues))


def _format(name: str) -> str:
    clean = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "project"
    return clean if clean.startswith("redcap") else f"redcap_{clean}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as out:
        out.write(text.encode())


def _log(overlay: Path, by: str, source: str) -> None:
    """One line per change of the overlay."""
    path = overlay / "CHANGES.csv"
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        if new:
            out.writerow(CHANGES)
        out.writerow([date.today().isoformat(), by, "drafted source model and map", "", source])


__all__ = ["Drafted", "ProjectError", "begin"]
