"""`masterkey explain`: from a CDM row or resource back to file, row, column and map line; from a row forward."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterkey_etl import maps
from masterkey_etl.file_names import kept_name
from masterkey_etl.ledger import Ledger
from masterkey_etl.readers import read as read_whole
from masterkey_etl.readers import read_delivery
from masterkey_etl.readers.rows import Rows
from masterkey_etl.readers.sheet_tables import as_written
from masterkey_etl.receive import Delivery, kept_delivery
from masterkey_etl.source_model import SourceModel
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import MasterkeyError, Place, issue
from masterkey_fhir.store import Repository, Source, Stored, Submission
from masterkey_omop.keys import KeyMap

_ROW = re.compile(r"(?P<file>.+):(?P<row>\d+)\Z")


class ExplainError(MasterkeyError):
    """There is nothing of that name."""


@dataclass(frozen=True)
class Origin:
    """One leaf of a resource: the map line that filled it and the cells its value came from."""

    element: str
    expression: str
    map_line: str
    columns: tuple[str, ...]
    headers: tuple[str, ...]
    cells: tuple[str, ...]  # empty on a registry node: the bytes are the site's


@dataclass
class Told:
    """An explanation; `origins` of a resource, `became` of a row."""

    what: str
    facts: dict[str, Any] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    became: list[Told] = field(default_factory=list)
    cdm: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "what": self.what,
            **self.facts,
            "cdm": self.cdm,
            "origins": [vars(o) for o in self.origins],
            "became": [t.as_dict() for t in self.became],
        }

    def lines(self, indent: str = "") -> Iterator[str]:
        yield f"{indent}{self.what}"
        yield from (f"{indent}  {name}: {value}" for name, value in self.facts.items())
        if self.cdm:
            yield f"{indent}  in the CDM: {', '.join(self.cdm)}"
        for o in self.origins:
            yield f"{indent}  {o.element}"
            yield f"{indent}    {o.map_line}   = {o.expression}"
            yield from (f"{indent}    {text}" for text in _columns(o))
        for told in self.became:
            yield from told.lines(indent + "  ")


def _columns(o: Origin) -> Iterator[str]:
    for n, (column, header) in enumerate(zip(o.columns, o.headers, strict=True)):
        value = f" = {o.cells[n]}" if n < len(o.cells) else ""
        yield f"column {column} ({header}){value}"


def explain(data: Path, what: str, *, site: str | None = None) -> Told:
    """`Type/id`, `table:key` or `file:row`. Raises ExplainError when there is nothing of that name."""
    workspace = Workspace.open(data)
    repository = Repository.open(workspace.repository_url)
    try:
        return _Explainer(workspace, repository, site).explain(what)
    finally:
        repository.close()


class _Explainer:
    def __init__(self, workspace: Workspace, repository: Repository, site: str | None) -> None:
        self.workspace, self.repository = workspace, repository
        self.sites = [workspace.site(site).id] if site else repository.sites()

    def explain(self, what: str) -> Told:
        kind, _, id_ = what.partition("/")
        if id_ and kind.isalpha():
            return self.resource_named(kind, id_)
        found = _ROW.match(what)
        if found is None:
            raise ExplainError(issue("etl.explain-what"))
        row = int(found["row"])
        if re.fullmatch(r"[a-z_]+", found["file"]):
            return self.cdm_row(found["file"], row)
        return self.source_row(found["file"], row)

    # -- back ---------------------------------------------------------------------------------------------

    def resource_named(self, kind: str, id_: str) -> Told:
        for site in self.sites:
            if stored := self.repository.read(site, kind, id_):
                return self.resource(stored)
        raise ExplainError(issue("etl.explain-nothing", what="resource"))

    def cdm_row(self, table: str, number: int) -> Told:
        with self._keys() as keys:
            found = keys.find(table, number)
        if found is None or found[0] not in self.sites:
            raise ExplainError(issue("etl.explain-nothing", what=f"row of {table}"))
        site, key = found
        stored = self.repository.read(site, key.type, key.id)
        told = Told(f"{table}:{number}", {"made from": f"{key.type}/{key.id} of {site}", "slot": key.slot or "-"})
        if stored is not None:
            told.became.append(self.resource(stored))
        return told

    def resource(self, stored: Stored) -> Told:
        told = Told(f"{stored.type}/{stored.id}", {"site": stored.site, "version": stored.version})
        told.cdm = [] if stored.deleted else self.cdm_rows(stored)
        source = self.repository.source(stored.site, stored.type, stored.id, stored.version)
        if source is None:
            told.facts["came"] = f"through the FHIR API, {stored.last_updated}"
            return told
        by = self.submission(stored.site, source.submission)
        if by.kind != "load":
            told.facts["last changed"] = f"by {by.kind} {by.id} ({by.file}), {by.received}"
        if stored.deleted:
            told.facts["deleted"] = f"by {by.kind} {by.id} ({by.file}), {by.received}"
            return told
        self._loaded(told, stored, source)
        return told

    def _loaded(self, told: Told, stored: Stored, source: Source) -> None:
        """The delivery of a file that a version was made from: its own, or one that an act of a steward took up."""
        source = self._of_a_load(stored, source)
        submission = self.submission(stored.site, source.submission)
        rows = f"row {', '.join(map(str, source.rows))}" if source.rows else "which says the same as one taken back"
        told.facts |= {"file": f"{source.file}, {rows} (delivery {source.submission})"}
        told.facts |= {"received": submission.received, "map": f"{source.map_version[:12]}, block {source.block}"}
        if source.block:
            told.origins = list(self.origins(stored.site, source, submission))

    def _of_a_load(self, stored: Stored, source: Source) -> Source:
        loads = {s.id for s in self.repository.submissions(stored.site) if s.kind == "load"}
        if source.submission in loads:
            return source
        for version in range(stored.version - 1, 0, -1):
            before = self.repository.source(stored.site, stored.type, stored.id, version)
            if before is not None and before.submission in loads and before.rows == source.rows:
                return before
        return source

    def origins(self, site: str, source: Source, submission: Submission) -> Iterator[Origin]:
        said = maps.kept(source.map_version, self.workspace)
        cells = self.cells(submission, self._model(said), source.rows)
        for leaf in said["blocks"][source.block]:
            yield _origin(leaf, said["headers"], cells)

    def _model(self, said: dict[str, Any]) -> SourceModel:
        """The source model as that version of the map had it, whatever became of it."""
        if "model" in said:
            return SourceModel.model_validate_json(said["model"])
        return SourceModel.load(said["source"], self.workspace.overlay)

    def cells(self, submission: Submission, model: SourceModel, rows: Sequence[int]) -> dict[str, str]:
        """Column id -> text of the rows, on a site node; a registry does not open what it keeps.

        A resource of a repeated part has the rows of that part; where the rows of a resource differ, each is told.
        """
        if self.workspace.role != "site" or not rows or not submission.sha256:
            return {}
        delivery = kept_delivery(self.workspace, submission.site, submission.file, submission.sha256, submission.bytes)
        if model.kind != "delimited" or not as_written(delivery, model):
            return _of_records(delivery, model, set(rows))
        reading = read_whole(delivery, model)  # its encoding and header, wherever that stands
        with closing(Rows(delivery.open(), reading.encoding.name, model.delimiter)) as read:
            found = {r.number: r.fields for r in read if r.number in rows}
        pairs = zip(model.columns, reading.header.positions, strict=True)
        return {c.id: _of_rows(found, p) for c, p in pairs if p is not None}

    # -- forward ------------------------------------------------------------------------------------------

    def source_row(self, file: str, row: int) -> Told:
        told = Told(f"{file} row {row}")
        for site in self.sites:
            name = kept_name(self.workspace, site, file)
            for stored, source in self.repository.made_from(site, name, row):
                facts = {"block": source.block, "site": site}
                told.became.append(Told(f"{stored.type}/{stored.id}", facts, cdm=self.cdm_rows(stored)))
        if not told.became:
            raise ExplainError(
                issue("etl.explain-nothing", Place(file=file, row=row), what="row that became something")
            )
        return told

    def cdm_rows(self, stored: Stored) -> list[str]:
        with self._keys() as keys:
            found = keys.rows_of(stored.site, stored.type, stored.id)
        return [f"{key.table}:{number}" for key, number in found]

    def submission(self, site: str, number: int) -> Submission:
        return next(s for s in self.repository.submissions(site) if s.id == number)

    def _keys(self) -> KeyMap:
        from masterkey_etl.project import key_file

        path = key_file(self.workspace.root)
        return KeyMap(path if path.exists() else None)


def _of_records(delivery: Delivery, model: SourceModel, rows: set[int]) -> dict[str, str]:
    """Of a workbook or a tree: the values of the record as the reader has them; of a part those of the part."""
    for record in read_delivery(delivery, model, Ledger(model, Place(delivery.site, delivery.submission_name))):
        if not rows.isdisjoint(record.rows or (record.row,)):
            found = {c.id: record.values[c.position] for c in model.columns}
            for name, parts in record.groups.items():
                mine = next((p for p in parts if not rows.isdisjoint(p.rows or (p.row,))), None)
                found |= dict(zip(model.groups[name], mine.values if mine else (), strict=False))
            return found
    return {}


def _of_rows(found: dict[int, list[str]], place: int) -> str:
    """One column's text in the rows: said once where they agree."""
    texts = {number: fields[place] for number, fields in found.items() if place < len(fields)}
    if len(set(texts.values())) <= 1:
        return next(iter(texts.values()), "")
    return "; ".join(f"row {number}: {text}" for number, text in texts.items())


def _origin(leaf: dict[str, Any], headers: dict[str, str], cells: dict[str, str]) -> Origin:
    columns = tuple(leaf["columns"])
    return Origin(
        leaf["path"],
        leaf["expression"],
        f"{Path(leaf['file']).name} line {leaf['line']}",
        columns,
        tuple(headers[c] for c in columns),
        tuple(cells.get(c, "") for c in columns) if cells else (),
    )
