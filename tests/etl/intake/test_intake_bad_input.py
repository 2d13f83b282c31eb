"""Bad input: a clear Issue at its place, the rest kept, every value in the ledger, nothing of a person told."""

from __future__ import annotations

import time

import pytest

from masterkey_etl.readers import limits


def test_a_faultless_file_has_no_issue(read_text, good):
    got = read_text(good("a"), good("b"))
    assert got.rules == []
    assert [r.values[0] for r in got.records] == ["a", "b"]
    assert [r.row for r in got.records] == [2, 3]
    assert got.reading.counts.values == 20


def test_empty_file(read_bytes):
    got = read_bytes(b"")
    assert (got.records, got.rules) == ([], ["etl.empty-file"])


@pytest.mark.parametrize("end", ["", "\n", "\r\n\r\n"])
def test_only_a_header(read_text, end):
    got = read_text(end=end)
    assert got.records == []
    assert "etl.only-header" in got.rules


def test_a_truncated_last_line_is_told_apart_from_a_short_row(read_text, good):
    got = read_text(good("a"), good("b")[:12], end="")
    assert got.only("etl.truncated").place.row == 3
    assert len(got.records) == 1
    assert got.cells("sex", "rejected") == 1


def test_a_last_line_without_its_end_is_whole(read_text, good):
    assert read_text(good("a"), good("b"), end="").rules == []


def test_fewer_and_more_fields_are_kept_out_and_counted(read_text, good):
    got = read_text(good("a"), "b,1,男", good("c") + ",x,y", good("d"))
    assert [(i.rule, i.place.row) for i in got.issues] == [("etl.row-width", 3), ("etl.row-width", 4)]
    assert [r.values[0] for r in got.records] == ["a", "d"]
    assert got.reading.counts.values == 4 * 10 + 2
    assert got.cells("age", "rejected") == 2
    assert got.cells("(beyond the header)", "rejected") == 2


def test_undecodable_bytes_refuse_the_value_only(read_bytes, header, good):
    row = good("b").encode().replace(b"memo", b"me\xff\xfemo")
    got = read_bytes("\n".join((header, good("a"))).encode() + b"\n" + row + b"\n" + good("c").encode())
    assert "etl.encoding-mixed" in got.rules
    found = got.only("etl.value-bytes")
    assert (found.place.row, found.place.field) == (3, "memo")
    assert [r.values[0] for r in got.records] == ["a", "b", "c"]
    assert got.value(1, "memo") == ""
    assert got.cells("memo", "rejected") == 1


def test_the_declared_fallback_encoding_is_used_and_stated(read_bytes, header, good):
    got = read_bytes("\n".join((header, good("a"))).encode("cp932"))
    assert got.reading.encoding.name == "cp932"
    assert got.rules == ["etl.encoding-other"]
    assert got.value(0, "sex_label") == "男"


def test_a_mixed_file_keeps_the_rows_of_its_main_encoding(read_bytes, header, good):
    text = "\n".join((header, good("a"))).encode() + b"\n" + good("b").encode("cp932") + b"\n"
    got = read_bytes(text)
    assert "etl.encoding-mixed" in got.rules
    assert {i.place.row for i in got.issues if i.rule == "etl.value-bytes"} == {3}
    assert [r.values[0] for r in got.records] == ["a", "b"]


def test_utf16_with_its_mark_is_read(read_bytes, header, good):
    got = read_bytes("\n".join((header, good("a"))).encode("utf-16"))
    assert got.rules == ["etl.encoding-other"]
    assert got.value(0, "age") == "60"


def test_a_nul_refuses_the_value_only(read_text, good):
    got = read_text(good("a").replace("memo", "me\0mo"), good("b"))
    assert (got.only("etl.value-nul").place.row, got.only("etl.value-nul").place.field) == (2, "memo")
    assert len(got.records) == 2
    assert got.cells("memo", "rejected") == 1


def test_a_nul_in_the_key_refuses_the_row(read_text, good):
    got = read_text(good("a\0b"), good("c"))
    assert "etl.record-key-missing" in got.rules
    assert len(got.records) == 1


def test_the_header_inside_the_file(read_text, header, good):
    got = read_text(good("a"), header, good("b"))
    assert got.only("etl.header-repeated").place.row == 3
    assert len(got.records) == 2


def test_a_duplicated_header_uses_the_first_and_counts_the_other(read_text, header, good):
    got = read_text(good("a") + ",9", header=header + ",年齢")
    assert got.only("etl.column-repeated").place.field == "age"
    assert got.value(0, "age") == "60"
    assert got.cells("column 11: 年齢", "rejected") == 1


def test_a_header_shifted_by_a_missing_name(read_text, header, good):
    rows = [f"{n},{good(str(n))}" for n in range(1, 6)]  # row names without a header, as R writes them
    got = read_text(*rows)
    assert got.only("etl.header-shifted").facts["columns"] == 1
    assert got.records == []
    assert got.reading.counts.values == 5 * 11


def test_a_shifted_header_is_seen_in_a_dirty_file(read_text, good):
    rows = [f"{n},{good(str(n))}" for n in range(1, 9)]
    got = read_text(rows[0].replace("memo", "me\0mo"), "x", *rows[1:])
    assert "etl.header-shifted" in got.rules
    assert got.records == []


def test_a_header_shifted_at_equal_width(read_text, header, good):
    got = read_text(*(good(str(n)) for n in range(5)), header="x," + header.rsplit(",", 1)[0])
    assert "etl.header-shifted" in got.rules
    assert got.records == []


def test_one_dirty_column_is_no_shift(read_text, good):
    got = read_text(*(good(str(n)).replace(",60,", ",old,") for n in range(5)))
    assert "etl.header-shifted" not in got.rules
    assert got.cells("age", "rejected") == 5


def test_lines_before_the_header(read_text, header, good):
    got = read_text(header, good("a"), header="Title of the export,,")
    assert got.only("etl.lines-before-header").place.row == 2
    assert got.records[0].row == 3


def test_missing_new_and_reordered_columns(read_text, header, good):
    names, cells = header.split(","), good("a").split(",")
    names[3], cells[3] = "新しい項目", "x"  # 年齢 is gone, something else stands there
    names[-2:], cells[-2:] = names[:-3:-1], cells[:-3:-1]
    got = read_text(",".join(cells), header=",".join(names))
    assert {"etl.columns-reordered"} <= set(got.rules)
    assert {"etl.column-missing", "etl.column-renamed"} & set(got.rules)
    assert got.value(0, "started") == "2019/1/2"
    assert got.value(0, "age") == ""
    assert got.cells("column 4: ▢", "rejected") == 1


def test_a_file_of_another_kind_names_no_value_of_it(read_text):
    got = read_text("Yamada,Hanako", header="Suzuki,Taro")
    assert got.only("etl.header-unknown").is_error
    assert got.records == []
    assert "Suzuki" not in " ".join(map(str, got.issues)) and "Suzuki" not in str(got.rows)


def test_a_quote_left_open_costs_one_row(read_text, good):
    rows = [good(str(n)) for n in range(20)]
    rows[4] = rows[4].replace(",R1,", ',"R1,')
    got = read_text(*rows)
    assert got.only("etl.open-quote").place.row == 6
    assert [r.values[0] for r in got.records] == [str(n) for n in range(20) if n != 4]


def test_a_quote_left_open_in_a_long_file_is_bounded(read_text, good):
    rows = [good(str(n)) for n in range(3 * limits.ROW_LINES)]
    rows[4] = rows[4].replace(",R1,", ',"R1,')
    got = read_text(*rows)
    assert len(got.records) == len(rows) - 1


def test_a_row_of_more_lines_than_allowed_is_a_quote_left_open(read_text, good, monkeypatch):
    monkeypatch.setattr(limits, "ROW_LINES", 3)
    got = read_text(good("a").replace("R1", '"1\n2\n3\n4\n5"'), good("b").replace("R1", '"1\n2\n3"'))
    assert got.only("etl.open-quote").place.row == 2
    assert [r.values[0] for r in got.records] == ["b"]


def test_a_stray_quote_keeps_the_row(read_text, good):
    got = read_text(good("a").replace(",R1,", ',"R"1,'), good("b"))
    assert got.only("etl.stray-quote").place.row == 2
    assert len(got.records) == 2


def test_quoted_delimiters_and_line_breaks_are_values(read_text, good):
    got = read_text(good("a").replace("R1", '"R, ""1""\nsecond"'), good("b"))
    assert got.rules == []
    assert got.records[0].groups["lines"][0].values[0] == 'R, "1"\nsecond'
    assert got.records[1].row == 3


def test_ten_megabytes_in_one_field(read_text, good):
    began = time.perf_counter()
    got = read_text(good("a").replace("memo", "x" * 10_000_000), good("b"))
    assert time.perf_counter() - began < 10
    assert (got.only("etl.value-long").place.row, got.only("etl.value-long").place.field) == (2, "memo")
    assert len(got.records) == 2
    assert got.value(0, "memo") == ""


def test_a_line_without_end_is_bounded(read_text, good, monkeypatch):
    monkeypatch.setattr(limits, "LINE", 5000)
    got = read_text(good("a"), good("b") + "x" * 20_000, good("c"))
    assert got.only("etl.line-too-long").place.row == 3
    assert [r.values[0] for r in got.records] == ["a", "c"]


def test_blank_lines_are_passed_over_and_counted_as_spreadsheet_rows(read_text, good):
    got = read_text(good("a"), "", good("b"))
    assert got.only("etl.blank-lines").facts["rows"] == 1
    assert [r.row for r in got.records] == [2, 4]


def test_a_row_without_its_key(read_text, good):
    got = read_text(good("NA"), good("b"))
    assert got.only("etl.record-key-missing").place.row == 2
    assert got.cells("pid", "rejected") == 1
    assert len(got.records) == 1


def test_many_equal_issues_are_told_singly_then_counted(read_text, good):
    got = read_text(good("a"), *("x,y" for _ in range(limits.SAME_ISSUES + 7)))
    assert got.rules.count("etl.row-width") == limits.SAME_ISSUES
    assert got.only("etl.more-of-these").count == 7


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("2019/2/30", "etl.value-refused"),
        ("yesterday", "etl.value-refused"),
        ("2562/11/1", "etl.buddhist-year"),
        ("2099/1/1", "etl.value-refused"),
    ],
)
def test_impossible_dates_are_refused_not_repaired(read_text, good, value, rule):
    got = read_text(good("a").replace("2019/11/1", value), good("b"))
    assert (got.only(rule).place.row, got.only(rule).place.field) == (2, "seen")
    assert got.value(0, "seen") == ""
    assert got.cells("seen", "rejected") == 1
    assert value not in str(got.only(rule))


def test_partial_dates_stay(read_text, good):
    got = read_text(good("a").replace("2019/11/1", "2019/11"), good("b").replace("2019/11/1", "2019/00/00"))
    assert got.rules == []


@pytest.mark.parametrize("value", ["121", "-1", "sixty", "6.5"])
def test_numbers_out_of_range_or_no_numbers(read_text, good, value):
    got = read_text(good("a").replace(",60,", f",{value},"))
    assert got.only("etl.value-refused").place.field == "age"


def test_full_width_digits_and_declared_unknowns_are_no_fault(read_text, good):
    got = read_text(good("a").replace(",60,", ",６０,"), good("b").replace(",60,", ",999,"))
    assert got.rules == []
    assert got.cells("age", "absent") == 1


def test_no_message_holds_a_value_of_a_person(read_text, good):
    secret = "Yamada Hanako 0901234567"
    got = read_text(
        good("a").replace("2019/11/1", secret),
        good("b").replace(",60,", f",{secret},"),
        good("c").replace(",1,男", f",{secret},男"),
        good("d").replace("男", secret),
        f"{secret},{secret}",
        good("e").replace(",R1,", f',"{secret}"x,'),
        good(secret).replace("R1", "R1\0"),
        good(secret).replace(",60,", ",61,"),
    )
    told = " ".join(f"{i} {i.facts} {i.record}" for i in got.issues) + str(got.rows)
    assert len(got.issues) >= 7
    assert secret not in told and "Yamada" not in told and "0901" not in told
