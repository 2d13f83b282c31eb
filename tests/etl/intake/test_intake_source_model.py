"""Source models: every mistake at its line with what would be valid; headers by their normalised key."""

from __future__ import annotations

from pathlib import Path

import pytest

from masterkey_etl.header import header_key
from masterkey_etl.source_model import SourceModel, SourceModelError, known_models

GOOD = """\
format: tiny
revision: "1"
title: t
citation: c
record: case
key: [a]
groups:
  lines: [c]
columns:
  - {id: a, header: 甲, type: text}
  - {id: b, header: 乙, type: code, label: b_label, codes: {01: x}}
  - {id: b_label, header: 乙名称, type: label}
  - {id: c, header: 丙, type: date, formats: ["%Y/%m/%d"]}
"""


def mistakes(text: str) -> list[tuple[int | None, str]]:
    with pytest.raises(SourceModelError) as caught:
        SourceModel.parse(text, "tiny/1.yaml")
    assert all(i.place.file == "tiny/1.yaml" for i in caught.value.issues)
    return [(i.place.row, str(i)) for i in caught.value.issues]


def test_a_good_model_numbers_its_columns_and_keeps_leading_zeros():
    model = SourceModel.parse(GOOD)
    assert [c.position for c in model.columns] == [0, 1, 2, 3]
    assert model.id == "tiny/1"
    assert model.pairs[0].codes == {"01": "x"}
    assert model.group_positions("lines") == (3,)
    assert model.group_of == {3: "lines"}
    assert model.key_positions == (0,)
    assert model.nulls[0] == {""}


@pytest.mark.parametrize(
    ("old", "new", "row", "says"),
    [
        ("record: case", "recrod: case", 5, "recrod is not a key of this place. Valid here: format"),
        ("type: text", "type: txt", 10, "Valid here: text, code, label"),
        ("key: [a]", "key: [aa]", 6, "aa is not the id of a column. Valid here: a"),
        ("label: b_label", "label: b_labl", 11, "b_labl is not the id of a column. Valid here: b_label"),
        ("lines: [c]", "lines: [a]", 8, "a is part of the key"),
        ("id: c,", "id: a,", 13, "the id a is used 2 times"),
        ("header: 丙", 'header: "甲 "', 13, "two columns share the header"),
        ("%Y/%m/%d", "%y/%m/%d", 13, "%y/%m/%d can't be read"),
        ("{01: x}", "[x]", 11, "codes"),
        ("key: [a]\n", "", 6, "groups need a key"),
        ("type: text}", "type: text, min: 3}", 10, "only a number has a range"),
        ("type: text}", "type: text, hint: 3}", 10, "hint is not a key of this place. Valid here: id, header"),
        ("title: t", "title: t\nencoding: [utf-9]", 4, "utf-9 is not an encoding"),
        ("title: t", "title: t\ntitle: u", 4, "title is written twice"),
        ("title: t", "title: [t", 4, "the YAML can't be read"),
        ("type: date", "type: label", 13, "0 code columns name c as their label"),
    ],
)
def test_mistakes_are_told_with_line_and_alternatives(old, new, row, says):
    found = mistakes(GOOD.replace(old, new, 1))
    assert (row, True) in [(line, says in text) for line, text in found], found


def test_all_mistakes_come_at_once():
    text = GOOD.replace("key: [a]", "key: [zz]").replace("label: b_label", "label: yy")
    assert len(mistakes(text)) >= 2


def test_a_missing_model_names_the_known_ones(tmp_path):
    folder = tmp_path / "sources" / "tiny"
    folder.mkdir(parents=True)
    (folder / "1.yaml").write_text(GOOD)
    assert SourceModel.load("tiny/1", tmp_path).format == "tiny"
    assert "tiny/1" in {m.id for m in known_models(tmp_path)}
    with pytest.raises(SourceModelError, match=r"no source model tiny/2.*tiny/1"):
        SourceModel.load("tiny/2", tmp_path)


def test_a_model_lies_where_it_says(tmp_path: Path):
    folder = tmp_path / "sources" / "tiny"
    folder.mkdir(parents=True)
    (folder / "2.yaml").write_text(GOOD)
    with pytest.raises(SourceModelError, match="says it is tiny/1 but lies at tiny/2"):
        SourceModel.load("tiny/2", tmp_path)


def test_an_unknown_column_names_the_nearest():
    with pytest.raises(SourceModelError, match="Did you mean: b_label"):
        SourceModel.parse(GOOD).column("b_labels")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("症例.基本情報.性別", "症例・基本情報（性別）"),
        ("ECOG PS", "ecog.ps"),
        ("喫煙１日本数", "喫煙1日本数"),
        ("\ufeffA_b", "a-B"),
    ],
)
def test_spellings_of_one_header(one, other):
    assert header_key(one) == header_key(other)


def test_headers_match_in_any_order_and_spelling():
    match = SourceModel.parse(GOOD).match(["(丙)", "甲", "乙 名称", "乙"])
    assert match.positions == (1, 3, 2, 0)
    assert [i.rule for i in match.issues] == ["etl.columns-reordered"]


def test_a_renamed_column_is_suspected_not_assumed():
    match = SourceModel.parse(GOOD).match(["甲", "乙", "乙の名", "丙"])
    assert match.positions == (0, 1, None, 3)
    assert [i.rule for i in match.issues] == ["etl.column-renamed"]


def test_an_alias_is_another_name():
    model = SourceModel.parse(GOOD.replace("header: 丙,", "header: 丙, aliases: [丁],"))
    assert model.match(["甲", "乙", "乙名称", "丁"]).issues == ()


def test_an_optional_column_may_be_missing():
    model = SourceModel.parse(GOOD.replace("header: 丙,", "header: 丙, optional: true,"))
    assert model.match(["甲", "乙", "乙名称"]).issues == ()
