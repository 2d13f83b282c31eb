"""Look-ups: (system or vocabulary, code) -> source concept -> standard concepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from masterkey_fhir.issue import MasterkeyError, Place, issue
from masterkey_omop.vocabulary.bindings import GENERATED, Binding, Concept, bindings, local_concepts, systems

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# CONCEPT row 0, the target of everything unmapped (https://ohdsi.github.io/CommonDataModel/dataModelConventions.html).
NO_CONCEPT = Concept(0, "No matching concept", "Metadata", "None", "Undefined", "", "No matching concept")
BINDINGS_VERSION = "masterkey bindings 1"  # fits cdm_source.vocabulary_version, varchar(20)


class VocabularyError(MasterkeyError):
    """The vocabulary can't be used: no bundle, a damaged one, or one that contradicts a binding."""


def load(path: Path | str | None = None) -> Vocabulary:
    """The vocabulary in `path` (a file made by `load_bundle`), or the shipped bindings when None.

    Raises VocabularyError when the file is missing or contradicts a binding.
    """
    if path is None:
        return Vocabulary()
    if not Path(path).is_file():
        raise VocabularyError(issue("omop.vocabulary-missing", Place(file=Path(path).name)))
    return Vocabulary(Path(path))


class Vocabulary:
    """Memoised look-ups in the bindings or, when given, in an Athena bundle's DuckDB file (read-only)."""

    def __init__(self, file: Path | None = None) -> None:
        self.file = file
        self._bindings = bindings()
        self._by_code = {(b.concept.vocabulary, b.concept.code): b.concept for b in self._usable()}
        self._local = {(c.vocabulary, c.code): c for c in local_concepts()}
        self._by_id = {b.concept.id: b.concept for b in self._bindings.values()} | {0: NO_CONCEPT}
        self._by_id |= {c.id: c for c in local_concepts()}
        self._found: dict[tuple[str, str], Concept | None] = {}
        self._standard: dict[tuple[str, str], tuple[Concept, ...]] = {}
        self._values: dict[int, int] = {}
        self._db: DuckDBPyConnection | None = _attach(file) if file else None
        self.version = self._version()

    def _usable(self) -> Iterator[Binding]:
        """Bindings that a code finds: not the twins, which exist only to be asserted away."""
        hidden = ("", GENERATED)
        return (b for b in self._bindings.values() if b.concept.code not in hidden and not b.name.startswith("twin."))

    def _version(self) -> str:
        if not self._db:
            return BINDINGS_VERSION
        rows = self._db.execute("SELECT vocabulary_version FROM v.vocabulary WHERE vocabulary_id = 'None'").fetchall()
        return str(rows[0][0]) if rows and rows[0][0] else "unknown"

    def counts(self) -> list[tuple[str, int]]:
        """How many concepts of each vocabulary are here, by name."""
        if not self._db:
            return sorted(Counter(b.concept.vocabulary for b in self._bindings.values()).items())
        return self._db.execute("SELECT vocabulary_id, count(*) FROM v.concept GROUP BY 1 ORDER BY 1").fetchall()

    def binding(self, name: str) -> int:
        """The concept id of a named binding. Raises VocabularyError when no binding has that name."""
        found = self._bindings.get(name)
        if found is None:
            raise VocabularyError(issue("omop.binding-unknown", binding=name, near=_near(name, self._bindings)))
        return found.concept.id

    def concept(self, concept_id: int) -> Concept:
        """The concept of an id; the row 0 when unknown."""
        if concept_id not in self._by_id and self._db:
            rows = self._db.execute(f"{_CONCEPT} WHERE concept_id = ?", [concept_id]).fetchall()
            self._by_id.update({int(r[0]): Concept(*r) for r in rows})
        return self._by_id.get(concept_id, NO_CONCEPT)

    def lookup(self, system: str, code: str) -> Concept | None:
        """The concept of a code as the source says it, standard or not. `system`: FHIR URI or vocabulary."""
        vocabulary, plain = _plain(system, code)
        key = (vocabulary, plain)
        if key not in self._found:
            self._found[key] = self._ask(key)
        return self._found[key]

    def _ask(self, key: tuple[str, str]) -> Concept | None:
        if key in self._local:
            return self._local[key]
        if self._db:
            rows = self._db.execute(
                f"{_CONCEPT} WHERE vocabulary_id = ? AND concept_code = ? ORDER BY invalid_reason IS NOT NULL, 1",
                [*key],
            ).fetchall()
            return Concept(*rows[0]) if rows else None
        return self._by_code.get(key)

    def standard(self, system: str, code: str) -> tuple[Concept, ...]:
        """The standard concepts a code maps to: itself, or through a valid `Maps to`; () = unmapped.

        One code may map to several targets; all are returned, by id (omop.md 2).
        """
        key = _plain(system, code)
        if key not in self._standard:
            source = self.lookup(system, code)
            self._standard[key] = self._targets(source) if source else ()
        return self._standard[key]

    def _targets(self, source: Concept) -> tuple[Concept, ...]:
        if source.standard == "S" or (source.standard == "?" and not self._db):
            return (source,)
        if not self._db:
            return ()
        rows = self._db.execute(_MAPS_TO, [source.id, "Maps to"]).fetchall()
        return tuple(Concept(*r) for r in rows)

    def value_of(self, source: Concept) -> int:
        """The value part of a code that is split into concept and value (`Maps to value`), else 0."""
        if source.id not in self._values:
            rows = self._db.execute(_MAPS_TO, [source.id, "Maps to value"]).fetchall() if self._db else []
            self._values[source.id] = int(rows[0][0]) if rows else 0
        return self._values[source.id]

    def used(self, ids: Iterable[int]) -> list[Concept]:
        """The concepts of `ids` that exist, for the CDM's own CONCEPT table, by id."""
        wanted = sorted(set(ids))
        unknown = [i for i in wanted if i not in self._by_id]
        if unknown and self._db:
            rows = self._db.execute(f"{_CONCEPT} WHERE concept_id IN (SELECT unnest(?))", [unknown]).fetchall()
            self._by_id.update({int(r[0]): Concept(*r) for r in rows})
        return [self._by_id[i] for i in wanted if i in self._by_id]

    def close(self) -> None:
        if self._db:
            self._db.close()


_CONCEPT = (
    "SELECT concept_id, concept_name, domain_id, vocabulary_id, concept_class_id, "
    "coalesce(standard_concept, ''), concept_code FROM v.concept"
)
_MAPS_TO = (
    f"{_CONCEPT} c JOIN v.concept_relationship r ON r.concept_id_2 = c.concept_id "
    "WHERE r.concept_id_1 = ? AND r.relationship_id = ? AND r.invalid_reason IS NULL "
    "AND c.standard_concept = 'S' AND c.invalid_reason IS NULL ORDER BY c.concept_id"
)


def _plain(system: str, code: str) -> tuple[str, str]:
    found = systems().get(system)
    return (found.vocabulary, code.removeprefix(found.strip)) if found else (system, code)


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    return ", ".join(get_close_matches(name, list(names), 3)) or "none"


def _attach(file: Path) -> DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    try:
        connection.execute(f"ATTACH '{str(file).replace(chr(39), chr(39) * 2)}' AS v (READ_ONLY)")
    except duckdb.Error as error:
        raise VocabularyError(issue("omop.vocabulary-unreadable", Place(file=file.name))) from error
    return connection
