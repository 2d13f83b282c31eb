"""JSON: what is read, what becomes of every leaf, what is told."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

Read = Callable[[Any], Any]
GOLD = """{
  "id": "r1",
  "meta": {"version": "1", "date": "2020-01-02"},
  "comments": ["a remark", {"by": "someone"}],
  "samples": ["s1", "s2"],
  "results": {
    "oldScore": 1.10,
    "variants": [
      {"gene": "TP53", "fraction": 0.50, "effects": ["a", "b", "c"], "ends": [{"at": 5}, {"at": 6}, {"at": 7}],
       "transcripts": [{"id": "NM_1", "change": "c.1"}, {"id": "NM_7"}]},
      {"kind": "gain", "fraction": 0.0}
    ]
  }
}"""


def test_a_document_becomes_a_record_with_its_parts(read_json: Read) -> None:
    tree = read_json(GOLD)
    assert [tree.value(0, c) for c in ("report_id", "version", "made", "score")] == ["r1", "1", "2020-01-02", "1.10"]
    assert tree.items(0, "samples") == [{"sample": "s1"}, {"sample": "s2"}]
    first, second, third = tree.items(0, "variants")
    whole = {"gene": "TP53", "fraction": "0.50", "effects": "a; b; c", "first_end": "5", "second_end": "6"}
    assert first == {**whole, "transcript": "NM_1", "change": "c.1"}
    assert second == {**whole, "transcript": "NM_7"}
    assert third == {"kind": "gain"}


def test_every_leaf_is_in_the_ledger_once(read_json: Read) -> None:
    tree = read_json(GOLD)
    assert tree.reading.counts.values == 21
    assert tree.cells("gene", "mapped") == 1  # two items of one variant are one leaf
    assert tree.cells("effects", "mapped") == 3  # one value of three leaves
    assert tree.cells("fraction", "rejected") == 1
    assert tree.cells("comments", "set_aside") == 2
    assert tree.cells("results.variants.ends.at", "rejected") == 1


def test_what_is_told(read_json: Read) -> None:
    tree = read_json(GOLD)
    assert set(tree.rules) == {"etl.leaf-elsewhere", "etl.leaf-missing", "etl.doubted", "etl.leaf-unknown"}
    assert "a gain of nothing" in str(tree.only("etl.doubted"))
    assert tree.only("etl.leaf-missing").place.row == 7  # id, two samples, variant, its two transcripts, this one
    assert tree.only("etl.leaf-unknown").place.field == "results.variants.ends.at"


@pytest.mark.parametrize(
    "text", ['[{"id":"a"},{"id":"b"}]', '{"id":"a"}\n{"id":"b"}\n', '{"id":"a"}{"id":"b"}', '[[{"id":"a"}],{"id":"b"}]']
)
def test_arrays_and_documents_one_behind_the_other(read_json: Read, text: str) -> None:
    tree = read_json(text)
    assert [tree.value(n, "report_id") for n in range(2)] == ["a", "b"]
    assert tree.issues == []


def test_numbers_keep_their_digits(read_json: Read) -> None:
    long = "1" + "0" * 400
    tree = read_json(f'{{"id": {long}, "results": {{"score": 1.1000}}}}')
    assert tree.value(0, "report_id") == long
    assert tree.value(0, "score") == "1.1000"


def test_nulls_and_empty_texts_are_absent(read_json: Read) -> None:
    tree = read_json('{"id": "a", "meta": {"version": null, "date": ""}, "results": {}, "samples": [null, "s"]}')
    assert tree.cells("version", "absent") == tree.cells("made", "absent") == tree.cells("sample", "absent") == 1
    assert tree.items(0, "samples") == [{"sample": "s"}]


def test_a_key_that_stands_twice_keeps_its_first_value(read_json: Read) -> None:
    tree = read_json('{"id": "first", "id": "second", "meta": {"version": "1", "version": {"x": [1, 2]}}}')
    assert tree.value(0, "report_id") == "first"
    assert sum(i.count for i in tree.issues if i.rule == "etl.key-repeated") == 3
    assert "second" not in " ".join(map(str, tree.issues))


@pytest.mark.parametrize(
    ("value", "rule"),
    [('"\\u0000"', "etl.value-nul"), ('"\\ud800"', "etl.value-bytes"), ('"%s"' % ("x" * 1_100_000), "etl.value-long")],
)
def test_a_value_that_cannot_be_carried_is_refused_alone(read_json: Read, value: str, rule: str) -> None:
    tree = read_json(f'{{"id": "a", "results": {{"variants": [{{"gene": {value}, "kind": "k"}}]}}}}')
    assert tree.items(0, "variants") == [{"kind": "k"}]
    assert tree.cells("gene", "rejected") == 1
    assert rule in tree.rules


def test_bytes_that_are_no_utf8_are_told(read_json: Read) -> None:
    tree = read_json(b'{"id": "a", "samples": ["ok", "\xff\xfe"]}')
    assert tree.items(0, "samples") == [{"sample": "ok"}]
    assert {"etl.value-bytes", "etl.encoding-mixed"} <= set(tree.rules)


def test_byte_order_marks(read_json: Read) -> None:
    tree = read_json('\ufeff{"id": "a"}\n\ufeff{"id": "b"}\n')
    assert len(tree.records) == 2
    assert tree.only("etl.mark-inside").facts["marks"] == 1
    assert len(read_json('{"id": "é"}'.encode("utf-16")).records) == 1


def test_a_broken_line_costs_that_line(read_json: Read) -> None:
    tree = read_json('{"id":"a"}\n{"id":"b"\n{"id":"c"}\n')
    assert [r.values[0] for r in tree.records] == ["a", "c"]
    assert tree.reading.counts.refused == 1
    assert tree.only("etl.tree-broken").facts["line"] == 3


@pytest.mark.parametrize("cut", [1, 20, 100, 300, 400])
def test_a_truncated_document_is_refused_whole(read_json: Read, cut: int) -> None:
    tree = read_json(GOLD[:cut])
    assert tree.rules == ["etl.tree-broken", "etl.tree-empty"]
    assert (tree.reading.counts.refused, tree.reading.counts.values) == (1, 0)


def test_records_before_a_break_in_an_array_are_kept(read_json: Read) -> None:
    tree = read_json('[{"id":"a"},{"id":"b"},{"id":')
    assert len(tree.records) == 2
    assert tree.reading.counts.refused == 1


@pytest.mark.parametrize("text", ["", " ", "[]", "nul", "\0", "{", '{"a"}', "<a/>", "[" * 100_000, '{"meta":' * 5_000])
def test_nothing_to_read_is_told_at_once(read_json: Read, text: str) -> None:
    start = time.process_time()
    tree = read_json(text)
    assert "etl.tree-empty" in tree.rules
    assert not tree.records
    assert time.process_time() - start < 1


def test_an_entirely_different_shape_is_told_by_path_and_never_by_value(read_json: Read) -> None:
    tree = read_json(
        {"id": {"Yamada 1234567": "Hanako"}, "meta": "x", "results": [{"variants": "y"}]}.__repr__().replace("'", '"')
    )
    said = " ".join(map(str, tree.issues))
    assert "Hanako" not in said and "Yamada" not in said
    assert {i.place.field for i in tree.issues if i.rule == "etl.leaf-unknown"} == {"id.?", "meta", "results.variants"}


def test_ten_thousand_keys_that_are_data(read_json: Read) -> None:
    tree = read_json(json.dumps({"id": "a", "people": {f"P{n:05d}": n for n in range(10_000)}}))
    assert tree.reading.counts.values == 10_001
    assert len(tree.issues) <= 102
    assert sum(i.count for i in tree.issues) == 10_000


def test_a_large_array_streams(read_json: Read) -> None:
    one = json.dumps({"id": "x", "samples": ["s"] * 40, "results": {"variants": [{"gene": "G"}] * 20}})
    tree = read_json("[" + ",\n".join([one] * 3_000) + "]")  # several megabytes: several pieces
    assert len(tree.records) == 3_000
    assert tree.cells("gene", "mapped") == 60_000


PIECES = [
    '[{"id":"a","samples":["x,]y","\\"}"]},{"id":"b"},{"id":"c","id":"d"},3]',
    "[[1],[2,[3]],{}]",
    "[1,2,]",
    "[,1]",
    "[1,2",
    "[{}",
]


@pytest.mark.parametrize("text", [*PIECES, PIECES[0] + '\n{"id":"e"}', '[{"id":"a"},\ufeff{"id":"b"}]', "[ ]", "[1] x"])
@pytest.mark.parametrize("whole", [1, 4, 7])
def test_a_large_array_is_counted_part_by_part(
    read_json: Read, monkeypatch: pytest.MonkeyPatch, text: str, whole: int
) -> None:
    """The same balance whatever part of the file counts as large; `read_json` asserts it."""
    from masterkey_etl.readers import json_count

    monkeypatch.setattr(json_count, "WHOLE", whole)
    read_json(text)


@pytest.mark.parametrize("whole", [4, 1 << 20])
@pytest.mark.parametrize(
    "text", ['{"id":"a","results.variants":[{"gene":"TP53"}]}', '{"id":{"":"a"}}', '{"meta":{"":{"version":"1"}}}']
)
def test_a_name_with_a_dot_or_none_is_at_no_path_of_the_model(
    read_json: Read, monkeypatch: pytest.MonkeyPatch, text: str, whole: int
) -> None:
    from masterkey_etl.readers import json_count

    monkeypatch.setattr(json_count, "WHOLE", whole)
    tree = read_json(text)  # asserts that the counts agree
    assert "etl.leaf-unknown" in tree.rules and tree.cells("gene", "mapped") == 0
