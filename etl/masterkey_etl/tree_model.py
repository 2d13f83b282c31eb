"""What a source model says of a tree (JSON, XML): paths, repeated elements, what is left out, what is doubted.

A path is names joined by `.`; `@name` (last) is an XML attribute, `name[0]` the first of several, `.` the element
itself. Arrays need no mark of their own: `a.b` is every b in every a. XML names stand without their prefix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

if TYPE_CHECKING:
    from masterkey_etl.source_model import SourceModel

TREES = ("json", "xml")
SELF = "."
OUTSIDE = "/"  # an ignored path that begins so leads from the root, not from the record
_PATH = re.compile(r"\.|(?:[^.@\[\]\s]+(?:\[[0-9]{1,4}\])?\.)*(?:@?[^.@\[\]\s]+|[^.@\[\]\s]+\[[0-9]{1,4}\])")
_INDEX = re.compile(r"\[[0-9]+\]")
Path = Annotated[str, StringConstraints(pattern=f"^(?:{_PATH.pattern})$", max_length=1000)]
AnyPath = Annotated[str, StringConstraints(pattern=f"^/?(?:{_PATH.pattern})$", max_length=1000)]
Finding = tuple[tuple[str | int, ...], str, str]  # where, what is wrong, what would be valid


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sheet(_Strict):
    """How a table stands on the sheets of a workbook."""

    header_rows: Annotated[int, Field(ge=1, le=9)] = 1


class Ignored(_Strict):
    """Leaves at this path of the record and below it are set aside, with the reason. `/a.b` leads from the root."""

    path: AnyPath
    reason: str


class Doubt(_Strict):
    """A value that can't be what it says: told each time, and kept out unless `keep`.

    `column` has one of `values` (none listed: any value), and every column of `when` one of its values (`*`: any).
    `unlike`: it does not look like this (a regular expression for the whole value). `counting`: its values count up
    by one from part to part, as nobody's do. `missing`: it has no value, where `when` holds.
    """

    column: str
    reason: str
    values: tuple[str, ...] = ()
    when: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    counting: bool = False
    missing: bool = False
    unlike: str = ""
    keep: bool = False


def parts(path: str) -> tuple[str, ...]:
    """The names of a path; none for the element itself."""
    return () if path in ("", SELF) else tuple(path.split("."))


def joined(*paths: str) -> str:
    """One path behind the other."""
    return ".".join(name for path in paths for name in parts(path))


def below(path: str, name: str) -> str:
    """The path of what a file names so; a name with a dot in it, or none, is at no path of a model."""
    return joined(path, name.replace(".", "\0") or "\0")


def plain(path: str) -> str:
    """A path without its indexes: how leaves are counted."""
    return _INDEX.sub("", path)


def with_headers(data: Mapping[str, object]) -> list[object]:
    """The columns of a tree's model, each with its path from the record as its header."""
    columns, groups, paths = data.get("columns"), data.get("groups"), data.get("paths")
    around = {}
    if isinstance(groups, dict) and isinstance(paths, dict):
        around = {c: str(paths.get(g, "")) for g, ids in groups.items() if isinstance(ids, list) for c in ids}
    return [_with_header(c, around) for c in columns] if isinstance(columns, list) else []


def _with_header(column: object, around: Mapping[str, str]) -> object:
    if not isinstance(column, dict) or "header" in column or "path" not in column:
        return column
    return {**column, "header": joined(around.get(str(column.get("id")), ""), str(column["path"])) or SELF}


# -- what the schema alone can't see -----------------------------------------------------------------


def findings(model: SourceModel) -> Iterator[Finding]:
    """Mistakes in the keys of trees and sheets; see `SourceModel.parse`."""
    yield from _of_other_kinds(model)
    if model.kind in TREES:
        yield from _columns(model)
        yield from _groups(model)
        yield from _left_out(model)
        yield from _doubts(model)


def _of_other_kinds(model: SourceModel) -> Iterator[Finding]:
    """Keys that say nothing in this kind."""
    if model.sheet is not None and model.kind != "sheet":
        yield ("sheet",), f"only kind: sheet has this key, the model is {model.kind}", "kind: sheet"
    if model.kind in TREES:
        if model.repeat_by is not None:
            yield ("repeat_by",), "a tree has no repeat_by", "paths of its groups"
        return
    for name in ("records", "paths", "spread", "ignored", "doubts"):
        if getattr(model, name):
            yield (name,), f"only trees have {name}, the model is {model.kind}", "kind: json or xml"
    for i, c in enumerate(model.columns):
        if c.path is not None or c.join is not None:
            name = "path" if c.path is not None else "join"
            yield ("columns", i, name), f"only a tree's columns have a {name}", "kind: json or xml"


def _columns(model: SourceModel) -> Iterator[Finding]:
    used = Counter(p for c in model.columns for p in model.leaf_paths(c.position))
    for i, c in enumerate(model.columns):
        if c.path is None:
            yield ("columns", i), f"{c.id} has no path", "path: names joined by dots"
        for key, path in (("path", c.path or SELF), *(("aliases", a) for a in c.aliases)):
            if not _PATH.fullmatch(path):
                yield ("columns", i, key), f"{path} is not a path", "a.b, a[0].b, a.@b or ."
            elif "@" in path and model.kind == "json":
                yield ("columns", i, key), "only XML has attributes", "a path without @"
        for path in model.leaf_paths(i):
            if used[path] > 1:
                yield ("columns", i, "path"), f"two columns share the path {path}", "a path of its own"
        for name, said in (("shown_when", c.shown_when), ("copy_of", c.copy_of)):
            if said:
                yield ("columns", i, name), f"a tree's column has no {name}", "nothing here"
        label = model.index.get(c.label or "")
        if label is not None and model.group_of.get(i) != model.group_of.get(label):
            yield ("columns", i, "label"), f"{c.label} stands in another part of the tree", "a label of the same group"


def _groups(model: SourceModel) -> Iterator[Finding]:
    for name in model.groups:
        if name not in model.paths:
            yield ("groups", name), f"the group {name} has no path", f"paths: {{{name}: a.b}}"
    for key, table in (("paths", model.paths), ("spread", model.spread)):
        for name in table:
            if name not in model.groups:
                yield (key, name), f"{name} is not a group", ", ".join(sorted(model.groups)) or "a group"
    places = Counter(model.paths.values())
    for name, path in model.paths.items():
        if places[path] > 1:
            yield ("paths", name), f"two groups stand at {path}", "one group per element"


def _left_out(model: SourceModel) -> Iterator[Finding]:
    taken = [p for c in model.columns for p in model.leaf_paths(c.position)]
    for i, ignored in enumerate(model.ignored):
        if any(p == ignored.path or p.startswith(f"{ignored.path}.") for p in taken):
            yield ("ignored", i, "path"), f"a column takes what stands at {ignored.path}", "a path no column takes"


def _doubts(model: SourceModel) -> Iterator[Finding]:
    for i, doubt in enumerate(model.doubts):
        unknown = [c for c in (doubt.column, *doubt.when) if c not in model.index]
        for name in unknown:
            yield ("doubts", i), f"{name} is not the id of a column", ", ".join(sorted(model.index)[:6])
        if unknown:
            continue
        own = model.group_of.get(model.index[doubt.column])
        for name in doubt.when:
            if model.group_of.get(model.index[name]) != own:
                yield ("doubts", i, "when", name), f"{name} stands in another part", f"columns beside {doubt.column}"
        if doubt.missing and (doubt.values or doubt.counting):
            yield ("doubts", i), "what is missing has no values", "missing with when"
        try:
            re.compile(doubt.unlike)
        except re.error as error:
            yield ("doubts", i, "unlike"), f"{doubt.unlike} is not a regular expression", str(error.msg)
        if not (doubt.counting or doubt.values or doubt.when or doubt.keep or doubt.unlike):
            yield ("doubts", i), "it keeps out every value", "values, when, counting, or keep: true"
