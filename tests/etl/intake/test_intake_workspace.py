"""The workspace, its keys, its lock, its known sites."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from masterkey_etl.files import WorkspaceError
from masterkey_etl.keys import PURPOSES, Key
from masterkey_etl.workspace import FOLDERS, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "data", create=True)


def rule_of(act) -> str:
    with pytest.raises(WorkspaceError) as caught:
        act()
    assert "Traceback" not in str(caught.value)
    return caught.value.issues[0].rule


def test_a_new_workspace_is_a_registry_with_its_folders(workspace: Workspace):
    assert workspace.role == "registry"
    assert {p.name for p in workspace.root.iterdir() if p.is_dir()} == set(FOLDERS)
    assert workspace.repository_url.endswith("repository.db")
    assert Workspace.open(workspace.root).role == "registry"


def test_a_role_is_for_life(workspace: Workspace):
    assert rule_of(lambda: Workspace.open(workspace.root, role="site")) == "etl.workspace-role"
    assert Workspace.open(workspace.root.parent / "other", create=True, role="site").role == "site"


def test_what_is_no_workspace(tmp_path: Path):
    assert rule_of(lambda: Workspace.open(tmp_path / "nothing")) == "etl.workspace-absent"


@pytest.mark.parametrize(
    ("config", "rule"),
    [
        ('{"version": 99, "role": "site"}', "etl.workspace-newer"),
        ('{"version": 1, "role": "guest"}', "etl.workspace-damaged"),
        ("{", "etl.workspace-damaged"),
    ],
)
def test_newer_and_damaged_workspaces_are_refused(workspace: Workspace, config: str, rule: str):
    (workspace.root / "workspace.json").write_text(config)
    assert rule_of(lambda: Workspace.open(workspace.root)) == rule


def test_an_unwritable_place(tmp_path: Path):
    (tmp_path / "file").write_text("")
    assert rule_of(lambda: Workspace.open(tmp_path / "file" / "data", create=True)) == "etl.unwritable"


def test_keys_are_random_versioned_private_and_stay(workspace: Workspace):
    keys = workspace.keys("jp_ncch")
    assert set(keys.by_purpose) == set(PURPOSES)
    assert (workspace.root / "keys.json").stat().st_mode & 0o777 == 0o600
    assert Workspace.open(workspace.root).keys("jp_ncch").current("id") == keys.current("id")
    assert workspace.keys("vn_nci").current("id").secret != keys.current("id").secret
    rotated = workspace.key_file.rotate("jp_ncch", "id")
    again = workspace.keys("jp_ncch")
    assert (rotated.version, again.current("id")) == (2, rotated)
    assert again.version("id", 1) == keys.current("id")
    assert rule_of(lambda: again.version("id", 7)) == "etl.key-missing"


def test_a_key_never_shows_its_secret(workspace: Workspace):
    key = workspace.keys("jp_ncch").current("id")
    shown = f"{key!r} {workspace.keys('jp_ncch')!r}"
    assert key.secret.hex() not in shown and repr(key.secret) not in shown


def test_digests_depend_on_key_and_parts():
    one, other = Key(1, b"a" * 32), Key(1, b"b" * 32)
    assert one.digest("a", "bc") != one.digest("ab", "c")
    assert one.digest("x") == one.digest("x") != other.digest("x")


def test_keys_that_others_can_read_or_that_are_damaged(workspace: Workspace):
    workspace.keys("jp_ncch")
    path = workspace.root / "keys.json"
    path.chmod(0o644)
    assert rule_of(lambda: workspace.keys("jp_ncch")) == "etl.keys-open"
    path.write_text("{")
    assert rule_of(lambda: workspace.keys("jp_ncch")) == "etl.keys-unreadable"


def test_destroyed_keys_are_gone(workspace: Workspace):
    before = workspace.keys("jp_ncch").current("kept")
    workspace.key_file.destroy("jp_ncch")
    assert workspace.keys("jp_ncch").current("kept") != before


def test_sites_are_data(workspace: Workspace):
    assert workspace.site("jp_ncch").time_zone == "Asia/Tokyo"
    assert len(workspace.sites) == 12
    with pytest.raises(WorkspaceError, match=r"jp_nch is not a known site. Known are: jp_ncch"):
        workspace.site("jp_nch")
    own = workspace.overlay / "sites"
    own.mkdir()
    (own / "sites.csv").write_text("site,country,name,time_zone\nkr_one,KR,One,Asia/Seoul\n")
    assert Workspace.open(workspace.root).site("kr_one").country == "KR"


def test_two_loads_exclude_each_other_and_the_second_waits_visibly(workspace: Workspace):
    order, waits = [], []

    def second() -> None:
        with workspace.lock("load", waits.append):
            order.append("second")

    with workspace.lock("load"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert waits and waits[0] < 1


HOLD = textwrap.dedent(
    """
    import sys, time
    from masterkey_etl.workspace import Workspace
    with Workspace.open(sys.argv[1]).lock("load"):
        print("held", flush=True)
        time.sleep(60)
    """
)


def test_a_killed_holder_frees_the_lock(workspace: Workspace):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(workspace.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with workspace.lock("load"):
        pass


def test_ctrl_c_ends_the_wait_and_keeps_the_lock_usable(workspace: Workspace):
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with workspace.lock("load"), pytest.raises(KeyboardInterrupt), workspace.lock("load", interrupt):
        pass
    with workspace.lock("load"):
        pass


def test_clean_removes_what_a_killed_process_left(workspace: Workspace):
    (workspace.root / "kept" / "x.mk.123.part").write_bytes(b"x")
    (workspace.scratch / "rows").write_bytes(b"x")
    assert workspace.clean() == 2
    assert json.loads((workspace.root / "workspace.json").read_bytes())["version"] == 1
    assert not any(p.suffix == ".part" for p in workspace.root.rglob("*"))
