"""A large JSON array cut into smaller arrays of whole elements, for the independent count.

Finds commas between elements with numpy, on bytes: outside of texts, at the depth of the array. Nothing is parsed here.
"""

from __future__ import annotations

from collections.abc import Iterator

STEP = 1 << 22  # bytes looked at together


def cut(data: bytes) -> tuple[int, bool]:
    """Of text inside of an array: where its last whole element ends (0: none does), and does the array end there?"""
    import numpy as np

    if not data:
        return 0, False
    plain = data.replace(b"\\\\", b"..").replace(b'\\"', b"..")
    codes = np.frombuffer(plain, dtype=np.uint8)
    outside = ~np.bitwise_xor.accumulate(codes == 34)
    opens = ((codes == 123) | (codes == 91)) & outside
    closes = ((codes == 125) | (codes == 93)) & outside
    depth = np.cumsum(opens.astype(np.int32) - closes.astype(np.int32))
    ended = np.flatnonzero(depth < 0)
    if len(ended):
        return int(ended[0]), True
    commas = np.flatnonzero((codes == 44) & outside & (depth == 0))
    return (int(commas[-1]), False) if len(commas) else (0, False)


def pieces(text: Iterator[bytes]) -> Iterator[tuple[bytes, bytes, bool]]:
    """(an array of whole elements, what was read behind it, is it the last?), out of a large array.

    `text` begins behind its bracket, and is read on. The last one ends with the array; where the text stops before, it
    is what is left, unclosed.
    """
    data = b""
    while True:
        more = b"".join(_some(text, len(data)))
        data += more
        end, last = cut(data)
        if last:
            yield b"[" + data[: end + 1], data[end + 1 :], True
            return
        if end:
            yield b"[" + data[:end] + b"]", data[end + 1 :], False
            data = data[end + 1 :]
        elif not more:
            yield b"[" + data, b"", True
            return


def _some(text: Iterator[bytes], at_least: int) -> Iterator[bytes]:
    """As much again as is held, so that a long element is looked at only a few times."""
    got = 0
    for piece in text:
        yield piece
        got += len(piece)
        if got >= max(at_least, STEP):
            return
