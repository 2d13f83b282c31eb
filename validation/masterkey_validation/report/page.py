"""The report as one self-contained HTML page: no script, no request, a content-security policy that allows
its style.

What stewards ask for, in the order they ask (categories, checks with their reason and query, open Issues with
remedies, codes without a target, completeness), counts and ids only.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from markupsafe import Markup

from masterkey_fhir.issue import Issue
from masterkey_validation import catalogue
from masterkey_validation.catalogue import Check
from masterkey_validation.report import bars
from masterkey_validation.report.data import LEDGER, Delivery, ReportData
from masterkey_validation.results import STATUSES, Result

SIGNS = {"passed": "✓", "failed": "✕", "not_applicable": "–", "error": "!"}
_WORST = ("failed", "error", "passed", "not_applicable")
_SEVERITY = ("fatal", "error", "warning", "query", "information", "info")


def html(data: ReportData, language: str = "en", json_name: str = "report.json") -> str:
    """The page. Raises KeyError for a language without catalogue (en, ja)."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    words = texts()[language]
    environment = Environment(
        loader=PackageLoader("masterkey_validation", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "moment": moment}
    style = _file("style.css")
    return environment.get_template("template.html").render(
        data=data,
        t=words,
        style=Markup(style),
        style_hash=_hash(style),
        json_name=json_name,
        signs=SIGNS,
        ledger=LEDGER,
        bar=bars.single,
        part=bars.share,
        ledger_bar=lambda d: _ledger_bar(d, words),
        matrix_bar=lambda row: _matrix_bar(row, words),
        **_facts(data, language),
    )


@cache
def texts() -> Mapping[str, Mapping[str, Any]]:
    """The words of the page by language."""
    loaded: Mapping[str, Mapping[str, Any]] = yaml.safe_load(_file("texts.yaml"))
    return loaded


def number(n: int) -> str:
    """12345 -> 12,345."""
    return f"{n:,}"


def percent(fraction: float) -> str:
    """A fraction in percent; what is not nothing never reads as 0 %, what is not all never as 100 %."""
    value = fraction * 100
    if 0 < value < 0.1:
        return "< 0.1 %"
    if 99.9 < value < 100:
        return "> 99.9 %"
    return f"{value:.1f} %"


def moment(text: str) -> str:
    """An ISO instant as people write it; what is none, as it is."""
    try:
        return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return text


def _facts(data: ReportData, language: str) -> dict[str, Any]:
    checks = check_rows(data, language)
    found = issue_rows(data.issues, language)
    judged = [c for c in checks if c["status"] in ("passed", "failed")]
    failed = [c for c in judged if c["status"] == "failed"]
    return {
        "values": sum(d.values for d in data.deliveries),
        "accounted": sum(d.accounted for d in data.deliveries),
        "balanced": all(d.balanced for d in data.deliveries),
        "set_aside": sum((Counter(d.set_aside) for d in data.deliveries), Counter[str]()).most_common(),
        "resources": Counter(data.resources).most_common(),
        "checks": checks,
        "judged": len(judged),
        "failed": len(failed),
        "failed_errors": sum(c["severity"] == "error" for c in failed),
        "matrix": _matrix(checks),
        "issues": found,
        "open_issues": sum(i["n"] for i in found),
        "error_issues": sum(i["n"] for i in found if i["severity"] in ("fatal", "error")),
    }


def check_rows(data: ReportData, language: str) -> list[dict[str, Any]]:
    """One row per check with its sites, worst first: failed errors, failed queries, what could not run, the
    rest."""
    known = {c.id: c for c in data.checks or catalogue.load()}
    grouped: dict[str, list[Result]] = {}
    for result in data.results:
        grouped.setdefault(result.check_id, []).append(result)
    rows = [_check_row(known[i], found, language) for i, found in grouped.items() if i in known]
    return sorted(rows, key=lambda r: (_WORST.index(r["status"]), _SEVERITY.index(r["severity"]), -r["violated"]))


def _check_row(check: Check, found: Sequence[Result], language: str) -> dict[str, Any]:
    judged, violated = sum(r.denominator for r in found), sum(r.violated for r in found)
    status = min((r.status for r in found), key=_WORST.index)
    fraction = violated / judged if judged else None
    look = "failed" if status == "failed" else "query"
    return {
        "id": check.id,
        "title": check.title.get(language) or check.title["en"],
        "category": check.category,
        "severity": check.severity,
        "status": status,
        "violated": violated,
        "denominator": judged,
        "percent": "–" if fraction is None else percent(fraction),
        "bar": Markup("") if not fraction else bars.share(fraction, percent(fraction), look),
        "threshold": f"{check.threshold:g} %" if check.threshold else "",
        "threshold_reason": check.threshold_reason,
        "source": check.source,
        "page": paragraphs(check.page_in(language)),
        "message": next((r.message for r in found if r.status == "error"), ""),
        "sql": check.sql.strip(),
        "parameters": "; ".join(f"{name} = {value}" for name, value in check.parameters.items()),
        "sites": found,
    }


def paragraphs(page: str) -> list[Markup]:
    """The paragraphs of a check's page without its heading; **bold** is all they use."""
    parts = [p for p in page.split("\n\n") if p.strip() and not p.startswith("#")]
    return [_bold(p.strip()) for p in parts]


def _bold(text: str) -> Markup:
    pieces = text.split("**")
    return Markup("").join(
        Markup("<b>{}</b>").format(piece) if i % 2 else Markup("{}").format(piece) for i, piece in enumerate(pieces)
    )


def issue_rows(issues: Iterable[Issue], language: str) -> list[dict[str, Any]]:
    """Open Issues, equal ones (rule, facts, file, field) as one row with their number; the gravest and
    commonest first."""
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for found in issues:
        text, remedy = found.fact(language), found.remedy(language)
        place = ", ".join(p for p in (found.place.site, found.place.file, found.place.field) if p)
        key = (found.rule, text, remedy, place)
        row = rows.setdefault(
            key,
            {"rule": found.rule, "severity": found.severity, "text": text, "remedy": remedy, "place": place, "n": 0},
        )
        row["n"] += found.count
    return sorted(rows.values(), key=lambda r: (_SEVERITY.index(r["severity"]), -r["n"], r["rule"]))


def _matrix(checks: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    matrix = {name: Counter(dict.fromkeys(STATUSES, 0)) for name in ("Conformance", "Completeness", "Plausibility")}
    for check in checks:
        matrix[check["category"]][check["status"]] += 1
    return matrix


def _ledger_bar(delivery: Delivery, words: Mapping[str, Any]) -> Markup:
    parts = [(status, delivery.ledger.get(status, 0)) for status in LEDGER]
    return bars.stacked(parts, ", ".join(f"{words['ledger'][s]} {number(n)}" for s, n in parts if n))


def _matrix_bar(row: Mapping[str, int], words: Mapping[str, Any]) -> Markup:
    parts = [(status, row[status]) for status in SIGNS]
    return bars.stacked(parts, ", ".join(f"{words['statuses'][s]} {n}" for s, n in parts if n))


def _hash(style: str) -> str:
    """What the content-security policy names: https://www.w3.org/TR/CSP3/#framework-hash-source"""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _file(name: str) -> str:
    return files("masterkey_validation.report").joinpath(name).read_text(encoding="utf-8")
