"""Which keys stand in several places of a file: a first pass over the keys alone, in flat memory.

Only 64-bit hashes are kept, and Python keys its string hashes per process: nothing of a person leaves memory.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from masterkey_etl.readers import limits

_SCATTERED_MAX = 1_000_000
_FEW = 200_000  # below this numpy isn't worth its import


def scattered(keys: Iterable[tuple[str, ...]], scratch: Path | None) -> dict[int, int] | None:
    """Hash of key -> number of runs, for keys with more than one; None when there are too many to hold."""
    blocks = _blocks(keys)
    first = next(blocks, array("q"))
    second = next(blocks, None)
    if second is None and len(first) < _FEW:
        return {h: n for h, n in Counter(first).items() if n > 1}
    if second is None:
        return _repeated([first])
    with tempfile.TemporaryFile(dir=scratch) as file:
        n = 0
        for block in (first, second, *blocks):
            block.tofile(file)
            n += len(block)
        return _by_part(file, -(-n // limits.RUNS) + 1)


def _blocks(keys: Iterable[tuple[str, ...]]) -> Iterator[array[int]]:
    """Hashes of runs of equal keys, in blocks."""
    block, last = array("q"), None
    for key in keys:
        if key != last:
            block.append(hash(key))
            last = key
            if len(block) >= limits.RUNS:
                yield block
                block = array("q")
    yield block


def _by_part(file: BinaryIO, parts: int) -> dict[int, int] | None:
    """Compare the hashes part by part: equal ones fall into the same part."""
    found: dict[int, int] = {}
    for part in range(parts):
        file.seek(0)
        counted = _repeated(_read(file), part, parts)
        if counted is None or len(found) + len(counted) > _SCATTERED_MAX:
            return None
        found |= counted
    return found


def _read(file: BinaryIO) -> Iterator[array[int]]:
    while data := file.read(8 * limits.RUNS):
        block = array("q")
        block.frombytes(data)
        yield block


def _repeated(blocks: Iterable[array[int]], part: int = 0, parts: int = 1) -> dict[int, int] | None:
    import numpy as np

    chosen = [a[a % parts == part] for a in (np.frombuffer(b, dtype=np.int64) for b in blocks)]
    hashes, counts = np.unique(np.concatenate(chosen), return_counts=True)
    several = counts > 1
    if int(several.sum()) > _SCATTERED_MAX:
        return None
    return dict(zip(hashes[several].tolist(), counts[several].tolist(), strict=True))
