"""How much of what was planted is reported at its place, and how much is reported that was not planted.

A unit is (file, record, column, rule). What counts, openly:

- An Issue about a record stands for one unit. One without a record is told once per column or file with a number of
  cells: it is held to the number of cells that the key has there.
- Information is no report of a defect: what is normal for a layout is told so, once per column. Where the key expects
  such an Issue (a code missing beside its label), it is compared all the same, by its number of cells.
- `also` of a planted line: further rules that tell of the same record at the same or a dependent place. They are
  neither asked for nor wrong.
- A name or number in a free text is found when a text that was made of its row is masked: the row stands for the
  record, the element of FHIR for the column.
- A planted line without a rule asks for nothing and is not counted: its column is set aside whole.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from masterkey_etl.file_names import kept_name
from masterkey_etl.synth.key import Planted, read_key
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import Issue
from masterkey_fhir.store import Repository

ANYWHERE = frozenset(("etl.text-masked",))  # told of a resource made from the row, at an element of FHIR
MORE = "etl.more-of-these"  # the rest of structural Issues told singly up to a limit
GOAL = 0.99


class Spot(NamedTuple):
    site: str
    file: str
    column: str  # "" of rules told anywhere in the record
    rule: str


@dataclass(slots=True)
class Told:
    """What the workspace says at one spot: records, and cells of what is told without a record."""

    records: set[str] = field(default_factory=set)
    cells: int = 0
    severity: str = ""


@dataclass(slots=True)
class Line:
    """A row of the score: planted, found, and reported beyond."""

    planted: int = 0
    found: int = 0
    beyond: int = 0

    @property
    def recall(self) -> float:
        return self.found / self.planted if self.planted else 1.0

    @property
    def precision(self) -> float:
        return self.found / (self.found + self.beyond) if self.found + self.beyond else 1.0

    def __iadd__(self, other: Line) -> Line:
        self.planted, self.found, self.beyond = (
            self.planted + other.planted,
            self.found + other.found,
            self.beyond + other.beyond,
        )
        return self


@dataclass
class Score:
    """By (layout, kind); what is reported beyond the key stands under its rule as the kind."""

    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    missed: list[Planted] = field(default_factory=list)
    beyond: list[tuple[Spot, str, int]] = field(default_factory=list)  # spot, record, cells

    def layouts(self) -> dict[str, Line]:
        out: dict[str, Line] = {}
        for (layout, _), one in self.lines.items():
            out.setdefault(layout, Line()).__iadd__(one)
        return out

    @property
    def total(self) -> Line:
        out = Line()
        for one in self.lines.values():
            out += one
        return out

    @property
    def good(self) -> bool:
        """Every layout above the goal, both ways."""
        return all(one.recall > GOAL and one.precision > GOAL for one in self.layouts().values())

    def table(self) -> Iterator[tuple[str, str, int, int, int, str, str]]:
        """Rows: layout, kind, planted, found, beyond, recall, precision; a layout's sum has the kind `all`."""
        for layout, whole in sorted(self.layouts().items()):
            for (of, kind), one in sorted(self.lines.items()):
                if of == layout:
                    yield _shown(layout, kind, one)
            yield _shown(layout, "all", whole)

    def as_dict(self) -> dict[str, object]:
        names = ("layout", "kind", "planted", "found", "beyond", "recall", "precision")
        return {
            "kinds": [dict(zip(names, row, strict=True)) for row in self.table()],
            "recall": self.total.recall,
            "precision": self.total.precision,
            "good": self.good,
        }


def _shown(layout: str, kind: str, one: Line) -> tuple[str, str, int, int, int, str, str]:
    return layout, kind, one.planted, one.found, one.beyond, f"{one.recall:.2%}", f"{one.precision:.2%}"


def compare(cohort: Path, data: Path) -> Score:
    """The key in the folder `cohort` against the open Issues of the workspace `data` that loaded it.

    Raises OSError when there is no key, MasterkeyError when the workspace can't be opened.
    """
    workspace = Workspace.open(data)
    repository = Repository.open(workspace.repository_url)
    try:
        issues = [j.issue for j in repository.issues()]
    finally:
        repository.close()
    key = list(read_key(cohort))
    known = {(p.site, kept_name(workspace, p.site, p.name)): p.name for p in key}
    issues = [i.at(file=known.get((i.place.site, i.place.file), i.place.file)) for i in issues]
    names = {site: workspace.keys(site) for site in {p.site for p in key}}
    records = {(p.site, p.record): names[p.site].digest("record", *p.record.split("|")) for p in key if p.record}
    return judge(key, issues, records)


def judge(key: Iterable[Planted], issues: Iterable[Issue], records: Mapping[tuple[str, str], str]) -> Score:
    """`records`: (site, record of the key) -> how Issues name it."""
    score, told = Score(), _told(issues)
    by_spot: dict[Spot, list[Planted]] = defaultdict(list)
    excused: set[tuple[str, str, str, str]] = set()  # site, file, record, rule
    spare: Counter[tuple[str, str, str, str]] = Counter()  # site, file, column, rule -> cells
    for p in key:
        if p.rule:
            by_spot[_spot(p)].append(p)
        for rule in p.also.split():
            excused.add((p.site, p.name, records.get((p.site, p.record), ""), rule))
            spare[p.site, p.name, "" if rule in ANYWHERE else p.column, rule] += p.cells
    for spot, planted in by_spot.items():
        if not planted[0].row and spot.rule in ANYWHERE and spot in told:  # of the one record of the file: by number
            told[spot] = Told(cells=len(told[spot].records), severity=told[spot].severity)
        _found(score, spot, planted, told.get(spot, Told()), records)
    layouts = {(p.site, p.name): p.layout for lines in by_spot.values() for p in lines}
    folders = {p.site: p.layout for lines in by_spot.values() for p in lines}
    for spot, said in told.items():
        layout = layouts.get((spot.site, spot.file)) or folders.get(spot.site, "none")
        _beyond(score, layout, spot, said, by_spot.get(spot, []), records, excused, spare)
    return score


def _name(p: Planted, records: Mapping[tuple[str, str], str]) -> str:
    """How Issues of the rule name the record of a planted line."""
    return _row(p.row) if p.rule in ANYWHERE else records.get((p.site, p.record), "")


def _row(number: int | None) -> str:
    return f"row {number}"


def _spot(p: Planted) -> Spot:
    return Spot(p.site, p.name, "" if p.rule in ANYWHERE else p.column, p.rule)


def _told(issues: Iterable[Issue]) -> dict[Spot, Told]:
    out: dict[Spot, Told] = {}
    for i in issues:
        rule = str(i.facts.get("kind", i.rule)) if i.rule == MORE else i.rule
        column = "" if rule in ANYWHERE else i.place.field or i.place.expression
        told = out.setdefault(Spot(i.place.site, i.place.file, column, rule), Told(severity=i.severity))
        if rule in ANYWHERE:
            told.records.add(_row(i.place.row))
        elif i.record:
            told.records.add(i.record)
        else:
            told.cells += max(i.count, int(i.facts.get("count", 0)))
    return out


def _found(
    score: Score, spot: Spot, planted: list[Planted], told: Told, records: Mapping[tuple[str, str], str]
) -> None:
    """Which planted lines of one spot are reported; of those told by a number, as many as the number covers."""
    left = told.cells
    for p in planted:
        line = score.lines.setdefault((p.layout, p.kind), Line())
        line.planted += 1
        if _name(p, records) in told.records:
            line.found += 1
        elif left >= p.cells:
            left -= p.cells
            line.found += 1
        else:
            score.missed.append(p)


def _beyond(
    score: Score,
    layout: str,
    spot: Spot,
    told: Told,
    planted: list[Planted],
    records: Mapping[tuple[str, str], str],
    excused: set[tuple[str, str, str, str]],
    spare: Mapping[tuple[str, str, str, str], int],
) -> None:
    """What one spot reports beyond the key."""
    if told.severity == "information" and not planted:
        return
    known = {_name(p, records) for p in planted}
    extra = [r for r in sorted(told.records - known) if (spot.site, spot.file, r, spot.rule) not in excused]
    cells = told.cells - sum(p.cells for p in planted) - spare.get((*spot[:3], spot.rule), 0)
    kind = planted[0].kind if planted else spot.rule
    line = score.lines.setdefault((layout, kind), Line()) if extra or cells > 0 else Line()
    line.beyond += len(extra) + max(0, cells)
    score.beyond += [(spot, r, 1) for r in extra] + ([(spot, "", cells)] if cells > 0 else [])


__all__ = ["GOAL", "Line", "Score", "compare", "judge"]
