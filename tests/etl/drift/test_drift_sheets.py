"""The same comparison for a workbook, and between a workbook and a text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest


def test_a_workbook_drifts_like_a_text(ward: Any, rows: Callable[..., list[list[str]]]) -> None:
    openpyxl = pytest.importorskip("openpyxl")

    def book(table: list[list[str]]) -> bytes:
        made = openpyxl.Workbook()
        for row in table:
            made.active.append(row)
        made.save(ward.root / "w.xlsx")
        return bytes((ward.root / "w.xlsx").read_bytes())

    first = ward.send(book(rows()), name="ward.xlsx")
    assert first.stored and [d.kind for _, found in first.drift for d in found if d.stops] == []
    again = ward.send(book([*rows(), rows(42)[42]]), name="ward.xlsx")
    assert again.stored and again.drift == []
    renamed = [["Body weight (kg)" if v == "Weight (kg)" else v for v in row] for row in rows()]
    refused = ward.send(book(renamed), name="ward.xlsx")
    assert [(d.kind, d.column) for _, found in refused.drift for d in found] == [("renamed", "weight")]
    assert not refused.stored and ward.send(book(renamed), by="B", name="ward.xlsx").stored
