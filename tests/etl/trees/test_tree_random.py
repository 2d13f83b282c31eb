"""Random and damaged trees: the ledger closes with the independent count, nothing but a told refusal stops a reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masterkey_fhir.issue import MasterkeyError

CALM = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
NAMES = st.sampled_from(
    ["id", "meta", "version", "results", "variants", "gene", "fraction", "ends", "at", "transcripts", "change",
     "samples", "effects", "score", "oldScore", "comments", "sent", "kind", "new key", "é", "x.y"]
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=True),
    st.text(max_size=8),
    st.sampled_from(["", "NM_1", "0.5", "\0", "\ufeff", "2020-01-02", 'a"b\\c', "x\ny"]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=6)),
    max_leaves=25,
)
SHAPED = st.fixed_dictionaries(
    {"id": LEAVES, "results": st.fixed_dictionaries({"variants": st.lists(st.dictionaries(NAMES, TREES), max_size=4)})}
)
DOCUMENTS = st.one_of(TREES, SHAPED)
LAYOUT = st.sampled_from([None, 1])


def doubled(pairs: list[tuple[str, Any]], indent: int | None) -> str:
    """An object in which a key may stand twice."""
    return "{" + ",".join(f"{json.dumps(k)}:{json.dumps(v, indent=indent)}" for k, v in pairs) + "}"


@CALM
@given(DOCUMENTS, LAYOUT, st.booleans())
def test_any_document_closes(read_json: Callable[[str], Any], value: Any, indent: int | None, ascii_: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
    tree = read_json(text.encode("utf-8", "surrogatepass"))
    assert tree.reading.counts.records + tree.reading.counts.refused == tree.reading.counts.rows


@CALM
@given(st.lists(st.tuples(NAMES, TREES), max_size=8), LAYOUT)
def test_keys_that_stand_twice_close(
    read_json: Callable[[str], Any], pairs: list[tuple[str, Any]], indent: int | None
) -> None:
    text = doubled(pairs, indent)
    tree = read_json(text.encode("utf-8", "surrogatepass"))
    twice = len({k for k, _ in pairs}) < len(pairs)
    lost = sum(r.n for r in tree.rows if r.reason == "it stands twice in its object")
    assert twice or not lost


@CALM
@given(st.lists(DOCUMENTS, min_size=2, max_size=4), st.sampled_from(["\n", "\n\n", " ", "\r\n", "\ufeff"]), LAYOUT)
def test_documents_one_behind_the_other_close(
    read_json: Callable[[str], Any], values: list[Any], between: str, indent: int | None
) -> None:
    texts = [json.dumps(v, indent=indent) for v in values]
    read_json(between.join(texts))


@CALM
@given(SHAPED, st.data())
def test_damaged_json_is_told_and_closes(read_json: Callable[[bytes], Any], value: Any, data: st.DataObject) -> None:
    damaged(json.dumps([value, value]).encode("utf-8", "surrogatepass"), data, read_json)


@CALM
@given(st.lists(SHAPED, min_size=2, max_size=3), st.data())
def test_damaged_lines_are_told_and_close(
    read_json: Callable[[bytes], Any], values: list[Any], data: st.DataObject
) -> None:
    damaged("\n".join(map(json.dumps, values)).encode("utf-8", "surrogatepass"), data, read_json)


def damaged(whole: bytes, data: st.DataObject, read: Callable[[bytes], Any]) -> None:
    """Cut off, bytes changed, put in or taken out: it may be refused with an Issue, never a traceback."""
    at = data.draw(st.integers(0, len(whole)))
    n = data.draw(st.integers(0, 3))
    more = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([*(bytes([c]) for c in b'"{}[],:<&/\n\0')])))
    end = data.draw(st.sampled_from([len(whole), at]))
    try:
        read(whole[:at] + more + whole[at + n : end])
    except MasterkeyError as error:
        assert error.issues


# -- XML ---------------------------------------------------------------------------------------------

TAGS = st.sampled_from(["report", "variants", "variant", "disease", "seen", "note", "evidence", "pdf", "head", "new"])
KEYS = st.sampled_from(["id", "gene", "fraction", "sample", "other"])
WORDS = st.one_of(st.none(), st.sampled_from(["", " ", "x", "0.5", "2020-01-02", "\n  ", "a & b <"]))


def element(tag: str, attributes: dict[str, str], text: str | None, inside: list[Any]) -> ElementTree.Element:
    made = ElementTree.Element(tag, attributes)
    made.text = text
    for n, one in enumerate(inside):
        one.tail = [None, " ", "tail"][(len(tag) + n) % 3]
        made.append(one)
    return made


ATTRIBUTES = st.dictionaries(KEYS, st.sampled_from(["", "TP53", "0.5", "2"]), max_size=3)
ELEMENTS = st.recursive(
    st.builds(element, TAGS, ATTRIBUTES, WORDS, st.just([])),
    lambda inner: st.builds(element, TAGS, ATTRIBUTES, WORDS, st.lists(inner, max_size=4)),
    max_leaves=20,
)


def root_of(inside: list[ElementTree.Element]) -> bytes:
    return bytes(ElementTree.tostring(element("all", {}, None, inside), "utf-8"))


@CALM
@given(st.lists(ELEMENTS, max_size=4))
def test_any_xml_closes(read_xml: Callable[[bytes], Any], inside: list[ElementTree.Element]) -> None:
    tree = read_xml(root_of(inside))
    assert tree.reading.counts.records == sum(one.tag == "report" for one in inside)


@CALM
@given(st.lists(ELEMENTS, max_size=3), st.data())
def test_damaged_xml_is_told_and_closes(
    read_xml: Callable[[bytes], Any], inside: list[ElementTree.Element], data: st.DataObject
) -> None:
    damaged(root_of(inside), data, read_xml)


@pytest.mark.parametrize("cut", range(0, 400, 40))
def test_records_before_a_cut_are_kept(read_xml: Callable[[bytes], Any], cut: int) -> None:
    whole = b"<all>" + b"".join(b'<report id="r%d"><disease>d</disease></report>' % n for n in range(9)) + b"</all>"
    tree = read_xml(whole[:cut])
    assert tree.reading.counts.records == whole[:cut].count(b"</report>")
    assert "etl.tree-broken" in tree.rules or cut >= len(whole)
