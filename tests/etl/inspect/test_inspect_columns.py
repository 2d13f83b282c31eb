"""What columns hold: types, dates and calendars, nulls, pairs, keys; of persons only shapes and counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from masterkey_api import cli
from masterkey_etl.inspect import ColumnProfile, Inspection, inspect

NAMES = ("山田 花子", "Yamada Hanako", "นาย สมชาย ใจดี", "Nguyễn Văn An", "Ahmad bin Ali", "ヤマダ ハナコ")


def column(values: list[str], header: str = "x") -> ColumnProfile:
    found = ColumnProfile(1, header)
    found.add(values)
    return found


def table(tmp_path: Path, *rows: str, encoding: str = "utf-8", bound: int = 20_000) -> Inspection:
    path = tmp_path / "t.csv"
    path.write_bytes(("\n".join(rows) + "\n").encode(encoding))
    return inspect(path, rows=bound)[0]


DATES = {
    "ISO": (["2020-01-02", "2020-12-31"], ("%Y-%m-%d",), "ce", False),
    "packed": (["20200102", "20201231"], ("%Y%m%d",), "ce", False),
    "kanji": (["2024年8月29日", "2024年8月30日"], ("%Y年%m月%d日",), "ce", False),
    "day first": (["31/01/2020", "02/03/2020"], ("%d/%m/%Y",), "ce", False),
    "month first": (["01/31/2020", "02/03/2020"], ("%m/%d/%Y",), "ce", False),
    "open order": (["01/02/2020", "03/04/2020"], None, "ce", True),
    "both orders": (["31/01/2020", "01/31/2020"], None, "ce", True),
    "Buddhist": (["02/01/2563", "31/12/2500"], ("%d/%m/%Y",), "buddhist", False),
    "eras": (["令和2年3月4日", "H31.4.30", "S500102"], (), "japanese", False),
    "eras and CE": (["令和2年3月4日", "2020/1/2"], ("%Y/%m/%d",), "japanese", False),
    "mixed calendars": (["2563-01-02", "2020-01-02"], ("%Y-%m-%d",), "", False),
    "with a time": (["2020-01-02 03:04:05"] * 2, ("%Y-%m-%d %H:%M:%S",), "ce", False),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_their_format_calendar_and_what_is_open(kind: str) -> None:
    texts, formats, calendar, open_order = DATES[kind]
    found = column(texts * 5, "date")
    assert found.type.what == "date" and found.date is not None
    assert (found.date.calendar, found.date.open_order) == (calendar, open_order)
    assert formats is None or found.date.formats == formats
    assert found.date.sure == (bool(calendar) and not open_order)
    if not found.date.sure:
        assert found.type.confidence <= 0.5 and list(found.notes())


TYPES = {
    "integer": [str(n) for n in range(100)],
    "decimal": [f"{n}.5" for n in range(50)],
    "text": [f"{n:07d}" for n in range(50)],
    "code": ["A", "B", "C"] * 20,
    "flag": ["yes", "no"] * 20,
}


@pytest.mark.parametrize("kind", TYPES)
def test_types(kind: str) -> None:
    assert column(TYPES[kind]).type.what == kind


def test_dirt_is_noted_with_counts() -> None:
    zeros = column(["0012", "0456"] * 5)
    assert "10 values have leading zeros" in " ".join(zeros.notes())
    wide = column(["６０", "61"] * 20, "age")
    assert wide.type.what == "integer" and "20 values have full-width digits" in " ".join(wide.notes())
    lost = column(["1.23E+15", "1234567890123456"] * 4)
    assert "exponent form" in " ".join(lost.notes()) and lost.type.what == "text"
    ages = column([str(n) for n in range(20, 90)] + ["999", "999"], "age")
    assert ages.sentinels == ("999",)
    assert "two-digit years" in " ".join(column(["1/2/20"] * 9).notes())
    mixed = column(["12", "old", "13", "young"] * 9 + [f"w{i}" for i in range(70)])
    assert "types are mixed" in " ".join(mixed.notes())


def test_null_tokens_are_counted_apart_and_unknown_stays_an_answer() -> None:
    found = column(["1", "", "NA", "n/a", "-", "未記入", "不明"])
    assert found.empty == 1 and found.nulls.total() == 4 and found.n == 2


@pytest.mark.parametrize(
    ("header", "unit"), [("体重(kg)", "kg"), ("Height [cm]", "cm"), ("weight_kg", "kg"), ("x", "")]
)
def test_units_of_headers(header: str, unit: str) -> None:
    assert column(["1", "2"], header).unit == unit
    assert column(["61 kg", "70.5 kg"], "w").unit == "kg"


PERSONAL = {
    "names": [*NAMES],
    "telephone numbers": ["090-1234-5678", "+66 81 234 5678", "03-1234-5678"],
    "e-mail": ["a.b@example.org"],
    "national numbers": ["1-2345-67890-12-3", "850312-14-5678", "19-123456789-0"],
    "addresses": ["東京都中央区築地", "Jalan Merdeka 5", "12 Main Street"],
    "postcodes": ["104-0045", "〒104-0045"],
}


@pytest.mark.parametrize("kind", PERSONAL)
def test_persons_are_suspected_by_shape(kind: str) -> None:
    found = column(PERSONAL[kind] * 2)
    assert kind in {s.kind for s in found.personal}
    assert found.flag in ("identifier", "free_text")


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        ("患者氏名", "names"),
        ("ชื่อ-สกุล", "names"),
        ("Họ và tên", "names"),
        ("Nama Pasien", "names"),
        ("nama pesakit", "names"),
        ("Patient Name", "names"),
        ("電話番号", "telephone numbers"),
        ("tarikh lahir", "birth dates"),
        ("วันเกิด", "birth dates"),
        ("alamat", "addresses"),
        ("NRIC", "national numbers"),
    ],
)
def test_persons_are_suspected_by_the_words_of_headers(header: str, kind: str) -> None:
    assert kind in {s.kind for s in column(["q1", "q2"], header).personal}


@pytest.mark.parametrize(
    "header", ["drug name", "file_name", "薬剤名", "Histology name", "stage", "surname_of_test_kit"]
)
def test_other_headers_are_not(header: str) -> None:
    assert not column(["q", "r"] * 9, header).personal


def test_code_and_label_keys_and_repeated_parts(tmp_path: Path) -> None:
    rows = [f"P{i // 2},{1 + i // 2 % 2},{'男女'[i // 2 % 2]},D{i},{i}" for i in range(40)]
    found = table(tmp_path, "患者番号,性別,性別名称,薬剤,dose", *rows)
    (pair,) = found.pairs
    assert (pair.code, pair.label, pair.labels) == (1, 2, {"1": "男", "2": "女"})
    key = found.keys[0]
    assert (key.column, key.unique) == (0, False) and set(key.varying) == {3, 4}


def test_a_contradiction_does_not_hide_a_pair_and_numbered_columns_are_said(tmp_path: Path) -> None:
    rows = [f"P{i},{1 + i % 2},{'MF'[i % 2]}ale,a,b" for i in range(40)] + ["Q,1,Fale,a,b"]
    found = table(tmp_path, "id,sex,sex label,drug_1,drug_2", *rows)
    assert len(found.pairs) == 1 and found.series == [("drug#", 2)]
    assert found.keys[0].unique


def test_the_model_that_fits_is_named_with_differences(tmp_path: Path, repository_root: Path) -> None:
    case = repository_root / "mappings/cases/jp_ncch/sarcoma_three_lines/ccat_case.csv"
    whole = inspect(case)[0]
    assert whole.fits[0].model == "ccat_case/2020_04" and whole.fits[0].differences == ()
    text = case.read_text(encoding="utf-8-sig").replace("症例.背景情報.診断日", "症例.背景情報.診断した日")
    (tmp_path / "c.csv").write_text(text, encoding="utf-8")
    changed = inspect(tmp_path / "c.csv")[0]
    assert changed.fits[0].score < 1 and "diagnosis_date" in " ".join(changed.fits[0].differences)


def test_rows_beyond_the_bound_are_said(tmp_path: Path) -> None:
    found = table(tmp_path, "id,sex", *(f"{i},M" for i in range(30)), bound=10)
    assert (found.rows, found.bounded) == (10, True)
    assert "more follow" in " ".join(found.lines())


def test_nothing_of_a_person_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASTERKEY_DATA", str(tmp_path / "none"))
    secrets = [*NAMES, "0812345678", "hanako@example.org", "Kowalski", "MRN55512"]
    rows = [",".join(secrets[(i + j) % len(secrets)] for j in range(4)) for i in range(60)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["id,ward,doctor,q", *rows]) + "\n", encoding="utf-8")
    assert cli.main(["inspect", str(path)]) == 0
    assert cli.main(["inspect", str(path), "--json"]) == 0
    told = capsys.readouterr().out
    assert not [s for s in secrets if s in told]
    assert "shapes" in told and "personal" in told


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,sex\n1,M\n2,F\n", encoding="utf-8")
    assert cli.main(["inspect", str(path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["kind"]["what"] == "delimited" and [c["header"] for c in found["columns"]] == ["id", "sex"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_a_file_of_people_without_a_header_shows_none(tmp_path: Path) -> None:
    people = ["山田 花子,東京都中央区築地,ok", "佐藤 一郎,大阪府大阪市,ok", "鈴木 次郎,京都府京都市,no"]
    found = table(tmp_path, *people)
    assert found.header_index is None and "山田" not in " ".join(found.lines()) + str(found.as_dict())
    latin = table(tmp_path, "Hanako,Tokyo", "Ichiro,Osaka", "Jiro,Kyoto")
    assert "Hanako" not in " ".join(latin.lines()) + str(latin.as_dict())
