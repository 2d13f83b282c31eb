"""A ViewDefinition over files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterkey_fhir.issue import Issue, issue
from masterkey_fhir.views.inputs import Counts, Reader
from masterkey_fhir.views.view import Column, View, ViewError

ENGINES = ("python",)


@dataclass(slots=True)
class Run:
    """`columns, rows = run(...)` works; `issues` and `counts` are complete when `rows` is used up."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[Any, ...]]
    issues: list[Issue] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.columns, self.rows))


def run(view: View | dict[str, Any], inputs: Iterable[Path | str], engine: str = "python") -> Run:
    """Rows of all resources in the files and folders, one at a time.

    A line that is no resource, and a resource that the view can't take, is an Issue; the rest goes on.
    Raises ViewError for a bad ViewDefinition or an engine that is not there.
    """
    if engine not in ENGINES:
        raise ViewError(issue("fhir.view-engine", engine=engine, engines=", ".join(ENGINES)))
    ready = view if isinstance(view, View) else View.load(view)
    issues: list[Issue] = []
    counts = Counts()
    reader = Reader(tuple(Path(p) for p in inputs), issues, counts)
    return Run(ready.columns, _rows(ready, reader), issues, counts)


def _rows(view: View, reader: Reader) -> Iterator[tuple[Any, ...]]:
    counts = reader.counts
    for place, resource in reader:
        if resource["resourceType"] != view.resource:
            counts.other += 1
            continue
        try:
            rows = list(view.rows(resource))
        except ViewError as error:
            counts.failed += 1
            reader.issues.extend(i.at(file=place.file, row=place.row) for i in error.issues)
            continue
        counts.selected += 1
        counts.rows += len(rows)
        yield from rows
