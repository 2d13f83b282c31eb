"""Publication: readers keep theirs, a kill leaves the last generation whole, old DuckDB opens the file."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import duckdb
import pytest

from masterkey_omop.publish import CdmStore, PublishError


def publish(folder: Path, person: int, *, lag: int | None = 100) -> None:
    with CdmStore(folder).building(lag=lag) as build:
        build.connection.execute(PERSON, [person])
        build.set_state(high_water=person)


PERSON = (
    "INSERT INTO person (person_id, gender_concept_id, year_of_birth, race_concept_id, ethnicity_concept_id) "
    "VALUES (?, 0, 1970, 0, 0)"
)


def persons(folder: Path) -> list[int]:
    with CdmStore(folder).connect() as connection:
        return [r[0] for r in connection.execute("SELECT person_id FROM person ORDER BY 1").fetchall()]


READER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print(connection.execute("SELECT count(*) FROM person").fetchall()[0][0], flush=True)
for line in sys.stdin:
    print(connection.execute("SELECT count(*) FROM person").fetchall()[0][0], flush=True)
"""

WRITER = """
import sys
from masterkey_omop.publish import CdmStore
with CdmStore(sys.argv[1]).building(lag=100) as build:
    build.connection.execute(sys.argv[3], [int(sys.argv[2])])
    build.set_state(high_water=int(sys.argv[2]))
    print("building", flush=True)
    sys.stdin.readline()
print("published", flush=True)
"""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen[str], question: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    if question:
        process.stdin.write(question + "\n")
        process.stdin.flush()
    return process.stdout.readline().strip()


def test_generations(tmp_path: Path) -> None:
    store = CdmStore(tmp_path / "cdm")
    assert store.high_water() == 0
    with pytest.raises(PublishError, match="nothing has been published"):
        store.cdm_path()
    publish(store.folder, 1)
    assert (persons(store.folder), store.high_water()) == ([1], 1)
    publish(store.folder, 2)
    assert (persons(store.folder), store.high_water()) == ([1, 2], 2)
    # the third is built in the first generation's file, which lacks 2: the caller replays from its own mark
    with store.building(lag=100) as build:
        assert build.high_water == 1
        build.connection.executemany(PERSON, [[2], [3]])
        build.set_state(high_water=3)
    assert (persons(store.folder), store.high_water()) == ([1, 2, 3], 3)
    with store.building(lag=0) as build:  # too far behind: a copy of what is published
        assert build.high_water == 3
    with store.building(empty=True) as build:
        assert build.high_water == 0
    assert persons(store.folder) == []


def test_an_exception_publishes_nothing(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with pytest.raises(RuntimeError), CdmStore(tmp_path).building() as build:
        build.connection.execute(PERSON, [2])
        raise RuntimeError
    assert persons(tmp_path) == [1]
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lease", "cdm.duckdb"]


def test_a_key_that_does_not_hold_is_never_published(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    with pytest.raises(PublishError, match=r"person\.person_id is not unique \(1 rows\)"):
        publish(tmp_path, 1, lag=None)
    assert persons(tmp_path) == [1]


def test_a_reader_in_another_process_keeps_its_generation(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    reader = python(READER, tmp_path / "cdm.duckdb")
    assert answer(reader) == "1"
    for person in (2, 3, 4):  # the second of these would build in the file that the reader holds
        publish(tmp_path, person, lag=None if person == 2 else 100)
    assert answer(reader, "again") == "1"
    assert len(persons(tmp_path)) >= 2
    later = python(READER, tmp_path / "cdm.duckdb")
    assert int(answer(later)) == len(persons(tmp_path))
    reader.communicate()
    later.communicate()


def test_a_writer_in_another_process_does_not_stop_a_reader(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    writer = python(WRITER, tmp_path, 2, PERSON)
    assert answer(writer) == "building"
    assert persons(tmp_path) == [1]  # opened and read while the other process writes
    held = CdmStore(tmp_path).connect()
    assert answer(writer, "go on") == "published"
    assert held.execute("SELECT count(*) FROM person").fetchall() == [(1,)]
    assert persons(tmp_path) == [1, 2]
    publish(tmp_path, 3)  # this process holds the spare's file open: copied, not written into
    assert held.execute("SELECT count(*) FROM person").fetchall() == [(1,)]
    held.close()
    writer.communicate()
    assert persons(tmp_path) == [1, 2, 3]


def test_a_second_projector_waits_visibly(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    writer = python(WRITER, tmp_path, 2, PERSON)
    assert answer(writer) == "building"
    said: list[str] = []

    def progress(text: str) -> None:
        said.append(text)
        assert writer.stdin is not None
        writer.stdin.write("go on\n")
        writer.stdin.flush()

    with CdmStore(tmp_path).building(progress=progress) as build:
        assert build.high_water == 2
    assert said == ["waiting for another projection to end"]
    writer.communicate()


KILLED = """
import os, signal, sys
from pathlib import Path
strike, calls = int(sys.argv[4]), 0
def struck(call):
    def wrapper(*arguments, **named):
        global calls
        calls += 1
        if calls == strike:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **named)
    return wrapper
os.fsync = struck(os.fsync)
os.link = struck(os.link)
Path.replace = struck(Path.replace)
Path.rename = struck(Path.rename)
Path.unlink = struck(Path.unlink)
from masterkey_omop.publish import CdmStore
with CdmStore(sys.argv[1]).building(lag=100) as build:
    for person in range(build.high_water + 1, int(sys.argv[2]) + 1):
        build.connection.execute(sys.argv[3], [person])
    build.set_state(high_water=int(sys.argv[2]))
"""


@pytest.mark.slow  # tests/etl/test_load_killed.py samples these strikes
def test_killed_at_every_step_the_published_generation_is_whole(tmp_path: Path) -> None:
    killed, base = 0, tmp_path / "base"
    publish(base, 1)
    publish(base, 2)
    for strike in range(1, 40):
        folder = tmp_path / str(strike)
        shutil.copytree(base, folder)
        done = subprocess.run([sys.executable, "-c", KILLED, folder, "3", PERSON, str(strike)], check=False)
        assert persons(folder) in ([1, 2], [1, 2, 3])
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
        again = subprocess.run([sys.executable, "-c", KILLED, folder, "3", PERSON, "0"], check=False)
        assert again.returncode == 0
        assert persons(folder) == [1, 2, 3]
        assert not list(folder.glob(".build*"))
    assert killed >= 8


def test_a_full_disk_is_an_issue(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    try:
        with (
            pytest.raises(PublishError, match="disk refused") as caught,
            CdmStore(tmp_path).building() as build,
        ):
            build.connection.execute(
                "INSERT INTO note SELECT i, 1, DATE '2020-01-01', NULL, 0, 0, '', md5(i::VARCHAR) || "
                "md5((i+1)::VARCHAR), 0, 0, NULL, NULL, NULL, NULL, NULL, NULL FROM range(400000) t(i)"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.issues[0].rule == "omop.disk"
    assert persons(tmp_path) == [1]
    publish(tmp_path, 2)
    assert persons(tmp_path) == [1, 2]


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "cdm").write_text("a file where the folder should be", encoding="utf-8")
    with pytest.raises(PublishError, match="disk refused"):
        publish(tmp_path / "cdm" / "below", 1)


def test_a_damaged_file_is_an_issue(tmp_path: Path) -> None:
    (tmp_path / "cdm.duckdb").write_bytes(b"damaged" * 4000)
    with pytest.raises(PublishError, match="can't be opened"):
        CdmStore(tmp_path).connect()


OLD_READER = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
print(duckdb.__version__[:2], connection.execute("SELECT count(*) FROM person").fetchall()[0][0])
"""


@pytest.mark.slow
def test_duckdb_1_opens_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    old = tmp_path / "venv/bin/python"
    got = subprocess.run([old, "-m", "pip", "install", "-q", "duckdb<2"], capture_output=True, check=False)
    if got.returncode:
        pytest.skip("duckdb<2 can't be installed here")
    publish(tmp_path / "cdm", 1)
    publish(tmp_path / "cdm", 2)
    said = subprocess.run(
        [old, "-c", OLD_READER, tmp_path / "cdm/cdm.duckdb"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == ["1.", "2"]


def test_storage_version(tmp_path: Path) -> None:
    publish(tmp_path, 1)
    connection = duckdb.connect()
    connection.execute(f"ATTACH '{tmp_path / 'cdm.duckdb'}' AS x (READ_ONLY)")
    tags = connection.execute("SELECT tags FROM duckdb_databases() WHERE database_name = 'x'").fetchall()
    assert tags[0][0]["storage_version"].startswith("v1.2.0")
