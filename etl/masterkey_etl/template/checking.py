"""`masterkey map check`: everything a clinician or data manager wrote, read and judged before any data comes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from masterkey_etl.concepts import Concepts
from masterkey_etl.data import folder
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.compiled import CompiledMap, compile_map
from masterkey_etl.template.loader import load_map
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue


def check(paths: Sequence[Path] = (), *, data: Path | None = None) -> list[Issue]:
    """Mistakes of maps (default: all that ship and those of the workspace `data`), and of what they rest on.

    Maps, the source models they name, all concept tables and identity.yaml are read; forgotten columns are found.
    """
    overlay = data / "mappings" if data is not None else None
    concepts = Concepts.load(overlay)
    found = [*concepts.issues, *_policy(overlay)]
    for path in map_files(paths or roots(overlay)):
        found += _map(path, overlay, concepts)
    return _once(found)


def roots(overlay: Path | None) -> list[Path]:
    """The folders of maps: the shipped ones, the workspace's."""
    places = [folder("mappings") / "sites", *([overlay / "sites"] if overlay else [])]
    return [p for p in places if p.exists()]


def map_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Files as given; of folders every map, those that others extend (`_common`) only through them."""
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*.yaml") if not p.parent.name.startswith("_"))
        else:
            yield path


def compiled(path: Path, overlay: Path | None, concepts: Concepts) -> CompiledMap:
    """A map with its source model. Raises MasterkeyError with every mistake."""
    found = load_map(path)
    return compile_map(found, SourceModel.load(found.source, overlay), concepts)


def _map(path: Path, overlay: Path | None, concepts: Concepts) -> Sequence[Issue]:
    try:
        return compiled(path, overlay, concepts).static_issues
    except MasterkeyError as error:
        return error.issues or (issue("etl.map-extends", Place(file=path.name), file=path.name, problem=str(error)),)


def _policy(overlay: Path | None) -> Sequence[Issue]:
    from masterkey_etl.identity import Policy

    try:
        Policy.load(overlay)
    except MasterkeyError as error:
        return error.issues
    return ()


def _once(found: Iterable[Issue]) -> list[Issue]:
    """Mistakes of a shared file are named once."""
    kept: list[Issue] = []
    for i in found:
        if i not in kept:
            kept.append(i)
    return kept
