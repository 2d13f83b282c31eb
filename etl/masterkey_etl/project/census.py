"""The balance of a projection: every element path of every resource, counted without looking at the maps.

The shape of a resource (its paths with their numbers) is interned; resources of a kind share few shapes. A
path is written with its extension's url (`extension(urn:…:phase).valueCode`) and without indices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

Shape = tuple[Any, ...]


class Census:
    """Interned shapes. `shape_of` costs about a microsecond per object."""

    def __init__(self) -> None:
        self._ids: dict[Shape, int] = {}
        self.paths: dict[int, tuple[str, Counter[str]]] = {}  # shape id -> (resource type, path -> number)

    def shape_of(self, resource: dict[str, Any]) -> int:
        """The id of a resource's shape: a hash of its paths, the same in every run."""
        shape = (resource.get("resourceType", ""), *_shape(resource))
        found = self._ids.get(shape)
        if found is None:
            found = self._ids[shape] = self._intern(resource)
        return found

    def _intern(self, resource: dict[str, Any]) -> int:
        kind = str(resource.get("resourceType", ""))
        paths = Counter(p for p in paths_of(resource) if p != "resourceType")
        text = "\n".join([kind, *(f"{p}\t{n}" for p, n in sorted(paths.items()))])
        number = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") >> 1
        self.paths[number] = (kind, paths)
        return number


def _shape(value: Any) -> Shape:
    """Keys and shapes of what they hold, and the url where an extension is told apart by it."""
    if type(value) is dict:
        inner = [_shape(v) if (t := type(v)) is dict or t is list else 0 for v in value.values()]
        return (*value, *inner, value["url"]) if "url" in value else (*value, *inner)
    return tuple([_shape(v) if (t := type(v)) is dict or t is list else 0 for v in value])


def paths_of(value: Any, prefix: str = "") -> Iterator[str]:
    """The path of every primitive value, in the order of the resource. Extensions carry their url."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from paths_of(inner, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        name = prefix.rpartition(".")[2]
        for inner in value:
            if name in ("extension", "modifierExtension") and isinstance(inner, dict):
                rest = {k: v for k, v in inner.items() if k != "url"}
                yield from paths_of(rest, f"{prefix}({inner.get('url', '')})")
            else:
                yield from paths_of(inner, prefix)
    elif value is not None:
        yield prefix
