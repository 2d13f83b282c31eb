"""Source models: what the columns of one export are (mappings/sources/<format>/<revision>.yaml).

A model is data. It is read strictly: each mistake is an Issue with file, line and the valid alternatives.
The grammar is shown in etl/README.md. Scalars are read as text (so `{1: x}` and `{"1": x}` are the same code,
`No` stays a word, `01` keeps its zero) and typed by this schema.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from masterkey_etl import tree_model
from masterkey_etl.data import folder
from masterkey_etl.header import HeaderMatch, header_key, match_header
from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue

ColumnType = Literal["text", "code", "label", "integer", "decimal", "date", "flag"]
Calendar = Literal["ce", "buddhist", "japanese"]
Kind = Literal["delimited", "sheet", "json", "xml"]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
_Loader: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class SourceModelError(MasterkeyError):
    """A source model can't be found or has mistakes."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Assumption(_Strict):
    """What the model takes for granted although no document states it."""

    text: str
    reason: str


class Column(_Strict):
    """One column. `position` is its index in the model, which is also its index in `Record.values`."""

    id: Identifier
    header: str
    type: ColumnType
    aliases: tuple[str, ...] = ()
    label: str | None = None
    codes: Mapping[str, str] = Field(default_factory=dict)
    winner: Literal["code", "label"] = "code"
    null_tokens: tuple[str, ...] | None = None
    formats: tuple[str, ...] = ()
    calendar: Calendar = "ce"
    min: float | None = None
    max: float | None = None
    personal: Literal["none", "identifier", "free_text"] = "none"
    optional: bool = False
    form: str = ""  # of a data entry program: the form the field stands on
    required: bool = False  # told when empty in a row that fills its part and shows it
    shown_when: str = ""  # branching logic of a data entry form; a value it hides is told
    not_after: tuple[Identifier, ...] = ()  # dates of the same row that this one may not lie after; told, kept
    copy_of: Identifier | None = None  # not in the file: each item of its group takes it from that column of its row
    path: str | None = None  # of a tree's leaf, from its record or its group's element (tree_model.py)
    join: str | None = None  # several leaves at the path of one part are one value, joined by this text
    note: str = ""
    position: int = -1


class Pair(_Strict):
    """A code column and its label column, by position."""

    code: int
    label: int
    codes: Mapping[str, str]
    winner: Literal["code", "label"]


class SourceModel(_Strict):
    """One revision of one export format."""

    format: Identifier
    revision: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    title: str
    citation: str
    record: Identifier
    columns: tuple[Column, ...] = Field(min_length=1)
    kind: Kind = "delimited"
    sheet: tree_model.Sheet | None = None
    assumptions: tuple[Assumption, ...] = ()
    encoding: tuple[str, ...] = ("utf-8-sig",)
    delimiter: Annotated[str, StringConstraints(min_length=1, max_length=1)] = ","
    delivery: Literal["snapshot", "delta"] = "snapshot"
    deleted: Mapping[Identifier, str] = Field(default_factory=dict)  # column: value of a row that deletes its record
    null_tokens: tuple[str, ...] = ("",)
    key: tuple[str, ...] = ()
    repeat_by: Identifier | None = None  # the column that names the group a row is an item of
    groups: Mapping[Identifier, tuple[str, ...]] = Field(default_factory=dict)
    records: tree_model.Path | Literal[""] = ""  # of the elements that are records; "": the root is one
    paths: Mapping[Identifier, tree_model.Path] = Field(default_factory=dict)  # of the element a group repeats
    spread: Mapping[Identifier, tree_model.Path] = Field(default_factory=dict)  # an item per element inside the group's
    ignored: tuple[tree_model.Ignored, ...] = ()
    doubts: tuple[tree_model.Doubt, ...] = ()

    @classmethod
    def load(cls, model_id: str, overlay: Path | None = None) -> SourceModel:
        """The model `<format>/<revision>`, from the workspace's `mappings` overlay or the shipped ones.

        Raises SourceModelError (etl.model-unknown with the known ids, or every mistake found in the file).
        """
        places = _places(overlay)
        if model_id not in places:
            known = ", ".join(sorted(places)) or "none"
            raise SourceModelError(issue("etl.model-unknown", Place(), model=model_id, known=known))
        return _load(places[model_id], places[model_id].stat().st_mtime_ns)

    @classmethod
    def parse(cls, text: str, file: str = "source model") -> SourceModel:
        """Read a model from its YAML text. Raises SourceModelError with all mistakes, each at its line."""
        return _parse(text, file)

    @property
    def id(self) -> str:
        return f"{self.format}/{self.revision}"

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Column id -> position."""
        return {c.id: i for i, c in enumerate(self.columns)}

    @cached_property
    def header_keys(self) -> Mapping[str, int]:
        """Normalised header or alias -> position."""
        return {header_key(h): i for i, c in enumerate(self.columns) for h in (c.header, *c.aliases)}

    def column(self, column_id: str) -> Column:
        """Raises SourceModelError (etl.column-unknown) with the nearest column ids."""
        if column_id not in self.index:
            near = alternatives(column_id, self.index)
            raise SourceModelError(
                issue("etl.column-unknown", Place(file=self.id), column=column_id, alternatives=near)
            )
        return self.columns[self.index[column_id]]

    @cached_property
    def key_positions(self) -> tuple[int, ...]:
        return tuple(self.index[c] for c in self.key)

    def group_positions(self, name: str) -> tuple[int, ...]:
        """Positions, in the whole record, of the columns of a group, in the group's order."""
        return tuple(self.index[c] for c in self.groups[name])

    @cached_property
    def group_of(self) -> Mapping[int, str]:
        """Position -> name of the group the column belongs to (columns of the record itself are absent)."""
        return {self.index[c]: name for name, ids in self.groups.items() for c in ids}

    def leaf_paths(self, position: int) -> tuple[str, ...]:
        """Where a column of a tree stands, from the record: its path, then its other ones."""
        column = self.columns[position]
        around = self.paths.get(self.group_of.get(position, ""), "")
        return tuple(tree_model.joined(around, p) for p in (column.path or "", *column.aliases))

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every code column that has a label column."""
        return tuple(
            Pair(code=c.position, label=self.index[c.label], codes=c.codes, winner=c.winner)
            for c in self.columns
            if c.label is not None
        )

    @cached_property
    def nulls(self) -> tuple[frozenset[str], ...]:
        """Null tokens per position; an empty cell is always null."""
        return tuple(
            frozenset(("", *(self.null_tokens if c.null_tokens is None else c.null_tokens))) for c in self.columns
        )

    def match(self, header: list[str] | tuple[str, ...], place: Place | None = None) -> HeaderMatch:
        """Find this model's columns in a header row; every difference is an Issue."""
        return match_header(self, list(header), place or Place())


def model_file(model_id: str, overlay: Path | None = None) -> Path:
    """Where a known model is written: in the overlay, else as shipped."""
    return _places(overlay)[model_id]


def known_models(overlay: Path | None = None) -> tuple[SourceModel, ...]:
    """All models that can be loaded, sorted by id; one that has mistakes is left out (map check tells)."""
    return tuple(m for name in sorted(_places(overlay)) if (m := _try(name, overlay)) is not None)


def alternatives(word: str, words: Any, n: int = 4) -> str:
    """The nearest valid words, for the remedy of an Issue."""
    return ", ".join(get_close_matches(word, list(words), n, 0.4) or sorted(words)[:n])


def _try(name: str, overlay: Path | None) -> SourceModel | None:
    try:
        return SourceModel.load(name, overlay)
    except SourceModelError:
        return None


def _places(overlay: Path | None) -> dict[str, Path]:
    """Model id -> file; the overlay wins."""
    found: dict[str, Path] = {}
    for root in (folder("mappings"), overlay):
        if root is not None:
            for path in sorted((root / "sources").glob("*/*.yaml")):
                found[f"{path.parent.name}/{path.stem}"] = path
    return found


@cache
def _load(path: Path, _changed: int) -> SourceModel:
    model = _parse(path.read_text(encoding="utf-8"), f"{path.parent.name}/{path.name}")
    stated, stored = model.id, f"{path.parent.name}/{path.stem}"
    if stated != stored:
        raise SourceModelError(issue("etl.model-misplaced", Place(file=stored), stated=stated, stored=stored))
    return model


# -- parsing with lines ------------------------------------------------------------------------------

_Loc = tuple[str | int, ...]


def _parse(text: str, file: str) -> SourceModel:
    data, lines = _compose(text, file)
    try:
        model = SourceModel.model_validate(_with_positions(data))
    except ValidationError as error:
        raise SourceModelError(*(_mistake(e, lines, file) for e in error.errors())) from None
    if found := list(_cross_checks(model, lines, file)):
        raise SourceModelError(*found)
    return model


def _compose(text: str, file: str) -> tuple[Any, dict[_Loc, int]]:
    """The document as plain data, and the line of every node. Raises SourceModelError (etl.yaml)."""
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or "not YAML")
        row = mark.line + 1 if mark else None
        raise SourceModelError(issue("etl.yaml", Place(file=file, row=row), problem=problem)) from None
    lines: dict[_Loc, int] = {(): 1}
    duplicates: list[Issue] = []
    data = {} if node is None else _plain(node, (), lines, duplicates, file)
    if duplicates:
        raise SourceModelError(*duplicates)
    return data, lines


def _plain(node: Any, at: _Loc, lines: dict[_Loc, int], duplicates: list[Issue], file: str) -> Any:
    lines[at] = node.start_mark.line + 1
    if isinstance(node, yaml.ScalarNode):
        return node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(n, (*at, i), lines, duplicates, file) for i, n in enumerate(node.value)]
    out: dict[str, Any] = {}
    for key, value in node.value:
        if key.value in out:
            place = Place(file=file, row=key.start_mark.line + 1)
            duplicates.append(issue("etl.yaml", place, problem=f"{key.value} is written twice"))
        out[key.value] = _plain(value, (*at, key.value), lines, duplicates, file)
        lines[(*at, key.value)] = key.start_mark.line + 1
    return out


def _with_positions(data: Any) -> Any:
    """Number the columns: their order in the file is their position in a Record."""
    if not isinstance(data, dict) or not isinstance(data.get("columns"), list):
        return data
    numbered = [
        {**c, "position": i} if isinstance(c, dict) and "position" not in c else c
        for i, c in enumerate(data["columns"])
    ]
    numbered_data = {**data, "columns": numbered}
    if data.get("kind") in tree_model.TREES:
        return {**numbered_data, "columns": tree_model.with_headers(numbered_data)}
    return numbered_data


def _line(lines: Mapping[_Loc, int], loc: _Loc) -> int:
    while loc not in lines:
        loc = loc[:-1]
    return lines[loc]


def _mistake(error: Any, lines: Mapping[_Loc, int], file: str) -> Issue:
    loc: _Loc = tuple(error["loc"])
    return issue(
        "etl.model-mistake",
        Place(file=file, row=_line(lines, loc), field=".".join(map(str, loc))),
        problem=_problem(error),
        alternatives=_valid_here(error, loc),
    )


def _problem(error: Any) -> str:
    name = str(error["loc"][-1]) if error["loc"] else "the document"
    if error["type"] == "extra_forbidden":
        return f"{name} is not a key of this place"
    if error["type"] == "missing":
        return f"{name} is missing"
    return f"{name}: {str(error['msg'])[:1].lower()}{str(error['msg'])[1:]}"


def _valid_here(error: Any, loc: _Loc) -> str:
    """What could stand there: keys for an unknown key, the members of a closed list, else the pattern."""
    context = error.get("ctx") or {}
    if error["type"] in ("extra_forbidden", "missing"):
        return ", ".join(_keys_at(loc[:-1]))
    return str(context.get("expected") or context.get("pattern") or error["msg"]).replace("'", "")


def _keys_at(loc: _Loc) -> Iterator[str]:
    places: dict[str, type[BaseModel]] = {
        "columns": Column,
        "assumptions": Assumption,
        "sheet": tree_model.Sheet,
        "ignored": tree_model.Ignored,
        "doubts": tree_model.Doubt,
    }
    place = places.get(str(loc[0]) if loc else "", SourceModel)
    return (name for name in place.model_fields if name != "position")


# -- what the schema alone can't see -----------------------------------------------------------------


def _cross_checks(model: SourceModel, lines: Mapping[_Loc, int], file: str) -> Iterator[Issue]:
    for loc, problem, valid in (
        *_repeated(model),
        *_unknown_columns(model),
        *_bad_pairs(model),
        *_bad_groups(model),
        *_bad_encodings(model),
        *_bad_columns(model),
        *tree_model.findings(model),
    ):
        place = Place(file=file, row=_line(lines, loc), field=".".join(map(str, loc)))
        yield issue("etl.model-mistake", place, problem=problem, alternatives=valid)


_Finding = tuple[_Loc, str, str]


def _repeated(model: SourceModel) -> Iterator[_Finding]:
    ids = Counter(c.id for c in model.columns)
    tree = model.kind in tree_model.TREES  # there paths are compared: tree_model.findings
    keys = Counter(header_key(h) for c in model.columns for h in (c.header, *c.aliases))
    for i, c in enumerate(model.columns):
        if ids[c.id] > 1:
            yield ("columns", i, "id"), f"the id {c.id} is used {ids[c.id]} times", "an id of its own"
        if not tree and keys[header_key(c.header)] > 1:
            yield ("columns", i, "header"), f"two columns share the header {c.header}", "a header of its own"


def _unknown_columns(model: SourceModel) -> Iterator[_Finding]:
    named: list[tuple[_Loc, str]] = [(("key", i), c) for i, c in enumerate(model.key)]
    named += [(("groups", g, i), c) for g, ids in model.groups.items() for i, c in enumerate(ids)]
    named += [(("columns", i, "label"), c.label) for i, c in enumerate(model.columns) if c.label is not None]
    named += [(("columns", i, "copy_of"), c.copy_of) for i, c in enumerate(model.columns) if c.copy_of is not None]
    named += [
        (("columns", i, "not_after", j), d) for i, c in enumerate(model.columns) for j, d in enumerate(c.not_after)
    ]
    named += [(("repeat_by",), model.repeat_by)] if model.repeat_by is not None else []
    named += [(("deleted", c), c) for c in model.deleted]
    for loc, name in named:
        if name not in model.index:
            yield loc, f"{name} is not the id of a column", alternatives(name, model.index)


def _bad_pairs(model: SourceModel) -> Iterator[_Finding]:
    by_id = {c.id: c for c in model.columns}
    owners = Counter(c.label for c in model.columns if c.label is not None)
    for i, c in enumerate(model.columns):
        partner = by_id.get(c.label or "")
        if partner is not None and partner.type != "label":
            yield ("columns", i, "label"), f"{partner.id} has the type {partner.type}", "type: label"
        if c.type == "label" and owners[c.id] != 1:
            yield ("columns", i), f"{owners[c.id]} code columns name {c.id} as their label", "exactly one"
        if c.type != "code" and (c.label is not None or c.winner != "code"):
            yield ("columns", i), f"only a code has a label and a winner, {c.id} is {c.type}", "type: code"


def _bad_groups(model: SourceModel) -> Iterator[_Finding]:
    seen: dict[str, str] = {}
    if model.groups and not model.key and model.kind not in tree_model.TREES:
        yield ("groups",), "groups need a key to collapse by", "key: [...]"
    for name, ids in model.groups.items():
        for i, c in enumerate(ids):
            if c in model.key:
                yield ("groups", name, i), f"{c} is part of the key", "a column that is not in the key"
            if c in seen:
                yield ("groups", name, i), f"{c} is already in group {seen[c]}", "one group per column"
            seen.setdefault(c, name)


def _bad_encodings(model: SourceModel) -> Iterator[_Finding]:
    for i, name in enumerate(model.encoding):
        try:
            "".encode(name)
        except LookupError:
            yield ("encoding", i), f"{name} is not an encoding", "utf-8-sig, cp932, cp874, euc_jp, iso2022_jp"


_DIRECTIVES = re.compile(r"%(.)", re.DOTALL)


def _bad_columns(model: SourceModel) -> Iterator[_Finding]:
    for i, c in enumerate(model.columns):
        if c.formats and c.type != "date":
            yield ("columns", i, "formats"), f"only a date has formats, {c.id} is {c.type}", "type: date"
        for j, text in enumerate(c.formats):
            unknown = set(_DIRECTIVES.findall(text)) - set("YmdHMS")
            if unknown or "%Y" not in text:
                yield ("columns", i, "formats", j), f"{text} can't be read", "%Y %m %d %H %M %S and text"
        dates = {c.id, *c.not_after} - {d.id for d in model.columns if d.type == "date"} if c.not_after else ()
        if dates:
            yield ("columns", i, "not_after"), f"{', '.join(sorted(dates))} is no date", "columns of type: date"
        if (c.min is not None or c.max is not None) and c.type not in ("integer", "decimal"):
            yield ("columns", i), f"only a number has a range, {c.id} is {c.type}", "type: integer or decimal"


__all__ = [
    "Assumption",
    "Column",
    "HeaderMatch",
    "Pair",
    "SourceModel",
    "SourceModelError",
    "known_models",
    "model_file",
]
