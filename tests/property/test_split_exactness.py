"""Law: every record is in exactly one split, and the sizes are the shares to the record."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.keys import SPLITS, split_bounds, split_sizes
from pipeline.plan import cut_shards
from support.datasets import convert_text, make_options
from support.oracle import largest_remainder
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@st.composite
def shares_of_one(draw: st.DrawFn) -> tuple[Fraction, ...]:
    """Draw three shares with sum 1 and a train share above 0."""
    train, val, test = draw(st.tuples(st.integers(1, 999), st.integers(0, 999), st.integers(0, 999)))
    return tuple(Fraction(part, train + val + test) for part in (train, val, test))


@given(num_records=st.integers(0, 10**12), shares=shares_of_one())
@example(num_records=11, shares=(Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)))
@example(num_records=2, shares=(Fraction(1, 3), Fraction(1, 3), Fraction(1, 3)))
def test_sizes_are_those_of_the_largest_remainder(num_records: int, shares: tuple[Fraction, ...]) -> None:
    """Sizes add up to N, are within one of their quota, and are what handing out the rest gives."""
    sizes = split_sizes(num_records, shares)
    assert sizes == largest_remainder(num_records, shares)
    assert sum(sizes) == num_records
    assert all(abs(size - num_records * share) < 1 for size, share in zip(sizes, shares, strict=True))


@given(num_records=st.integers(0, 10**9), shares=shares_of_one())
def test_bounds_cover_every_rank_once(num_records: int, shares: tuple[Fraction, ...]) -> None:
    """The intervals of the splits follow each other from 0 to N."""
    bounds = split_bounds(num_records, shares)
    assert [begin for begin, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == num_records
    assert tuple(end - begin for begin, end in bounds) == split_sizes(num_records, shares)


@given(
    num_records=st.integers(0, 10**5),
    shares=shares_of_one(),
    shard_bytes=st.integers(1000, 10**9),
    num_bytes_per_record=st.integers(4, 10**5),
)
def test_shards_divide_their_split_evenly(
    num_records: int, shares: tuple[Fraction, ...], shard_bytes: int, num_bytes_per_record: int
) -> None:
    """Shards cover all ranks once, in order; none is empty; in a split they differ by one at most."""
    specs = cut_shards(
        split_sizes(num_records, shares), shard_bytes=shard_bytes, num_bytes_per_record=num_bytes_per_record
    )
    assert [spec.begin for spec in specs] == [0, *(spec.end for spec in specs[:-1])][: len(specs)]
    assert sum(spec.end - spec.begin for spec in specs) == num_records
    for name, (begin, end) in zip(SPLITS, split_bounds(num_records, shares), strict=True):
        sizes = [spec.end - spec.begin for spec in specs if spec.split == name]
        assert sum(sizes) == end - begin
        assert not sizes or (max(sizes) - min(sizes) <= 1 and min(sizes) > 0)


@given(num_records=st.integers(1, 60), shares=shares_of_one(), range_bytes=st.integers(30, 3000))
def test_datasets_have_the_exact_sizes(
    fresh_folder: Callable[[], Path], num_records: int, shares: tuple[Fraction, ...], range_bytes: int
) -> None:
    """Every record of the source is in one split, once, and each split has the size its share gives."""
    dataset = convert_text(
        numbered_text(num_records),
        fresh_folder(),
        make_options(split=shares, range_bytes=range_bytes, keep=("id",), shard_bytes=200),
    )
    sizes = dict(zip(SPLITS, largest_remainder(num_records, shares), strict=True))
    found = {name: dataset.column("id", name) for name in SPLITS}
    assert {name: len(ids) for name, ids in found.items()} == sizes
    assert {name: split["records"] for name, split in dataset.manifest["splits"].items()} == sizes
    assert Counter(number for ids in found.values() for number in ids) == Counter(range(num_records))


@pytest.mark.parametrize("num_records", [1, 2, 3, 9, 10])
def test_few_records_are_divided_too(fresh_folder: Callable[[], Path], num_records: int) -> None:
    """One record goes to train; with few records a small split may be empty, and none is lost."""
    dataset = convert_text(numbered_text(num_records), fresh_folder(), make_options(keep=("id",)))
    splits = dataset.manifest["splits"]
    assert [splits[name]["records"] for name in SPLITS] == list(
        largest_remainder(num_records, [Fraction(8, 10), Fraction(1, 10), Fraction(1, 10)])
    )
    assert sorted(dataset.column("id")) == list(range(num_records))
