"""`project`: drain the outbox into the next generation of the CDM."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from masterkey_etl.project.census import Census
from masterkey_etl.project.maps import Maps, load_maps
from masterkey_etl.project.model import Row
from masterkey_etl.project.paths import read_by
from masterkey_etl.project.rows import Context, rows_for_patient
from masterkey_etl.project.writer import CdmWriter
from masterkey_fhir.issue import Issue, Place, issue
from masterkey_omop import schema, vocabulary
from masterkey_omop.data import folder as spec_folder
from masterkey_omop.keys import KeyMap
from masterkey_omop.publish import SIDE, Build, CdmStore
from masterkey_omop.vocabulary import Vocabulary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from masterkey_fhir.store import Repository

CHUNK = 400  # patients whose rows are in memory at once
KEYS_KEPT = 25 * CHUNK  # patients after which allocated keys are made durable; a second run allocates the same
LAG = 20_000  # outbox lines that are cheaper to replay into the older file than to copy the published one
PAGE = 10_000  # outbox lines read at once
CODE_VERSION = "1"  # raised when the same maps would give other rows
NOBODY = ""  # "patient" of resources outside every compartment

Progress = Callable[[int, int | None], None]


class Touched(NamedTuple):
    """What an increment has to rewrite: patients by site, and whether unowned resources changed."""

    patients: dict[str, list[str]]
    unowned: bool


class BalanceRow(NamedTuple):
    """Values at one element path, and what became of them: mapped, set_aside (with reason) or unlisted."""

    resource_type: str
    path: str
    status: str
    reason: str | None
    n: int


class UnmappedRow(NamedTuple):
    """A code without a standard concept, and how many rows carry it."""

    system: str
    code: str
    text: str | None
    table: str
    field: str
    n: int


@dataclass(frozen=True)
class ProjectionResult:
    """What was rewritten (`patients`), and what the published CDM now holds."""

    patients: int
    rows: Mapping[str, int]  # non-empty CDM tables
    balance: tuple[BalanceRow, ...]
    unmapped: tuple[UnmappedRow, ...]
    issues: tuple[Issue, ...]
    seconds: float
    high_water: int
    published: bool  # False: nothing had changed
    side: Mapping[str, int] = field(default_factory=dict)  # non-empty tables of schema masterkey


def vocabulary_file(root: Path) -> Path:
    """Where a workspace keeps its site's Athena vocabulary, once loaded."""
    return root / "vocabulary" / "vocabulary.duckdb"


def key_file(root: Path) -> Path:
    """The key map of a workspace: the projector's private store."""
    return root / "projector" / "keys.duckdb"


def project(
    workspace: Any,
    repository: Repository,
    *,
    all: bool = False,
    progress: Progress | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> ProjectionResult:
    """Rewrite the CDM rows of the patients that changed, and publish the next generation.

    `workspace` has `root` and `cdm`, or is the root folder. `all` starts from an empty CDM; so does a change
    of maps, vocabulary or specification. Deterministic and idempotent: with nothing changed nothing is
    published. Raises PublishError, ProjectionMapError, VocabularyError, StoreError.
    """
    return Projection(workspace, repository, all, progress, on_wait).run()


class Projection:
    """One call of `project`."""

    def __init__(
        self,
        workspace: Any,
        repository: Repository,
        all: bool,
        progress: Progress | None,
        on_wait: Callable[[str], None] | None,
    ) -> None:
        root = workspace if isinstance(workspace, Path) else Path(workspace.root)
        self._root, self._repository, self._all = root, repository, all
        self._store = CdmStore(root / "cdm")
        self._progress = progress or (lambda done, total: None)
        self._on_wait = on_wait or (lambda text: None)
        overlay = root / "mappings" / "omop"
        self._maps = load_maps(overlay if overlay.is_dir() else None)
        bundle = vocabulary_file(root)
        self._words = vocabulary.load(bundle if bundle.is_file() else None)
        self._version = version_of(self._maps, self._words)
        self._census = Census()
        self._patients = 0

    def run(self) -> ProjectionResult:
        try:
            return self._run(time.perf_counter())
        finally:
            self._words.close()

    def _run(self, begun: float) -> ProjectionResult:
        state = self._store.state()
        current = state.get("version") == self._version and int(state["high_water"]) == self._repository.last_change()
        published = self._all or not current
        if published:
            self._build()
        with self._store.connect() as connection:
            return self._result(connection, time.perf_counter() - begun, published)

    def _build(self) -> None:
        def empty() -> bool:  # asked when the lease is held: another run may have published meanwhile
            return self._all or self._store.state().get("version") != self._version

        keys_file = key_file(self._root)
        keys_file.parent.mkdir(parents=True, exist_ok=True)
        with self._store.building(empty=empty, lag=LAG, progress=self._on_wait) as build, KeyMap(keys_file) as keys:
            fresh = not build.state("version")
            last = self._repository.last_change()
            touched = self._everything() if fresh else self._changed(build.high_water, last)
            writer = CdmWriter(build, keys, fresh=fresh)
            self._write(writer, touched, keys)
            self._finish(writer, build, last)
            keys.commit()

    def _everything(self) -> Touched:
        return Touched({site: list(self._repository.patients(site)) for site in self._repository.sites()}, True)

    def _changed(self, after: int, last: int) -> Touched:
        patients: dict[str, set[str]] = {}
        unowned = False
        while after < last:
            page = self._repository.changes(after, PAGE)
            for change in page:
                if change.patient is None:
                    unowned = True
                else:
                    patients.setdefault(change.site, set()).add(change.patient)
            after = page[-1].seq if page else last
        return Touched({site: sorted(ids) for site, ids in sorted(patients.items())}, unowned)

    def _write(self, writer: CdmWriter, touched: Touched, keys: KeyMap) -> None:
        total = sum(len(ids) for ids in touched.patients.values())
        for site, ids in touched.patients.items():
            context = Context(site, self._maps, self._words, self._census)
            for chunk in _chunks(ids):
                writer.write(site, chunk, list(self._rows_of(site, chunk, context)))
                self._patients += len(chunk)
                self._progress(self._patients, total)
                if self._patients % KEYS_KEPT == 0:  # a transaction of millions of keys would fill the memory
                    keys.commit()
        if touched.unowned:
            writer.write_unowned(list(self._unowned()))

    def _rows_of(self, site: str, patients: list[str], context: Context) -> Iterator[dict[str, list[Row]]]:
        with self._repository.reading() as reader:
            for patient in patients:
                resources = [stored.resource() for stored in reader.resources_of(site, patient)]
                if resources:
                    yield rows_for_patient(patient, resources, context)

    def _unowned(self) -> Iterator[tuple[str, dict[str, list[Row]]]]:
        for site in self._repository.sites():
            context = Context(site, self._maps, self._words, self._census)
            resources = (stored.resource() for stored in self._repository.resources_without_patient(site))
            yield site, rows_for_patient(NOBODY, resources, context)

    def _finish(self, writer: CdmWriter, build: Build, last: int) -> None:
        writer.complete_care_sites()
        writer.write_shapes(self._census)
        writer.write_path_status(path_status(self._maps, build.connection))
        writer.write_vocabulary(self._words)
        writer.write_source(self._day_of(last), self._version, self._words)
        build.set_state(high_water=last, version=self._version, vocabulary=self._words.version)

    def _day_of(self, seq: int) -> str:
        """The date of the last change; 1970-01-01 in an empty repository."""
        for change in self._repository.changes(seq - 1, 1):
            stored = self._repository.vread(change.site, change.type, change.id, change.version)
            if stored:
                return stored.last_updated[:10]
        return "1970-01-01"

    def _result(self, connection: DuckDBPyConnection, seconds: float, published: bool) -> ProjectionResult:
        balance = tuple(
            BalanceRow(*row)
            for row in connection.execute(
                f"SELECT resource_type, path, status, reason, n FROM {SIDE}.balance ORDER BY ALL"
            ).fetchall()
        )
        return ProjectionResult(
            patients=self._patients,
            rows=_counts(connection, "", [t.name for t in schema.tables().values() if t.schema == "CDM"]),
            balance=balance,
            unmapped=tuple(
                UnmappedRow(*row) for row in connection.execute(f"SELECT * FROM {SIDE}.unmapped_codes").fetchall()
            ),
            issues=(*_unlisted(balance), *_not_placed(connection)),
            seconds=seconds,
            high_water=int(_state(connection, "high_water")),
            published=published,
            side=_counts(connection, f"{SIDE}.", list(schema.tables("side"))),
        )


def version_of(maps: Maps, words: Vocabulary) -> str:
    """What decides the rows beside the resources: maps, vocabulary, specification, code."""
    files = [p for p in sorted(spec_folder("spec").rglob("*")) if p.suffix in (".csv", ".sql")]
    spec = b"".join(path.read_bytes() for path in files)
    bundle = words.file.stat() if words.file else None
    loaded = f"{words.version} {bundle.st_size} {bundle.st_mtime_ns}" if bundle else words.version
    text = b"\0".join([maps.text, loaded.encode(), spec, CODE_VERSION.encode()])
    return blake2b(text, digest_size=8).hexdigest()


def path_status(maps: Maps, connection: DuckDBPyConnection) -> list[Row]:
    """Every path that a resource of this CDM has: mapped by a view, set aside with its reason, or unlisted."""
    mapped = {
        name: frozenset[str]().union(*(read_by(v.definition) for v in m.views)) for name, m in maps.resources.items()
    }
    rows = connection.execute(f"SELECT DISTINCT resource_type, path FROM {SIDE}.shape ORDER BY ALL").fetchall()
    return [[kind, path, *_status(path, mapped.get(kind, frozenset()), maps, kind)] for kind, path in rows]


def _status(path: str, mapped: frozenset[str], maps: Maps, kind: str) -> tuple[str, str | None]:
    if path in mapped:
        return "mapped", None
    reason = maps.resources[kind].set_aside.get(path) if kind in maps.resources else None
    return ("set_aside", reason) if reason else ("unlisted", None)


def _unlisted(balance: tuple[BalanceRow, ...]) -> list[Issue]:
    """A path that no map lists is an Issue, so that no element vanishes."""
    return [
        issue("etl.element-unlisted", Place(expression=f"{b.resource_type}.{b.path}"), count=b.n, n=b.n)
        for b in balance
        if b.status == "unlisted"
    ]


def _not_placed(connection: DuckDBPyConnection) -> list[Issue]:
    rows = connection.execute(
        f"SELECT site, resource_type, table_name, reason, count(*) FROM {SIDE}.not_placed GROUP BY ALL ORDER BY ALL"
    ).fetchall()
    return [
        issue(
            "etl.row-not-placed",
            Place(site=site, expression=kind, field=table),
            count=n,
            table=table or "any table",
            reason=reason,
            n=n,
        )
        for site, kind, table, reason, n in rows
    ]


def _state(connection: DuckDBPyConnection, name: str) -> str:
    return str(connection.execute(f"SELECT value FROM {SIDE}.state WHERE name = ?", [name]).fetchall()[0][0])


def _counts(connection: DuckDBPyConnection, prefix: str, names: list[str]) -> dict[str, int]:
    sql = " UNION ALL ".join(f"SELECT '{n}', count(*) FROM {prefix}{n}" for n in names)
    return {name: n for name, n in connection.execute(sql).fetchall() if n}


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk
