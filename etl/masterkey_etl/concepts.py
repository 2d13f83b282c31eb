"""Concept tables: `mappings/concepts/<topic>.csv`, code or label of a source -> code of a standard.

The columns are those of SSSOM (https://mapping-commons.github.io/sssom/) plus `object_system`, `status` and
`source`. Only rows whose status is `reviewed` are used; `candidate` and
`suggested` ones are loaded for people to look at.
Several rows per subject are several Codings. A workspace's own table overlays the shipped one subject by subject.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from masterkey_etl.data import folder
from masterkey_etl.values import nfkc
from masterkey_fhir.issue import Issue, Place, issue

REQUIRED = ("subject_id", "object_id", "status")
COLUMNS = (
    "subject_id", "subject_label", "predicate_id", "object_id", "object_system", "object_label",
    "mapping_justification", "confidence", "author_id", "reviewer_id", "mapping_date", "status", "source",
)  # fmt: skip
STATUSES = ("reviewed", "candidate", "suggested")
# SKOS mapping relations, the predicates SSSOM recommends
PREDICATES = tuple(f"skos:{p}Match" for p in ("exact", "close", "broad", "narrow", "related"))

Table = Mapping[str, tuple[Mapping[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `coding` is what a map emits: system, code, display (what the line gives)."""

    subject: str
    label: str
    predicate: str
    code: str
    system: str
    display: str
    reviewed: bool
    file: str
    line: int

    @property
    def coding(self) -> dict[str, str]:
        parts = {"system": self.system, "code": self.code, "display": self.display}
        return {k: v for k, v in parts.items() if v}


@dataclass(frozen=True)
class Topic:
    name: str
    rows: tuple[Row, ...]

    @cached_property
    def reviewed(self) -> tuple[Row, ...]:
        return tuple(r for r in self.rows if r.reviewed)

    @cached_property
    def by_code(self) -> Table:
        """Subject as written -> its Codings."""
        return _grouped((r.subject, r) for r in self.reviewed)

    @cached_property
    def by_label(self) -> Table:
        """Subject or subject label, both in NFKC -> its Codings. A subject wins over another's label.

        A label that several subjects share says nothing, so it is left out.
        """
        subjects: dict[str, set[str]] = {}
        for r in self.reviewed:
            subjects.setdefault(nfkc(r.label), set()).add(r.subject)
        labels = _grouped((nfkc(r.label), r) for r in self.reviewed if len(subjects[nfkc(r.label)]) == 1)
        return {**labels, **_grouped((nfkc(r.subject), r) for r in self.reviewed)}

    def text(self) -> str:
        """Its reviewed rows as a concept table."""
        out = io.StringIO()
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("subject_id", "subject_label", "object_id", "object_system", "object_label", "status"))
        table.writerows((r.subject, r.label, r.code, r.system, r.display, "reviewed") for r in self.reviewed)
        return out.getvalue()

    @cached_property
    def digest(self) -> str:
        text = "\n".join(repr((r.subject, r.label, r.code, r.system, r.display)) for r in self.reviewed)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Concepts:
    """All topics, and what is wrong with their files."""

    topics: Mapping[str, Topic] = field(default_factory=dict)
    issues: tuple[Issue, ...] = ()

    @classmethod
    def load(cls, overlay: Path | None = None, shipped: Path | None = None) -> Concepts:
        """Topics of `<shipped>/concepts` (default: the project's), overlaid by `<overlay>/concepts`."""
        found: list[Issue] = []
        topics: dict[str, Topic] = {}
        for root in (shipped or folder("mappings"), overlay):
            for path in sorted((root / "concepts").glob("*.csv")) if root else ():
                topic = Topic(path.stem, tuple(_read(path, found)))
                topics[path.stem] = _overlaid(topics.get(path.stem), topic)
        return cls(topics, tuple(found))

    def table(self, topic: str, by_label: bool) -> Table:
        """Raises KeyError for an unknown topic."""
        return self.topics[topic].by_label if by_label else self.topics[topic].by_code

    def several(self, topic: str, by_label: bool) -> bool:
        """Does a subject of this topic have more than one row?"""
        return any(len(rows) > 1 for rows in self.table(topic, by_label).values())


def _overlaid(base: Topic | None, own: Topic) -> Topic:
    if base is None:
        return own
    subjects = {r.subject for r in own.rows}
    return Topic(own.name, (*own.rows, *(r for r in base.rows if r.subject not in subjects)))


def _grouped(pairs: Iterable[tuple[str, Row]]) -> dict[str, tuple[Mapping[str, str], ...]]:
    out: dict[str, tuple[Mapping[str, str], ...]] = {}
    for key, row in pairs:
        if row.coding not in out.get(key, ()):
            out[key] = (*out.get(key, ()), row.coding)
    return out


def _read(path: Path, found: list[Issue]) -> list[Row]:
    file = f"concepts/{path.name}"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        problem = str(getattr(error, "strerror", None) or "is not UTF-8")
        found.append(issue("etl.concept-table", Place(file=file), problem=problem, valid="a UTF-8 CSV file"))
        return []
    reader = csv.DictReader(text.splitlines(), strict=True)
    try:
        return _rows(reader, file, found)
    except csv.Error as error:
        place = Place(file=file, row=reader.line_num)
        found.append(issue("etl.concept-table", place, problem=str(error), valid="CSV as in RFC 4180"))
        return []


def _rows(reader: csv.DictReader[str], file: str, found: list[Issue]) -> list[Row]:
    header = reader.fieldnames or []
    problems = [f"the column {c} is missing" for c in REQUIRED if c not in header]
    problems += [f"{c} is not a column of a concept table" for c in header if c not in COLUMNS]
    for problem in problems:
        place = Place(file=file, row=1)
        found.append(issue("etl.concept-table", place, problem=problem, valid=", ".join(COLUMNS)))
    if any(c not in header for c in REQUIRED):
        return []
    return [r for fields in reader if (r := _row(fields, Place(file=file, row=reader.line_num), found))]


def _row(fields: dict[str, Any], place: Place, found: list[Issue]) -> Row | None:
    get = {k: (v or "").strip() for k, v in fields.items() if isinstance(k, str) and not isinstance(v, list)}
    problems = list(_problems(get, None in fields))
    for problem, valid in problems:
        found.append(issue("etl.concept-table", place, problem=problem, valid=valid))
    if problems:
        return None
    return Row(
        get["subject_id"], get.get("subject_label", ""), get.get("predicate_id", ""), get["object_id"],
        get.get("object_system", ""), get.get("object_label", ""), get["status"] == "reviewed",
        place.file, place.row or 0,
    )  # fmt: skip


def _problems(get: Mapping[str, str], surplus: bool) -> Iterable[tuple[str, str]]:
    if surplus:
        yield "the row has more fields than the header", "quote a field that holds a comma"
    for name in ("subject_id", "object_id"):
        if not get[name]:
            yield f"{name} is empty", "a code or a label"
    if get["status"] not in STATUSES:
        yield f"the status is '{get['status']}'", ", ".join(STATUSES)
    if get.get("predicate_id") and get["predicate_id"] not in PREDICATES:
        yield f"the predicate is '{get['predicate_id']}'", ", ".join(PREDICATES)
    if get.get("confidence") and not _is_confidence(get["confidence"]):
        yield "the confidence is not a number from 0 to 1", "0 to 1"


def _is_confidence(text: str) -> bool:
    try:
        return 0 <= float(text) <= 1
    except ValueError:
        return False


__all__ = ["COLUMNS", "Concepts", "Row", "Topic"]
