"""A map ready to run, and the context it runs in."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from masterkey_etl.concepts import Concepts
from masterkey_etl.keyed import keyed
from masterkey_etl.record import Record
from masterkey_etl.source_model import SourceModel
from masterkey_etl.template.analysis import Analysis, Group, analyse, groups, leaves
from masterkey_etl.template.draft import GAP
from masterkey_etl.template.nodes import lookups, origins
from masterkey_etl.template.settle import Account, Settler
from masterkey_etl.template.tree import Expression, MapError, MapFile
from masterkey_etl.template.writer import Written, write
from masterkey_fhir.issue import Issue, Place, issue

Made = list[tuple[str, dict[str, Any]]]
Parted = tuple[Made, Made, list[tuple[int, ...]]]  # of the whole record; of its parts; the rows of each of those


class Secret(Protocol):
    @property
    def secret(self) -> bytes: ...


class Keys(Protocol):
    """The keys of a site (masterkey_etl.keys.SiteKeys)."""

    def current(self, purpose: str) -> Secret: ...
    def digest(self, purpose: str, *parts: str) -> str: ...


@dataclass(slots=True)
class MapContext:
    """One delivery of one site. `issues` grows while records are mapped."""

    site: str
    keys: Keys = field(repr=False)
    place: Place = field(default_factory=Place)
    issues: list[Issue] = field(default_factory=list)
    _bound: dict[str, tuple[Callable[[Record], Parted], Settler]] = field(default_factory=dict, repr=False)

    def record_name(self, *key: str) -> str:
        """How Issues name a source record: the same keyed hash the reader uses."""
        return self.keys.digest("record", *key)


@dataclass(frozen=True, slots=True)
class LeafInfo:
    """For `explain`: an element, the map line that fills it, and the columns its value comes from."""

    path: str
    file: str
    line: int
    expression: str
    columns: tuple[str, ...]


@dataclass(slots=True)
class _Binding:
    """What the generated `bind` reads."""

    site: str
    keyed: Callable[[str], str]
    hide: Callable[[str], str]
    settle: Settler
    once: set[str] = field(default_factory=set)


class CompiledMap:
    """`compiled(record, ctx, ledger)` gives the resources of a record as (block, resource) pairs.

    `source`: the generated Python. `version`: sha256 of everything that decides the output. `text`: the map with
    what it extends. `static_issues`: columns neither used nor set aside (etl.silent-loss-static, fatal).
    """

    def __init__(self, map_: MapFile, analysis: Analysis) -> None:
        self.map, self.model, self._analysis = map_, analysis.model, analysis
        self._written: Written = write(analysis)
        self.source = self._written.source
        self.text = "\n---\n".join(map_.texts)
        self.version = _version(map_, analysis)
        self.blocks = tuple(r.name for r in analysis.resources)
        self.translated = _translated(analysis)
        self.used = frozenset(analysis.used)
        self.set_aside = {p: reason for p, reason in analysis.aside.items() if not reason.startswith(GAP)}
        self.static_issues = _silent(map_, analysis)
        self.topics = tuple(analysis.concepts.topics[t] for t in sorted(analysis.topics))
        namespace = dict(self._written.constants)
        exec(compile(self.source, f"<map {map_.path.name}>", "exec"), namespace)
        self._bind: Callable[[_Binding], Callable[[Record], Parted]] = namespace["bind"]

    def __call__(self, record: Record, ctx: MapContext, ledger: Account | None = None) -> Made:
        """The resources of one record; exceptions go to `ledger`, findings to `ctx.issues`."""
        whole, parts, _ = self.parted(record, ctx, ledger)
        return whole + parts

    def parted(self, record: Record, ctx: MapContext, ledger: Account | None = None) -> Parted:
        """The same in two lists: what the whole record made, and what its repeated parts made with their rows."""
        bound = ctx._bound.get(self.version)
        if bound is None or bound[1].ledger is not ledger:
            bound = self.bind(ctx, ledger)
        return bound[0](record)

    def bind(self, ctx: MapContext, ledger: Account | None) -> tuple[Callable[[Record], Parted], Settler]:
        """The function for one site and delivery; tells the ledger what the map covers and sets aside."""
        place = Place(ctx.site, ctx.place.file)
        settler = Settler(self.model, self._written, self._analysis.labels, place, ctx.record_name, ctx.issues, ledger)
        if ledger is not None:
            self.declare(ledger)
        ident, hidden = keyed(ctx.keys.current("id").secret), keyed(ctx.keys.current("pseudonym").secret)
        run = self._bind(_Binding(ctx.site, ident, hidden, settler))
        ctx._bound[self.version] = (run, settler)
        return run, settler

    def declare(self, ledger: Account) -> None:
        """What holds for whole columns: translated, mapped, set aside with the written reason."""
        ledger.covered(self.translated, "translated")
        ledger.covered(self.used - self.translated, "mapped")
        for reason in dict.fromkeys(self.set_aside.values()):
            ledger.set_aside([c for c, r in self.set_aside.items() if r == reason], reason)

    def taken(self, ctx: MapContext) -> Mapping[tuple[int, int], int]:
        """Cells of the record mapped last that the map entered in the ledger: (column, id of the part) -> how many."""
        settler = ctx._bound[self.version][1]
        if not settler.told:
            return {}
        told, settler.told = settler.told, Counter()
        return told

    def run(self, records: Iterable[Record], ctx: MapContext, ledger: Account | None = None) -> Iterator[Made]:
        """All records, one list of (block, resource) each."""
        made = self.bind(ctx, ledger)[0]
        return (whole + parts for whole, parts, _ in map(made, records))

    def leaves(self, block: str) -> list[LeafInfo]:
        """Every expression of a block, its id and conditions included. Raises KeyError for an unknown block."""
        found = {r.name: r for r in self._analysis.resources}[block]
        out = [self._info(f"{found.type}.id", found.id_text, found.id_parts)]
        for group in groups(found.body):
            out += self._condition(group)
        out += [self._info(leaf.path, leaf.expression, (leaf.node,)) for leaf in leaves(found.body)]
        return out

    def _condition(self, group: Group) -> list[LeafInfo]:
        if group.when is None or group.when_text is None:
            return []
        return [self._info(f"{group.path}.$when", group.when_text, (group.when,))]

    def _info(self, path: str, expression: Expression, nodes: Iterable[Any]) -> LeafInfo:
        positions = dict.fromkeys(u.position for n in nodes for u in origins(n, self._analysis.labels))
        columns = tuple(self.model.columns[p].id for p in positions)
        where = expression.where
        return LeafInfo(path, where.file, where.line, expression.text, columns)


def compile_map(map_: MapFile, model: SourceModel, concepts: Concepts) -> CompiledMap:
    """Check a map against FHIR, its source model and the concept tables, and compile it.

    Raises MapError with every mistake. Forgotten columns are no mistake here: see `static_issues`.
    """
    analysis = analyse(map_, model, concepts)
    if analysis.issues:
        raise MapError(*analysis.issues)
    return CompiledMap(map_, analysis)


def _translated(a: Analysis) -> frozenset[int]:
    nodes = [leaf.node for r in a.resources for leaf in leaves(r.body)]
    nodes += [g.when for r in a.resources for g in groups(r.body) if g.when is not None]
    return frozenset(u.position for n in nodes for found, _ in lookups(n) for u in origins(found, {}))


def _silent(map_: MapFile, a: Analysis) -> tuple[Issue, ...]:
    """Columns whose values the map would lose without a word."""
    lost = [c for c in a.model.columns if c.position not in a.used and c.position not in a.aside]
    gaps = [c for c in a.model.columns if a.aside.get(c.position, "").startswith(GAP)]
    where = map_.where.file
    return (
        *(issue("etl.silent-loss-static", Place(file=where, field=c.id), column=c.id, source=a.model.id) for c in lost),
        *(issue("etl.map-gap", Place(file=where, field=c.id), column=c.id, seen=_seen(a, c.position)) for c in gaps),
    )


def _seen(a: Analysis, position: int) -> str:
    return a.aside[position].removeprefix(GAP).strip() or "nothing is written about it"


def _version(map_: MapFile, a: Analysis) -> str:
    parts = [*map_.texts, a.model.model_dump_json()]
    parts += [a.concepts.topics[t].digest for t in sorted(a.topics)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
