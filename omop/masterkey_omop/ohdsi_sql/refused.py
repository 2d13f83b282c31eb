"""What a pass can't say exactly."""

from __future__ import annotations

from sqlglot import exp


class RefusedError(Exception):
    """A node that can't be said exactly; `translate` gives it its place."""

    def __init__(self, node: exp.Expr, what: str, instead: str, rule: str = "unsupported") -> None:
        super().__init__(what)
        self.node, self.what, self.instead, self.rule = node, what, instead, rule
