"""Which source model a file belongs to: the content decides."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterkey_etl.readers import LocalFile, UnknownFormatError, recognise, recognitions

TWO = """\
format: {name}
revision: "1"
title: t
citation: c
record: case
encoding: [utf-8-sig, cp932]
columns:
  - {{id: a, header: 患者番号, type: text}}
  - {{id: b, header: 性別, type: text}}
  - {{id: c, header: {third}, type: text}}
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    for name, third in (("one", "体重"), ("other", "身長")):
        folder = tmp_path / "overlay" / "sources" / name
        folder.mkdir(parents=True)
        (folder / "1.yaml").write_text(TWO.format(name=name, third=third))
    return tmp_path / "overlay"


def file(tmp_path: Path, text: str, encoding: str = "utf-8") -> LocalFile:
    path = tmp_path / "anything.dat"
    path.write_bytes(text.encode(encoding))
    return LocalFile(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_the_header_decides_in_any_declared_encoding(overlay: Path, tmp_path: Path, encoding: str):
    source = file(tmp_path, "title\n性別,患者番号,身長\n男,1,160\n", encoding)
    assert recognise(source, overlay).id == "other/1"
    assert recognitions(source, overlay)[0].evidence.startswith("3 of 3 columns of other/1")


def test_a_file_of_nobody_names_the_nearest_and_the_known(overlay: Path, tmp_path: Path):
    with pytest.raises(UnknownFormatError, match=r"no source model fits this file.*one/1") as caught:
        recognise(file(tmp_path, "Yamada,Hanako\n"), overlay)
    assert "Yamada" not in str(caught.value)


def test_a_file_that_fits_two_models(overlay: Path, tmp_path: Path):
    with pytest.raises(UnknownFormatError, match="fits one/1 and other/1 equally well"):
        recognise(file(tmp_path, "患者番号,性別,年齢\n1,男,3\n"), overlay)


def test_an_empty_file(overlay: Path, tmp_path: Path):
    with pytest.raises(UnknownFormatError, match="empty"):
        recognise(file(tmp_path, ""), overlay)
