"""Known source models that fit a file, best first, each with its differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masterkey_etl.readers import recognise_header
from masterkey_etl.source_model import SourceModel, known_models

SHOWN = 3
ENOUGH = 0.2


@dataclass(frozen=True, slots=True)
class Fit:
    """A model, how well its columns fit (1.0: all and only these), and what differs, in words."""

    model: str
    score: float
    evidence: str
    differences: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "score": round(self.score, 3),
            "evidence": self.evidence,
            "differences": list(self.differences),
        }


def fits(header: Sequence[str], overlay: Path | None) -> tuple[Fit, ...]:
    """Models with a column in this header; those below ENOUGH only say that columns of one name occur."""
    models = {m.id: m for m in known_models(overlay)}
    found = [r for r in recognise_header(header, models.values()) if r.score >= ENOUGH]
    return tuple(Fit(r.model, r.score, r.evidence, _differences(models[r.model], header)) for r in found[:SHOWN])


def _differences(model: SourceModel, header: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{i.place.field + ': ' if i.place.field else ''}{i.fact()}" for i in model.match(list(header)).issues)
