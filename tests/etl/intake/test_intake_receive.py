"""Receive: original bytes, encrypted, whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_etl import files
from masterkey_etl import receive as receiving
from masterkey_etl.files import WorkspaceError
from masterkey_etl.receive import receive
from masterkey_etl.workspace import Workspace

SITE = "jp_ncch"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "data", create=True)


@pytest.fixture
def sent(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_bytes(b"id,name\n1,Yamada Hanako\n" * 1000)
    return path


def kept_files(workspace: Workspace) -> list[str]:
    return sorted(p.name for p in (workspace.root / "kept").rglob("*") if p.is_file())


def rule_of(act) -> str:
    with pytest.raises(WorkspaceError) as caught:
        act()
    return caught.value.issues[0].rule


def test_bytes_come_back_and_are_not_readable_at_rest(workspace: Workspace, sent: Path):
    delivery = receive(workspace, SITE, sent)
    assert delivery.open().read() == sent.read_bytes()
    assert (delivery.size, delivery.submission_name) == (sent.stat().st_size, "export.csv")
    assert delivery.kept.stat().st_mode & 0o777 == 0o600
    assert b"Yamada" not in delivery.kept.read_bytes()
    assert kept_files(workspace) == [f"{delivery.sha256}.mk"]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=3000), chunk=st.integers(16, 400))
def test_any_bytes_round_trip_at_any_chunk_size(workspace: Workspace, tmp_path: Path, data: bytes, chunk: int):
    path = tmp_path / "any"
    path.write_bytes(data)
    with pytest.MonkeyPatch().context() as patch:
        patch.setattr(receiving, "CHUNK", chunk)
        delivery = receive(workspace, SITE, path)
        with delivery.open() as stream:
            assert stream.read() == data
        delivery.kept.unlink()


def test_a_b_a_are_three_submissions(workspace: Workspace, sent: Path):
    a = receive(workspace, SITE, sent)
    assert receive(workspace, SITE, sent, latest_sha256=a.sha256).is_repeat
    sent.write_bytes(b"other")
    b = receive(workspace, SITE, sent, latest_sha256=a.sha256)
    sent.write_bytes(b"id,name\n1,Yamada Hanako\n" * 1000)
    again = receive(workspace, SITE, sent, latest_sha256=b.sha256)
    assert (b.is_repeat, again.is_repeat, again.sha256) == (False, False, a.sha256)


def test_each_submission_has_a_key_of_its_own(workspace: Workspace, sent: Path):
    first = receive(workspace, SITE, sent).kept.read_bytes()
    (workspace.root / "kept").joinpath(SITE).glob("*").__next__().unlink()
    assert receive(workspace, SITE, sent).kept.read_bytes() != first


@pytest.mark.parametrize("damage", ["flip", "cut", "swap", "magic", "header"])
def test_altered_bytes_are_told(workspace: Workspace, tmp_path: Path, damage: str, monkeypatch):
    monkeypatch.setattr(receiving, "CHUNK", 256)
    path = tmp_path / "random"
    path.write_bytes(os.urandom(2000))
    delivery = receive(workspace, SITE, path)
    data = bytearray(delivery.kept.read_bytes())
    body = data.index(b"\n", 4) + 1
    chunk = 256 + 16
    if damage == "flip":
        data[-1] ^= 1
    elif damage == "cut":
        del data[body + chunk :]
    elif damage == "swap":
        one, two = data[body : body + chunk], data[body + chunk : body + 2 * chunk]
        data[body : body + 2 * chunk] = two + one
    elif damage == "magic":
        data[0] ^= 1
    else:
        data[body - 4] ^= 1
    delivery.kept.write_bytes(bytes(data))
    assert rule_of(lambda: delivery.open().read()) == "etl.kept-damaged"


def test_without_its_key_nothing_is_read(workspace: Workspace, sent: Path):
    delivery = receive(workspace, SITE, sent)
    workspace.key_file.destroy(SITE)
    assert rule_of(lambda: receiving.open_kept(delivery.kept, workspace.keys(SITE))) == "etl.kept-damaged"


def test_bad_sites_and_paths(workspace: Workspace, sent: Path, tmp_path: Path):
    assert rule_of(lambda: receive(workspace, "jp_nch", sent)) == "etl.site-unknown"
    assert rule_of(lambda: receive(workspace, SITE, tmp_path / "absent.csv")) == "etl.unreadable"
    assert rule_of(lambda: receive(workspace, SITE, tmp_path)) == "etl.unreadable"
    assert kept_files(workspace) == []


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_a_full_disk_leaves_nothing_half(workspace: Workspace, sent: Path, monkeypatch, where: str):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    workspace.keys(SITE)
    if where == "fsync":
        monkeypatch.setattr(files.os, "fsync", full)
    else:
        monkeypatch.setattr(receiving._Sealed, "_emit", full)
    assert rule_of(lambda: receive(workspace, SITE, sent)) == "etl.disk-full"
    monkeypatch.undo()
    assert kept_files(workspace) == []
    assert receive(workspace, SITE, sent).open().read() == sent.read_bytes()


def test_a_file_that_is_still_being_written(workspace: Workspace, sent: Path):
    def grow(_: int) -> None:
        with sent.open("ab") as out:
            out.write(b"more")

    assert rule_of(lambda: receive(workspace, SITE, sent, progress=grow)) == "etl.file-changing"


KILL = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from masterkey_etl import files
    from masterkey_etl.receive import receive
    from masterkey_etl.workspace import Workspace

    root, sent, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
    calls = 0

    def struck(real):
        def call(*args):
            global calls
            calls += 1
            if calls == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args)
        return call

    workspace = Workspace.open(root)
    files.os.fsync = struck(os.fsync)
    Path.replace = struck(Path.replace)
    receive(workspace, "jp_ncch", sent)
    """
)


@pytest.mark.parametrize("at", range(1, 9))
def test_killed_at_every_fsync_and_rename(workspace: Workspace, sent: Path, at: int):
    killed = subprocess.run([sys.executable, "-c", KILL, str(workspace.root), str(sent), str(at)], check=False)
    assert killed.returncode in (-9, 0)
    for path in (workspace.root / "kept").rglob("*.mk"):
        if not path.name.startswith("incoming-"):
            assert receiving.open_kept(path, workspace.keys(SITE)).read() == sent.read_bytes()
    workspace.clean()
    delivery = receive(workspace, SITE, sent)
    assert delivery.open().read() == sent.read_bytes()
    assert kept_files(workspace) == [f"{delivery.sha256}.mk"]


def test_bytes_are_durable_before_they_get_their_name(workspace: Workspace, sent: Path, monkeypatch):
    calls: list[str] = []
    fsync, rename = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        calls.append("fsync folder" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "fsync file")
        fsync(descriptor)

    def noted_rename(source: Path, target: Path) -> Path:
        calls.append("rename")
        return rename(source, target)

    workspace.keys(SITE)
    monkeypatch.setattr(files.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    receive(workspace, SITE, sent)
    assert calls == ["fsync file", "rename", "fsync folder", "rename", "fsync folder"]


def test_no_nonce_is_used_twice():
    nonces = {receiving._nonce(b"prefix7", n, last) for n in range(300) for last in (False, True)}
    assert len(nonces) == 600 and {len(n) for n in nonces} == {12}
