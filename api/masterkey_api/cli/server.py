"""`masterkey serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from masterkey_api.cli.shown import data_dir


def serve(
    host: Annotated[str, typer.Option()] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port, printed.")] = 8080,
    site: Annotated[str | None, typer.Option(help="The site whose data is served; default: the only one here.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="No authentication; loopback only.")] = False,
) -> int:
    """The FHIR API at /fhir.

    Example: `masterkey serve --open --port 8080`, then `curl localhost:8080/fhir/metadata`
    """
    from masterkey_api.serving import serve as run

    return run(data_dir(), host=host, port=port, site=site, open_=open_)
