"""ViewDefinition.select: columns, nesting, unrolling, union.

Rows of a select = its columns x each nested select x its union, for every item that it unrolls to.
http://sql-on-fhir.org/ig/StructureDefinition-ViewDefinition.html#processing-algorithm-model
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from masterkey_fhir.fhirpath.code import Code, Env, Many, One, dynamic
from masterkey_fhir.fhirpath.errors import FhirPathError
from masterkey_fhir.fhirpath.items import Item, Typed, is_primitive, to_dynamic
from masterkey_fhir.fhirpath.values import Quantity, Temporal
from masterkey_fhir.issue import Place, issue
from masterkey_fhir.views.source import Source, ViewError

Rows = Callable[[Item, Env], list[tuple[Any, ...]]]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)  # the specification's sql-name
_UNROLL = ("forEach", "forEachOrNull", "repeat")
_SCALARS = (str, bool, int, float, type(None))


@dataclass(frozen=True, slots=True)
class Column:
    """`type` is a FHIR type code, declared or derived from the path; "" when neither tells."""

    name: str
    type: str = ""
    collection: bool = False


@dataclass(frozen=True, slots=True)
class Select:
    columns: tuple[Column, ...]
    rows: Rows

    @classmethod
    def of_view(cls, source: Source, kind: str) -> Select | None:
        """None after an Issue."""
        parts = _selects(source, source.view, "select", "", kind)
        if not parts and not source.issues:
            source.wrong("fhir.view-empty", "select")
        select = _together(parts)
        _unique(source, select.columns)
        return None if source.issues else select


def _unique(source: Source, columns: Iterable[Column]) -> None:
    met: set[str] = set()
    for column in columns:
        if column.name in met:
            source.wrong("fhir.view-column-twice", "select", name=column.name)
        met.add(column.name)


def _selects(source: Source, owner: dict[str, Any], name: str, place: str, kind: str | None) -> list[Select]:
    return [_select(source, entry, here, kind) for here, entry in source.objects(owner, name, place)]


def _select(source: Source, entry: dict[str, Any], place: str, kind: str | None) -> Select:
    unrolled = _unrolled(source, entry, place, kind)
    inner = unrolled[0] if unrolled else kind
    parts = [*_columns(source, entry, place, inner), *_selects(source, entry, "select", place, inner)]
    union = _union(source, entry, place, inner)
    if union is not None:
        parts.append(union)
    if not parts:
        source.wrong("fhir.view-empty", place)
    select = _together(parts)
    return Select(select.columns, unrolled[1](select.rows)) if unrolled else select


# -- columns


def _columns(source: Source, entry: dict[str, Any], place: str, kind: str | None) -> list[Select]:
    cells: list[tuple[Column, One, str]] = []
    for here, column in source.objects(entry, "column", place):
        cell = _column(source, column, here, kind)
        if cell is not None:
            cells.append((*cell, f"ViewDefinition.{here}.path"))
    if not cells:
        return []
    columns, getters, places = zip(*cells, strict=True)
    return [Select(columns, _row(getters, places))]


def _row(getters: tuple[One, ...], places: tuple[str, ...]) -> Rows:
    def row(item: Item, env: Env) -> list[tuple[Any, ...]]:
        try:
            return [tuple([get(item, env) for get in getters])]
        except FhirPathError as error:
            raise _placed(error, item, env) from error

    def _placed(error: FhirPathError, item: Item, env: Env) -> ViewError:
        """Finds the cell that fails only after one did."""
        for get, place in zip(getters, places, strict=True):
            try:
                get(item, env)
            except FhirPathError as own:
                return ViewError(*(i.at(expression=place) for i in own.issues))
        return ViewError(*error.issues)

    return row


def _column(source: Source, entry: dict[str, Any], place: str, kind: str | None) -> tuple[Column, One] | None:
    name, collection = entry.get("name"), entry.get("collection", False) is True
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        source.wrong("fhir.view-column-name", f"{place}.name")
        return None
    code = source.path(entry, "path", place, kind)
    if code is None:
        return None
    column = Column(name, str(entry.get("type") or _type_of(code)), collection)
    return column, _all_cells(code.many) if collection else _cell(code, name, f"ViewDefinition.{place}")


def _type_of(code: Code) -> str:
    static = code.type or ""
    return static[7].lower() + static[8:] if static.startswith("System.") else static


def _cell(code: Code, name: str, place: str) -> One:
    if code.one is not None:
        return _cell_of_one(code.one)
    many = code.many

    def one(item: Item, env: Env) -> Any:
        items = many(item, env)
        if not items:
            return None
        found = [v for i in items if (v := _value(i)) is not None]
        if len(found) > 1:
            raise ViewError(issue("fhir.view-collection", Place(expression=place), name=name, n=len(found)))
        return found[0] if found else None

    return one


def _cell_of_one(get: One) -> One:
    def one(item: Item, env: Env) -> Any:
        found = get(item, env)
        return found if found is None or found.__class__ is str else _value(found)

    return one


def _all_cells(many: Many) -> One:
    return lambda item, env: [v for i in many(item, env) if (v := _value(i)) is not None]


def _value(item: Item) -> Any:
    """As JSON would have it; dates and computed quantities as text."""
    value = item.value if item.__class__ is Typed else item
    return str(value) if isinstance(value, Temporal | Quantity) else value


# -- combining


def _together(parts: list[Select]) -> Select:
    columns = tuple(c for p in parts for c in p.columns)
    if len(parts) == 1:
        return Select(columns, parts[0].rows)
    return Select(columns, _product(tuple(p.rows for p in parts)))


def _product(parts: tuple[Rows, ...]) -> Rows:
    if len(parts) == 2:
        first, second = parts

        def pairs(item: Item, env: Env) -> list[tuple[Any, ...]]:
            left = first(item, env)
            right = second(item, env) if left else []
            return [a + b for a in left for b in right]

        return pairs

    def rows(item: Item, env: Env) -> list[tuple[Any, ...]]:
        found = [part(item, env) for part in parts]
        return [tuple(v for row in combination for v in row) for combination in product(*found)]

    return rows


def _union(source: Source, entry: dict[str, Any], place: str, kind: str | None) -> Select | None:
    """unionAll: the branches' rows one after the other; same column names in the same order."""
    if "unionAll" not in entry:
        return None
    branches = _selects(source, entry, "unionAll", place, kind)
    if not branches:
        source.wrong("fhir.view-empty", f"{place}.unionAll")
        return None
    names = [[c.name for c in b.columns] for b in branches]
    if any(n != names[0] for n in names) and not source.issues:
        source.wrong("fhir.view-union", f"{place}.unionAll", columns=", ".join(names[0]))
    parts = tuple(b.rows for b in branches)
    return Select(branches[0].columns, lambda item, env: [row for rows in parts for row in rows(item, env)])


# -- unrolling


def _unrolled(
    source: Source, entry: dict[str, Any], place: str, kind: str | None
) -> tuple[str | None, Callable[[Rows], Rows]] | None:
    """The type of the items and how rows are made of them; None when the select does not unroll."""
    given = [name for name in _UNROLL if name in entry]
    if not given:
        return None
    if len(given) > 1:
        source.wrong("fhir.view-structure", place, expected=f"only one of {', '.join(given)}")
    if given[0] == "repeat":
        inner, many = _repeat(source, entry, place, kind)
        return inner, lambda rows: _each(many, rows)
    code = source.path(entry, given[0], place, kind)
    if code is None:
        return None, lambda rows: rows
    nothing = _nothing(code.type) if given[0] == "forEachOrNull" else None
    return code.type, lambda rows: _each(code.many, rows, nothing)


def _nothing(kind: str | None) -> Item:
    """The item whose paths are all empty."""
    if kind is None:
        return Typed({}, None)
    return Typed(None, kind) if is_primitive(kind) else {}


def _each(many: Many, rows: Rows, nothing: Item = None) -> Rows:
    """%rowIndex counts here; the outer one comes back afterwards."""

    def of_each(item: Item, env: Env) -> list[tuple[Any, ...]]:
        outer, out = env.row, []
        found = many(item, env)
        if not found and nothing is not None:
            found = [nothing]
        for n, inner in enumerate(found):
            env.row = n
            out += rows(inner, env)
        env.row = outer
        return out

    return of_each


def _repeat(source: Source, entry: dict[str, Any], place: str, kind: str | None) -> tuple[str | None, Many]:
    """Depth first over several paths, parent before its children."""
    paths = entry["repeat"]
    if not isinstance(paths, list) or not paths or not all(isinstance(p, str) for p in paths):
        source.wrong("fhir.view-structure", f"{place}.repeat", expected="a list of FHIRPath expressions")
        return None, lambda item, env: []
    # not strict: `answer.item` is no path of the response, but of the items below it
    first = [source.expression(p, f"{place}.repeat[{n}]", kind, strict=False) for n, p in enumerate(paths)]
    again = [source.expression(p, f"{place}.repeat[{n}]", None, strict=False) for n, p in enumerate(paths)]
    kinds = {c.type for c in first if c is not None and not c.is_empty}
    start = [dynamic(c).many for c in first if c is not None]
    step = [dynamic(c).many for c in again if c is not None]
    descend = _descent(start, step)
    only = kinds.pop() if len(kinds) == 1 else None
    if only is None or to_dynamic(only) is None or not _closed(source, paths, only):
        return None, descend
    return only, lambda item, env: [i.value for i in descend(item, env)]


def _closed(source: Source, paths: list[str], kind: str) -> bool:
    """Whether items of the type lead to items of the same type only."""
    found = [source.expression(p, "select", kind, strict=False) for p in paths]
    return all(c is not None and (c.is_empty or c.type == kind) for c in found)


def _descent(start: list[Many], step: list[Many]) -> Many:
    def walk(item: Item, env: Env, paths: list[Many], out: list[Item]) -> list[Item]:
        for path in paths:
            for child in path(item, env):
                out.append(child)
                walk(child, env, step, out)
        return out

    return lambda item, env: walk(item, env, start, [])
