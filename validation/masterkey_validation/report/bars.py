"""Bars as inline SVG: widths are numbers, looks are classes of style.css, every bar says its numbers in
words."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup, escape

WIDTH = 100.0
LEAST = 0.6  # what is not nothing can be seen


def single(value: float, highest: float, words: str, look: str = "plain") -> Markup:
    """One bar of `value` on a scale that ends at `highest`."""
    width = WIDTH * value / highest if highest else 0
    return _svg(_rect(0, max(width, LEAST if value else 0), look), words)


def stacked(parts: Iterable[tuple[str, float]], words: str) -> Markup:
    """One bar of parts (look, value) that fills the width; parts too small to see keep a little."""
    known = [(look, value) for look, value in parts if value]
    total = sum(value for _, value in known)
    out, at = [], 0.0
    for look, value in known:
        width = max(WIDTH * value / total, LEAST)
        out.append(_rect(at, width, look))
        at += width
    return _svg("".join(out), words)


def share(fraction: float, words: str, look: str) -> Markup:
    """A part of a whole, the rest visible as an outline."""
    return _svg(_rect(0, WIDTH, "rest") + _rect(0, max(WIDTH * fraction, LEAST if fraction else 0), look), words)


def _rect(at: float, width: float, look: str) -> str:
    return f'<rect x="{at:.1f}%" y="0" width="{width:.1f}%" height="100%" class="b-{look}"/>'


def _svg(inside: str, words: str) -> Markup:
    return Markup('<svg class="bar" role="img" aria-label="{}">{}</svg>').format(escape(words), Markup(inside))
