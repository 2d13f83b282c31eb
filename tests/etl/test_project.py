"""`project`: increments equal a rebuild, re-runs change nothing, readers and kills do no harm, nothing vanishes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from masterkey_etl.project import ProjectionMapError, ProjectionResult, load_maps, project, vocabulary_file
from masterkey_etl.project.census import Census, paths_of
from masterkey_etl.project.paths import read_by
from masterkey_fhir.store import Repository
from masterkey_omop import schema, vocabulary
from masterkey_omop.keys import KeyMap

CASE = json.loads((Path(__file__).parent / "project_case/fhir.json").read_text(encoding="utf-8"))
HOSPITAL = {"resourceType": "Organization", "id": "o1", "name": "Hospital"}
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def of_patient(name: str, resources: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The worked case as another patient: every id and reference gets the suffix."""
    text = json.dumps(resources or CASE)
    for resource in resources or CASE:
        kind, id = resource["resourceType"], resource["id"]
        text = text.replace(f'"{kind}/{id}"', f'"{kind}/{id}-{name}"')
        text = text.replace(f'"resourceType": "{kind}", "id": "{id}"', f'"resourceType": "{kind}", "id": "{id}-{name}"')
    return list(json.loads(text))


def put(repository: Repository, site: str, *resources: dict[str, Any]) -> None:
    with repository.writing() as writer:
        for resource in resources:
            writer.put(site, resource, text=None, source=None)


def delete(repository: Repository, site: str, kind: str, id: str) -> None:
    with repository.writing() as writer:
        writer.delete(site, kind, id)


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    opened = Repository.open(tmp_path / "repository.db", clock=lambda: NOON)
    yield opened
    opened.close()


def contents(root: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every table of the published CDM, keys replaced by what they stand for, rows in a fixed order."""
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{root / 'cdm/cdm.duckdb'}' AS cdm (READ_ONLY)")
    connection.execute("USE cdm")
    with KeyMap(root / "projector/keys.duckdb") as keys:
        names = {
            (table, id): "/".join((site, *key))
            for site, *key, id in keys._db.execute(
                "SELECT site, table_name, type, fhir_id, slot, id FROM key"
            ).fetchall()
            for table in [key[0]]
        }
    out = {}
    for prefix, tables in (("", schema.tables()), ("masterkey.", schema.tables("side"))):
        for name, table in tables.items():
            rows = connection.execute(f"SELECT * FROM {prefix}{name}").fetchall()
            fields = list(table.fields.values())
            if rows:
                out[prefix + name] = sorted((_named(row, fields, names, name) for row in rows), key=repr)
    connection.close()
    return out


def _named(row: tuple[Any, ...], fields: list[schema.Field], names: dict[tuple[str, int], str], table: str) -> Any:
    cells = dict(zip((f.name for f in fields), row, strict=True))
    return tuple(_cell(f, cells, names, table) for f in fields)


FIELD_TABLES = {
    b.concept.id: name.split(".")[1] for name, b in vocabulary.bindings().items() if name.startswith("field.")
}
EVENTS = {"measurement_event_id": "meas_event_field_concept_id", "observation_event_id": "obs_event_field_concept_id",
          "event_id": "episode_event_field_concept_id"}  # fmt: skip


def _cell(field: schema.Field, cells: dict[str, Any], names: dict[tuple[str, int], str], table: str) -> Any:
    value = cells[field.name]
    if value is None or field.type != "integer" or field.name.endswith("concept_id"):
        return value
    if field.name == "row_id":
        return names[("person" if cells["table_name"] == "death" else cells["table_name"], value)]
    if field.name in EVENTS:
        return names[(FIELD_TABLES[cells[EVENTS[field.name]]], value)]
    target = {"episode_parent_id": "episode"}.get(field.name, field.name.removesuffix("_id"))
    return names.get((target, value), value) if field.name.endswith("_id") else value


def rebuilt(root: Path, repository: Repository) -> dict[str, list[tuple[Any, ...]]]:
    project(root, repository, all=True)
    return contents(root)


def test_the_case_reaches_the_cdm(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    done: list[tuple[int, int | None]] = []
    result = project(tmp_path, repository, progress=lambda n, total: done.append((n, total)))
    assert (result.patients, result.published, result.high_water) == (1, True, repository.last_change())
    assert done == [(1, 1)]
    assert dict(result.rows) == {
        "care_site": 1, "cdm_source": 1, "condition_occurrence": 1, "death": 1, "drug_exposure": 1, "episode": 3,
        "episode_event": 2, "measurement": 8, "observation": 6, "observation_period": 1, "person": 1, "specimen": 1,
    }  # fmt: skip
    assert result.issues == ()
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    assert connection.execute("SELECT care_site_name FROM person JOIN care_site USING (care_site_id)").fetchall() == [
        ("Hospital",)
    ]
    assert connection.execute("SELECT genes, allele_fraction, rung FROM masterkey.variant").fetchall() == [
        ("BRAF", 0.21, "gene")
    ]
    assert connection.execute("SELECT line, phase, status FROM masterkey.treatment_line").fetchall() == [
        (1, "before-panel", "completed")
    ]
    assert connection.execute("SELECT tumour_content FROM masterkey.specimen_quality").fetchall() == [(40.0,)]
    assert connection.execute("SELECT cdm_version, cdm_release_date::VARCHAR FROM cdm_source").fetchall() == [
        ("v5.4", "2026-11-25")
    ]
    used = connection.execute(
        "SELECT count(*) FROM measurement m ANTI JOIN concept c ON c.concept_id = m.measurement_concept_id"
    ).fetchall()
    assert used == [(0,)]
    connection.close()


def test_every_value_is_mapped_or_set_aside_with_a_reason(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    balance = project(tmp_path, repository).balance
    assert {b.status for b in balance} == {"mapped", "set_aside"}
    assert all(b.reason for b in balance if b.status == "set_aside")
    counted = sum(1 for r in (HOSPITAL, *CASE) for _ in paths_of(r)) - 1 - len(CASE)  # resourceType is no element
    assert sum(b.n for b in balance) == counted


def test_a_path_that_no_map_lists_is_an_issue(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", *CASE, {**CASE[0], "id": "p2", "language": "ja"})
    result = project(tmp_path, repository)
    (found,) = [i for i in result.issues if i.rule == "etl.element-unlisted"]
    assert (found.place.expression, found.count) == ("Patient.language", 1)


def test_a_second_run_publishes_nothing(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    first = project(tmp_path, repository)
    stamp = (tmp_path / "cdm/cdm.duckdb").stat().st_ino
    second = project(tmp_path, repository)
    assert (second.patients, second.published) == (0, False)
    assert (tmp_path / "cdm/cdm.duckdb").stat().st_ino == stamp
    assert (second.rows, second.balance, second.issues) == (first.rows, first.balance, first.issues)


def test_corrections_deletions_and_moves_reach_the_cdm(tmp_path: Path, repository: Repository) -> None:
    a, b = of_patient("a"), of_patient("b")
    put(repository, "jp_x", HOSPITAL, *a, *b)
    project(tmp_path, repository)
    person = person_ids(tmp_path)
    corrected = {**a[0], "gender": "male"}
    moved = next(r for r in b if r["id"] == "smoke-b") | {"subject": {"reference": "Patient/p1-a"}}
    put(repository, "jp_x", corrected, moved)
    delete(repository, "jp_x", "MedicationStatement", "d1-a")
    result = project(tmp_path, repository)
    assert result.patients == 2
    assert person_ids(tmp_path) == person
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    assert connection.execute(
        "SELECT person_source_value, gender_concept_id FROM person ORDER BY person_id"
    ).fetchall() == [("pseudo1", 8507), ("pseudo1", 8532)]
    assert connection.execute("SELECT count(*) FROM drug_exposure").fetchall() == [(1,)]
    smoking = "SELECT person_id, count(*) FROM observation WHERE observation_source_value = 'smoking' GROUP BY 1"
    assert connection.execute(smoking).fetchall() == [(person["p1-a"], 2)]
    connection.close()
    increments = contents(tmp_path)
    assert increments == rebuilt(tmp_path, repository)


def person_ids(root: Path) -> dict[str, int]:
    connection = duckdb.connect(str(root / "cdm/cdm.duckdb"), read_only=True)
    rows = connection.execute("SELECT fhir_id, row_id FROM masterkey.origin WHERE table_name = 'person'").fetchall()
    connection.close()
    return dict(rows)


def test_a_deleted_patient_leaves_no_row(tmp_path: Path, repository: Repository) -> None:
    a, b = of_patient("a"), of_patient("b")
    put(repository, "jp_x", HOSPITAL, *a, *b)
    project(tmp_path, repository)
    for resource in b:
        delete(repository, "jp_x", resource["resourceType"], resource["id"])
    project(tmp_path, repository)
    assert set(person_ids(tmp_path)) == {"p1-a"}
    assert contents(tmp_path) == rebuilt(tmp_path, repository)


def test_sites_with_the_same_ids_stay_apart(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    put(repository, "my_y", HOSPITAL | {"name": "Other"}, *CASE)
    assert project(tmp_path, repository).rows["person"] == 2
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    names = "SELECT o.site, care_site_name FROM person p JOIN care_site USING (care_site_id) "
    joined = "JOIN masterkey.origin o ON o.table_name = 'person' AND o.row_id = p.person_id ORDER BY 1"
    assert connection.execute(names + joined).fetchall() == [("jp_x", "Hospital"), ("my_y", "Other")]
    connection.close()


def test_a_hospital_that_arrives_late_or_never(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", *CASE)
    assert project(tmp_path, repository).rows["care_site"] == 1  # referred to, unknown
    elsewhere = {**CASE[0], "id": "p2", "managingOrganization": {"reference": "Organization/o2"}}
    put(repository, "jp_x", elsewhere)
    assert project(tmp_path, repository).rows["care_site"] == 2
    delete(repository, "jp_x", "Patient", "p2")
    put(repository, "jp_x", HOSPITAL)
    project(tmp_path, repository)
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    assert connection.execute("SELECT care_site_name FROM care_site").fetchall() == [("Hospital",)]
    connection.close()


RESOURCES = [r for r in [*of_patient("a"), *of_patient("b")] if r["resourceType"] != "Organization"]
events = st.one_of(
    st.tuples(st.just("put"), st.integers(0, len(RESOURCES) - 1), st.sampled_from(["2020-01-01", "2021", "2022-02"])),
    st.tuples(st.just("delete"), st.integers(0, len(RESOURCES) - 1), st.none()),
    st.tuples(st.just("project"), st.none(), st.none()),
)


@settings(max_examples=3, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(events, min_size=8, max_size=16))
def test_any_history_of_increments_equals_a_rebuild(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[str, Any, Any]]
) -> None:
    root = tmp_path_factory.mktemp("history")
    repository = Repository.open(root / "repository.db", clock=lambda: NOON)
    put(repository, "jp_x", *RESOURCES[:3], *RESOURCES[len(CASE) : len(CASE) + 3])
    project(root, repository)
    for what, index, date in history:
        if what == "put":
            resource = dict(RESOURCES[index])
            if "effectiveDateTime" in resource:
                resource["effectiveDateTime"] = date
            put(repository, "jp_x", resource)
        elif what == "delete":
            stored = repository.read("jp_x", RESOURCES[index]["resourceType"], RESOURCES[index]["id"])
            if stored and not stored.deleted:
                delete(repository, "jp_x", stored.type, stored.id)
        else:
            project(root, repository)
    project(root, repository)
    increments = contents(root)
    assert increments == rebuilt(root, repository)
    repository.close()


KILLED = """
import os, signal, sys
from pathlib import Path
strike, calls = int(sys.argv[2]), 0
def struck(call):
    def wrapper(*arguments, **named):
        global calls
        calls += 1
        if calls == strike:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return wrapper
from masterkey_omop import keys, publish
from masterkey_etl.project import writer, run
os.fsync = struck(os.fsync)
os.link = struck(os.link)
Path.replace = struck(Path.replace)
keys.KeyMap.commit = struck(keys.KeyMap.commit)
writer.CdmWriter.write = struck(writer.CdmWriter.write)
from masterkey_fhir.store import Repository
root = Path(sys.argv[1])
run.project(root, Repository.open(root / "repository.db"))
"""


@pytest.mark.slow  # tests/etl/test_load_killed.py samples these strikes
def test_killed_anywhere_a_second_run_completes(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *of_patient("a"))
    project(tmp_path, repository)
    before = person_ids(tmp_path)
    put(repository, "jp_x", *of_patient("b"))
    killed = 0
    for strike in range(1, 30):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path, str(strike)], check=False)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        assert before.items() <= person_ids(tmp_path).items()
    assert killed >= 3
    assert set(person_ids(tmp_path)) == {"p1-a", "p1-b"}
    assert before.items() <= person_ids(tmp_path).items()
    assert contents(tmp_path) == rebuilt(tmp_path, repository)


def test_a_changed_map_rebuilds(tmp_path: Path, repository: Repository, repository_root: Path) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    project(tmp_path, repository)
    overlay = tmp_path / "mappings/omop"
    overlay.mkdir(parents=True)
    for path in (repository_root / "mappings/omop").iterdir():
        (overlay / path.name).write_bytes(path.read_bytes())
    text = (overlay / "Organization.yaml").read_text(encoding="utf-8")
    (overlay / "Organization.yaml").write_text(text.replace("care_site_name: name", "care_site_name: id"), "utf-8")
    result: ProjectionResult = project(tmp_path, repository)
    assert (result.published, result.patients) == (True, 1)
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    assert connection.execute("SELECT care_site_name FROM care_site").fetchall() == [("o1",)]
    connection.close()


def test_a_loaded_vocabulary_rebuilds(tmp_path: Path, repository: Repository) -> None:
    put(repository, "jp_x", HOSPITAL, *CASE)
    project(tmp_path, repository)
    folder = tmp_path / "athena"
    folder.mkdir()
    dates = "valid_start_date\tvalid_end_date\tinvalid_reason\n"
    (folder / "CONCEPT.csv").write_text(
        "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\t"
        f"{dates}100\tLiposarcoma of hip\tCondition\tICDO3\tICDO Condition\tS\t8858/3-C49.5\t"
        "19700101\t20991231\t\n",
        encoding="utf-8",
    )
    (folder / "CONCEPT_RELATIONSHIP.csv").write_text(f"concept_id_1\tconcept_id_2\trelationship_id\t{dates}", "utf-8")
    (folder / "VOCABULARY.csv").write_text(
        "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id\n"
        "None\tOMOP\tOMOP\tv5 test\t0\n",
        encoding="utf-8",
    )
    vocabulary_file(tmp_path).parent.mkdir()
    vocabulary.load_bundle(folder, vocabulary_file(tmp_path))
    result = project(tmp_path, repository)
    assert (result.published, result.patients) == (True, 1)
    connection = duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True)
    assert connection.execute(
        "SELECT condition_concept_id, concept_name, vocabulary_version FROM condition_occurrence "
        "JOIN concept ON concept_id = condition_concept_id, cdm_source"
    ).fetchall() == [(100, "Liposarcoma of hip", "v5 test")]
    connection.close()
    assert project(tmp_path, repository).published is False


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("table: care_site", "table: care_sites", r"Organization\.yaml, row \d+: no table care_sites.*care_site"),
        (
            "care_site_name: name",
            "care_site_nam: name",
            r"row \d+: care_site has no field care_site_nam.*care_site_name",
        ),
        ("care_site_name: name", "care_site_name: nane", r"row \d+: the view has no column nane.*name"),
        ("{value: 0}", "{vaule: 0}", r"row \d+: no verb in vaule.*value"),
        ("{value: 0}", "{binding: type.registy}", r"row \d+: no binding is named type.registy.*type.registry"),
        ("{value: 0}", "{concept: place}", r"row \d+: no look-up place"),
        ("{value: 0}", "{fact: regisered}", r"no fact is named regisered.*registered"),
        ("edges:", "edge:", r"row \d+: unknown key edge.*edges"),
        ("path: name}", "path: nome}", r"hospital: "),
        ("reason: says", "reasons: says", r"a path set aside needs its reason"),
        ("resource: Organization", "resource: [", r"not YAML"),
    ],
)
def test_a_mistake_in_a_map_is_told_with_its_line(
    tmp_path: Path, repository_root: Path, old: str, new: str, said: str
) -> None:
    for path in (repository_root / "mappings/omop").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    wrong = tmp_path / "Organization.yaml"
    text = wrong.read_text(encoding="utf-8")
    assert old in text
    wrong.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ProjectionMapError, match=said):
        load_maps(tmp_path)


def test_what_a_view_reads() -> None:
    view = {
        "where": [{"path": "status != 'x'"}],
        "select": [
            {
                "column": [
                    {"path": "getResourceKey()"},
                    {"path": "subject.reference"},
                    {"path": "code.coding.where(system = 'a').code.first()"},
                    {"path": "value.ofType(Quantity).value"},
                    {"path": "extension('urn:x').value.ofType(code).first()"},
                    {"path": "birthDate.toString().substring(0, 4)"},
                ]
            },
            {"forEach": "component", "column": [{"path": "code.text"}, {"path": "%rowIndex"}]},
        ],
    }
    assert read_by(view) == {
        "status", "id", "subject.reference", "code.coding.system", "code.coding.code", "valueQuantity.value",
        "extension(urn:x).valueCode", "birthDate", "component.code.text",
    }  # fmt: skip


leaves = st.one_of(st.text(max_size=3), st.integers(), st.booleans())
names = st.sampled_from(["code", "coding", "value", "extension", "text"])
trees: st.SearchStrategy[Any] = st.deferred(
    lambda: leaves | st.lists(trees, max_size=3) | st.dictionaries(names, trees, max_size=3)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.dictionaries(names, trees, max_size=4), max_size=6))
def test_the_census_counts_every_leaf(resources: list[dict[str, Any]]) -> None:
    census = Census()
    for resource in resources:
        kind, paths = census.paths[census.shape_of(resource)]
        assert kind == ""
        assert sum(paths.values()) == leaves_of(resource)


def leaves_of(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value
    return sum(map(leaves_of, inner)) if isinstance(value, dict | list) else 1


def test_views_give_the_whole_text(tmp_path: Path, repository: Repository) -> None:
    """EPISODE and SPECIMEN hold 50 characters; the views read what was cut."""
    regimen, kind = "Vincristin, Doxorubicin, Cyclophosphamid, Ifosfamid, Etoposide", "formalin-fixed tissue " * 4
    case = json.loads(json.dumps([HOSPITAL, *CASE]))
    for resource in case:
        if resource["resourceType"] == "Procedure":
            resource["code"] = {"text": regimen}
        if resource["resourceType"] == "Specimen":
            resource["type"] = {"text": kind}
    put(repository, "jp_x", *case)
    project(tmp_path, repository)
    with duckdb.connect(str(tmp_path / "cdm/cdm.duckdb"), read_only=True) as connection:
        lines = connection.execute("SELECT DISTINCT regimen FROM masterkey.treatment_line").fetchall()
        specimens = connection.execute("SELECT specimen_source_value FROM masterkey.specimen_quality").fetchall()
    assert (lines, specimens) == ([(regimen,)], [(kind,)])
