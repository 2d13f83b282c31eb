"""How the command line speaks: tables, progress, plain lines where there is no terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from masterkey_fhir.issue import Issue

_chosen = [Path("./masterkey-data")]


def choose_data(path: str) -> None:
    """The workspace of this call; the environment stays as it is."""
    _chosen[0] = Path(path)


def data_dir() -> Path:
    """The workspace named by `--data`, `MASTERKEY_DATA` or the default."""
    return _chosen[0]


def as_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, default=str, indent=1))


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Columns aligned by width; numbers to the right."""
    body = [["" if v is None else str(v) for v in row] for row in rows]
    widths = [max(len(h), *(len(r[i]) for r in body)) if body else len(h) for i, h in enumerate(header)]
    print("  ".join(h.ljust(w) for h, w in zip(header, widths, strict=True)).rstrip())
    for row in body:
        cells = (
            v.rjust(w) if v.replace(",", "").replace(".", "").isdigit() else v.ljust(w)
            for v, w in zip(row, widths, strict=True)
        )
        print("  ".join(cells).rstrip())


def progress(what: str) -> Callable[[int, int | None], None]:
    """A function `(done, total)`: one rewriting line on a terminal, a line every 5 s elsewhere."""
    start = time.monotonic()
    last = 0.0
    terminal = sys.stderr.isatty()

    def show(done: int, total: int | None = None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < (0.2 if terminal else 5.0) and done != total:
            return
        last = now
        rate = done / max(now - start, 1e-9)
        left = f", {max(0.0, (total - done) / rate):.0f} s left" if total and rate else ""
        share = f"{done / total:4.0%} " if total else ""
        line = f"{what}: {share}{done:,}{f' of {total:,}' if total else ''} ({rate:,.0f}/s{left})"
        print(
            f"\r\033[K{line}" if terminal else line,
            end="" if terminal and done != total else "\n",
            file=sys.stderr,
            flush=True,
        )

    return show


def issue_lines(issues: Sequence[Issue], limit: int = 20) -> None:
    """One line for each kind of Issue with its count and the first place; errors first."""
    order = {"fatal": 0, "error": 1, "warning": 2, "information": 3}
    kinds: dict[tuple[str, str], list[Issue]] = {}
    for found in issues:
        kinds.setdefault((found.rule, found.place.field), []).append(found)
    ranked = sorted(kinds.values(), key=lambda group: (order.get(group[0].severity, 9), -sum(i.count for i in group)))
    for group in ranked[:limit]:
        number = sum(i.count for i in group)
        print(f"  {group[0].severity:<11} {number:>6,} x {group[0]}")
    if len(ranked) > limit:
        print(f"  ... and {len(ranked) - limit} more kinds: masterkey issues list")


def waiting(holder: str, seconds: float) -> None:
    """Another process writes: said about once a second on stderr."""
    print(
        f"another masterkey is writing here ({holder}); waiting, {seconds:.0f} s so far. Ctrl-C is safe.",
        file=sys.stderr,
        flush=True,
    )
