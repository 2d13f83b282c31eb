"""Which source models of trees a delivery fits, by the paths of its first leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from xml.parsers import expat

from masterkey_etl.leaves import known_paths
from masterkey_etl.readers.delimited import Readable
from masterkey_etl.readers.json_scan import BadError, Tokens, leaf_paths
from masterkey_etl.readers.xml_reader import ForbiddenError
from masterkey_etl.source_model import SourceModel, known_models
from masterkey_etl.tree_model import OUTSIDE, joined, parts, plain
from masterkey_fhir.issue import issue

SAMPLE = 1 << 20  # bytes looked at
LEAVES = 50_000  # leaves looked at


@dataclass(frozen=True, slots=True)
class TreeRecognition:
    """`known` of the `seen` distinct paths of leaves are the model's, among them `own` that a column takes."""

    model: str
    known: int
    own: int
    seen: int

    @property
    def score(self) -> float:
        return self.known / self.seen if self.own else 0.0

    @property
    def evidence(self) -> str:
        return f"{self.known} of {self.seen} paths of the file are those of {self.model}, {self.own} of its columns"


def recognitions_of_json(source: Readable, overlay: Path | None = None) -> list[TreeRecognition]:
    """How well each JSON model fits, best first; none for what does not begin like JSON."""
    return _recognitions(source, overlay, "json", _json_paths, (b"{", b"["))


def recognitions_of_xml(source: Readable, overlay: Path | None = None) -> list[TreeRecognition]:
    """How well each XML model fits, best first; none for what does not begin like XML."""
    return _recognitions(source, overlay, "xml", _xml_paths, (b"<",))


def _recognitions(
    source: Readable,
    overlay: Path | None,
    kind: str,
    paths: Callable[[bytes], Iterator[str]],
    begins: tuple[bytes, ...],
) -> list[TreeRecognition]:
    with closing(source.open()) as stream:
        data = _utf8(stream.read(SAMPLE))
    if not data.lstrip().startswith(begins):
        return []
    seen = set(islice(paths(data), LEAVES))
    found = [_fit(m, seen) for m in known_models(overlay) if m.kind == kind]
    return sorted((r for r in found if r.own), key=lambda r: (-r.score, r.model))


def _utf8(data: bytes) -> bytes:
    for mark, name in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(name, "replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _fit(model: SourceModel, seen: set[str]) -> TreeRecognition:
    above = parts(plain(model.records))
    own = {joined(".".join(above), path) for path in known_paths(model)}
    ignored = [
        i.path.removeprefix(OUTSIDE) if i.path.startswith(OUTSIDE) else joined(".".join(above), plain(i.path))
        for i in model.ignored
    ]
    aside = {p for p in seen - own for i in ignored if p == i or p.startswith(f"{i}.")}
    return TreeRecognition(model.id, len(seen & own) + len(aside), len(seen & own), len(seen))


def _json_paths(data: bytes) -> Iterator[str]:
    tokens = Tokens(iter([data]))
    with suppress(BadError):  # cut off, or broken: what stands before it says enough
        while tokens.skip():
            yield from leaf_paths(tokens)


def _xml_paths(data: bytes) -> Iterator[str]:
    """Paths of attributes and of elements with text, as far as the text goes. Raises ForbiddenError for entities."""
    found: list[str] = []
    path: list[str] = []

    def start(name: str, attributes: list[str]) -> None:
        path.append(name.rpartition("}")[2])
        found.extend(joined(*path[1:], f"@{a.rpartition('}')[2]}") for a in attributes[::2])

    def text(data: str) -> None:
        if data.strip():
            found.append(joined(*path[1:]))

    parser = expat.ParserCreate(namespace_separator="}")
    parser.ordered_attributes = True
    parser.StartElementHandler, parser.CharacterDataHandler = start, text
    parser.EndElementHandler = lambda _: path.pop()
    parser.EntityDeclHandler = _forbid
    with suppress(expat.ExpatError, LookupError, ValueError):
        parser.Parse(data, False)
    return iter(found)


def _forbid(*_: object) -> None:
    raise ForbiddenError(issue("etl.xml-entity"))
