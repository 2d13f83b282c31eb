"""What a check found, at one site."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from masterkey_validation.catalogue import Check

STATUSES = ("passed", "failed", "not_applicable", "error")


@dataclass(frozen=True, slots=True)
class Result:
    """Counts of one check at one site (`site` is "" where no site is known). Never holds a value of a record.

    `status`: passed | failed | not_applicable (nothing to judge, or the table is not in this CDM) | error
    (the query could not run; neither passed nor failed).
    """

    check_id: str
    site: str
    denominator: int
    violated: int
    status: str
    message: str = ""
    seconds: float = 0.0
    query: str = ""
    severity: str = ""
    runner: str = "sql"

    @property
    def percent(self) -> float | None:
        """Violated rows in percent of judged rows; None when nothing was judged."""
        return self.violated * 100 / self.denominator if self.denominator else None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def counted(check: Check, site: str, denominator: int, violated: int, **more: Any) -> Result:
    """A Result with the status that its counts and the threshold give."""
    if not denominator:
        return not_applicable(check, "no row to judge", site=site, **more)
    status = "passed" if check.passes(denominator, violated) else "failed"
    return Result(check.id, site, denominator, violated, status, severity=check.severity, **more)


def not_applicable(check: Check, message: str, site: str = "", **more: Any) -> Result:
    return Result(check.id, site, 0, 0, "not_applicable", message, severity=check.severity, **more)


def error(check: Check, message: str, **more: Any) -> Result:
    return Result(check.id, "", 0, 0, "error", message, severity=check.severity, **more)
