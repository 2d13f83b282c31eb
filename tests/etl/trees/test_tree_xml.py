"""XML: what is read, what becomes of every leaf, what is told, what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from masterkey_etl.readers import LocalFile, recognise
from masterkey_fhir.issue import MasterkeyError

Read = Callable[[Any], Any]
GOLD = """<?xml version="1.0" encoding="UTF-8"?>
<r:all xmlns:r="urn:own" xmlns:x="urn:x">
  <head x:sent="today">t</head>
  <odd z="2"/>
  <r:report id="r1">
    <disease> Bone </disease><seen>2020-13-01</seen>
    <variants>
      <variant gene="TP53" fraction="0.50"><note>a</note><note>b</note><evidence x:sample="s"/></variant>
      stray words
      <variant fraction="2"><note/></variant>
    </variants>
    <pdf kind="1">JVBE</pdf>
    <new q="1">v</new>
  </r:report>
  <r:report id="r2"/>
</r:all>"""


def test_elements_and_attributes_become_records_with_their_parts(read_xml: Read) -> None:
    tree = read_xml(GOLD)
    assert [tree.value(n, "report_id") for n in range(2)] == ["r1", "r2"]
    assert tree.value(0, "disease") == "Bone"
    assert tree.items(0, "variants") == [{"gene": "TP53", "fraction": "0.50", "note": "a | b", "sample": "s"}]
    assert tree.items(1, "variants") == []


def test_every_leaf_is_in_the_ledger_once(read_xml: Read) -> None:
    tree = read_xml(GOLD)
    assert tree.reading.counts.values == 19
    assert tree.cells("note", "mapped") == 2
    assert tree.cells("note", "absent") == 1
    assert tree.cells("fraction", "rejected") == tree.cells("seen", "rejected") == 1
    assert tree.cells("pdf", "set_aside") == tree.cells("/head", "set_aside") == 2
    assert tree.cells("new", "rejected") == tree.cells("new.@q", "rejected") == tree.cells("odd.@z", "rejected") == 1


def test_what_is_told(read_xml: Read) -> None:
    tree = read_xml(GOLD)
    assert tree.only("etl.xml-mixed").place.field == "variants"
    assert tree.only("etl.leaf-missing").place.field == "gene"
    assert "stray words" not in " ".join(map(str, tree.issues))


LEVELS = "".join(f'<!ENTITY {chr(98 + n)} "{("&" + chr(97 + n) + ";") * 10}">' for n in range(25))
BOMB = f'<!DOCTYPE all [<!ENTITY a "aaaaaaaaaa">{LEVELS}]><all><report id="1"><disease>&z;</disease></report></all>'


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        '<!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x.dtd"> %p;]><a/>',
        '<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a>&x;</a>',
    ],
)
def test_entities_are_refused_by_name(read_xml: Read, text: str) -> None:
    start = time.process_time()
    with pytest.raises(MasterkeyError) as refused:
        read_xml(text)
    assert [i.rule for i in refused.value.issues] == ["etl.xml-entity"]
    assert time.process_time() - start < 1


def test_a_dtd_elsewhere_is_not_opened(read_xml: Read) -> None:
    tree = read_xml('<!DOCTYPE a SYSTEM "http://127.0.0.1/x.dtd"><a><report id="1"/></a>')
    assert tree.rules == ["etl.xml-doctype"]
    assert len(tree.records) == 1


def test_elements_too_deep_within_each_other_are_refused(read_xml: Read) -> None:
    with pytest.raises(MasterkeyError) as refused:
        read_xml("<a>" * 100_000)
    assert refused.value.issues[0].rule == "etl.xml-deep"


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "<a>", "<a></b>", "<a>&x;</a>", "<a><report id='1' id='2'/></a>", "<x:a/>", "\0",
        "<a><report id='&#0;'/></a>", '<?xml version="1.0" encoding="shift_jis"?><a><report/></a>',
    ],
)  # fmt: skip
def test_what_is_no_xml_is_told(read_xml: Read, text: str) -> None:
    assert read_xml(text).rules == ["etl.tree-broken", "etl.tree-empty"]


def test_a_break_keeps_the_records_before_it(read_xml: Read) -> None:
    tree = read_xml('<a><report id="1"/><report id="2"><variants><variant gene="x"')
    assert [r.values[0] for r in tree.records] == ["1"]
    assert tree.reading.counts.refused == 1
    assert "etl.tree-broken" in tree.rules


def test_encodings_of_the_prolog(read_xml: Read) -> None:
    text = '<?xml version="1.0" encoding="{}"?><a><report id="é"/></a>'
    for name in ("iso-8859-1", "utf-8", "utf-16"):
        assert read_xml(text.format(name).encode(name)).value(0, "report_id") == "é"


def test_a_long_text_is_refused_alone(read_xml: Read) -> None:
    tree = read_xml("<a><report id='1'><disease>%s</disease><seen>2020-01-01</seen></report></a>" % ("x" * 1_100_000))
    assert "etl.value-long" in tree.rules
    assert tree.value(0, "seen") == "2020-01-01"


def test_many_records_stream_across_pieces(read_xml: Read) -> None:
    variants = '<variants><variant gene="G" fraction="0.1"><note>n</note></variant></variants>'
    one = f'<report id="r"><disease>d</disease>{variants}</report>'
    tree = read_xml(f"<a>{one * 4_000}</a>")
    assert len(tree.records) == 4_000
    assert tree.cells("gene", "mapped") == tree.cells("note", "mapped") == 4_000
    assert all(len(r.groups["variants"]) == 1 for r in tree.records)


def test_an_entity_bomb_is_refused_by_name_before_it_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "bomb.xml").write_text(BOMB, encoding="utf-8")
    with pytest.raises(MasterkeyError) as refused:
        recognise(LocalFile(tmp_path / "bomb.xml"))
    assert refused.value.issues[0].rule == "etl.xml-entity"


def test_a_name_with_a_dot_is_at_no_path_of_the_model(read_xml: Read) -> None:
    tree = read_xml('<all><report id="r1"><variants.variant gene="TP53"/><variants a.b="1"/></report></all>')
    assert tree.cells("gene", "mapped") == 0 and "etl.leaf-unknown" in tree.rules
