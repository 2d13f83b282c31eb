"""What a file is: its container, its kind, its encoding, its delimiter, its header row."""

from __future__ import annotations

import gzip
import io
import os
import time
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masterkey_etl.files import WorkspaceError
from masterkey_etl.inspect import Inspection, inspect
from masterkey_etl.inspect.dialect import delimiter
from masterkey_etl.inspect.encodings import encoding
from masterkey_etl.inspect.kinds import text_kind
from masterkey_etl.inspect.words import meaning

KINDS = {
    "HL7 v2": "MSH|^~\\&|A|B|C|D|20240101||ORU^R01|1|P|2.5\rPID|1||x\r",
    "VCF": "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\n",
    "MAF": "#version 2.4\nHugo_Symbol\tChromosome\nTP53\t17\n",
    "FHIR bundle": '{"resourceType": "Bundle", "type": "collection", "entry": []}',
    "FHIR resource": '\ufeff{"id": "1", "resourceType":"Patient"}',
    "FHIR NDJSON": '{"resourceType":"Patient"}\n{"resourceType":"Patient"}\n',
    "NDJSON": '{"a": 1}\n{"a": 2}\n',
    "JSON": '[{"a": 1}]',
    "XML": '<?xml version="1.0"?>\n<rr:ResultsReport xmlns:rr="urn:x"><a/></rr:ResultsReport>',
    "FHIR XML": '<Patient xmlns="http://hl7.org/fhir"><id value="1"/></Patient>',
    "delimited": "a,b\n1,2\n",
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_known_by_its_first_bytes(tmp_path: Path, kind: str) -> None:
    found = look(tmp_path, KINDS[kind].encode())
    assert found.kind.what == kind
    assert found.kind.evidence and 0 < found.kind.confidence <= 1


def look(tmp_path: Path, data: bytes) -> Inspection:
    path = tmp_path / "anything.dat"
    path.write_bytes(data)
    return inspect(path)[0]


def test_a_version_of_hl7_is_named() -> None:
    assert "version 2.5 in MSH-12" in text_kind(KINDS["HL7 v2"]).evidence


@pytest.mark.shared
def test_kinds_of_real_files(shared: Path) -> None:
    def kinds(pattern: str) -> set[str]:
        return {inspect(p)[0].kind.what for p in sorted((shared / "data").glob(pattern))[:5]}

    assert kinds("sites/hl7v2_pathology/*.txt") == {"HL7 v2"}
    assert kinds("genomics/vcf/**/*.vcf") == {"VCF"}
    assert kinds("genomics/maf/*.maf") <= {"MAF"}
    assert kinds("sites/redcap/flat_sample.json") == {"JSON"}


JAPANESE = "患者番号,性別,診断日,備考\nA1,男,2020/1/2,右肺の腫瘍\nA2,女,2020/3/4,左乳房にしこりがある\n"
TEXTS = {
    "cp932": JAPANESE,
    "euc_jp": JAPANESE,
    "iso2022_jp": JAPANESE,
    "utf-8": JAPANESE,
    "cp874": "รหัสผู้ป่วย,เพศ,วันเกิด\n1,ชาย,2500\n2,หญิง,2510\n",
    "cp1258": "mã bệnh nhân,giới tính\n1,nam\n2,nữ\n",
    "cp1252": "Número,naïve,café\n1,é,è\n",
}


def written(name: str, text: str) -> bytes:
    if name != "cp1258":
        return text.encode(name)
    import unicodedata

    tones = "\u0300\u0301\u0303\u0309\u0323"
    out = []
    for c in text:  # Windows-1258 writes a vowel, then its tone
        parts = unicodedata.normalize("NFD", c)
        marks = "".join(m for m in parts if m in tones)
        out.append(unicodedata.normalize("NFC", "".join(m for m in parts if m not in tones)) + marks)
    return "".join(out).encode(name)


@pytest.mark.parametrize("name", TEXTS)
def test_the_encoding_is_found_without_a_mark(name: str) -> None:
    found = encoding(written(name, TEXTS[name]), True)
    assert found.what == name and found.evidence


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_decides(name: str) -> None:
    assert encoding(JAPANESE.encode(name), True).what == name


def test_mixed_bytes_are_said_to_be_no_text_of_one_encoding() -> None:
    data = JAPANESE.encode() + JAPANESE.encode("cp932") + b"\xff\x81"
    assert encoding(data, True).confidence < 0.6


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([",", "\t", ";", "|"]),
    st.integers(2, 8),
    st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8), min_size=24, max_size=80),
)
def test_any_delimiter_is_found_in_even_rows(mark: str, width: int, words: list[str]) -> None:
    rows = [words[i : i + width] for i in range(0, len(words) - width + 1, width)]
    found = delimiter([mark.join(row) + "\n" for row in rows])
    assert found.what == mark and found.confidence == 1


def test_lines_before_the_header_and_no_header(tmp_path: Path) -> None:
    titled = look(tmp_path, b"Export of ward 3\nid,sex,seen\n1,M,2020-01-02\n2,F,2020-01-03\n")
    assert titled.header_index == 1 and titled.names == ["id", "sex", "seen"]
    bare = look(tmp_path, b"1,5,2020-01-02\n2,6,2020-01-03\n")
    assert bare.header_index is None and bare.header is not None and "no row" in bare.header.evidence


def test_gzip_and_zip_are_opened(tmp_path: Path) -> None:
    box = io.BytesIO()
    with zipfile.ZipFile(box, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("in/a.csv", "id,sex\n1,M\n2,F\n")
        archive.writestr("b.json", "[1]")
        archive.writestr("bomb.csv", b"a" * (65 << 20))
    path = tmp_path / "x"
    path.write_bytes(box.getvalue())
    whole, *members = inspect(path)
    assert whole.container.what == "zip" and [m.kind.what for m in members] == ["delimited", "JSON"]
    assert any("bomb.csv" in n for n in whole.notes)
    path.write_bytes(gzip.compress(b"id,sex\n1,M\n2,F\n"))
    assert [i.kind.what for i in inspect(path)] == ["gzip", "delimited"]
    path.write_bytes(gzip.compress(b"id,sex\n" * 999)[:40])
    assert any("cut off" in n for i in inspect(path) for n in i.notes)


@pytest.mark.parametrize("data", [b"", b"\0" * 500, b"\xff\xfe\x00bad", b"PK\x03\x04junk", b"{" * 5000])
def test_junk_is_told_and_nothing_is_raised(tmp_path: Path, data: bytes) -> None:
    found = look(tmp_path, data)
    assert found.lines() and found.as_dict()


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes_give_an_answer(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(data)
    assert all(i.lines() and i.as_dict() for i in inspect(path))


def test_leaf_paths_of_json_and_xml_are_profiled(tmp_path: Path) -> None:
    found = look(tmp_path, b'[{"p": {"id": "A1"}, "drugs": [{"n": 1}, {"n": 2.5}]}, {"p": {"id": "A2"}, "on": true}]')
    assert found.names == ["p.id", "drugs.n", "on"] and found.rows == 2
    assert "drugs stands up to 2 times" in " ".join(found.notes)
    xml = b'<r xmlns="urn:x"><p id="A1"><born>2020-01-02</born></p><v>1</v><v>2</v></r>'
    found = look(tmp_path, xml)
    assert found.names == ["p.@id", "p.born", "v"]
    assert [c.type.what for c in found.columns][1] == "date" and "v stands up to 2 times" in " ".join(found.notes)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'<!DOCTYPE r [<!ENTITY a "aaaa">]><r>&a;</r>', "declares entities"),
        (b"<r><a>1</a><b>", "leaf paths"),
        (b"<r><a>1</a></b>", "no XML"),
        (b'{"a": 1}\n{"b": \n', "no JSON"),
        (b"[" * 3000 + b"]" * 3000, "JSON"),
    ],
)
def test_broken_trees_are_told(tmp_path: Path, data: bytes, told: str) -> None:
    assert told in " ".join(look(tmp_path, data).lines())


@pytest.mark.shared
def test_panel_reports_fit_their_models(shared: Path) -> None:
    for folder, model in (("cats", "cats/"), ("foundationone", "foundationone/")):
        path = next(p for p in sorted((shared / "data/genomics" / folder).rglob("*")) if p.suffix in (".json", ".xml"))
        found = inspect(path)[0]
        assert found.columns and found.fits[0].model.startswith(model)


def test_sheets_of_a_workbook_are_tables(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [
        ["Export of ward 3"],
        ["患者番号", "性別", "体重(kg)"],
        *([f"{i:04d}", "男女"[i % 2], 40.5 + i] for i in range(30)),
    ]:
        book.active.append(row)
    hidden = book.create_sheet("notes")
    hidden.append(["seen", "by"])
    hidden.sheet_state = "hidden"
    book.save(tmp_path / "x.xlsx")
    whole, first, second = inspect(tmp_path / "x.xlsx")
    assert whole.container.what == "xlsx" and "2 sheets" in whole.notes[0]
    assert first.names == ["患者番号", "性別", "体重(kg)"] and first.header_index == 1 and first.rows == 30
    assert [c.type.what for c in first.columns] == ["text", "code", "decimal"]
    assert "the sheet is hidden" in second.notes
    (tmp_path / "x.xlsx").write_bytes((tmp_path / "x.xlsx").read_bytes()[:2000])
    assert len(inspect(tmp_path / "x.xlsx")[0].notes) == 1


def test_a_pipe_is_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(WorkspaceError) as raised:
        inspect(tmp_path / "pipe.csv")
    assert raised.value.issues[0].rule == "etl.not-a-file"


def test_a_wide_header_is_judged_in_time() -> None:
    began = time.process_time()
    assert not any(meaning(f"zq{i} wx") for i in range(1500))
    assert time.process_time() - began < 1
