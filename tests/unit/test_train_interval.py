"""How often a checkpoint is written: what can be asked, and when it is due."""

from __future__ import annotations

import pytest

from pipeline.errors import OptionError
from pipeline.train.interval import Interval, parse_interval


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("1", Interval(num_batches=1)),
        ("500", Interval(num_batches=500)),
        ("60s", Interval(seconds=60)),
        ("0.5s", Interval(seconds=0.5)),
        ("5min", Interval(seconds=300)),
        ("2h", Interval(seconds=7200)),
        ("epoch", Interval()),
    ],
)
def test_intervals_are_batches_time_or_epochs(text: str, interval: Interval) -> None:
    """A bare number counts batches; with a unit it is time."""
    assert parse_interval(text) == interval


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "1.5", "60 s", "60S", "1e3", "inf", "nan", "5m", "s", "²"]
)
def test_anything_else_is_refused(text: str) -> None:
    """The error names the option and says what can be written."""
    with pytest.raises(OptionError, match="--checkpoint-every") as caught:
        parse_interval(text)
    assert "60s" in caught.value.hint


def test_an_interval_is_over_when_it_has_passed() -> None:
    """By batches, by time, or never within an epoch."""
    assert [Interval(num_batches=3).is_over(batches, 1e9) for batches in (2, 3, 4)] == [False, True, True]
    assert [Interval(seconds=3).is_over(10**9, seconds) for seconds in (2.9, 3.0)] == [False, True]
    assert not Interval().is_over(10**9, 1e9)
