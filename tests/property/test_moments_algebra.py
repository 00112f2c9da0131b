"""Law: moments are those of two exact passes to 1e-12, however the records are cut and merged."""

from __future__ import annotations

import functools
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline import moments
from support.datasets import convert_text, make_options
from support.oracle import PlainMoments, exact_moments, fsum_moments, naive_sample_variance
from support.texts import finite_floats, numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.moments import Moments

TOLERANCE = 1e-12
OFFSET = [1e9 + value for value in (4.0, 7.0, 13.0, 16.0)]


def assert_near(found: Moments, expected: PlainMoments, column: int = 0) -> None:
    """Fail unless the moments agree: counts and extremes exactly, mean and M2 to 1e-12."""
    assert found.count[column] == expected.count
    assert found.missing[column] == expected.missing
    assert found.min[column] == expected.min
    assert found.max[column] == expected.max
    unit = max(abs(expected.mean), expected.std)
    assert math.isclose(found.mean[column], expected.mean, abs_tol=TOLERANCE * unit, rel_tol=0)
    assert math.isclose(found.m2[column], expected.m2, rel_tol=TOLERANCE)


def of_pieces(values: list[float], cuts: list[int]) -> Moments:
    """Return the moments of the values, computed for each piece between the cuts and merged in order."""
    places = [0, *sorted(cut % (len(values) + 1) for cut in cuts), len(values)]
    pieces = [values[begin:end] for begin, end in itertools.pairwise(places)]
    return functools.reduce(
        moments.merge, (moments.of_batch(np.array([piece], np.float64)) for piece in pieces)
    )


def columns_of(strategy: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    """Return a strategy of columns whose values span at most ten orders around their spread."""
    return st.lists(strategy, min_size=1, max_size=40)


@given(
    values=columns_of(finite_floats() | st.just(math.nan)),
    cuts=st.lists(st.integers(0, 100), max_size=5),
)
@example(values=[1e30, -1e30, 1e30, 5.0], cuts=[2])
@example(values=[math.nan, math.nan, 3.0], cuts=[1])
@example(values=[0.1] * 10, cuts=[3, 7])
def test_any_cut_gives_the_exact_moments(values: list[float], cuts: list[int]) -> None:
    """Pieces of any size, merged in order, give count, extremes, mean and M2 of the whole."""
    expected = exact_moments(values)
    # Where all digits are spent on the offset, or squares leave the range of a double, nothing is promised.
    assume(expected.m2 == 0 or expected.m2 > 1e-200)
    assume(expected.m2 > 0 or expected.min == expected.max)
    assume(expected.std > 1e-9 * abs(expected.mean) or expected.min == expected.max)
    found = of_pieces(values, cuts)
    if expected.m2 == 0:
        assert found.constant()[0]
        assert found.scale()[0] == 1
    else:
        assert_near(found, expected)


@given(
    offset=st.sampled_from([1e9, 1.7e9, -4e12]),
    values=st.lists(st.integers(0, 1000), min_size=2, max_size=60),
    cuts=st.lists(st.integers(0, 100), max_size=8),
    sort=st.booleans(),
)
@example(offset=1e9, values=[4, 7, 13, 16], cuts=[1], sort=False)
@example(offset=1e9, values=[4, 4, 7, 13, 16, 16, 16], cuts=[3], sort=True)
def test_an_offset_costs_nothing(offset: float, values: list[int], cuts: list[int], *, sort: bool) -> None:
    """Identifiers and times far from zero keep their variance to 1e-12, even sorted and cut unevenly."""
    assume(len(set(values)) > 1)
    column = [offset + value for value in (sorted(values) if sort else values)]
    assert_near(of_pieces(column, cuts), exact_moments(column))


def test_the_naive_formula_fails_where_the_merge_holds() -> None:
    """On 1e9 + {4, 7, 13, 16} a sum of squares gives a negative variance, the merge gives 30."""
    assert naive_sample_variance(OFFSET) == pytest.approx(-170.67, abs=0.01)
    for cut in range(5):
        found = of_pieces(OFFSET, [cut])
        assert found.m2[0] / 3 == 30
        assert found.variance()[0] == 22.5
        assert found.mean[0] == 1e9 + 10


@given(
    left=columns_of(finite_floats(largest=1e6)),
    middle=columns_of(finite_floats(largest=1e6)),
    right=columns_of(finite_floats(largest=1e6)),
)
def test_merging_is_associative_and_commutative(
    left: list[float], middle: list[float], right: list[float]
) -> None:
    """Grouping and order change nothing beyond rounding."""
    expected = exact_moments(left + middle + right)
    assume(expected.std > 1e-9 * max(abs(expected.mean), 1e-100))
    a, b, c = (moments.of_batch(np.array([values])) for values in (left, middle, right))
    for found in (
        moments.merge(moments.merge(a, b), c),
        moments.merge(a, moments.merge(b, c)),
        moments.merge(c, moments.merge(a, b)),
    ):
        assert_near(found, expected)


@given(values=st.lists(finite_floats() | st.just(math.nan), min_size=1, max_size=20))
def test_nothing_is_neutral(values: list[float]) -> None:
    """Merging with the moments of no records, from either side, changes not a bit."""
    found = moments.of_batch(np.array([values]))
    for merged in (moments.merge(found, moments.empty(1)), moments.merge(moments.empty(1), found)):
        for name in ("count", "mean", "m2", "min", "max", "missing"):
            assert getattr(merged, name)[0] == getattr(found, name)[0]


@given(
    value=finite_floats(),
    count=st.integers(1, 50),
    cuts=st.lists(st.integers(0, 50), max_size=4),
)
def test_a_constant_column_is_constant(value: float, count: int, cuts: list[int]) -> None:
    """However it is cut, a constant column is known as constant and gets scale 1."""
    found = of_pieces([value] * count, cuts)
    assert found.constant()[0]
    assert found.scale()[0] == 1


COLUMNS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.normal(size=n),
    "offset": lambda rng, n: 1e9 + rng.choice([4.0, 7.0, 13.0, 16.0], n),
    "sorted": lambda rng, n: 1e9 + np.sort(rng.choice([4.0, 7.0, 13.0, 16.0], n)),
    "time": lambda _, n: 1.7e9 + np.arange(n) / 7,
    "huge": lambda rng, n: rng.choice([-1e30, 1e30], n),
    "constant": lambda _, n: np.full(n, 0.1),
    "tiny": lambda rng, n: rng.normal(size=n) * 1e-30,
}


@pytest.mark.parametrize("num_records", [40, 3000])
def test_the_manifest_has_the_moments_of_the_train_split(
    fresh_folder: Callable[[], Path], num_records: int
) -> None:
    """Mean and std in the manifest are those of two passes over the train split alone, to 1e-12."""
    rng = np.random.default_rng(3)
    columns = {name: make(rng, num_records) for name, make in COLUMNS.items()}
    header = "label,id," + ",".join(columns)
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    text = f"{header}\n" + "".join(
        f"{index % 2},{index}," + ",".join(map(repr, row)) + "\n" for index, row in enumerate(rows)
    )
    options = make_options(keep=("id",), range_bytes=5000, standardize=False, drop=("huge",))
    with_huge = make_options(keep=("id",), range_bytes=5000)
    dataset = convert_text(text, fresh_folder(), options)
    standardized = convert_text(text, fresh_folder(), with_huge)
    train = sorted(dataset.column("id", "train"))
    assert train == sorted(standardized.column("id", "train"))
    for name, values in columns.items():
        expected = fsum_moments(values[train].tolist())
        for found in [standardized.moments(name)] + ([dataset.moments(name)] if name != "huge" else []):
            unit = max(abs(expected.mean), expected.std)
            assert found["count"] == len(train)
            assert abs(found["mean"] - expected.mean) <= TOLERANCE * unit
            assert (found["min"], found["max"]) == (expected.min, expected.max)
            std = 0.0 if name == "constant" else expected.std
            assert math.isclose(found["std"], std, rel_tol=TOLERANCE)


def test_a_constant_column_is_warned_of(fresh_folder: Callable[[], Path]) -> None:
    """A column without spread is written as zeros, and the manifest says so."""
    text = "label,a,c\n" + "".join(f"{index % 2},{index},0.1\n" for index in range(50))
    dataset = convert_text(text, fresh_folder(), make_options(range_bytes=60))
    assert dataset.moments("c")["std"] == 0
    assert set(dataset.column("c", "train")) == {0.0}
    assert [warning for warning in dataset.manifest["warnings"] if "'c'" in warning]


def test_moments_know_nothing_of_val_and_test(fresh_folder: Callable[[], Path]) -> None:
    """Values that stand in val and test alone leave no trace in the moments."""
    plain = numbered_text(300)
    options = make_options(keep=("id",), range_bytes=2000)
    first = convert_text(plain, fresh_folder(), options)
    outside = set(first.column("id", "val", "test"))
    header, *rows = plain.splitlines()
    changed = [
        ",".join([*row.split(",")[:2], "9" * len(row.split(",")[2]), row.split(",")[3]])
        if int(row.split(",")[1]) in outside
        else row
        for row in rows
    ]
    second = convert_text("\n".join([header, *changed]) + "\n", fresh_folder(), options)
    assert second.column("id") == first.column("id")
    assert second.moments("f0") == first.moments("f0")
    assert second.column("f0", "test") != first.column("f0", "test")
