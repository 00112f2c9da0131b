"""Law: classes go to the splits in the asked shares, and classes and splits both have exactly their sizes."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.splitting.apportion import apportion
from support.oracle import largest_remainder

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARES = st.tuples(st.integers(1, 999), st.integers(0, 999), st.integers(0, 999)).map(
    lambda parts: tuple(Fraction(part, sum(parts)) for part in parts)
)
TENTHS = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
COUNTS = st.lists(st.one_of(st.integers(1, 12), st.integers(1, 10**9)), min_size=1, max_size=40)


def rounded_by_class(counts: Sequence[int], shares: Sequence[Fraction]) -> list[tuple[int, ...]]:
    """Return the known-wrong way: every class by itself."""
    return [largest_remainder(count, shares) for count in counts]


@given(counts=COUNTS, shares=SHARES)
@example(counts=[1] * 50, shares=TENTHS)
@example(counts=[5] * 7, shares=(Fraction(9, 20), Fraction(9, 20), Fraction(1, 10)))
@example(counts=[3, 4, 5], shares=(Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)))
def test_rows_columns_and_quotas_hold(counts: list[int], shares: tuple[Fraction, ...]) -> None:
    """No number is a whole record off its quota; classes and splits add up to their sizes."""
    found = apportion(counts, shares)
    assert [sum(row) for row in found] == counts
    assert tuple(map(sum, zip(*found, strict=True))) == largest_remainder(sum(counts), shares)
    for count, row in zip(counts, found, strict=True):
        for size, share in zip(row, shares, strict=True):
            assert math.floor(count * share) <= size <= math.ceil(count * share)


def test_rounding_each_class_by_itself_is_not_enough() -> None:
    """Fifty classes of one record: by themselves they all go to train, and nothing is left for the others."""
    counts = [1] * 50
    wrong = rounded_by_class(counts, TENTHS)
    assert tuple(map(sum, zip(*wrong, strict=True))) == (50, 0, 0)
    assert tuple(map(sum, zip(*apportion(counts, TENTHS), strict=True))) == (40, 5, 5)


def test_thousands_of_classes_are_no_problem() -> None:
    """As many classes as there may be, most of them needing repair."""
    counts = [1 + index % 7 for index in range(10_000)]
    found = apportion(counts, (Fraction(2, 5), Fraction(3, 10), Fraction(3, 10)))
    assert tuple(map(sum, zip(*found, strict=True))) == largest_remainder(
        sum(counts), (Fraction(2, 5), Fraction(3, 10), Fraction(3, 10))
    )
