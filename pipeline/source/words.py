"""Owns booleans and dates of a whole column at once, by Polars: what `cells` reads one by one.

A cell in doubt becomes null: whether it is missing, padded, or no such thing is for `cells` to say.
Neighbours: `fast`, `mend`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.source import cells
from pipeline.source.cells import DATETIME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.schema import Column

DAY_SECONDS = 86_400
FIRST_DAY = -719_162  # 0001-01-01, in days from 1970-01-01: Python knows no day before it


def booleans(texts: pl.Series) -> pl.Series:
    """Return 1.0 for `true` and 0.0 for `false`, null for all else."""
    lower = texts.str.to_lowercase()
    is_true = lower == "true"
    return is_true.cast(pl.Float64).set(~(is_true | (lower == "false")), None)


def seconds(texts: pl.Series) -> pl.Series:
    """Return the seconds since 1970 of dates and times, by the arithmetic of `cells.read_datetime`.

    Null for all else.
    """
    day, hour, minute, second, fraction, sign, *offset = (
        texts.str.extract_groups(f"^(?:{DATETIME.pattern})$").struct.unnest().get_columns()
    )
    days = day.str.to_date("%Y-%m-%d", strict=False).to_physical().cast(pl.Int64)
    direction = (sign == "-").cast(pl.Int64).fill_null(value=0) * -2 + 1
    ahead = (_whole(offset[0]) * 60 + _whole(offset[1])) * direction
    minutes = _whole(hour) * 60 + _whole(minute) - ahead
    whole = _filled(days) * DAY_SECONDS + minutes * 60 + _whole(second)
    microseconds = whole * 10**6 + _whole(fraction.str.pad_end(6, "0").str.slice(0, 6))
    # By NumPy: Polars multiplies by the reciprocal, which is another double for one number in four.
    found = pl.Series(texts.name, microseconds.to_numpy() / 1e6)
    return found.set(days.is_null() | (_filled(days) < FIRST_DAY), None)


def _whole(digits: pl.Series) -> pl.Series:
    """Return digits as integers, 0 where there are none."""
    return _filled(digits.cast(pl.Int64))


def _filled(values: pl.Series) -> pl.Series:
    return values.fill_null(value=0)


def odd_splits(texts: pl.Series, column: Column) -> pl.Series:
    """Return which cells of the column that decides the split are missing, or decide nothing."""
    words = texts.str.strip_chars(cells.BLANKS)
    if column.splits == "time":
        return seconds(words).is_null()
    words = words.str.to_lowercase()
    if column.splits == "given":
        return ~words.is_in(list(cells.SPLIT_WORDS))
    return words.is_in(list(cells.MISSING))


WORDS: Mapping[str, Callable[[pl.Series], pl.Series]] = {"boolean": booleans, "datetime": seconds}
