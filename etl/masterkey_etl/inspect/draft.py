"""From an Inspection to a source model and a map to begin with: what is sure is written, the rest is a marked gap.

Nothing is guessed into a map: a column goes into a leaf only when its header says what it is, its values agree,
and its codes have reviewed concepts. Every other column stands under `set_aside` with a reason that begins with
`?`: `masterkey map check` names each as a gap, and `masterkey load` refuses the map until they are filled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterkey_etl import changes
from masterkey_etl.concepts import Concepts
from masterkey_etl.header import header_key
from masterkey_etl.inspect.column import ColumnProfile
from masterkey_etl.inspect.inspection import Inspection
from masterkey_etl.inspect.model_text import model_text
from masterkey_etl.inspect.words import ascii_id, meaning
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.draft import gapped
from masterkey_fhir.issue import MasterkeyError, Place, issue

SURE = 0.9


class DraftError(MasterkeyError):
    """A file can't be drafted: no header row, a known model fits, a draft of that name is here."""


@dataclass
class Plan:
    """How each column of a file enters the draft. Indexes are columns of the file, 0-based."""

    found: Inspection
    name: str
    ids: list[str]
    types: list[str]
    label_of: dict[int, int] = field(default_factory=dict)  # code column -> its label column
    codes: dict[int, dict[str, str]] = field(default_factory=dict)
    key: int | None = None
    repeated: tuple[int, ...] = ()
    nameless: frozenset[int] = (
        frozenset()
    )  # without a header, or with that of an earlier column: no model can name them

    def column(self, i: int) -> ColumnProfile:
        return self.found.columns[i]

    def says(self, i: int) -> str:
        """What the header says the column is, or ""."""
        said = meaning(self.column(i).header)
        return said[0].id if said else ""


@dataclass(frozen=True)
class Drafted:
    """The two files written, what they map (`leaf: column`), and the columns left as gaps."""

    model: Path
    map: Path
    source: str
    mapped: tuple[str, ...]
    gaps: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        files = {"model": str(self.model), "map": str(self.map)}
        return {"source": self.source, **files, "mapped": list(self.mapped), "gaps": list(self.gaps)}

    def lines(self) -> Iterator[str]:
        yield f"source model {self.source}: {self.model}"
        yield f"map: {self.map}"
        yield f"mapped: {', '.join(self.mapped) or 'nothing was sure'}"
        yield f"{len(self.gaps)} gaps: `masterkey map check {self.map}` names each with its evidence"


def draft(found: Inspection, site: str, out: Path, *, name: str = "", by: str = changes.UNNAMED) -> Drafted:
    """Write `sources/<name>/1.yaml` and `sites/<site>/<name>.yaml` below `out` (an overlay), and note it there.

    Raises DraftError: etl.draft-no-header, etl.draft-known (a model fits already), etl.draft-exists; WorkspaceError.
    """
    plan = plan_of(found, name)
    places = out / "sources" / plan.name / "1.yaml", out / "sites" / site / f"{plan.name}.yaml"
    for path in places:
        if path.exists():
            raise DraftError(issue("etl.draft-exists", Place(site, found.file), path="/".join(path.parts[-3:])))
    text = model_text(plan)
    model = SourceModel.parse(text, f"{plan.name}/1.yaml")
    leaves, mapped = _sure(plan, Concepts.load(out))
    gaps = {plan.ids[i]: _evidence(plan, i) for i in _open(plan, mapped)}
    written = gapped(model, leaves, gaps, key=plan.ids[plan.key] if plan.key is not None else "")
    changes.write(places[0], text)
    changes.write(places[1], written)
    changes.note(out, by, "drafted a source model and a map", "", f"{model.id} for {site}")
    return Drafted(*places, model.id, tuple(f"{leaf}: {plan.ids[i]}" for i, leaf in mapped.items()), tuple(gaps))


def draft_all(found: Sequence[Inspection], site: str, out: Path, *, name: str, by: str) -> list[Drafted]:
    """Drafts of every file that has columns. Raises DraftError, also when none has (etl.draft-no-table)."""
    tables = [i for i in found if i.columns and i.header]
    if not tables and found:
        raise DraftError(issue("etl.draft-no-table", Place(site, found[-1].file), kind=found[-1].kind.what))
    many = len(tables) > 1
    return [draft(i, site, out, name=f"{name}_{n}" if many and name else name, by=by) for n, i in enumerate(tables, 1)]


def plan_of(found: Inspection, name: str = "") -> Plan:
    """What the draft will say. Raises DraftError."""
    place = Place(file=found.file)
    if found.header_index is None or not found.columns:
        raise DraftError(issue("etl.draft-no-header", place))
    if found.fits and found.fits[0].score >= 0.999:
        raise DraftError(issue("etl.draft-known", place, model=found.fits[0].model))
    types = [_type(c) for c in found.columns]
    plan = Plan(found, _name(name or Path(found.file).stem), _ids(found.columns), types, nameless=_nameless(found))
    _pairs(plan)
    _codes(plan)
    _key(plan)
    return plan


def _name(text: str) -> str:
    slug = "_".join(re.findall(r"[a-z0-9]+", text.lower()))
    return slug if re.match(r"[a-z]", slug) else f"export_{slug}".rstrip("_")


def _ids(columns: Sequence[ColumnProfile]) -> list[str]:
    ids: list[str] = []
    for c in columns:
        ids.append(ascii_id(c.header, set(ids), c.number))
    return ids


def _nameless(found: Inspection) -> frozenset[int]:
    keys = [header_key(name) for name in found.names]
    return frozenset(i for i, key in enumerate(keys) if not key or key in keys[:i])


def _type(c: ColumnProfile) -> str:
    """The type that is sure; else text, which keeps every value as it stands."""
    guess = c.type
    if guess.what == "code":
        return "code" if not c.personal else "text"
    return guess.what if guess.confidence >= SURE and not c.sentinels else "text"


def _pairs(plan: Plan) -> None:
    for p in plan.found.pairs:
        named = not {p.code, p.label} & plan.nameless
        if named and not plan.column(p.code).personal and not plan.column(p.label).personal:
            plan.label_of[p.code] = p.label
            plan.types[p.code], plan.types[p.label] = "code", "label"
            if (name := f"{plan.ids[p.code]}_label") not in plan.ids:
                plan.ids[p.label] = name
            may_show = plan.found.may_show
            if all(may_show(code) and may_show(label) for code, label in p.labels.items()):
                plan.codes[p.code] = dict(p.labels)


def _codes(plan: Plan) -> None:
    """A list is written only when it is whole: one text that may not be shown leaves it open."""
    for i, kind in enumerate(plan.types):
        shown, hidden = plan.found.codes(plan.column(i))
        if kind == "code" and i not in plan.label_of and shown and not hidden:
            plan.codes[i] = {v: v for v in shown}


def _key(plan: Plan) -> None:
    """The column that names a patient, when exactly one is said to and its values agree."""
    named = [k for k in plan.found.keys if plan.says(k.column) == "patient_id" and k.confidence >= 0.85]
    if len(named) == 1:
        plan.key = named[0].column
        plan.types[plan.key] = "text"
        others = set(named[0].varying)
        for code, label in plan.label_of.items():
            others |= {code, label} if others & {code, label} else set()
        plan.repeated = tuple(sorted(others - plan.nameless))


# -- the map ------------------------------------------------------------------------------------------------------


def _sure(plan: Plan, concepts: Concepts) -> tuple[list[str], dict[int, str]]:
    """Lines of the patient's block, and which column gives which leaf."""
    lines, mapped = [], {}
    if plan.key is not None:
        mapped[plan.key] = "Patient.id"
    for leaf, i, line in _leaves(plan, concepts):
        if plan.key is not None and i not in plan.repeated:
            lines.append(line)
            mapped[i] = leaf
    return lines, mapped


def _leaves(plan: Plan, concepts: Concepts) -> Iterator[tuple[str, int, str]]:
    for says, leaf in (("birth_date", "birthDate"), ("death_date", "deceasedDateTime")):
        columns = [i for i, t in enumerate(plan.types) if plan.says(i) == says and t == "date"]
        if len(columns) == 1:
            yield f"Patient.{leaf}", columns[0], f"{leaf}: = {plan.ids[columns[0]]}"
    columns = [i for i, t in enumerate(plan.types) if plan.says(i) == "sex" and t == "code"]
    if len(columns) == 1 and (expression := _sex(plan, columns[0], concepts)):
        yield "Patient.gender", columns[0], f"gender: = {expression}"


def _sex(plan: Plan, i: int, concepts: Concepts) -> str:
    """Words that are reviewed concepts; a bare number or letter means nothing by itself."""
    known = concepts.table("sex", False)
    codes = plan.codes.get(i, {})
    worded = bool(codes) and all(label in known and not label.isascii() for label in codes.values())
    if not worded:
        return ""
    return f"{plan.ids[i]}.label().translate('sex')" if i in plan.label_of else f"{plan.ids[i]}.translate('sex')"


def _open(plan: Plan, mapped: dict[int, str]) -> Iterator[int]:
    """Columns nobody has decided; a label goes with its code."""
    labels = set(plan.label_of.values())
    yield from (i for i in range(len(plan.ids)) if i not in mapped and i not in labels and i not in plan.nameless)


def _evidence(plan: Plan, i: int) -> str:
    """What was seen, for the person who decides; shapes, no values."""
    c = plan.column(i)
    parts = [f"{c.type.what} {c.type.confidence:.0%}, {c.type.evidence}"]
    parts += [f"unit {c.unit}"] if c.unit else []
    parts += [f"looks like {s.kind}" for s in c.personal]
    return "; ".join(dict.fromkeys([*parts, *c.notes()]))


__all__ = ["DraftError", "Drafted", "Plan", "draft", "draft_all", "plan_of"]
