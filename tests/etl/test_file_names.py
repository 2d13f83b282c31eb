"""Names of files at a registry: nobody's name is kept, the same file is known again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_etl.data import folder
from masterkey_etl.file_names import kept_name
from masterkey_etl.workspace import Workspace


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace.open(tmp_path_factory.mktemp("registry"), create=True)


@pytest.mark.parametrize(
    "name",
    [
        "ccat_case.csv", "sample_clinical.csv", "sample_report.csv", "export-2.xlsx", "jp_ncch_case_0426.csv",
        "deliveries.zip!jp_ncch/case.csv", "症例_2.csv", "a.csv", "CaseReport.XML", "FoundationOne.xml", "x.json.gz",
    ],
)  # fmt: skip
def test_usual_names_stay(registry: Workspace, name: str) -> None:
    assert kept_name(registry, "jp_ncch", name) == name


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("YAMADA_Taro_panel_19550312.xml", "▢_▢_panel_▢~#.xml"),
        ("yamadataro.csv", "▢~#.csv"),
        ("YamadaTaro-case.csv", "▢-case~#.csv"),
        ("山田花子_症例.csv", "▢_症例~#.csv"),
        ("Nguyễn Văn A.csv", "▢ ▢ A~#.csv"),
        ("สมชาย ใจดี.xlsx", "▢ ▢~#.xlsx"),
        ("090-1234-5678.csv", "▢~#.csv"),
        ("case.zip!Tan Ah Kow/report.csv", "case.zip!▢ ▢ ▢/report~#.csv"),
        ("case.yamada", "case.▢~#"),
        ("case\n\x1b[2J.csv", "case▢[2J~#.csv"),
    ],
)
def test_the_rest_is_masked_and_tagged(registry: Workspace, name: str, shape: str) -> None:
    found = kept_name(registry, "jp_ncch", name)
    assert re.sub("~[0-9a-f]{8}", "~#", found) == shape


def test_the_same_file_is_known_again_and_others_are_told_apart(registry: Workspace, tmp_path: Path) -> None:
    one, same, other = (kept_name(registry, "jp_ncch", n) for n in ("Tan.csv", "Tan.csv", "Lim.csv"))
    assert one == same != other
    assert kept_name(registry, "my_nci", "Tan.csv") != one  # under each site's own key
    assert kept_name(Workspace.open(tmp_path, create=True), "jp_ncch", "Tan.csv") != one


@settings(max_examples=400, deadline=None)
@given(name=st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_cleaning_twice_changes_nothing_and_no_letter_of_another_script_stays(registry: Workspace, name: str) -> None:
    once = kept_name(registry, "jp_ncch", name)
    assert kept_name(registry, "jp_ncch", once) == once
    words = (folder("mappings") / "registry" / "file_words.txt").read_text(encoding="utf-8").split()
    for term in sorted((w for w in words if not w.isascii()), key=len, reverse=True):
        once = once.replace(term, "")
    assert once.replace("▢", "").isascii()


def test_a_site_node_keeps_names(tmp_path: Path) -> None:
    assert kept_name(Workspace.open(tmp_path, create=True, role="site"), "jp_ncch", "Yamada.csv") == "Yamada.csv"


def test_a_word_of_the_overlay_stays(tmp_path: Path) -> None:
    workspace = Workspace.open(tmp_path, create=True)
    (workspace.overlay / "registry").mkdir(parents=True)
    (workspace.overlay / "registry" / "file_words.txt").write_text("kranken\n")
    assert kept_name(workspace, "jp_ncch", "Kranken_2.csv") == "Kranken_2.csv"
