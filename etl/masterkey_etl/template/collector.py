"""Python's cycle collector while records are mapped."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 200_000  # objects, about 400 records of 40 columns


@contextmanager
def calm_collector() -> Iterator[None]:
    """Let the collector run rarely: resources are trees, reference counting frees them, and walking them costs
    a third of the time of mapping. What is alive at the beginning (maps, tables, types) is not walked at all.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
