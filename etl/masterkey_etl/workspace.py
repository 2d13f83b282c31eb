"""The workspace: one folder that holds everything a node knows. Its layout is the table of `FOLDERS`."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from masterkey_etl.data import folder
from masterkey_etl.files import TEMPORARY, WorkspaceError, replacing, write_issue
from masterkey_etl.keys import KeyFile, SiteKeys
from masterkey_fhir.issue import Place, issue

VERSION = 1
Role = Literal["site", "registry"]
FOLDERS = {
    "kept": "original bytes, <site>/<sha256>.mk, encrypted",
    "cdm": "published CDM generations",
    "projector": "private files of the projector, the key map",
    "ledger": "single lost values per submission (Parquet)",
    "maps": "content-addressed maps, <hash>.yaml",
    "reports": "quality reports",
    "mappings": "overlay over the shipped mappings",
    "scratch": "unlinked, encrypted working files; empty when nothing runs",
}


@dataclass(frozen=True, slots=True)
class Site:
    """A known hospital."""

    id: str
    country: str
    name: str
    time_zone: str
    language: str = "en"  # of what is written to it: a tag, https://www.rfc-editor.org/info/bcp47


class Workspace:
    """An opened workspace. Use `Workspace.open`."""

    def __init__(self, root: Path, config: Mapping[str, Any]) -> None:
        self.root = root
        self.config = dict(config)

    @classmethod
    def open(cls, path: Path | str, *, create: bool = False, role: Role | None = None, **options: Any) -> Workspace:
        """Open the workspace at `path`; with `create`, make it when absent (role: registry unless said).

        Raises WorkspaceError: etl.workspace-absent, -newer, -damaged, -role, etl.unwritable, etl.disk-full.
        """
        root = Path(path)
        if not (root / "workspace.json").exists():
            if not create:
                raise WorkspaceError(issue("etl.workspace-absent", Place(file=str(root))))
            _create(root, role or "registry", options)
        workspace = cls(root, _read_config(root))
        if role is not None and role != workspace.role:
            raise WorkspaceError(issue("etl.workspace-role", Place(file=str(root)), role=workspace.role, wanted=role))
        return workspace

    @property
    def role(self) -> Role:
        role: Role = self.config["role"]
        return role

    @property
    def repository_url(self) -> str:
        """SQLAlchemy URL of the FHIR repository: a file of the workspace unless configured."""
        return str(self.config.get("repository_url") or f"sqlite:///{self.root / 'repository.db'}")

    @property
    def overlay(self) -> Path:
        """Mappings of this workspace; they win over the shipped ones."""
        return self.root / "mappings"

    @property
    def cdm(self) -> Path:
        return self.root / "cdm"

    @property
    def vocabulary(self) -> Path:
        """The loaded Athena bundle; absent while only the shipped bindings are here."""
        return self.root / "vocabulary" / "vocabulary.duckdb"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @cached_property
    def key_file(self) -> KeyFile:
        return KeyFile(self.root / "keys.json")

    def keys(self, site: str) -> SiteKeys:
        """The site's keys, made on first use."""
        with self.lock("keys"):
            if not self.key_file.path.exists() and any((self.root / "kept").rglob("*.mk")):
                raise WorkspaceError(issue("etl.keys-missing", Place(file=self.key_file.path.name)))
            return self.key_file.keys_of(site)

    @cached_property
    def sites(self) -> Mapping[str, Site]:
        """Known sites: the shipped list, overlaid by this workspace's."""
        return {s.id: s for root in (folder("mappings"), self.overlay) for s in _sites(root)}

    def site(self, site_id: str) -> Site:
        """Raises WorkspaceError (etl.site-unknown) with the nearest known sites."""
        if found := self.sites.get(site_id):
            return found
        near = get_close_matches(site_id, self.sites, 4, 0.4) or sorted(self.sites)
        raise WorkspaceError(issue("etl.site-unknown", known=", ".join(near), given=site_id[:40]))

    @contextmanager
    def lock(self, name: str = "load", waiting: Callable[[float], None] | None = None) -> Iterator[None]:
        """Exclude other processes from `name`; `waiting(seconds)` is called about once a second meanwhile.

        The lock is the kernel's (flock): it ends with the process however that dies, and Ctrl-C interrupts
        the wait. It also excludes other threads of this process.
        """
        path = self.root / f".{name}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise WorkspaceError(write_issue(error, path)) from None
        try:
            _acquire(descriptor, waiting)
            yield
        finally:
            os.close(descriptor)

    def clean(self) -> int:
        """Remove what a killed process left behind. Call while holding the lock `load`. Returns how many."""
        left = [p for p in self.root.rglob(f"*{TEMPORARY}") if p.is_file()]
        left += [p for p in self.scratch.iterdir() if p.is_file()]
        for path in left:
            path.unlink(missing_ok=True)
        return len(left)


def _acquire(descriptor: int, waiting: Callable[[float], None] | None) -> None:
    began, told = time.monotonic(), -1.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
            if waiting is not None and waited - told >= 1:
                told = waited
                waiting(waited)
            time.sleep(0.05)
        else:
            return


def _create(root: Path, role: Role, options: Mapping[str, Any]) -> None:
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name in FOLDERS:
            (root / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise WorkspaceError(write_issue(error, root)) from None
    config = {"version": VERSION, "role": role, **options}
    with replacing(root / "workspace.json") as out:
        out.write(json.dumps(config, indent=1).encode())


def _read_config(root: Path) -> dict[str, Any]:
    place = Place(file=str(root / "workspace.json"))
    try:
        config = json.loads((root / "workspace.json").read_bytes())
        version, role = int(config["version"]), config["role"]
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        raise WorkspaceError(issue("etl.workspace-damaged", place)) from None
    if version > VERSION:
        raise WorkspaceError(issue("etl.workspace-newer", place, version=version, supported=VERSION))
    if role not in ("site", "registry"):
        raise WorkspaceError(issue("etl.workspace-damaged", place))
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True, mode=0o700)
    return dict(config)


def _sites(root: Path) -> Iterator[Site]:
    path = root / "sites" / "sites.csv"
    if path.exists():
        try:
            rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
            yield from [_site(r) for r in rows]
        except (UnicodeDecodeError, KeyError, csv.Error):
            raise WorkspaceError(issue("etl.sites-damaged", Place(file="sites/sites.csv"))) from None


def _site(row: Mapping[str, str]) -> Site:
    return Site(row["site"], row["country"], row["name"], row["time_zone"], row.get("language") or "en")


__all__ = ["Role", "Site", "Workspace", "WorkspaceError"]
