"""`masterkey issues` from a load to a returned workbook, as a steward types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from masterkey_api import cli


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a synthetic cohort and its dirt; tests answer different Issues of it."""
    folder = tmp_path_factory.mktemp("issues")
    assert cli.main(["synth", str(folder / "cohort"), "--patients", "40", "--seed", "3"]) == 0
    assert cli.main(["load", str(folder / "cohort"), "--data", str(folder / "data")]) in (0, 1)
    return folder


@pytest.fixture
def say(loaded: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def said(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert cli.main(["issues", *words, "--data", str(loaded / "data")]) == code
        out = capsys.readouterr()
        return out.out + out.err

    return said


def page(say: Any, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(say("list", "--json", *words))
    return found


def test_kinds_pages_and_json_agree(say: Any) -> None:
    every = page(say)
    assert every["total"] == len(every["issues"]) > 5 and every["next"] is None
    assert say("list").startswith(f"{every['total']} open issues\n")
    first = page(say, "--limit", "2")
    second = page(say, "--limit", "2", "--after", str(first["next"]))
    assert [i["id"] for i in first["issues"] + second["issues"]] == [i["id"] for i in every["issues"][:4]]
    text = say("list", "--each", "--limit", "2")
    assert text.splitlines()[-1] == f"next page: --after {first['next']}" and len(text.splitlines()) == 5


def test_filters(say: Any) -> None:
    rule = "etl.code-label-disagree"
    found = page(say, "--rule", rule, "--turn", "site", "--site", "jp_ncch", "--since", "2026-01-01")["issues"]
    assert found and {i["details"]["coding"][0]["code"] for i in found} == {rule}
    assert page(say, "--since", "2999-01-01")["total"] == 0
    assert page(say, "--file", "other.csv")["total"] == 0
    assert {i["turn"] for i in page(say, "--turn", "nobody")["issues"]} == {""}
    assert "is no day" in say("list", "--since", "yesterday", code=2)
    assert "jp_ncch" in say("list", "--site", "jp_nchc", code=2)


def test_show_answer_and_history(say: Any) -> None:
    number = str(page(say, "--turn", "site", "--rule", "etl.code-label-disagree")["issues"][0]["id"])
    assert "opened by delivery 1" in say("show", number)
    assert "施設でどちらかを訂正してください" in say("show", number, "--language", "ja")
    said = say("answer", number, "--as", "confirmed", "--by", "physician", "--text", "Yamada Taro")
    assert "answered; nobody's turn" in said and "masked" in said and "Yamada" not in said
    told = json.loads(say("show", number, "--json"))
    assert (told["state"], told["answer"], told["answer_by"]) == ("answered", "confirmed", "physician")
    assert [e["event"] for e in told["history"]] == ["opened", "answered"]
    assert "open; it is the turn of the site" in say("answer", number, "--as", "ask-again", "--by", "steward")


def test_refusals_have_a_remedy(say: Any) -> None:
    assert "there is no Issue 99999" in say("show", "99999", code=2)
    assert "there is no Issue 99999" in say("answer", "99999", "--as", "confirmed", "--by", "site", code=2)
    assert "this role can't" in say("answer", "1", "--as", "accepted", "--by", "site", code=2)
    assert "Known are: en, ja" in say("list", "--language", "xx", code=2)
    say("answer", "1", "--as", "confirmed", "--by", "Dr Yamada", code=2)


def test_a_workbook_there_and_back(say: Any, loaded: Path) -> None:
    assert "language ja" in say("export", str(loaded / "out"), "--site", "jp_ncch")
    path = loaded / "out" / "jp_ncch-issues.xlsx"
    book = load_workbook(path)
    sheet = book.worksheets[1]
    sheet["J3"].value, sheet["J4"].value, sheet["J5"].value = "confirmed", "no idea", None
    book.save(path)
    told = say("import", str(path), code=1)
    assert "1 answered" in told and "1 refused" in told and "row 4: the answer is none of the list" in told
    assert "1 as before" in say("import", str(path), "--language", "ja", code=1)
    assert "another site" in say("import", str(path), "--site", "my_nci", code=2)
    assert "no workbook" in say("import", str(loaded / "cohort" / "key.csv"), code=2)
    assert "1 as before" in say("import", str(loaded / "cohort" / "key.csv"), str(path), code=2), "the others are in"
    whole = json.loads(say("import", str(path), "--json", code=1))
    assert whole[0]["refused"][0]["details"]["coding"][0]["code"] == "etl.sheet-choice"


def test_an_identical_load_changes_no_issue(say: Any, loaded: Path) -> None:
    before = say("list", "--each", "--state", "all", "--json", "--limit", "1000")
    assert cli.main(["load", str(loaded / "cohort"), "--data", str(loaded / "data")]) in (0, 1)
    assert say("list", "--each", "--state", "all", "--json", "--limit", "1000") == before
