"""The drop folder: files are loaded when complete, moved, and each has its receipt."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from masterkey_etl import loading, synth
from masterkey_etl.watch import Drop, Receipt, watch
from masterkey_fhir.issue import Issue
from masterkey_fhir.store import Repository


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("watched")
    synth.synth(out, patients=3, seed=4)
    return next((out / "jp_ncch").glob("*case*.csv")).read_bytes()


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "jp_ncch"
    folder.mkdir()
    return folder


def taken(tmp_path: Path, folder: Path, told: list[Issue] | None = None, **options: object) -> list[Receipt]:
    tell = (told if told is not None else []).append
    return list(watch(tmp_path / "ws", folder, once=True, settle=0, tell=tell, **options))  # type: ignore[arg-type]


def test_a_good_file_is_loaded_moved_and_has_a_receipt(tmp_path: Path, drop: Path, export: bytes) -> None:
    (drop / "case.csv").write_bytes(export)
    (receipt,) = taken(tmp_path, drop)
    assert receipt.verdict == "done" and receipt.moved is not None
    assert not (drop / "case.csv").exists() and receipt.moved.read_bytes() == export
    assert receipt.moved.parent == drop / "done"
    said = json.loads(Path(f"{receipt.moved}.receipt.json").read_text())
    (file,) = said["files"]
    assert sum(file["ledger"].values()) == file["values"] > 0
    text = Path(f"{receipt.moved}.receipt.txt").read_text()
    assert f"{file['values']:,} values" in text and "case.csv of jp_ncch: done" in text
    repository = Repository.open(f"sqlite:///{tmp_path / 'ws' / 'repository.db'}")
    assert [s.file for s in repository.submissions("jp_ncch")] == ["case.csv"]
    assert len(list(repository.patients("jp_ncch"))) == 3
    repository.close()


def test_a_file_that_nobody_can_read_is_refused_and_the_next_one_goes_on(
    tmp_path: Path, drop: Path, export: bytes
) -> None:
    (drop / "a.csv").write_bytes(b"this,is\nnot,it\n")
    (drop / "case.csv").write_bytes(export)
    verdicts = {r.file: r for r in taken(tmp_path, drop)}
    assert {f: r.verdict for f, r in verdicts.items()} == {"a.csv": "refused", "case.csv": "done"}
    assert [i.rule for i in verdicts["a.csv"].report.issues] == ["etl.format-unknown"]
    assert verdicts["a.csv"].moved is not None
    said = Path(f"{verdicts['a.csv'].moved}.receipt.txt").read_text()
    assert "error" in said or "fatal" in said
    assert not any(i.rule == "etl.format-unknown" for i in verdicts["case.csv"].report.issues)


def test_the_same_name_again_is_a_second_delivery_and_overwrites_nothing(
    tmp_path: Path, drop: Path, export: bytes
) -> None:
    for _ in range(2):
        (drop / "case.csv").write_bytes(export)
        (receipt,) = taken(tmp_path, drop)
        assert receipt.verdict == "done"
    assert receipt.report.stored[0].repeat
    assert len([p for p in (drop / "done").iterdir() if p.suffix == ".csv"]) == 2


def test_a_growing_file_waits_until_it_stands_still(tmp_path: Path, drop: Path) -> None:
    seen = Drop("jp_ncch", drop)
    path = drop / "case.csv"
    path.write_bytes(b"a")
    assert seen.complete(0.2, lambda _: None) == []
    path.write_bytes(b"ab")
    time.sleep(0.25)
    assert seen.complete(0.2, lambda _: None) == []  # it grew since
    time.sleep(0.25)
    assert seen.complete(0.2, lambda _: None) == [path]


def test_the_receipt_of_a_container_tells_the_members_that_are_not_in(
    tmp_path: Path, drop: Path, export: bytes
) -> None:
    with zipfile.ZipFile(drop / "YAMADA_Hanako.zip", "w") as packed:
        packed.writestr("case.csv", export)
        packed.writestr("../../case.csv", export)
        for name in ("SUZUKI_Taro.gz", "in.zip"):
            packed.writestr(name, _nested("TANAKA_Jiro.zip"))
    (receipt,) = taken(tmp_path, drop)
    rules = [i.rule for i in receipt.report.refused]
    assert sorted(rules) == ["etl.container-name", "etl.container-nested", "etl.container-nested"]
    said = "\n".join(receipt.lines()) + json.dumps(receipt.as_dict())
    assert receipt.verdict == "done" and "nothing need be sent again" not in said and "correct and load again" in said
    assert not [name for name in ("YAMADA", "Hanako", "SUZUKI", "Taro", "TANAKA", "Jiro") if name in said]


def test_a_file_that_cannot_be_opened_is_told_by_its_kept_name(
    tmp_path: Path, drop: Path, export: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop / "YAMADA_Hanako.csv").write_bytes(export)
    opened = Path.open

    def refused(self: Path, *args: object, **options: object) -> object:
        if self.name == "YAMADA_Hanako.csv":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)  # type: ignore[call-overload]

    with monkeypatch.context() as m:
        m.setattr(Path, "open", refused)
        (receipt,) = taken(tmp_path, drop)
    said = "\n".join(receipt.lines()) + json.dumps(receipt.as_dict())
    assert receipt.verdict == "waiting" and [i.rule for i in receipt.report.refused] == ["etl.unreadable"]
    assert "YAMADA" not in said and (drop / "YAMADA_Hanako.csv").exists()


def _nested(name: str) -> bytes:
    """A zip that holds a zip of this name."""
    inner, outer = io.BytesIO(), io.BytesIO()
    zipfile.ZipFile(inner, "w").close()
    with zipfile.ZipFile(outer, "w") as packed:
        packed.writestr(name, inner.getvalue())
    return outer.getvalue()


def test_a_file_that_is_replaced_while_it_is_loaded_is_read_next(
    tmp_path: Path, drop: Path, export: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, later = drop / "case.csv", export + b"\r\n"
    path.write_bytes(export)
    load = loading.load

    def replaced_meanwhile(*args: object, **options: object) -> object:
        report = load(*args, **options)  # type: ignore[arg-type]
        (drop / ".new").write_bytes(later)
        (drop / ".new").replace(path)
        return report

    with monkeypatch.context() as m:
        m.setattr(loading, "load", replaced_meanwhile)
        (receipt,) = taken(tmp_path, drop)
    assert receipt.verdict == "waiting" and path.read_bytes() == later
    assert [i.rule for i in receipt.report.refused] == ["etl.file-changing"]
    (receipt,) = taken(tmp_path, drop)
    assert receipt.moved is not None and receipt.moved.read_bytes() == later
    assert receipt.report.stored[0].submission == 2


@pytest.mark.parametrize("name", ["case.csv.part", ".case.csv", "~$case.xlsx", "case.csv.filepart", "case.csv.TMP"])
def test_what_is_still_being_sent_is_left(tmp_path: Path, drop: Path, export: bytes, name: str) -> None:
    (drop / name).write_bytes(export)
    assert taken(tmp_path, drop) == []
    assert (drop / name).exists()


def test_links_and_pipes_are_left_and_told_once(tmp_path: Path, drop: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("of another")
    (drop / "link.csv").symlink_to(secret)
    os.mkfifo(drop / "pipe.csv")
    told: list[Issue] = []
    assert taken(tmp_path, drop, told) == []
    (link, pipe) = (i.place.file for i in told if i.rule == "etl.drop-not-a-file")
    assert link != pipe and {link[:1], pipe[:1]} == {"▢"}, "not by the name that a registry may not show"
    assert secret.exists()


def test_a_full_disk_leaves_the_file(
    tmp_path: Path, drop: Path, export: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    from masterkey_etl.files import WorkspaceError
    from masterkey_fhir.issue import Place, issue

    def full(*_: object, **__: object) -> object:
        raise WorkspaceError(issue("etl.disk-full", Place(file="x"), folder="/"))

    (drop / "case.csv").write_bytes(export)
    with monkeypatch.context() as m:
        m.setattr("masterkey_etl.pipeline.receiving.receive", full)
        (receipt,) = taken(tmp_path, drop)
    assert receipt.verdict == "waiting" and (drop / "case.csv").exists()
    assert "tried again" in list(receipt.lines())[-1]
    assert [r.verdict for r in taken(tmp_path, drop)] == ["done"]


def test_folders_of_several_sites(tmp_path: Path, export: bytes) -> None:
    root = tmp_path / "drops"
    (root / "jp_ncch").mkdir(parents=True)
    (root / "notes").mkdir()
    (root / "jp_ncch" / "case.csv").write_bytes(export)
    assert [(r.site, r.verdict) for r in taken(tmp_path, root)] == [("jp_ncch", "done")]


def test_an_unknown_site_or_folder_is_told(tmp_path: Path) -> None:
    from masterkey_etl.workspace import WorkspaceError

    (tmp_path / "drops").mkdir()
    for folder, site, rule in (
        (tmp_path / "drops", None, "etl.site-unknown"),
        (tmp_path / "drops", "xx_none", "etl.site-unknown"),
        (tmp_path / "absent", None, "etl.path-absent"),
    ):
        with pytest.raises(WorkspaceError) as caught:
            taken(tmp_path, folder, site=site)
        assert caught.value.issues[0].rule == rule


def test_it_waits_for_what_comes_and_ctrl_c_ends_it(tmp_path: Path, drop: Path, export: bytes) -> None:
    command = [sys.executable, "-m", "masterkey_api", "watch", str(drop), "--settle", "0.2", "--every", "0.1", "--json"]
    environment = os.environ | {"MASTERKEY_DATA": str(tmp_path / "ws")}
    pipe, heard = (
        subprocess.PIPE,
        partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )  # a job in the background is deaf
    run = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment, preexec_fn=heard)
    try:
        assert run.stdout is not None and run.stderr is not None
        assert "watching" in run.stderr.readline()
        (drop / "case.csv").write_bytes(export)
        (line,) = islice(_lines(run.stdout), 1)
        assert json.loads(line)["verdict"] == "done"
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)
        assert run.returncode == 130
        assert "Traceback" not in said
    finally:
        run.kill()


def _lines(stream: object) -> Iterator[str]:
    yield from stream  # type: ignore[misc]


def test_killed_before_the_move_it_is_loaded_again_and_nothing_changes(
    tmp_path: Path, drop: Path, export: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop / "case.csv").write_bytes(export)
    loading.load(tmp_path / "ws", [drop / "case.csv"], site="jp_ncch")  # as if killed right after the load
    (receipt,) = taken(tmp_path, drop)
    assert receipt.verdict == "done" and receipt.report.stored[0].repeat
    assert set(receipt.report.stored[0].counts) == {"unchanged"}
