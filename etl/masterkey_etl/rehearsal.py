"""What an act changes, measured inside its own transaction: resources by type, CDM rows by table, before and after.

A preview runs the very act and rolls it back, so that it can't differ from what will be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from masterkey_etl.workspace import Workspace
from masterkey_fhir.store import Repository, Writer

if TYPE_CHECKING:
    from masterkey_etl.project import Context
    from masterkey_fhir.store.read import Reader

PAGE = 10_000


@dataclass
class Changes:
    """`resources`: (type, created | changed | deleted) -> how many whose content does.

    `cdm`: table -> rows (before, after) of the patients concerned.
    """

    resources: Counter[tuple[str, str]] = field(default_factory=Counter)
    cdm: dict[str, tuple[int, int]] = field(default_factory=dict)
    patients: int = 0

    def as_dict(self) -> dict[str, Any]:
        rows = [{"type": kind, "change": change, "n": n} for (kind, change), n in sorted(self.resources.items())]
        cdm = {table: {"before": a, "after": b} for table, (a, b) in sorted(self.cdm.items())}
        return {"resources": rows, "patients": self.patients, "cdm": cdm}

    def lines(self) -> Iterator[str]:
        for (kind, change), n in sorted(self.resources.items()):
            yield f"{kind}: {n:,} {change}"
        for table, (a, b) in sorted(self.cdm.items()):
            yield f"CDM {table}: {a:,} -> {b:,} rows of {self.patients:,} patients"
        if not self.resources:
            yield "no resource changes"


class _RolledBackError(Exception):
    """Ends a rehearsal."""


@contextmanager
def transaction(
    workspace: Workspace, repository: Repository, changes: Changes, *, dry_run: bool, **options: Any
) -> Iterator[Writer]:
    """A write transaction whose changes are measured before it commits, or (`dry_run`) is rolled back."""
    try:
        with repository.writing(**options) as writer:
            last = repository.last_change()
            yield writer
            _measure(workspace, repository, writer, last, changes)
            if dry_run:
                raise _RolledBackError
    except _RolledBackError:
        return


def _measure(workspace: Workspace, repository: Repository, writer: Writer, last: int, changes: Changes) -> None:
    touched = _touched(writer.reader, last)
    with repository.reading() as before:
        for site, (names, patients) in sorted(touched.items()):
            changes.resources += _resources(before, writer.reader, site, names)
            changes.patients += len(patients - {None})
            rows = _rows_counter(workspace, site)
            _add(changes.cdm, rows(before, patients), rows(writer.reader, patients))


def _touched(reader: Reader, after: int) -> dict[str, tuple[set[tuple[str, str]], set[str | None]]]:
    """By site: the resources and the patients of the outbox lines after a number."""
    out: dict[str, tuple[set[tuple[str, str]], set[str | None]]] = {}
    while page := reader.changes(after, PAGE):
        for line in page:
            names, patients = out.setdefault(line.site, (set(), set()))
            names.add((line.type, line.id))
            patients.add(line.patient)
        after = page[-1].seq
    return out


def _resources(before: Reader, now: Reader, site: str, names: Iterable[tuple[str, str]]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for kind, id_ in names:
        old, new = before.read(site, kind, id_), now.read(site, kind, id_)
        was, is_ = bool(old and not old.deleted), bool(new and not new.deleted)
        if was != is_ or (old and new and was and old.text != new.text):
            found[kind, "changed" if was and is_ else "deleted" if was else "created"] += 1
    return found


def _rows_counter(workspace: Workspace, site: str) -> Callable[[Reader, Iterable[str | None]], Counter[str]]:
    """Rows per CDM table of some patients (None: of nobody), as the projection makes them; nothing is written."""
    from masterkey_etl.project import Context, load_maps
    from masterkey_omop import vocabulary

    overlay = workspace.overlay / "omop"
    words = vocabulary.load(workspace.vocabulary if workspace.vocabulary.is_file() else None)
    context = Context(site, load_maps(overlay if overlay.is_dir() else None), words)
    return lambda reader, patients: _count(reader, patients, context)


def _count(reader: Reader, patients: Iterable[str | None], context: Context) -> Counter[str]:
    from masterkey_etl.project import rows_for_patient

    out: Counter[str] = Counter()
    for patient in patients:
        resources = [stored.resource() for stored in reader.resources_of(context.site, patient)]
        made = rows_for_patient(patient or "", resources, context) if resources else {}
        out.update({table: len(rows) for table, rows in made.items() if "." not in table})
    return out


def _add(cdm: dict[str, tuple[int, int]], before: Counter[str], after: Counter[str]) -> None:
    for table in sorted({*before, *after}):
        a, b = cdm.get(table, (0, 0))
        cdm[table] = (a + before[table], b + after[table])
