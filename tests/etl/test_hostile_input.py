"""The road under bad input: a clear Issue, the rest kept, every value in the ledger, nothing of a person told."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from masterkey_api import cli
from masterkey_etl import explain, loading, synth
from masterkey_etl.workspace import Workspace
from masterkey_fhir.issue import MasterkeyError

Table = list[list[str]]
NAMES = ("山田花子", "YAMADA HANAKO", "hanako@example.org")
SITE = "jp_ncch"


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The clinical export of three patients."""
    out = tmp_path_factory.mktemp("cohort")
    synth.synth(out, patients=3, seed=2)
    return (out / SITE / "ccat_case.csv").read_bytes()


@pytest.fixture(scope="module")
def table(export: bytes) -> Table:
    return list(csv.reader(io.StringIO(export.decode("utf-8-sig"))))


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], loading.LoadReport]:
    """Load bytes as the site's file, up to `store`: the CDM has its own tests."""
    monkeypatch.setattr(loading.pipeline, "project", lambda stored: stored)
    monkeypatch.setattr(loading.pipeline, "assess", lambda stored: None)

    def load(data: bytes) -> loading.LoadReport:
        folder = tmp_path / SITE
        folder.mkdir(exist_ok=True)
        (folder / "case.csv").write_bytes(data)
        return loading.load(tmp_path / "ws", [folder])

    return load


def written(rows: Table) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def column(table: Table, part: str) -> int:
    return next(i for i, name in enumerate(table[0]) if part in name)


def with_value(table: Table, part: str, value: str) -> bytes:
    """The export, one value of its first patient replaced."""
    row = list(table[1])
    row[column(table, part)] = value
    return written([table[0], row, *table[2:]])


def rules(report: loading.LoadReport) -> set[str]:
    return {i.rule for i in report.issues}


WHOLE_FILE = {
    "empty": (lambda e: b"", "etl.empty-file", 2),
    "only a header": (lambda e: e.splitlines()[0] + b"\r\n", "etl.only-header", 1),
    "NUL bytes only": (lambda e: b"\0" * 5000, "etl.format-unknown", 2),
    "the header cut": (lambda e: e[:300], "etl.format-unknown", 2),
    "no encoding of the model": (lambda e: e.decode("utf-8-sig").encode("euc_jp", "replace"), "etl.format-unknown", 2),
}


@pytest.mark.parametrize("kind", WHOLE_FILE)
def test_a_file_that_gives_nothing_says_so(
    bare: Callable[[bytes], loading.LoadReport], export: bytes, kind: str
) -> None:
    damage, rule, code = WHOLE_FILE[kind]
    report = bare(damage(export))
    assert rule in rules(report)
    assert report.exit_code == code
    assert all(i.place.file == "case.csv" and i.place.site == SITE for i in report.issues)


CELLS = {
    "truncated": (lambda e, t: e[:-400], "etl.truncated"),
    "cp932": (lambda e, t: e.decode("utf-8-sig").encode("cp932", "replace"), "etl.encoding-other"),
    "mixed": (lambda e, t: e[:-2000] + b"\xff" + e[-1999:], "etl.encoding-mixed"),
    "NUL": (lambda e, t: with_value(t, "病理診断名", "a\0b"), "etl.value-nul"),
    "header repeated": (lambda e, t: written([t[0], t[0], *t[1:]]), "etl.header-repeated"),
    "fewer fields": (lambda e, t: written([t[0], t[1][:100], *t[2:]]), "etl.row-width"),
    "more fields": (lambda e, t: written([t[0], [*t[1], "x", "y"], *t[2:]]), "etl.row-width"),
    "10 MB in one field": (lambda e, t: with_value(t, "病理診断名", "x" * 10_000_000), "etl.value-long"),
    "impossible date": (lambda e, t: with_value(t, "診断日", "2019/2/30"), "etl.value-refused"),
    "Buddhist year": (lambda e, t: with_value(t, "診断日", "2562/2/3"), "etl.buddhist-year"),
    "column removed": (lambda e, t: written([r[:12] + r[13:] for r in t]), "etl.column-missing"),
    "column added": (lambda e, t: written([[*r, "氏名"] for r in t]), "etl.column-new"),
    "columns in another order": (lambda e, t: written([r[::-1] for r in t]), "etl.columns-reordered"),
    "a code that is not declared": (lambda e, t: with_value(t, "基本情報.性別", "77"), "etl.code-undeclared"),
}


@pytest.mark.parametrize("kind", CELLS)
def test_damage_is_named_and_the_rest_arrives(
    bare: Callable[[bytes], loading.LoadReport], export: bytes, table: Table, kind: str
) -> None:
    damage, rule = CELLS[kind]
    report = bare(damage(export, table))
    assert rule in rules(report)
    (stored,) = report.stored
    assert stored.counts["created"] > 40, "the other patients are in"
    assert sum(row.n for row in stored.ledger) == stored.values >= 3 * (len(table[0]) - 1)
    assert report.exit_code in (0, 1)


def test_partial_dates_arrive(bare: Callable[[bytes], loading.LoadReport], table: Table) -> None:
    i = column(table, "診断日")
    report = bare(written([table[0], *([*r[:i], "/".join(r[i].split("/")[:2]), *r[i + 1 :]] for r in table[1:])]))
    assert report.stored
    assert not {i.rule for i in report.issues if i.place.field == "diagnosis_date"}


def test_a_shifted_header_takes_nothing_in_and_is_not_trustworthy(
    bare: Callable[[bytes], loading.LoadReport], table: Table
) -> None:
    report = bare(written([table[0], *(["1", *row] for row in table[1:])]))
    assert "etl.header-shifted" in rules(report)
    assert report.totals()["rejected"] == (len(table) - 1) * (len(table[0]) + 1)
    assert report.exit_code == 2


def test_the_same_bad_file_again_counts_and_exits_alike(
    bare: Callable[[bytes], loading.LoadReport], table: Table
) -> None:
    damaged = written([table[0], table[1][:100], *table[2:]])
    first, second = bare(damaged), bare(damaged)
    assert (first.exit_code, first.totals(), rules(first)) == (second.exit_code, second.totals(), rules(second))
    assert second.stored[0].repeat and set(second.stored[0].counts) == {"unchanged"}


def test_names_in_every_text_are_neither_told_nor_kept(
    bare: Callable[[bytes], loading.LoadReport], tmp_path: Path, table: Table
) -> None:
    open_list = [i for i, name in enumerate(table[0]) if "CTCAEv5.0コード" in name]  # its codes have no list to hold to
    rows = [table[0], *([NAMES[(i + n) % 3] for i in range(len(table[0]))] for n in range(3))]
    for row in rows[1:]:
        for i in open_list:
            row[i] = "10019211"
    report = bare(written(rows))
    told = " ".join([*report.lines(), *(f"{i} {i.record} {i.facts}" for i in report.issues), str(report.as_dict())])
    kept = b"".join(p.read_bytes() for p in (tmp_path / "ws").rglob("*") if p.is_file())
    assert report.stored
    for name in NAMES:
        assert name not in told
        assert name.encode() not in kept


# -- paths --------------------------------------------------------------------------------------------------------


def test_one_bad_path_does_not_stop_the_others(
    bare: Callable[[bytes], loading.LoadReport], tmp_path: Path, export: bytes
) -> None:
    bare(export)
    stray = tmp_path / "loose.csv"
    stray.write_bytes(export)
    report = loading.load(tmp_path / "ws", [stray, tmp_path / "none", tmp_path / SITE])
    assert rules(report) >= {"etl.site-unknown", "etl.path-absent"}
    assert len(report.stored) == 1


def test_an_unknown_site_ends_all(bare: Callable[[bytes], loading.LoadReport], tmp_path: Path, export: bytes) -> None:
    bare(export)
    with pytest.raises(MasterkeyError, match="not a known site"):
        loading.load(tmp_path / "ws", [tmp_path / SITE], site="xx_nowhere")


def test_a_folder_that_names_no_site_is_told(tmp_path: Path, export: bytes) -> None:
    folder = tmp_path / "export"
    folder.mkdir()
    assert rules(loading.load(tmp_path / "ws", [folder])) == {"etl.path-absent"}
    (folder / "case.csv").write_bytes(export)
    report = loading.load(tmp_path / "ws", [folder])
    assert rules(report) == {"etl.site-unknown"}
    assert report.exit_code == 2


def test_a_folder_that_cannot_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bare: Callable[[bytes], loading.LoadReport], export: bytes
) -> None:
    bare(export)
    closed = tmp_path / "closed"
    closed.mkdir()
    listed = Path.iterdir

    def iterdir(path: Path) -> object:
        if path == closed:
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    report = loading.load(tmp_path / "ws", [closed, tmp_path / SITE])
    assert "etl.unreadable" in rules(report)
    assert len(report.stored) == 1


# -- what is said afterwards --------------------------------------------------------------------------------------


def test_explain_reads_the_cells_of_a_file_in_another_encoding(
    bare: Callable[[bytes], loading.LoadReport], tmp_path: Path, export: bytes
) -> None:
    Workspace.open(tmp_path / "ws", create=True, role="site")
    bare(b"Title,,\r\n" + export.decode("utf-8-sig").encode("cp932", "replace"))
    told = explain.explain(tmp_path / "ws", "case.csv:3")
    patient = next(t.what for t in told.became if t.what.startswith("Patient/"))
    cells = [c for o in explain.explain(tmp_path / "ws", patient).origins for c in o.cells]
    assert any(cells)


@pytest.mark.parametrize(
    "words",
    [
        ["load", "x", "--data"],
        ["load", "x", "--data="],
        ["load", "x", "--data", "--json"],
        ["issues", "list", "--state", "other"],
        ["sql", "translate", "SELECT 1", "--to", "other"],
        ["quality", "report", "--language", "xx"],
        ["view", "v.json", "b.json", "--to", "other"],
        ["sql", "run", "SELECT 1"],
    ],
)
def test_usage_is_told_plainly(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASTERKEY_DATA", str(tmp_path / "ws"))
    Workspace.open(tmp_path / "ws", create=True)
    (tmp_path / "ws" / "cdm" / "cdm.duckdb").write_bytes(b"junk")
    assert cli.main(words) == 2
    told = capsys.readouterr().err
    assert "unexpected" not in told and "Traceback" not in told
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ws"], "nothing was made beside the workspace"


def test_ctrl_c_says_that_nothing_is_half_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load", interrupted)
    assert cli.main(["load", "x"]) == 130
    assert "nothing half-loaded was left" in capsys.readouterr().err
