"""`masterkey serve`: one workspace behind the FHIR API; what is posted takes the road from `protect` on."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from fastapi import FastAPI

from masterkey_api.app import ServeError, create_app, require_loopback
from masterkey_etl import identity
from masterkey_etl.project import project
from masterkey_etl.workspace import Workspace
from masterkey_fhir.bundle import RefusedError
from masterkey_fhir.issue import Issue, MasterkeyError, issue
from masterkey_fhir.store import Repository, Written

log = logging.getLogger("masterkey.serve")


class Projector(threading.Thread):
    """Drains the outbox behind the answers: a write wakes it, several writes make one round."""

    def __init__(self, workspace: Workspace, repository: Repository) -> None:
        super().__init__(name="projector", daemon=True)
        self.workspace, self.repository = workspace, repository
        self._wake, self._idle = threading.Event(), threading.Event()
        self._wake.set()  # what an earlier process left in the outbox comes first
        self._stopping = False

    def __call__(self, site: str, written: Sequence[Written]) -> None:
        """AfterCommit of the FHIR API."""
        self._idle.clear()
        self._wake.set()

    def run(self) -> None:
        while not self._stopping:
            self._wake.wait()
            self._wake.clear()
            self._round()
            if not self._wake.is_set():
                self._idle.set()

    def _round(self) -> None:
        try:
            project(self.workspace, self.repository)
        except MasterkeyError as error:  # told, and tried again with the next write; the outbox keeps it
            for found in error.issues:
                log.error("projection: %s", found)

    def wait(self, seconds: float) -> bool:
        """True when everything written so far is in the CDM."""
        return self._idle.wait(seconds)

    def stop(self, seconds: float = 30.0) -> None:
        """Finish the round under way."""
        self._stopping = True
        self._wake.set()
        self.join(seconds)


def protector(workspace: Workspace, site: str) -> Any:
    """The step `protect` for one site, as the API calls it."""
    keys = workspace.keys(site)

    def protect(resource: dict[str, Any]) -> tuple[dict[str, Any], list[Issue]]:
        kept, found = identity.protect(resource, workspace.role, keys, workspace.overlay)
        if kept is None:
            raise RefusedError(*(found or [issue("api.nothing-kept")]))
        return kept, found

    return protect


def the_site(workspace: Workspace, repository: Repository, asked: str | None) -> str:
    """The site to serve: asked for, or the only one here. Raises ServeError (api.which-site)."""
    if asked:
        return workspace.site(asked).id
    here = repository.sites()
    if len(here) == 1:
        return here[0]
    raise ServeError(issue("api.which-site", sites=", ".join(here or sorted(workspace.sites))))


def listening(host: str, port: int) -> socket.socket:
    """A bound socket, so that port 0 can be told before the server answers. Raises ServeError (api.port)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(socket.SOMAXCONN)  # who connects before the first answer waits, and is not refused
    except OSError as error:
        bound.close()
        raise ServeError(issue("api.port", host=host, port=port, why=error.strerror or "refused")) from None
    return bound


def run_on(app: FastAPI, bound: socket.socket) -> None:
    """Until interrupted. The access log is off: a query string holds data of patients."""
    import uvicorn

    signal.signal(signal.SIGTERM, _leave)  # uvicorn raises the signal again after its own shutdown
    config = uvicorn.Config(app, access_log=False, log_level="warning", server_header=False)
    uvicorn.Server(config).run(sockets=[bound])


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def serve(data: Path, *, host: str, port: int, site: str | None, open_: bool) -> int:
    """Serve until interrupted; an empty place with `open_` becomes a site node, where nothing is removed."""
    if open_:
        require_loopback(host)
    absent = not (data / "workspace.json").exists()
    workspace = Workspace.open(data, create=True, role="site" if open_ and absent else None)
    repository = Repository.open(workspace.repository_url)
    name = the_site(workspace, repository, site)
    projector = Projector(workspace, repository)
    app = create_app(
        repository, open=open_, site=name, protect=protector(workspace, name), after_commit=projector, host=host
    )
    bound = listening(host, port)
    projector.start()
    shown = f"[{host}]" if ":" in host else host
    print(f"FHIR R4 of {name} at http://{shown}:{bound.getsockname()[1]}/fhir  (Ctrl-C stops)", flush=True)
    try:
        run_on(app, bound)
    finally:
        projector.stop()
        repository.close()
    return 0
