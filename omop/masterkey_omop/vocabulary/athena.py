"""A site's own Athena bundle (folder or zip) -> one immutable DuckDB file that look-ups read.

Athena writes tab-separated text without quoting (names contain quotes), dates as YYYYMMDD, an empty field
for NULL. Rows that don't fit become Issues; rows in = rows loaded + rows refused, counted independently.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from masterkey_fhir.issue import Issue, MasterkeyError, Place, issue
from masterkey_omop import schema
from masterkey_omop.vocabulary.bindings import GENERATED, Binding, bindings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REQUIRED = ("concept", "concept_relationship", "vocabulary")
OPTIONAL = ("concept_ancestor", "concept_synonym", "domain", "concept_class", "relationship", "drug_strength")
# Sorted, so that a look-up touches few row groups and no index is needed.
ORDER = {"concept": "vocabulary_id, concept_code", "concept_relationship": "concept_id_1"}
SHOWN = 20  # refused rows shown per file; all are counted

Progress = Callable[[str], None]


class BundleError(MasterkeyError):
    """The bundle can't become a vocabulary: files or columns are missing, or the place can't be written."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where the bundle contradicts a binding: `what` is missing, code, vocabulary, standard or name."""

    binding: str
    concept_id: int
    what: str
    ours: str
    theirs: str


@dataclass(slots=True)
class BundleReport:
    """What was loaded: rows per table, refused rows, the release, and the differences from the bindings."""

    file: Path
    version: str = ""
    rows: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)


def load_bundle(source: Path | str, file: Path | str, progress: Progress = lambda _: None) -> BundleReport:
    """Load the Athena folder or zip `source` into the DuckDB file `file` (replaced by one atomic rename).

    Raises BundleError when a required file or column is missing or the disk refuses.
    """
    target = Path(file)
    building = target.with_name(f".{target.name}.building")
    report = BundleReport(target)
    try:
        _discard(building)
        with _folder(Path(source), progress) as folder:
            _build(_files(folder, Path(source).name), building, report, progress)
        _publish(building, target)
    except OSError as error:
        raise BundleError(
            issue("omop.disk", Place(file=target.name), reason=error.strerror or type(error).__name__)
        ) from error
    finally:
        _discard(building)
    return report


@contextmanager
def _folder(source: Path, progress: Progress) -> Iterator[Path]:
    """The bundle as a folder; a zip is unpacked, file by file, into a temporary one."""
    if not zipfile.is_zipfile(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="masterkey-athena-") as name, zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            if Path(member.filename).suffix.lower() == ".csv":
                progress(f"unpack {Path(member.filename).name}")
                member.filename = Path(member.filename).name  # never outside the folder
                archive.extract(member, name)
        yield Path(name)


def _files(folder: Path, shown: str) -> dict[str, Path]:
    found = {p.stem.lower(): p for p in folder.iterdir()} if folder.is_dir() else {}
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise BundleError(
            issue(
                "omop.bundle-incomplete",
                Place(file=shown),
                missing=", ".join(f"{m.upper()}.csv" for m in missing),
            )
        )
    return {name: found[name] for name in (*REQUIRED, *OPTIONAL) if name in found}


def _build(files: Mapping[str, Path], building: Path, report: BundleReport, progress: Progress) -> None:
    import duckdb

    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH {_quote(building)} AS v (STORAGE_VERSION 'v1.2.0')")
        for name, path in files.items():
            progress(f"load {path.name}")
            _table(connection, name, path, report)
        report.version = _version(connection)
        report.differences = list(differences(connection, bindings()))
        report.issues += [_difference_issue(d) for d in report.differences]
        connection.execute("CHECKPOINT v")
    except duckdb.IOException as error:
        raise BundleError(issue("omop.disk", Place(file=building.name), reason="the disk refused a write")) from error
    finally:
        connection.close()


def _table(connection: DuckDBPyConnection, name: str, path: Path, report: BundleReport) -> None:
    columns = _columns(name, path)
    wanted = ", ".join(schema.tables()[name].fields)
    order = f" ORDER BY {ORDER[name]}" if name in ORDER else ""
    rejects = f"rejects_{name}"
    connection.execute(
        f"CREATE TABLE v.{name} AS SELECT {wanted} FROM read_csv({_quote(path)}, delim = '\t', quote = '', "
        f"escape = '', header = true, columns = {columns}, dateformat = '%Y%m%d', nullstr = '', "
        f"auto_detect = false, max_line_size = 1048576, store_rejects = true, rejects_limit = 0, "
        f"rejects_table = '{rejects}', rejects_scan = '{rejects}_scan'){order}"
    )
    _count(connection, name, path, rejects, report)


def _columns(name: str, path: Path) -> str:
    """The file's columns, in its order, as a struct of types. Raises BundleError when one is missing."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        header = [h.strip().lower() for h in stream.readline().rstrip("\r\n").split("\t")]
    fields = schema.tables()[name].fields
    missing = [f for f in fields if f not in header]
    if missing:
        raise BundleError(issue("omop.bundle-columns", Place(file=path.name), missing=", ".join(missing)))
    types = [f"'{h}': '{schema.sql_type(fields[h], 'duckdb') if h in fields else 'VARCHAR'}'" for h in header]
    return "{" + ", ".join(types) + "}"


def _count(connection: DuckDBPyConnection, name: str, path: Path, rejects: str, report: BundleReport) -> None:
    rows = _one(connection, f"SELECT count(*) FROM v.{name}")
    refused = _one(connection, f"SELECT count(DISTINCT line) FROM {rejects}")
    report.rows[name], report.refused[name] = rows, refused
    shown = connection.execute(
        f"SELECT line, any_value(column_name), any_value(error_type) FROM {rejects} "
        f"GROUP BY line ORDER BY line LIMIT {SHOWN}"
    ).fetchall()
    report.issues += [
        issue("omop.bundle-row", Place(file=path.name, row=line, field=column or ""), kind=str(kind))
        for line, column, kind in shown
    ]
    if refused > SHOWN:
        report.issues.append(issue("omop.bundle-rows", Place(file=path.name), count=refused, refused=refused))
    stated = _lines(path) - 1
    if stated != rows + refused:
        report.issues.append(
            issue("omop.bundle-balance", Place(file=path.name), stated=stated, loaded=rows, refused=refused)
        )


def _lines(path: Path) -> int:
    """Lines of a file, counted without the reader that loads it; a last line without an end counts."""
    lines, last = 0, b"\n"
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return lines + (last != b"\n")


def _version(connection: DuckDBPyConnection) -> str:
    rows = connection.execute("SELECT vocabulary_version FROM v.vocabulary WHERE vocabulary_id = 'None'").fetchall()
    return str(rows[0][0]) if rows and rows[0][0] else "unknown"


def differences(connection: DuckDBPyConnection, named: Mapping[str, Binding]) -> Iterator[Difference]:
    """Every binding asserted against `v.concept`, e.g. 756290 is CDM975 and not its twin 798885, CDM1040."""
    ids = ", ".join(str(b.concept.id) for b in named.values())
    rows = {
        row[0]: row[1:]
        for row in connection.execute(
            "SELECT concept_id, vocabulary_id, concept_code, coalesce(standard_concept, ''), concept_name, "
            f"coalesce(invalid_reason, '') FROM v.concept WHERE concept_id IN ({ids})"
        ).fetchall()
    }
    for name, binding in named.items():
        yield from _compare(name, binding, rows.get(binding.concept.id))


def _compare(name: str, binding: Binding, row: tuple[str, ...] | None) -> Iterator[Difference]:
    ours = binding.concept
    if row is None:
        yield Difference(name, ours.id, "missing", ours.name, "")
        return
    vocabulary, code, standard, title, invalid = row
    if vocabulary != ours.vocabulary:
        yield Difference(name, ours.id, "vocabulary", ours.vocabulary, vocabulary)
    if ours.code and code != ours.code and ours.code != GENERATED:
        yield Difference(name, ours.id, "code", ours.code, code)
    if ours.standard != "?" and standard != ours.standard:
        yield Difference(
            name, ours.id, "standard", ours.standard, f"{standard}{' invalid ' + invalid if invalid else ''}"
        )
    if binding.status == "verified" and title.casefold() != ours.name.casefold():
        yield Difference(name, ours.id, "name", ours.name, title)


def _difference_issue(difference: Difference) -> Issue:
    rule = "omop.binding-renamed" if difference.what == "name" else "omop.binding-differs"
    if difference.what == "missing":
        rule = "omop.binding-missing"
    return issue(
        rule,
        Place(file="bindings.csv", field=difference.binding),
        what=difference.what,
        ours=difference.ours,
        theirs=difference.theirs,
        concept=difference.concept_id,
    )


def _publish(building: Path, target: Path) -> None:
    with building.open("rb") as stream:
        os.fsync(stream.fileno())
    building.replace(target)


def _discard(building: Path) -> None:
    for path in (building, building.with_name(building.name + ".wal")):
        path.unlink(missing_ok=True)


def _one(connection: DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def _quote(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
