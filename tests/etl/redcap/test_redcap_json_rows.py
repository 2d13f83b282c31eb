"""JSON rows become the same table, whatever they hold; the count agrees with the reader."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_delivery import Bytes

from masterkey_api.cli import main
from masterkey_etl.readers import flat_json
from masterkey_etl.readers.flat_json import JsonRows, count, is_rows
from masterkey_etl.source_model import SourceModel

from .conftest import Project, dictionary_text

MODEL = SourceModel.parse(
    "{format: t, revision: '1', title: t, citation: t, record: r, columns: [{id: a, header: a, type: text}]}"
)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=30)
ROWS = st.lists(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=5), min_size=1, max_size=6)


@given(ROWS, st.sampled_from([None, 2]), st.booleans())
def test_rows_come_through_as_they_are(rows: list[dict[str, str]], indent: int | None, plain: bool):
    data = json.dumps(rows, indent=indent, ensure_ascii=plain).encode()
    table = JsonRows(Bytes(data))
    text = table.open().read().decode()
    header, *got = csv.reader(io.StringIO(text, newline=""))
    assert header == list(dict.fromkeys(k for r in rows for k in r))
    assert got == [[r.get(name, "") for name in header] for r in rows]
    found = count(io.BytesIO(data), MODEL)
    assert (found.rows, found.columns) == (len(rows), len(header))


@given(st.binary(max_size=200))
def test_any_bytes_after_a_bracket_end_well(data: bytes):
    whole = b"[{" + data
    table = JsonRows(Bytes(whole))
    rows = table.open().read().decode().count("\r\n") - 1
    assert rows >= 0 and is_rows(Bytes(whole))
    assert count(io.BytesIO(whole), MODEL).rows <= rows + 1


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_objects_are_counted_across_pieces(monkeypatch: pytest.MonkeyPatch, piece: int):
    monkeypatch.setattr(flat_json, "_CHUNK", piece)
    rows = [{"a": 'q" {', "b\\": "\\"}, {"a": "}}]", "c": '\\"'}, {"é": "\n"}]
    for indent in (None, 1):
        data = json.dumps(rows, indent=indent, ensure_ascii=piece % 2 == 0).encode()
        found = [json.loads(text) for text in flat_json._braced(io.BytesIO(data))]
        assert found == rows


def test_values_are_the_texts_of_the_file():
    first = b'{"a": 1.0, "b": null, "c": true, "d": 12345678901234567890, "a": "second"}'
    table = JsonRows(Bytes(b"[" + first + b', 5, [], {"e": {"f": [1]}}]'))
    rows = table.open().read().decode().splitlines()
    assert rows == ["a,b,c,d,e", "1.0,,true,12345678901234567890,", ',,,,"{""f"": [""1""]}"']
    assert (table.doubled, table.nested, table.strange, table.broken) == (1, 1, 2, 0)


def test_numbers_that_only_programs_write_are_counted_as_they_are_read():
    data = b'[{"a": NaN, "b": -Infinity}, {"a": 1}]'
    assert JsonRows(Bytes(data)).open().read().decode().splitlines() == ["a,b", "NaN,-Infinity", "1,"]
    found = count(io.BytesIO(data), MODEL)
    assert (found.rows, found.columns) == (2, 2)


def test_the_command_drafts_into_the_workspace(tmp_path: Path, capsys: object):
    data = str(tmp_path / "data")
    p = Project(tmp_path, dictionary_text({"name": "record_id"}, {"name": "vdate", "form": "visit"}))
    assert main(["--data", data, "init", "--role", "registry"]) == 0
    command = ["--data", data, "map", "redcap", str(p.dictionary), "--site", "my_nci", "--repeating", "visit"]
    assert main(command) == 0
    assert main(command) == 2  # they are there already
    overlay = tmp_path / "data" / "mappings"
    drafts = ["CHANGES.csv", "sites/my_nci/redcap_dictionary.yaml", "sources/redcap_dictionary/1.yaml"]
    assert sorted(path.relative_to(overlay).as_posix() for path in overlay.rglob("*.*")) == drafts
    assert main(["--data", data, "map", "check", str(overlay / drafts[1])]) == 0
