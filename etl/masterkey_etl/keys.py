"""Keys of a workspace: random, versioned, one per site and purpose, in keys.json (mode 600) and nowhere else.

Their loss makes kept bytes unreadable and new ids differ from old ones: back them up, apart from the data.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterkey_etl.files import WorkspaceError, replacing
from masterkey_etl.keyed import states
from masterkey_fhir.issue import Place, issue

KEY_BYTES = 32
VERSION = 1
PURPOSES = ("kept", "id", "pseudonym", "record")


@dataclass(frozen=True, slots=True)
class Key:
    """One secret. Its bytes never appear in a repr, log or Issue."""

    version: int
    secret: bytes
    _states: tuple[Callable[[], Any], Callable[[], Any]] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_states", states(self.secret))

    def __repr__(self) -> str:
        return f"Key(version={self.version})"

    def digest(self, *parts: str, size: int = 16) -> str:
        """HMAC-SHA256 over the parts, each with its length: ("a", "bc") is not ("ab", "c"). As hex."""
        inner, outer = (copy() for copy in self._states)
        for part in parts:
            data = part.encode()
            inner.update(len(data).to_bytes(4, "big") + data)
        outer.update(inner.digest())
        return str(outer.hexdigest()[: 2 * size])


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """The keys of one site, by purpose, newest last."""

    site: str
    by_purpose: Mapping[str, tuple[Key, ...]]

    def current(self, purpose: str) -> Key:
        return self.by_purpose[purpose][-1]

    def version(self, purpose: str, version: int) -> Key:
        """Raises WorkspaceError (etl.key-missing) when that version is gone."""
        for key in self.by_purpose.get(purpose, ()):
            if key.version == version:
                return key
        raise WorkspaceError(issue("etl.key-missing", Place(self.site), purpose=purpose, version=version))

    def digest(self, purpose: str, *parts: str) -> str:
        """A keyed hash under the current key of that purpose: stable per site, useless without the key."""
        return self.current(purpose).digest(*parts)


class KeyFile:
    """keys.json. `keys_of` creates what a site lacks: call it under the workspace's lock `keys`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keys_of(self, site: str) -> SiteKeys:
        """The site's keys, made on first use."""
        data = self._read()
        known = data["sites"].get(site, {})
        if missing := [p for p in PURPOSES if p not in known]:
            data["sites"][site] = {**known, **{p: [_fresh(1)] for p in missing}}
            self._write(data)
        purposes = data["sites"][site]
        return SiteKeys(site, {p: tuple(map(_key, versions)) for p, versions in purposes.items()})

    def rotate(self, site: str, purpose: str) -> Key:
        """Add a new version of one key; old versions stay readable."""
        self.keys_of(site)
        data = self._read()
        versions = data["sites"][site][purpose]
        versions.append(_fresh(versions[-1]["version"] + 1))
        self._write(data)
        return _key(versions[-1])

    def destroy(self, site: str) -> None:
        """Erase every key of a site: its kept bytes can't be read again."""
        data = self._read()
        data["sites"].pop(site, None)
        self._write(data)

    def _read(self) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {"version": VERSION, "sites": {}}
        except (OSError, ValueError):
            raise WorkspaceError(issue("etl.keys-unreadable", Place(file=self.path.name))) from None
        if not isinstance(data, dict) or not isinstance(data.get("sites"), dict) or data.get("version") != VERSION:
            raise WorkspaceError(issue("etl.keys-unreadable", Place(file=self.path.name)))
        if self.path.stat().st_mode & 0o077:
            raise WorkspaceError(issue("etl.keys-open", Place(file=self.path.name)))
        return data

    def _write(self, data: Mapping[str, Any]) -> None:
        with replacing(self.path) as out:
            out.write(json.dumps(data, indent=1).encode())


def _fresh(version: int) -> dict[str, Any]:
    return {"version": version, "key": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}


def _key(entry: Mapping[str, Any]) -> Key:
    return Key(int(entry["version"]), base64.b64decode(entry["key"]))
