"""Two writers, a full disk, a path that can't be written, a newer schema, kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from masterkey_fhir.issue import MasterkeyError
from masterkey_fhir.store import Repository, StoreError
from masterkey_fhir.store.schema import HEAD, KNOWN, metadata

SITE = "jp_ncch"
PATIENT = {"resourceType": "Patient", "id": "p"}


def rule(error: pytest.ExceptionInfo[MasterkeyError]) -> str:
    return error.value.issues[0].rule


# --- the lease ------------------------------------------------------------------------------------------


def test_a_second_writer_waits_visibly_and_then_writes(tmp_path: Path) -> None:
    first, second = Repository.open(tmp_path / "r.db"), Repository.open(tmp_path / "r.db")
    told: list[tuple[str, float]] = []
    holding = threading.Event()

    def hold() -> None:
        with first.writing(holder="load of jp_ncch") as writer:
            writer.put(SITE, PATIENT)
            holding.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait()
    with second.writing(on_wait=lambda holder, seconds: told.append((holder, seconds))) as writer:
        assert writer.put(SITE, PATIENT) == "unchanged"
    thread.join()
    assert told and told[0][0] == "load of jp_ncch"
    assert not (tmp_path / "r.db.lease").exists()


@pytest.mark.parametrize("same", [True, False], ids=["one repository", "two repositories"])
def test_the_wait_is_bounded(tmp_path: Path, same: bool) -> None:
    first = Repository.open(tmp_path / "r.db")
    second = first if same else Repository.open(tmp_path / "r.db")
    with first.writing(holder="load of jp_ncch"), pytest.raises(StoreError) as error, second.writing(wait=0.05):
        pytest.fail("wrote while another held the lease")
    assert rule(error) == "fhir.store-busy" and "load of jp_ncch" in str(error.value)


def test_readers_do_not_wait_and_see_one_state(tmp_path: Path) -> None:
    repository = Repository.open(tmp_path / "r.db")
    with repository.writing() as writer:
        writer.put(SITE, PATIENT)
        assert repository.read(SITE, "Patient", "p") is None
    assert repository.read(SITE, "Patient", "p") is not None


# --- what the machine refuses ---------------------------------------------------------------------------


def test_a_full_disk_is_an_issue_and_leaves_everything_as_it_was(tmp_path: Path) -> None:
    repository = Repository.open(tmp_path / "r.db")
    with repository.writing() as writer:
        writer.put(SITE, PATIENT)
    big = [({"resourceType": "Patient", "id": f"p{n}", "x": os.urandom(9000).hex()}, None, None) for n in range(40)]
    with pytest.raises(StoreError) as error, repository.writing() as writer:
        pages = writer._db.exec_driver_sql("PRAGMA page_count").scalar()
        writer._db.exec_driver_sql(f"PRAGMA max_page_count={(pages or 0) + 5}")  # SQLite's own full disk
        writer.put_many(SITE, big)
    assert rule(error) == "fhir.store-full"
    again = Repository.open(tmp_path / "r.db")
    assert again.counts() == {"Patient": 1}
    with again.writing() as writer:
        assert writer.put_many(SITE, big)["created"] == 40


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as error:
        Repository.open(tmp_path / "missing" / "r.db")
    assert rule(error) == "fhir.store-unwritable" and str(tmp_path) not in str(error.value)


def test_a_read_only_database(tmp_path: Path) -> None:
    Repository.open(tmp_path / "r.db").close()
    read_only = Repository.open(f"sqlite:///file:{tmp_path / 'r.db'}?mode=ro&uri=true")
    with pytest.raises(StoreError) as error, read_only.writing() as writer:
        writer.put(SITE, PATIENT)
    assert rule(error) == "fhir.store-unwritable"


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "r.db").write_bytes(b"this is not a database, it is a sentence" * 100)
    with pytest.raises(StoreError) as error:
        Repository.open(tmp_path / "r.db")
    assert rule(error) == "fhir.store-damaged"


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    repository = Repository.open(tmp_path / "r.db")
    with repository._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError) as error:
        Repository.open(tmp_path / "r.db")
    assert rule(error) == "fhir.store-newer"


# --- the schema -----------------------------------------------------------------------------------------


def test_the_migrations_make_the_tables_of_the_code(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    repository = Repository.open(tmp_path / "r.db")
    with repository._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_head_is_the_newest_script() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "masterkey_fhir.store:migrations")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_current_head() == HEAD
    assert tuple(s.revision for s in reversed(list(scripts.walk_revisions()))) == KNOWN


# --- kill -9 --------------------------------------------------------------------------------------------

_LOAD = """
import os, sys
from masterkey_fhir.store import Repository, Source
repository = Repository.open(sys.argv[1])
stop = int(sys.argv[2])
with repository.writing(holder="load") as writer:
    number = writer.begin_submission("jp_ncch", "a.csv", "00", 9)
    for batch in range(6):
        if batch == stop:
            print("here", flush=True)
            sys.stdin.read()
        items = []
        for n in range(300):
            r = {"resourceType": "Observation", "id": f"o{batch}-{n}", "subject": {"reference": f"Patient/p{n % 7}"},
                 "identifier": [{"system": f"urn:s{n % 3}", "value": str(n)}], "note": [{"text": "x" * 900}]}
            items.append((r, None, Source(number, "a.csv", (n + 2,), "m", "o")))
        writer.put_many("jp_ncch", items)
    writer.add_ledger(number, [("c", "mapped", "", 1800)])
    writer.finish_submission(number, rows=1800)
"""

_TIMES = {"resource": {"updated"}, "version": {"updated"}, "audit": {"recorded"}, "submission": {"received"}}


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table, without the time columns."""
    with Repository.open(path)._engine.connect() as connection:
        out = {}
        for table in metadata.sorted_tables:
            columns = [c.name for c in table.columns if c.name not in _TIMES.get(table.name, ())]
            names = ", ".join(f'"{c}"' for c in columns)
            out[table.name] = sorted(tuple(r) for r in connection.exec_driver_sql(f"SELECT {names} FROM {table.name}"))
        return out


def load(path: Path, stop: int = -1) -> None:
    """Run the load in a process of its own; with `stop` >= 0, kill -9 it before that batch."""
    command = [sys.executable, "-c", _LOAD, str(path), str(stop)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        if stop >= 0:
            assert process.stdout and process.stdout.readline() == b"here\n"
            process.send_signal(signal.SIGKILL)
        assert process.wait() == (-signal.SIGKILL if stop >= 0 else 0)


def test_kill_9_leaves_nothing_half_and_the_second_run_equal_rows(tmp_path: Path) -> None:
    load(tmp_path / "whole.db")
    whole = rows(tmp_path / "whole.db")
    assert len(whole["resource"]) == 1800
    load(tmp_path / "struck.db", stop=2)
    empty = rows(tmp_path / "struck.db")
    assert not any(empty.values())
    load(tmp_path / "struck.db", stop=5)
    load(tmp_path / "struck.db")
    assert rows(tmp_path / "struck.db") == whole
