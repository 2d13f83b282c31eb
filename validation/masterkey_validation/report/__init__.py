"""The quality report: one HTML page that opens anywhere and its JSON twin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from masterkey_validation.completeness import ItemFill, completeness
from masterkey_validation.report.data import LEDGER, Delivery, ReportData, UnmappedCode

__all__ = ["LEDGER", "Delivery", "ItemFill", "ReportData", "UnmappedCode", "as_dict", "completeness", "write"]


def write(data: ReportData, html_path: Path, *, language: str = "en") -> Path:
    """The page at `html_path` and the twin beside it (`.json`); each appears whole or not at all. Returns
    the page."""
    from masterkey_validation.report.page import html

    html_path.parent.mkdir(parents=True, exist_ok=True)
    twin = html_path.with_suffix(".json")
    _whole(twin, json.dumps(as_dict(data, language), ensure_ascii=False, indent=2) + "\n")
    _whole(html_path, html(data, language, twin.name))
    return html_path


def as_dict(data: ReportData, language: str = "en") -> dict[str, Any]:
    """The same facts for programs; texts of Issues and checks in `language`."""
    from masterkey_validation.report import page

    shown = ("id", "title", "category", "severity", "status", "violated", "denominator", "threshold")
    return {
        "title": data.title,
        "generated": data.generated,
        "role": data.role,
        "vocabulary": data.vocabulary,
        "patients": data.patients,
        "persons": data.persons,
        "lag": data.lag,
        "deliveries": [_delivery(d) for d in data.deliveries],
        "resources": dict(data.resources),
        "checks": [
            {**{k: row[k] for k in shown}, "sites": [r.as_dict() for r in row["sites"]]}
            for row in page.check_rows(data, language)
        ],
        "issues": page.issue_rows(data.issues, language),
        "unmapped": [
            {"system": u.system, "code": u.code, "text": u.text, "n": u.n, "share": u.share} for u in data.unmapped
        ],
        "items": [
            {"id": i.id, "filled": i.filled, "empty": i.empty, "never_seen": i.never_seen, "obligation": i.obligation}
            for i in data.items
        ],
    }


def _delivery(d: Delivery) -> dict[str, Any]:
    return {
        "site": d.site,
        "file": d.file,
        "received": d.received,
        "rows": d.rows,
        "values": d.values,
        "accounted": d.accounted,
        "stored": d.stored,
        "ledger": dict(d.ledger),
        "set_aside": dict(d.set_aside),
        "balanced": d.balanced,
    }


def _whole(path: Path, text: str) -> None:
    """Through a neighbour and a rename, so that a reader never sees half a file."""
    neighbour = path.with_name(path.name + ".part")
    neighbour.write_text(text, encoding="utf-8")
    neighbour.replace(path)
