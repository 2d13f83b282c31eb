"""A ViewDefinition over files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from masterkey_fhir import json
from masterkey_fhir.issue import Issue, Place, issue
from masterkey_fhir.views.inputs import Counts, Reader
from masterkey_fhir.views.view import Column, View, ViewError
from masterkey_fhir.views.write import write

ENGINES = ("python",)


@dataclass(slots=True)
class ViewResult:
    """`columns, rows = run(...)` works; `issues` and `counts` are complete when `rows` is used up, once."""

    columns: tuple[Column, ...]
    rows: Iterator[tuple[Any, ...]]
    issues: list[Issue] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def __iter__(self) -> Iterator[Any]:
        return iter((self.columns, self.rows))

    def write(self, to: str, out: IO[bytes] | Path) -> int:
        """As csv, ndjson or parquet; the number of rows. Uses the rows up."""
        return write(self.columns, self.rows, to, out)

    def frame(self) -> Any:
        """A pandas DataFrame of all rows. Uses the rows up."""
        import pandas

        return pandas.DataFrame(list(self.rows), columns=[c.name for c in self.columns], dtype=object)


def run(view: View | dict[str, Any] | Path | str, inputs: Iterable[Path | str], engine: str = "python") -> ViewResult:
    """Rows of all resources in the files and folders, one at a time. `view`: loaded, as JSON, or its file.

    A line that is no resource, and a resource that the view can't take, is an Issue; the rest goes on.
    Raises ViewError for a bad or unreadable ViewDefinition or an engine that is not there.
    """
    if engine not in ENGINES:
        raise ViewError(issue("fhir.view-engine", engine=engine, engines=", ".join(ENGINES)))
    ready = view if isinstance(view, View) else View.load(_definition(view))
    issues: list[Issue] = []
    counts = Counts()
    reader = Reader(tuple(Path(p) for p in inputs), issues, counts)
    return ViewResult(ready.columns, _rows(ready, reader), issues, counts)


def _definition(view: dict[str, Any] | Path | str) -> dict[str, Any]:
    """Raises ViewError (JsonError for no JSON) when the file does not hold a ViewDefinition."""
    if isinstance(view, dict):
        return view
    path = Path(view)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ViewError(issue("fhir.input-unreadable", Place(file=path.name), reason=error.strerror or "")) from error
    return json.loads(text)


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
