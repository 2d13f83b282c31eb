"""Damaged bytes: whatever is done to a file, reading ends, balances, and raises nothing but Issues."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_etl.readers import limits
from masterkey_fhir.issue import MasterkeyError

PIECES = [b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"\xef\xbb\xbf", "あ".encode("cp932"), b'""', b",,,", b"NA"]


@pytest.fixture(scope="module")
def clean(header: str, good) -> bytes:
    return "\r\n".join((header, *(good(f"p{n // 2}") for n in range(12)))).encode()


def damage(data: bytes, seed: int, n: int) -> bytes:
    """`n` random insertions, deletions and cuts."""
    r = random.Random(seed)
    out = bytearray(data)
    for _ in range(n):
        at = r.randrange(len(out) + 1)
        kind = r.randrange(4)
        if kind == 0:
            out[at:at] = r.choice(PIECES)
        elif kind == 1:
            del out[at : at + r.randrange(8)]
        elif kind == 2:
            out[at : at + 1] = bytes([r.randrange(256)])
        elif r.randrange(10) == 0:
            del out[at:]
    return bytes(out)


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 12), lines=st.sampled_from([3, 1000]))
def test_damaged_files_balance(clean: bytes, tiny, run_bytes, seed: int, n: int, lines: int):
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(limits, "ROW_LINES", lines)
        run_bytes(damage(clean, seed, n), tiny)


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=400))
def test_any_bytes_balance(tiny, run_bytes, header: str, data: bytes):
    run_bytes(header.encode() + b"\n" + data, tiny)
    try:
        run_bytes(data, tiny)
    except MasterkeyError as refused:  # what says it is a workbook, and is none
        assert data.startswith((b"\xd0\xcf\x11\xe0", b"PK")) and refused.issues


@settings(max_examples=100, deadline=None)
@given(cells=st.lists(st.lists(st.text(max_size=12), max_size=12), max_size=8), batch=st.sampled_from([2, 1024]))
def test_any_table_balances(tiny, run_bytes, header: str, cells: list[list[str]], batch: int):
    body = "\n".join(",".join(row) for row in cells)
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(limits, "BATCH", batch)
        run_bytes(f"{header}\n{body}".encode("utf-8", "surrogatepass"), tiny)
