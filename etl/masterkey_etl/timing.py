"""Time per stage of a lazy pipeline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


class Stopwatch:
    """Seconds per stage. Stages are nested generators: each one's time is its own, without those above it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stages: list[str] = []
        self._since = time.perf_counter()

    def _book(self) -> None:
        now = time.perf_counter()
        if self._stages:
            stage = self._stages[-1]
            self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._since
        self._since = now

    def _enter(self, stage: str) -> None:
        self._book()
        self._stages.append(stage)

    def _leave(self) -> None:
        self._book()
        self._stages.pop()

    def through(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The same items; the time to get each is booked on `stage`."""
        while True:
            self._enter(stage)
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self._leave()
            yield item

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        self._enter(stage)
        try:
            yield
        finally:
            self._leave()
