"""Zip and gzip: each member a delivery; what can't be trusted is told, the other members arrive."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.containers import is_container, members
from masterkey_etl.loading import LoadReport, load
from masterkey_etl.readers import limits
from masterkey_etl.synth import synth
from masterkey_fhir.issue import Issue, MasterkeyError

ROWS = b"a,b\n1,2\n"
Opened = Callable[[bytes], tuple[list[tuple[str, bytes]], list[Issue]]]


def zipped(*members: tuple[Any, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    """A container's bytes -> its members with their bytes, and what was told."""

    def run(data: bytes) -> tuple[list[tuple[str, bytes]], list[Issue]]:
        path, told = tmp_path / "x.bin", list[Issue]()
        path.write_bytes(data)
        scratch = tmp_path / "scratch"
        scratch.mkdir(exist_ok=True)
        found = [(m.name, m.open().read()) for m in members(path, "jp_ncch", scratch, told.append) if m]
        assert list(scratch.iterdir()) == []
        return found, told

    return run


def rules(told: list[Issue]) -> list[str]:
    return [i.rule for i in told]


def test_members_of_zip_and_gzip_and_one_inside_another(opened: Opened) -> None:
    assert opened(zipped(("a.csv", ROWS), ("d/b.csv", ROWS)))[0] == [("x.bin!a.csv", ROWS), ("x.bin!d/b.csv", ROWS)]
    assert opened(gzip.compress(ROWS))[0] == [("x.bin!x.bin", ROWS)]
    assert opened(gzip.compress(ROWS) * 2)[0] == [("x.bin!x.bin", ROWS * 2)]
    inner = zipped(("b.csv", ROWS))
    found, told = opened(zipped(("in.zip", inner), ("a.csv.gz", gzip.compress(ROWS))))
    assert found == [("x.bin!in.zip!b.csv", ROWS), ("x.bin!a.csv.gz!a.csv", ROWS)]
    assert told == []


def test_a_third_level_is_told(opened: Opened) -> None:
    third = zipped(("deep.zip", zipped(("c.csv", ROWS))), ("b.csv", ROWS))
    found, told = opened(zipped(("in.zip", third)))
    assert found == [("x.bin!in.zip!b.csv", ROWS)]
    assert rules(told) == ["etl.container-nested"]
    assert told[0].place.file == "x.bin!in.zip!deep.zip"


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "C:\\evil.csv", "..\\evil.csv"])
def test_names_that_lead_out(opened: Opened, name: str) -> None:
    found, told = opened(zipped((name, ROWS), ("good.csv", ROWS)))
    assert found == [("x.bin!good.csv", ROWS)]
    assert rules(told) == ["etl.container-name"]
    assert "evil" not in str(told[0])


def test_links_are_not_followed(opened: Opened) -> None:
    link = zipfile.ZipInfo("link.csv")
    link.external_attr = 0o120777 << 16
    found, told = opened(zipped((link, b"/etc/passwd"), ("good.csv", ROWS)))
    assert [name for name, _ in found] == ["x.bin!good.csv"]
    assert rules(told) == ["etl.not-a-file"]


def test_what_is_no_data_is_listed(opened: Opened) -> None:
    names = ("__MACOSX/._a.csv", ".DS_Store", "d/Thumbs.db", "~$b.xlsx", ".hidden", "folder/")
    found, told = opened(zipped(*((n, b"x") for n in names), ("a.csv", ROWS)))
    assert [name for name, _ in found] == ["x.bin!a.csv"]
    assert (told[0].rule, told[0].severity, told[0].facts["count"]) == ("etl.container-skipped", "information", 5)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_and_an_empty_container(opened: Opened) -> None:
    found, told = opened(zipped(("a.csv", b"old"), ("a.csv", ROWS)))
    assert found == [("x.bin!a.csv", ROWS)]
    assert rules(told) == ["etl.container-twice"]
    assert rules(opened(zipped())[1]) == ["etl.container-empty"]
    assert set(rules(opened(zipped((".DS_Store", b"x")))[1])) == {"etl.container-skipped", "etl.container-empty"}


def test_encrypted_members(opened: Opened) -> None:
    data = bytearray(zipped(("a.csv", ROWS), ("b.csv", ROWS)))
    data[6] |= 1  # the flag in the local header, then in the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    found, told = opened(bytes(data))
    assert found == [("x.bin!b.csv", ROWS)]
    assert rules(told) == ["etl.container-encrypted"]


def test_old_japanese_names(opened: Opened) -> None:
    data = zipped(("XXXXXXXX.csv", ROWS)).replace(b"XXXXXXXX", "症例一覧".encode("cp932"))
    assert opened(data)[0] == [("x.bin!症例一覧.csv", ROWS)]


def test_bombs(opened: Opened, monkeypatch: Any) -> None:
    monkeypatch.setattr(limits, "RATIO_FROM", 1 << 20)
    bomb = b"0" * (8 << 20)
    for data in (zipped(("a.csv", bomb)), gzip.compress(bomb), zipped(("in.zip", zipped(("a.csv", bomb))))):
        with pytest.raises(MasterkeyError) as caught:
            opened(data)
        assert caught.value.issues[0].rule == "etl.container-bomb"
    monkeypatch.setattr(limits, "RATIO", 10**9)
    monkeypatch.setattr(limits, "UNPACKED", 4 << 20)
    with pytest.raises(MasterkeyError):
        opened(zipped(("a.csv", bomb)))


def test_damage_stops_a_member_or_the_container(opened: Opened, tmp_path: Path) -> None:
    whole = zipped(("a.csv", random.Random(1).randbytes(5000)), ("b.csv", ROWS))
    data = bytearray(whole)
    data[600:700] = bytes(100)
    found = _told_or_read(tmp_path, bytes(data))
    assert ("x.bin!b.csv", ROWS) in found
    with pytest.raises(MasterkeyError) as caught:
        opened(whole[:-40])
    assert caught.value.issues[0].rule == "etl.container-damaged"
    assert rules(opened(gzip.compress(b"x" * 10_000)[:-6])[1]) == ["etl.container-damaged"]


def _told_or_read(folder: Path, data: bytes) -> list[tuple[str, bytes]]:
    """A member that is damaged raises when its bytes are read; the others are read."""
    path, out = folder / "x.bin", list[tuple[str, bytes]]()
    path.write_bytes(data)
    for member in members(path, "jp_ncch", None, lambda _: None):
        assert member is not None
        try:
            out.append((member.name, member.open().read()))
        except MasterkeyError as error:
            assert error.issues[0].rule == "etl.container-damaged"
    return out


def test_workbooks_and_documents_are_no_containers() -> None:
    assert not is_container(zipped(("[Content_Types].xml", b""), ("xl/workbook.xml", b"")))
    assert is_container(zipped(("a.csv", b"")))
    assert is_container(struct.pack("<BB", 0x1F, 0x8B))
    assert not is_container(ROWS)


# -- a whole load -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    synth(out, patients=3, seed=5)
    return out / "jp_ncch"


@pytest.fixture
def loaded(tmp_path: Path, cohort: Path) -> Iterator[tuple[LoadReport, Path]]:
    """A folder with a zip, a gzip and a pipe, loaded."""
    folder = tmp_path / "in" / "jp_ncch"
    folder.mkdir(parents=True)
    case, report = (cohort / f"ccat_{n}.csv" for n in ("case", "report"))
    (folder / "both.zip").write_bytes(zipped(("a/case.csv", case.read_bytes()), ("../x.csv", b"x")))
    (folder / "report.csv.gz").write_bytes(gzip.compress(report.read_bytes()))
    os.mkfifo(folder / "pipe.csv")
    yield load(tmp_path / "w", [tmp_path / "in"]), tmp_path


def test_a_load_of_containers(loaded: tuple[LoadReport, Path], cohort: Path) -> None:
    report, folder = loaded
    assert [s.file for s in report.stored] == ["both.zip!a/case.csv", "report.csv.gz!report.csv"]
    assert {i.rule for i in report.refused} == {"etl.container-name", "etl.not-a-file"}
    plain = load(folder / "plain", [cohort.parent])
    assert report.totals() == plain.totals()
    again = load(folder / "w", [folder / "in"])
    assert [s.repeat for s in again.stored] == [True, True]
    kept = {p.name for p in (folder / "w" / "kept" / "jp_ncch").iterdir()}
    assert len(kept) == 2
    assert not [p for p in (folder / "w").rglob("*") if p.is_file() and b"PK\x03\x04" in p.read_bytes()[:4]]


def test_a_pipe_alone_does_not_block(tmp_path: Path) -> None:
    folder = tmp_path / "jp_ncch"
    folder.mkdir()
    os.mkfifo(folder / "pipe.csv")
    report = load(tmp_path / "w", [folder / "pipe.csv"])
    assert [i.rule for i in report.refused] == ["etl.not-a-file"]
    assert report.exit_code == 2


def test_a_workbook_with_tables_of_two_formats(tmp_path: Path, cohort: Path) -> None:
    """The case export and the report export as sheets of one workbook: two deliveries, nothing rejected for it."""
    import csv

    import openpyxl

    book = openpyxl.Workbook()
    for n, name in enumerate(("case", "report")):
        sheet = book.create_sheet(name)
        with (cohort / f"ccat_{name}.csv").open(encoding="utf-8-sig", newline="") as lines:
            for row in csv.reader(lines):
                sheet.append([None] * n + [c or None for c in row])
    folder = tmp_path / "in" / "jp_ncch"
    folder.mkdir(parents=True)
    book.save(folder / "both.xlsx")
    report, plain = load(tmp_path / "w", [tmp_path / "in"]), load(tmp_path / "plain", [cohort.parent])
    assert [s.file for s in report.stored] == ["both.xlsx!ccat_case", "both.xlsx!ccat_report"]
    assert [s.counts for s in report.stored] == [s.counts for s in plain.stored]
    for status in ("mapped", "translated", "absent", "unmapped", "rejected"):
        assert report.totals()[status] == plain.totals()[status]
    assert "etl.sheet-other-part" in {i.rule for i in report.issues}
    assert "etl.sheet-other-table" not in {i.rule for i in report.issues}
