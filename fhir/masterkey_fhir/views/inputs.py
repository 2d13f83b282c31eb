"""Resources out of files: NDJSON, JSON (one resource or a Bundle), gzipped or not; no line lost silently."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

from masterkey_fhir import json
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

_SUFFIXES = (".ndjson", ".jsonl", ".json", ".ndjson.gz", ".jsonl.gz", ".json.gz")


@dataclass(slots=True)
class Counts:
    """lines (of NDJSON; a JSON document is one) = blank + unreadable + bundles + single resources;
    resources, those inside Bundles included, = other + selected + failed."""

    lines: int = 0
    blank: int = 0
    unreadable: int = 0
    bundles: int = 0
    resources: int = 0
    other: int = 0
    selected: int = 0
    failed: int = 0
    rows: int = 0


@dataclass(slots=True)
class Reader:
    """Iterates (place, resource); `issues` and `counts` grow while it runs."""

    inputs: tuple[Path, ...]
    issues: list[Issue]
    counts: Counts

    def __iter__(self) -> Iterator[tuple[Place, dict[str, Any]]]:
        for path in self.inputs:
            yield from self._of_path(path)

    def _of_path(self, path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
        if path.is_dir():
            for file in sorted(p for p in path.rglob("*") if p.name.endswith(_SUFFIXES)):
                yield from self._of_file(file)
        else:
            yield from self._of_file(path)

    def _of_file(self, path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
        try:
            with _open(path) as file:
                if path.name.removesuffix(".gz").endswith(".json"):
                    yield from self._of_documents(file.read(), path)
                else:
                    yield from self._of_lines(file, path)
        except (OSError, EOFError) as error:
            self.issues.append(issue("fhir.input-unreadable", Place(file=path.name), reason=_reason(error)))

    def _of_documents(self, text: bytes, path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
        """One JSON document; a `.json` file that holds one per line is read line by line."""
        lines = text.split(b"\n")
        if sum(line.lstrip().startswith(b"{") and line.rstrip().endswith(b"}") for line in lines[:2]) == 2:
            yield from self._of_lines(lines, path)
        else:
            yield from self._of_text(text, Place(file=path.name))

    def _of_lines(self, lines: Iterable[bytes], path: Path) -> Iterator[tuple[Place, dict[str, Any]]]:
        for n, line in enumerate(lines, 1):
            if line.strip():
                yield from self._of_text(line, Place(file=path.name, row=n))
            else:
                self.counts.lines += 1
                self.counts.blank += 1

    def _of_text(self, text: bytes, place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
        self.counts.lines += 1
        try:
            resource = json.loads(text)
        except MasterkeyError as error:
            self._unreadable(place, *error.issues)
            return
        if not _is_resource(resource):
            self._unreadable(place, issue("fhir.input-no-resource", place))
            return
        yield from self._of_resource(resource, place)

    def _unreadable(self, place: Place, *issues: Issue) -> None:
        self.counts.unreadable += 1
        self.issues.extend(i.at(file=place.file, row=place.row) for i in issues)

    def _of_resource(self, resource: dict[str, Any], place: Place) -> Iterator[tuple[Place, dict[str, Any]]]:
        if resource["resourceType"] != "Bundle":
            self.counts.resources += 1
            yield place, resource
            return
        self.counts.bundles += 1
        entries = resource.get("entry")
        for n, entry in enumerate(entries if isinstance(entries, list) else ()):
            here = Place(file=place.file, row=place.row, expression=f"Bundle.entry[{n}].resource")
            inner = entry.get("resource", _NONE) if isinstance(entry, dict) else None
            if _is_resource(inner):
                yield from self._of_resource(inner, here)
            elif inner is not _NONE:  # a DELETE or GET request has none
                self.issues.append(issue("fhir.input-no-resource", here))


_NONE: Any = object()


def _is_resource(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and isinstance(value.get("resourceType"), str)


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def _reason(error: BaseException) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else "the file is damaged"
