"""Texts of Issues: both catalogues agree, files add languages, English stands in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_fhir import messages
from masterkey_fhir.issue import Place, catalogue, issue, turn_of
from masterkey_fhir.messages import MessagesError

FOUND = issue("fhir.store-newer", Place("s", "f", 3), found="9", known="2")
WORDS = {"sheet.step": {"en": "{n} rows", "ja": "{n} 行"}}


def test_english_and_japanese_have_the_same_placeholders_everywhere() -> None:
    assert messages.disagreements("ja") == [] and messages.disagreements("en") == []


def test_every_rule_says_whose_turn_it_is_in_a_known_word() -> None:
    turns = {turn_of(rule, "error") for room in messages.ROOMS for rule in catalogue(room)}
    assert turns == {"site", "registry"}


def test_without_a_file_it_is_the_catalogue(tmp_path: Path) -> None:
    assert messages.load("en", [tmp_path]).line(FOUND) == str(FOUND)
    assert messages.load("ja").fact(FOUND) == FOUND.fact("ja")
    assert messages.load("ja", words=WORDS).word("sheet.step", n=2) == "2 行"


def write(folder: Path, text: str, name: str = "th.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_a_file_adds_a_language_and_english_fills_the_gaps(tmp_path: Path) -> None:
    said = 'fhir.store-newer: {fact: "[{found}] > [{known}]"}\nsheet.step: "แถว {n}"\n'
    texts = messages.load("th", [write(tmp_path, said)], WORDS)
    assert texts.fact(FOUND) == "[9] > [2]" and texts.remedy(FOUND) == FOUND.remedy() and not texts.problems
    assert texts.word("sheet.step", n=4) == "แถว 4"


def test_a_later_folder_wins_part_by_part(tmp_path: Path) -> None:
    first = write(tmp_path / "a", 'fhir.store-newer: {fact: "a {found} {known}", remedy: "ra"}\n')
    second = write(tmp_path / "b", 'fhir.store-newer: {fact: "b {known} {found}"}\n')
    remedy = catalogue("fhir")["fhir.store-newer"]["en"]["remedy"]
    assert not messages.placeholders(remedy)
    texts = messages.load("th", [first, second])
    assert (texts.fact(FOUND), texts.remedy(FOUND)) == ("b 2 9", "ra")


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ('fhir.store-newer: {fact: "only {found}"}', ["fhir.message-placeholders"]),
        ('fhir.store-newer: {fact: "{found} {known} {more}"}', ["fhir.message-placeholders"]),
        ('fhir.store-newer: {fact: "{found"}', ["fhir.message-placeholders"]),
        ('fhir.store-newer: {fact: ""}', ["fhir.message-placeholders"]),
        ("fhir.store-newer: word", ["fhir.message-placeholders"] * 2),
        ("fhir.nothing: {fact: x}", ["fhir.message-unknown"]),
        ("etl: x", ["fhir.message-unknown"]),
        ("nothing.at: x", ["fhir.message-unknown"]),
        ("- a list", ["fhir.message-file"]),
        ("{", ["fhir.message-file"]),
        ("\x00", ["fhir.message-file"]),
        ("", []),
    ],
)
def test_what_is_wrong_in_a_file_is_told_and_said_in_english(tmp_path: Path, text: str, rules: list[str]) -> None:
    texts = messages.load("th", [write(tmp_path, text)])
    assert [i.rule for i in texts.problems] == rules and texts.fact(FOUND) == FOUND.fact()
    assert all(i.place.file == "th.yaml" and i.fact("ja") for i in texts.problems)


def test_a_file_in_another_encoding(tmp_path: Path) -> None:
    (tmp_path / "th.yaml").write_bytes("fhir.store-newer: {fact: แ}".encode("cp874"))
    assert [i.rule for i in messages.load("th", [tmp_path]).problems] == ["fhir.message-file"]


@pytest.mark.parametrize("given_", ["xx", "../../etc/passwd", "", "EN", "a" * 99])
def test_a_language_that_is_not_there(tmp_path: Path, given_: str) -> None:
    write(tmp_path, "", "not a tag.yaml")
    with pytest.raises(MessagesError, match="Known are: en, ja, th"):
        messages.load(given_, [write(tmp_path, "")])


@given(st.text())
def test_placeholders_of_any_text(text: str) -> None:
    found = messages.placeholders(text)
    assert found is None or all(name in text for name in found)
