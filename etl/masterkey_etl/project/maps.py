"""Maps FHIR -> CDM: `mappings/omop/<Resource>.yaml` as typed values. The grammar: mappings/omop/README.md.

A map is a ViewDefinition (http://hl7.org/fhir/uv/sql-on-fhir) that flattens, and edges that say what becomes
of a row of the view. Only what has an SQL form is in the language, so that the same file can be compiled to
INSERT ... SELECT. Mistakes are Issues with file, line and the valid alternatives.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import yaml

from masterkey_etl.data import folder
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_omop import schema
from masterkey_omop.vocabulary import bindings

SIDE = "masterkey."  # tables beside the CDM are written `masterkey.<name>`
DOMAIN = ".domain"  # `when: {what.domain: Measurement}`: the domain of the concept that was found
SELF = "self"  # the pseudo-column: a reference to the resource itself
EVENT_FACTS = ("first_event", "last_event")  # facts over a patient's finished rows


class ProjectionMapError(MasterkeyError):
    """A map FHIR -> CDM is wrong; nothing is projected."""


class ViewLike(Protocol):
    """What a projection needs of `masterkey_fhir.views.View`."""

    @property
    def columns(self) -> tuple[Any, ...]: ...
    def rows(self, resource: dict[str, Any]) -> Iterator[tuple[Any, ...]]: ...


ViewLoader = Callable[[dict[str, Any]], ViewLike]


@dataclass(frozen=True, slots=True)
class Expression:
    """What a target column holds: `verb` with its `argument`, see the table in the grammar."""

    verb: str
    argument: Any
    options: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[Expression, ...] = ()


@dataclass(frozen=True, slots=True)
class Alternative:
    """One rung of a look-up: a code of a system, or of a topic of `concepts.csv`."""

    code: str  # template over view columns; unusable when one of them is null
    system: str = ""  # literal
    system_of: str = ""  # view column
    topic: str = ""
    binding: str = ""  # the concept itself, whenever the code is there
    rung: str = ""


@dataclass(frozen=True, slots=True)
class Lookup:
    name: str
    alternatives: tuple[Alternative, ...]
    text: str = ""  # view column shown for an unmapped code


@dataclass(frozen=True, slots=True)
class Edge:
    """Rows of a view -> one row each of `table`.

    `when`: column -> admitted values (None = null); `domains`: look-up -> domains its concept may have.
    """

    name: str
    table: str
    slot: str
    when: Mapping[str, tuple[str | None, ...]]
    present: tuple[str, ...]
    domains: Mapping[str, tuple[str, ...]]
    otherwise: bool
    columns: Mapping[str, Expression]
    details: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact of the patient: the earliest or latest value of a view column over all resources."""

    name: str
    view: str
    when: Mapping[str, tuple[str | None, ...]]
    column: str
    take: str  # first | last


@dataclass(frozen=True, slots=True)
class ViewMap:
    name: str
    definition: Mapping[str, Any]
    view: ViewLike
    names: tuple[str, ...]
    lookups: Mapping[str, Lookup]
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class ResourceMap:
    resource: str
    views: tuple[ViewMap, ...]
    facts: tuple[Fact, ...]
    set_aside: Mapping[str, str]  # element path -> reason


@dataclass(frozen=True, slots=True)
class Maps:
    """All maps, the topic table of `concepts.csv`, and the text they came from (for the version)."""

    resources: Mapping[str, ResourceMap]
    topics: Mapping[tuple[str, str, str], str]  # (topic, system, code) -> binding
    text: bytes


def load_maps(place: Path | None = None, view: ViewLoader | None = None) -> Maps:
    """The maps in `place` (default: the shipped ones). Raises ProjectionMapError with all that is wrong."""
    root = place or folder("mappings") / "omop"
    files = [*sorted(root.glob("*.yaml")), root / "concepts.csv"]
    text = b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in files)
    return _loaded(root, text, view or _view_loader())


@lru_cache(maxsize=4)
def _loaded(root: Path, text: bytes, make: ViewLoader) -> Maps:
    """Maps of a text are read once: a server projects after every write."""
    issues: list[Issue] = []
    made = [_Reader(path, make, issues).read() for path in sorted(root.glob("*.yaml"))]
    topics = _topics(root / "concepts.csv", issues)
    _check_facts(made, issues)
    if issues:
        raise ProjectionMapError(*issues)
    return Maps({m.resource: m for m in made if m}, topics, text)


def _view_loader() -> ViewLoader:
    from masterkey_fhir.views import View

    return View.load


def _topics(path: Path, issues: list[Issue]) -> Mapping[tuple[str, str, str], str]:
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows, start=2):
        if row["binding"] not in bindings():
            issues.append(
                _wrong(path.name, number, f"no binding is named {row['binding']}", row["binding"], bindings())
            )
    return {(r["topic"], r["system"], r["code"]): r["binding"] for r in rows}


def _check_facts(made: list[ResourceMap | None], issues: list[Issue]) -> None:
    known = {f.name for m in made if m for f in m.facts} | set(EVENT_FACTS)
    for resource in made:
        for view in resource.views if resource else ():
            for edge in view.edges:
                for expression in all_of(edge.columns.values()):
                    if expression.verb == "fact" and expression.argument not in known:
                        text = f"{edge.name}: no fact is named {expression.argument}"
                        issues.append(_wrong(f"{resource.resource}.yaml", 1, text, expression.argument, known))  # type: ignore[union-attr]


def all_of(expressions: Any) -> Iterator[Expression]:
    for expression in expressions:
        yield expression
        yield from all_of(expression.parts)


def _wrong(file: str, line: int, text: str, given: str = "", known: Any = ()) -> Issue:
    near = ", ".join(get_close_matches(given, list(known), 3)) or "see mappings/omop/README.md"
    return issue("etl.projection-map", Place(file=f"omop/{file}", row=line), what=text, near=near)


# verb -> (kind of its argument, options it takes)
VERBS = {
    "column": "column",
    "value": "any",
    "binding": "binding",
    "concept": "lookup",
    "source_concept": "lookup",
    "value_concept": "lookup",
    "row": "table",
    "event": "reference",
    "event_field": "reference",
    "from": "reference",
    "fact": "any",
    "first": "list",
    "earliest": "list",
    "latest": "list",
    "choose": "column",
}
OPTIONS = {"row": ("of", "slot"), "from": ("field", "slot"), "choose": ("bindings",)}


_SCALARS: Any = yaml.SafeLoader("")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Reader:
    """Reads one file; every mistake is one Issue, and reading goes on."""

    def __init__(self, path: Path, make: ViewLoader, issues: list[Issue]) -> None:
        self._path, self._make, self._issues = path, make, issues
        self._lines: dict[int, int] = {}

    def read(self) -> ResourceMap | None:
        try:
            data = self._plain(yaml.compose(self._path.read_text(encoding="utf-8"), Loader=_LOADER))
        except yaml.MarkedYAMLError as error:
            self._issues.append(_wrong(self._path.name, _mark_line(error), f"not YAML: {error.problem}"))
            return None
        if not isinstance(data, dict) or not isinstance(data.get("views"), dict):
            self._say(data, "a map has `resource`, `views` and `edges`")
            return None
        return self._resource(data)

    def _plain(self, node: Any) -> Any:
        """Plain values that remember their line."""
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            value = [self._plain(n) for n in node.value]
        else:
            return self._scalar(node)
        self._lines[id(value)] = node.start_mark.line + 1
        self._keep = [*getattr(self, "_keep", []), value]  # ids stay unique while all values live
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        """A mapping; `<<: *anchor` gives what the mapping itself does not state."""
        merged: dict[str, Any] = {}
        own = [(k, v) for k, v in node.value if k.value != "<<"]
        for key, value in node.value:
            if key.value == "<<":
                merged |= self._plain(value)
        return merged | {str(self._scalar(k)): self._plain(v) for k, v in own}

    def _scalar(self, node: Any) -> Any:
        return _SCALARS.construct_object(node) if node is not None else None

    def _say(self, at: Any, text: str, given: str = "", known: Any = ()) -> None:
        self._issues.append(_wrong(self._path.name, self._lines.get(id(at), 1), text, given, known))

    def _known(self, at: dict[str, Any], *names: str) -> None:
        for key in at:
            if key not in names:
                self._say(at, f"unknown key {key}", key, names)

    def _resource(self, data: dict[str, Any]) -> ResourceMap:
        self._known(data, "resource", "views", "set_aside", "facts")
        resource = str(data.get("resource", ""))
        views = tuple(v for name, body in data["views"].items() if (v := self._view(resource, name, body)))
        aside = {p: str(g.get("reason", "")) for g in data.get("set_aside", []) for p in g.get("paths", [])}
        if any(not reason for reason in aside.values()):
            self._say(data, "a path set aside needs its reason")
        names = {v.name: v for v in views}
        facts = tuple(f for n, b in data.get("facts", {}).items() if (f := self._fact(n, b, names)))
        return ResourceMap(resource, views, facts, aside)

    def _fact(self, name: str, body: dict[str, Any], views: Mapping[str, ViewMap]) -> Fact | None:
        self._known(body, "view", "when", "column", "take")
        view = views.get(str(body.get("view")))
        if view is None:
            self._say(body, f"{name}: no view {body.get('view')}", str(body.get("view")), views)
            return None
        when, _ = self._when(body, view.names)
        self._columns_exist(body, [str(body["column"])], view.names)
        return Fact(name, view.name, when, str(body["column"]), str(body.get("take", "first")))

    def _view(self, resource: str, name: str, body: dict[str, Any]) -> ViewMap | None:
        self._known(body, "select", "where", "constant", "lookups", "edges")
        definition = {"resourceType": "ViewDefinition", "status": "active", "resource": resource, "name": name}
        definition |= {k: body[k] for k in ("select", "where", "constant") if k in body}
        try:
            view = self._make(definition)
        except MasterkeyError as error:
            self._say(body, f"{name}: {error}")
            return None
        names = tuple(c.name for c in view.columns)
        lookups = {n: self._lookup(n, b, names) for n, b in body.get("lookups", {}).items()}
        edges = tuple(self._edge(n, b, names, lookups) for n, b in body.get("edges", {}).items())
        return ViewMap(name, definition, view, names, lookups, edges)

    def _columns_exist(self, at: Any, wanted: list[str], names: tuple[str, ...]) -> None:
        for column in wanted:
            if column not in names and column != SELF:
                self._say(at, f"the view has no column {column}", column, names)

    def _lookup(self, name: str, body: Any, names: tuple[str, ...]) -> Lookup:
        if isinstance(body, list):
            body = {"try": body}
        self._known(body, "try", "text")
        alternatives = tuple(self._alternative(a, names) for a in body.get("try", []))
        text = str(body.get("text", ""))
        self._columns_exist(body, [text] if text else [], names)
        return Lookup(name, alternatives, text)

    def _alternative(self, body: dict[str, Any], names: tuple[str, ...]) -> Alternative:
        self._known(body, "system", "system_of", "topic", "binding", "code", "rung")
        if body.get("binding", "") not in (*bindings(), ""):
            self._say(body, f"no binding is named {body['binding']}", str(body["binding"]), bindings())
        made = Alternative(**{k: str(v) for k, v in body.items() if k in Alternative.__slots__})
        used = [*columns_of(made.code), *([made.system_of] if made.system_of else [])]
        self._columns_exist(body, used, names)
        return made

    def _when(
        self, body: dict[str, Any], names: tuple[str, ...]
    ) -> tuple[dict[str, tuple[str | None, ...]], tuple[str, ...]]:
        stated = body.get("when", {})
        if stated == "otherwise":
            return {}, ()
        stated = {c: v for c, v in stated.items() if not c.endswith(DOMAIN) and c != "otherwise"}
        self._columns_exist(body, list(stated), names)
        present = tuple(c for c, v in stated.items() if v == "present")
        when: dict[str, tuple[str | None, ...]] = {
            c: (None,) if v == "absent" else tuple(map(str, v)) if isinstance(v, list) else (str(v),)
            for c, v in stated.items()
            if v != "present"
        }
        return when, present

    def _domains(self, body: dict[str, Any], lookups: Mapping[str, Lookup]) -> dict[str, tuple[str, ...]]:
        stated = body.get("when", {})
        domains = (
            {c.removesuffix(DOMAIN): v for c, v in dict(stated).items() if c.endswith(DOMAIN)}
            if isinstance(stated, dict)
            else {}
        )
        for name in domains:
            if name not in lookups:
                self._say(body, f"no look-up {name}", name, lookups)
        return {n: tuple(map(str, v)) if isinstance(v, list) else (str(v),) for n, v in domains.items()}

    def _edge(self, name: str, body: dict[str, Any], names: tuple[str, ...], lookups: Mapping[str, Lookup]) -> Edge:
        self._known(body, "table", "slot", "when", "columns", "details")
        table = str(body.get("table", ""))
        known = target_tables()
        if table not in known:
            self._say(body, f"no table {table}", table, known)
        domains = self._domains(body, lookups)
        when, present = self._when(body, names)
        fields = known[table].fields if table in known else {}
        columns: dict[str, Expression] = {}
        for column, expression in body.get("columns", {}).items():
            if column not in fields:
                self._say(body.get("columns"), f"{table} has no field {column}", column, fields)
            columns[column] = self._expression(expression, names, lookups, body)
        details = {str(k): str(v) for k, v in body.get("details", {}).items()}
        self._columns_exist(body, [*details.values(), *fields_in(str(body.get("slot", "")))], names)
        stated = body.get("when", {})
        otherwise = stated == "otherwise" or (isinstance(stated, dict) and bool(stated.get("otherwise")))
        return Edge(name, table, str(body.get("slot", "")), when, present, domains, otherwise, columns, details)

    def _expression(self, body: Any, names: tuple[str, ...], lookups: Mapping[str, Lookup], at: Any) -> Expression:
        if isinstance(body, str):
            body = {"column": body}
        if not isinstance(body, dict):
            self._say(at, "an expression is a column name or one verb with its argument")
            return Expression("value", None)
        verb = next((v for v in VERBS if v in body), "")
        if not verb:
            self._say(body, f"no verb in {', '.join(body)}", next(iter(body), ""), VERBS)
            return Expression("value", None)
        self._known(body, verb, *OPTIONS.get(verb, ()))
        return self._argument(verb, body, names, lookups)

    def _argument(
        self, verb: str, body: dict[str, Any], names: tuple[str, ...], lookups: Mapping[str, Lookup]
    ) -> Expression:
        argument, kind = body[verb], VERBS[verb]
        if kind in ("column", "reference"):
            self._columns_exist(body, [str(argument)], names)
        if kind == "lookup" and argument not in lookups:
            self._say(body, f"no look-up {argument}", str(argument), lookups)
        if kind == "table" and argument not in target_tables():
            self._say(body, f"no table {argument}", str(argument), target_tables())
        bound = [argument] if kind == "binding" else list(body.get("bindings", {}).values())
        for name in bound:
            if name not in bindings():
                self._say(body, f"no binding is named {name}", str(name), bindings())
        if kind == "list":
            return Expression(verb, None, {}, tuple(self._expression(b, names, lookups, body) for b in argument))
        if verb == "row":
            self._columns_exist(body, [str(body.get("of", SELF))], names)
        return Expression(verb, argument, {k: v for k, v in body.items() if k != verb})


def target_tables() -> Mapping[str, schema.Table]:
    """Tables an edge may fill: the CDM's own by name, those beside it as `masterkey.<name>`."""
    return {**schema.tables(), **{SIDE + t.name: t for t in schema.tables("side").values()}}


def columns_of(template: str) -> list[str]:
    """The view columns of a template: `{a}-{b}` -> a, b; a bare word is a column itself."""
    return fields_in(template) or ([template] if template else [])


def fields_in(template: str) -> list[str]:
    """The view columns named in braces; a text without braces stands for itself."""
    from string import Formatter

    return [name for _, name, _, _ in Formatter().parse(template) if name]


def _mark_line(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark else 1
