"""Dates of a search are ranges by their precision, read in the zone of the site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterkey_fhir.search.dates import bounds, prefixed
from masterkey_fhir.search.parameters import escaped, split, unescaped

TOKYO = ZoneInfo("Asia/Tokyo")
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
FORMS = ("%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S")


def ms(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(MOMENTS, st.sampled_from(FORMS))
def test_a_moment_lies_in_the_range_of_each_precision(at: datetime, form: str) -> None:
    start, end = bounds(at.strftime(form).rjust(len(at.strftime(form)), "0"), UTC)
    moment = ms(at.replace(tzinfo=UTC))
    assert start <= moment < end
    assert bounds(datetime.fromtimestamp(end // 1000, UTC).strftime(form), UTC)[0] == end  # the next begins there


@given(MOMENTS, st.integers(0, 999))
def test_a_finer_precision_is_a_smaller_range(at: datetime, fraction: int) -> None:
    text = at.strftime("%Y-%m-%dT%H:%M:%S")
    fine = bounds(f"{text}.{fraction:03d}+09:00", UTC)
    assert fine[1] - fine[0] == 1
    for cut in (4, 7, 10):
        coarse = bounds(text[:cut], TOKYO)
        assert coarse[0] <= fine[0] and fine[1] <= coarse[1]


def test_the_zone_of_the_site() -> None:
    """R15 a day without zone is a day in Tokyo, and the same instant wherever a zone is given."""
    assert bounds("2026-02-01", TOKYO)[0] == ms(datetime(2026, 1, 31, 15, tzinfo=UTC))
    assert (
        bounds("2026-02-01T00:00+09:00", UTC) == bounds("2026-02-01T00:00", TOKYO) == bounds("2026-01-31T15:00Z", TOKYO)
    )
    assert bounds("2026-01-31T23:59:59.5-05:00", TOKYO)[1] - bounds("2026-01-31T23:59:59.5-05:00", TOKYO)[0] == 100


@pytest.mark.parametrize(
    "text",
    ["", "26", "2026-13", "2026-02-30", "2026-2-1", "2026-02-01T24:00", "2026-02-01T10", "2026-02-01T10:00+15:00",
     "2026-02-01T10:00+09:60", "2026-02-01 10:00", "0000", "2026Z", "２０２６"],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(ValueError):
        bounds(text, TOKYO)


def test_prefixes() -> None:
    assert prefixed("ge2026") == ("ge", "2026") and prefixed("2026") == ("eq", "2026")
    assert prefixed("xx2026") == ("eq", "xx2026")


@given(st.lists(st.text("a,|$\\"), min_size=1))
def test_escaping_is_undone(values: list[str]) -> None:
    assert [unescaped(p) for p in split(",".join(map(escaped, values)), ",")] == values
