"""Bindings and the Athena loader, on a small bundle written as Athena writes it."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from masterkey_omop import vocabulary
from masterkey_omop.vocabulary import VocabularyError, bindings, load_bundle
from masterkey_omop.vocabulary.athena import BundleError
from masterkey_omop.vocabulary.bindings import local_concepts

CONCEPT = (
    "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\t"
    "valid_start_date\tvalid_end_date\tinvalid_reason\n"
)
RELATION = "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason\n"
VOCABULARY = (
    "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id\n"
    'None\tOMOP "Standardized" Vocabularies\tOMOP\tv5.0 27-AUG-25\t44819096\n'
)


def concept(*cells: object) -> str:
    return "\t".join([*map(str, cells), "19700101", "20991231", ""]) + "\n"


def all_bindings(change: Callable[[str], str] = lambda row: row) -> str:
    rows = [b.concept for b in bindings().values()]
    return "".join(
        change(concept(c.id, c.name, c.domain, c.vocabulary, c.concept_class, c.standard.strip("?"), c.code))
        for c in rows
    )


def bundle(folder: Path, concepts: str, relations: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "CONCEPT.csv").write_text(CONCEPT + concepts, encoding="utf-8")
    (folder / "CONCEPT_RELATIONSHIP.csv").write_text(RELATION + relations, encoding="utf-8")
    (folder / "VOCABULARY.csv").write_text(VOCABULARY, encoding="utf-8")
    return folder


def test_a_binding_has_one_id() -> None:
    words = vocabulary.load()
    assert words.binding("field.episode.episode_id") == 756290
    assert words.binding("type.registry") == 32879
    # 756290 and 798885 have one name; look-ups find only the first (omop.md 1.1)
    assert words.lookup("CDM", "CDM975") == bindings()["field.episode.episode_id"].concept
    assert words.lookup("CDM", "CDM1040") is None


def test_an_unknown_binding_says_what_is_near() -> None:
    with pytest.raises(VocabularyError, match=r"type\.registy.*type\.registry"):
        vocabulary.load().binding("type.registy")


def test_lookup_by_fhir_system() -> None:
    words = vocabulary.load()
    assert [c.id for c in words.standard("http://www.genenames.org", "HGNC:1097")] == [35948173]
    assert [c.id for c in words.standard("http://loinc.org", "81695-9")] == [21493972]
    assert words.standard("Gender", "U") == ()  # a source concept, not a standard one
    assert words.lookup("Gender", "U").id == 8551  # type: ignore[union-attr]
    assert words.standard("http://loinc.org", "0000-0") == ()
    assert words.concept(35948173).code == "1097"
    assert [c.id for c in words.used([8507, 0, 999999999])] == [0, 8507]


def test_bindings_have_sources_and_fit_the_cdm() -> None:
    rows = bindings()
    ids = [b.concept.id for b in rows.values()]
    assert len(ids) == len(set(ids)) == 665
    assert all(b.source and b.status in ("verified", "stated") for b in rows.values())
    assert all(0 < i < 2_000_000_000 for i in ids)
    assert len(vocabulary.load().version) <= 20


def test_local_concepts_keep_their_ids_and_are_never_standard() -> None:
    words = vocabulary.load()
    item = words.lookup("urn:masterkey:fhir:CodeSystem:registry-item", "registration")
    assert item is not None
    assert (item.id, item.standard) == (2120000009, "")
    assert words.standard("masterkey item", "registration") == ()
    ids = [c.id for c in local_concepts()]
    assert len(ids) == len(set(ids))
    assert all(2_120_000_000 < i < 2**31 for i in ids)


@pytest.mark.shared
def test_verified_bindings_equal_their_source(shared: Path) -> None:
    with (shared / "data/omop/core_concepts.csv").open(encoding="utf-8", newline="") as stream:
        core = {
            (r["concept_id"], r["vocabulary_id"], r["concept_code"], r["standard_concept"], r["domain_id"])
            for r in csv.DictReader(stream)
        }
    with (shared / "data/codes/genomics_codes.csv").open(encoding="utf-8", newline="") as stream:
        fusions = {(r["code"], r["display"]) for r in csv.DictReader(stream) if r["kind"] == "omop-genomic"}
    for b in bindings().values():
        c = b.concept
        if b.status == "verified":
            assert (str(c.id), c.vocabulary, c.code, c.standard, c.domain) in core or (
                (str(c.id), c.name) in fusions
            ), b.name


def test_a_bundle_answers_like_athena(tmp_path: Path) -> None:
    folder = bundle(
        tmp_path / "athena",
        all_bindings()
        + concept(44819096, "OMOP Standardized Vocabularies", "Metadata", "None", "", "", "OMOP generated")
        + concept(45766714, 'Inflamed "joint"', "Condition", "SNOMED", "Disorder", "S", "703938007")
        + concept(45766715, "Second target", "Observation", "SNOMED", "Finding", "S", "703938008")
        + concept(99, "Old target", "Condition", "SNOMED", "Disorder", "", "1")
        + concept(100, "C49.9", "Condition", "ICD10", "ICD10 code", "", "C49.9"),
        "100\t99\tMaps to\t19700101\t20991231\t\n"
        "100\t45766714\tMaps to\t19700101\t20991231\t\n"
        "100\t45766715\tMaps to\t19700101\t20991231\t\n"
        "100\t9191\tMaps to value\t19700101\t20991231\t\n"
        "100\t8507\tMaps to\t19700101\t20200101\tD\n",
    )
    report = load_bundle(folder, tmp_path / "vocabulary.duckdb")
    assert report.version == "v5.0 27-AUG-25"
    assert report.rows == {"concept": len(bindings()) + 5, "concept_relationship": 5, "vocabulary": 1}
    assert {d.what for d in report.differences} <= {"standard"}  # 9191 and 9189: no source states the flag
    words = vocabulary.load(tmp_path / "vocabulary.duckdb")
    assert words.version == "v5.0 27-AUG-25"
    found = words.standard("http://hl7.org/fhir/sid/icd-10", "C49.9")
    assert [c.id for c in found] == [45766714, 45766715]  # not the invalid one, nor 99, which is not standard
    assert found[0].name == 'Inflamed "joint"'
    assert words.binding("gender.male") == 8507


def test_maps_to_value(tmp_path: Path) -> None:
    folder = bundle(
        tmp_path / "athena",
        concept(100, "x", "Measurement", "Own", "", "", "x")
        + concept(7, "Positive", "Meas Value", "Own", "", "S", "p"),
        "100\t7\tMaps to value\t19700101\t20991231\t\n",
    )
    load_bundle(folder, tmp_path / "v.duckdb")
    words = vocabulary.load(tmp_path / "v.duckdb")
    source = words.lookup("Own", "x")
    assert source is not None
    assert (words.standard("Own", "x"), words.value_of(source)) == ((), 7)
    words.close()


def test_every_binding_is_asserted(tmp_path: Path) -> None:
    def swapped(row: str) -> str:
        cells = row.split("\t")
        if cells[0] == "756290":
            cells[6] = "CDM1040"
        if cells[0] == "8507":
            cells[5] = ""
        return "" if cells[0] == "32879" else "\t".join(cells)

    report = load_bundle(bundle(tmp_path / "athena", all_bindings(swapped)), tmp_path / "v.duckdb")
    found = {(d.binding, d.what, d.ours, d.theirs) for d in report.differences}
    assert ("field.episode.episode_id", "code", "CDM975", "CDM1040") in found
    assert ("gender.male", "standard", "S", "") in found
    assert ("type.registry", "missing", "Registry", "") in found
    rules = {i.rule for i in report.issues}
    assert {"omop.binding-differs", "omop.binding-missing"} <= rules
    assert any("CDM1040" in str(i) for i in report.issues)


def test_bad_rows_are_issues_and_the_rest_arrives(tmp_path: Path) -> None:
    rows = [
        concept(1, "one", "Drug", "X", "", "S", "a"),
        "2\ttoo short\tDrug\n",
        concept("three", "not a number", "Drug", "X", "", "S", "c"),
        concept(4, "four", "Drug", "X", "", "S", "d"),
        "5\tdate\tDrug\tX\t\tS\te\t19701301\t20991231\t\n",
    ]
    report = load_bundle(bundle(tmp_path / "athena", "".join(rows)), tmp_path / "v.duckdb")
    assert (report.rows["concept"], report.refused["concept"]) == (2, 3)
    assert [i.place.row for i in report.issues if i.rule == "omop.bundle-row"] == [3, 4, 6]
    assert not [i for i in report.issues if i.rule == "omop.bundle-balance"]


def test_a_zip_is_a_folder(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "athena", concept(1, "one", "Drug", "X", "", "S", "a"))
    with zipfile.ZipFile(tmp_path / "athena.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, f"download/{path.name}")
    report = load_bundle(tmp_path / "athena.zip", tmp_path / "v.duckdb")
    assert report.rows["concept"] == 1


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "athena", "")
    (folder / "VOCABULARY.csv").unlink()
    with pytest.raises(BundleError, match=r"VOCABULARY\.csv"):
        load_bundle(folder, tmp_path / "v.duckdb")
    (folder / "VOCABULARY.csv").write_text("vocabulary_id\tname\nNone\tx\n", encoding="utf-8")
    with pytest.raises(BundleError, match="vocabulary_version"):
        load_bundle(folder, tmp_path / "v.duckdb")
    assert not list(tmp_path.glob("*v.duckdb*"))
    with pytest.raises(VocabularyError, match="not there"):
        vocabulary.load(tmp_path / "v.duckdb")


def test_a_reload_replaces_the_file_and_a_failed_one_does_not(tmp_path: Path) -> None:
    target = tmp_path / "v.duckdb"
    load_bundle(bundle(tmp_path / "athena", concept(1, "one", "Drug", "X", "", "S", "a")), target)
    before = target.read_bytes()
    (tmp_path / "athena" / "CONCEPT.csv").write_text("nothing\n", encoding="utf-8")
    with pytest.raises(BundleError):
        load_bundle(tmp_path / "athena", target)
    assert target.read_bytes() == before
    assert duckdb.connect(str(target), read_only=True).execute("SELECT count(*) FROM concept").fetchall() == [(1,)]


def test_a_file_that_is_no_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "v.duckdb").write_bytes(io.BytesIO(b"not a database" * 100).getvalue())
    with pytest.raises(VocabularyError, match="can't be opened"):
        vocabulary.load(tmp_path / "v.duckdb")
