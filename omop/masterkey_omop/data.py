"""Where this package's data lives: beside the package in a clone, inside it in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def folder(name: str) -> Path:
    """The folder `name` of this room's data. Raises FileNotFoundError when the installation is incomplete."""
    for place in (_PACKAGE / f"_{name}", _PACKAGE.parent / name, _PACKAGE.parent.parent / name):
        if place.exists():
            return place
    raise FileNotFoundError(f"{name}: not found beside {_PACKAGE.name}; install masterkey again")
