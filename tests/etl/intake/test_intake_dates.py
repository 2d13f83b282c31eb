"""Dates: calendars, styles and precision, by example and by property."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_etl import values

LIMIT = 2030
days = st.dates(date(1873, 1, 1), date(2029, 12, 31))
STYLES = {
    "%Y/%m/%d": "{y}/{m}/{d}",
    "%Y年%m月%d日": "{y}年{m}月{d}日",
    "%Y-%m-%d": "{y}-{m:02}-{d:02}",
    "%Y%m%d": "{y}{m:02}{d:02}",
    "%d.%m.%Y": "{d}.{m}.{y}",
}
FULL_WIDTH = str.maketrans("0123456789/", "０１２３４５６７８９／")


@pytest.mark.parametrize(
    ("text", "formats", "calendar", "expected"),
    [
        ("2019/11/1", ["%Y/%m/%d"], "ce", "2019-11-01"),
        ("2019/11", ["%Y/%m/%d"], "ce", "2019-11"),
        ("2019", ["%Y/%m/%d"], "ce", "2019"),
        ("2024年8月29日", ["%Y年%m月%d日"], "ce", "2024-08-29"),
        ("2024年8月", ["%Y年%m月%d日"], "ce", "2024-08"),
        ("２０２４年８月２９日", ["%Y年%m月%d日"], "ce", "2024-08-29"),
        ("20240829", ["%Y%m%d"], "ce", "2024-08-29"),
        ("20240800", ["%Y%m%d"], "ce", "2024-08"),
        ("20249999", ["%Y%m%d"], "ce", "2024"),
        ("5/1/2562", ["%d/%m/%Y"], "buddhist", "2019-01-05"),
        ("2562", ["%Y/%m/%d"], "buddhist", "2019"),
        ("令和元年5月1日", [], "japanese", "2019-05-01"),
        ("昭和64年1月7日", [], "japanese", "1989-01-07"),
        ("平成元年1月8日", [], "japanese", "1989-01-08"),
        ("㍻31年4月30日", [], "japanese", "2019-04-30"),
        ("S60.1.2", [], "japanese", "1985-01-02"),
        ("R060829", [], "japanese", "2024-08-29"),
        ("大正15年", [], "japanese", "1926"),
        ("2019/11/1 12:30", ["%Y/%m/%d %H:%M"], "ce", "2019-11-01"),
    ],
)
def test_dates_that_are_read(text, formats, calendar, expected):
    assert values.date(text, formats, calendar, LIMIT) == (expected, None)


@pytest.mark.parametrize(
    ("text", "formats", "calendar", "problem"),
    [
        ("2019/2/29", ["%Y/%m/%d"], "ce", "impossible"),
        ("2019/13/1", ["%Y/%m/%d"], "ce", "impossible"),
        ("2562/1/5", ["%Y/%m/%d"], "ce", "buddhist"),
        ("2019/1/5", ["%Y/%m/%d"], "buddhist", "ce"),
        ("3019/1/5", ["%Y/%m/%d"], "ce", "future"),
        ("1019/1/5", ["%Y/%m/%d"], "ce", "early"),
        ("昭和64年2月1日", [], "japanese", "era"),
        ("昭和64年1月8日", [], "japanese", "era"),
        ("平成31年5月1日", [], "japanese", "era"),
        ("令和元年4月30日", [], "japanese", "era"),
        ("平成0年1月1日", [], "japanese", "impossible"),
        ("00000000", ["%Y%m%d"], "ce", "not-a-date"),
        ("99999999", ["%Y%m%d"], "ce", "not-a-date"),
        ("2019/1/5x", ["%Y/%m/%d"], "ce", "not-a-date"),
        ("5/1/2019", ["%Y/%m/%d"], "ce", "not-a-date"),
        ("", [], "ce", "not-a-date"),
        ("٢٠١٩/1/1", ["%Y/%m/%d"], "ce", "not-a-date"),
    ],
)
def test_dates_that_are_refused(text, formats, calendar, problem):
    assert values.date(text, formats, calendar, LIMIT) == (None, problem)
    assert problem in values.PROBLEMS


@given(days, st.sampled_from(sorted(STYLES)), st.booleans())
def test_every_day_is_read_in_every_style(day, style, wide):
    text = STYLES[style].format(y=day.year, m=day.month, d=day.day)
    text = text.translate(FULL_WIDTH) if wide else text
    assert values.date(text, [style], "ce", LIMIT) == (day.isoformat(), None)


@given(days)
def test_buddhist_years_are_543_ahead(day):
    text = f"{day.day}/{day.month}/{day.year + 543}"
    assert values.date(text, ["%d/%m/%Y"], "buddhist", LIMIT) == (day.isoformat(), None)
    assert values.date(text, ["%d/%m/%Y"], "ce", LIMIT) == (None, "buddhist")


def era_text(day: date, style: str) -> str:
    """The day in the Japanese calendar, written by the first days of the eras."""
    eras = [
        (date(2019, 5, 1), "令和", "R"),
        (date(1989, 1, 8), "平成", "H"),
        (date(1926, 12, 25), "昭和", "S"),
        (date(1912, 7, 30), "大正", "T"),
        (date(1868, 1, 1), "明治", "M"),
    ]
    first, name, letter = next(e for e in eras if day >= e[0])
    year = day.year - first.year + 1
    if style == "kanji":
        return f"{name}{'元' if year == 1 else year}年{day.month}月{day.day}日"
    return f"{letter}{year:02}.{day.month:02}.{day.day:02}"


@given(days, st.sampled_from(["kanji", "letter"]))
def test_every_day_is_read_in_the_japanese_calendar(day, style):
    assert values.date(era_text(day, style), [], "japanese", LIMIT) == (day.isoformat(), None)


@given(days, st.sampled_from(["", "00", "99"]))
def test_partial_dates_keep_what_is_known(day, unknown):
    month = f"{day.year}/{day.month}" + (f"/{unknown}" if unknown else "")
    assert values.date(month, ["%Y/%m/%d"], "ce", LIMIT) == (day.isoformat()[:7], None)
    assert values.date(f"{day.year}{'9999' if unknown else ''}", ["%Y%m%d"], "ce", LIMIT)[0] == str(day.year)


@given(st.text(max_size=30), st.sampled_from(["ce", "buddhist", "japanese"]))
def test_any_text_gives_a_date_or_a_known_problem(text, calendar):
    found, problem = values.date(text, [], calendar, LIMIT)
    assert (found is None) != (problem is None)
    assert problem is None or problem in values.PROBLEMS


def test_a_time_keeps_its_zone_and_a_date_stays_a_date():
    formats = ["%Y/%m/%d %H:%M", "%Y/%m/%d"]
    assert values.moment("2019/11/1 09:30", formats, zone="Asia/Tokyo") == ("2019-11-01T09:30:00+09:00", None)
    assert values.moment("2019/11/1", formats, zone="Asia/Tokyo") == ("2019-11-01", None)
    assert values.moment("2019/11/1 25:30", formats) == (None, "impossible")


@pytest.mark.parametrize(("text", "expected"), [("2019-11-01", 2019), ("2019", 2019), ("", None)])
def test_the_year_of_a_date(text, expected):
    assert values.year(text) == expected
