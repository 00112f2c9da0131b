"""Booleans and dates of a whole column are what the reader of cells makes of each, or null."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import NotANumberError
from pipeline.source.cells import read_boolean, read_datetime
from pipeline.source.words import booleans, seconds

OFFSETS = st.builds(
    lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)), st.integers(-24 * 60 + 1, 24 * 60 - 1)
)
MOMENTS = st.datetimes(timezones=st.one_of(st.none(), st.just(dt.UTC), OFFSETS))


def as_written(moment: dt.datetime, style: int) -> str:
    """Return `moment` in one of the ways that are read."""
    if style == 0:
        return moment.date().isoformat()
    timespec = ("minutes", "seconds", "milliseconds", "microseconds")[style % 4]
    text = moment.isoformat(" " if style % 2 else "T", timespec)
    return text.replace("+00:00", "Z") if style % 3 else text


@given(moments=st.lists(st.builds(as_written, MOMENTS, st.integers(0, 12)), min_size=1, max_size=30))
def test_dates_of_a_column(moments: list[str]) -> None:
    """To the last bit, whatever years, offsets and fractions stand beside each other."""
    found = seconds(pl.Series("when", moments))
    assert found.to_list() == [read_datetime(moment) for moment in moments]


@given(words=st.lists(st.sampled_from(["true", "false", "True", "FALSE", "fAlse"]), min_size=1))
def test_booleans_of_a_column(words: list[str]) -> None:
    """As each of them by itself."""
    found = booleans(pl.Series("flag", words))
    assert found.to_list() == [read_boolean(word) for word in words]


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "2023-02-29",
            "0000-12-31",
            "2026-11-28T24:00",
            "2026-11-28\n",
            "x2026-11-28",
            "",
            " 2026-11-28",
            "NA",
        )
    ],
)
def test_a_date_in_doubt_is_null(cell: str) -> None:
    """Also those that the reader of cells takes: it decides."""
    assert seconds(pl.Series("when", [cell, "1970-01-02"])).to_list() == [None, 86_400.0]


@pytest.mark.parametrize("cell", ["yes", "", " true", "tru\u0435", "NA"])
def test_a_boolean_in_doubt_is_null(cell: str) -> None:
    """And the others are what they are."""
    assert booleans(pl.Series("flag", [cell, "true"])).to_list() == [None, 1.0]


def test_dividing_as_polars_does_would_be_another_number() -> None:
    """The law is no truism: multiplying by the reciprocal, as Polars does, fails it."""
    microseconds = pl.Series([946_684_800_001_000])
    assert (microseconds / 1e6).to_list() != [read_datetime("2000-01-01T00:00:00.001")]


def test_the_offset_turns_the_clock_back() -> None:
    """What is two o'clock an hour east of Greenwich is one o'clock there."""
    found = seconds(pl.Series("when", ["1970-01-01T02:00+01:00"]))
    assert found.to_list() == [3600.0]
    with pytest.raises(NotANumberError):
        read_datetime("1970-01-01T02:00 +01:00")
