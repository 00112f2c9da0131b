"""Moments of known columns; the laws that hold for all are in tests/property."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.moments import empty, merge, of_batch


def test_known_columns() -> None:
    """Each row of the matrix is a column with statistics of its own."""
    found = of_batch(np.array([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0]]))
    assert found.count.tolist() == [4, 4]
    assert found.mean.tolist() == [2.5, 5.0]
    assert found.m2.tolist() == [5.0, 0.0]
    assert found.variance().tolist() == [1.25, 0.0]
    assert found.std().tolist() == [pytest.approx(1.25**0.5), 0.0]
    assert found.scale().tolist() == [pytest.approx(1.25**0.5), 1.0]
    assert found.constant().tolist() == [False, True]
    assert (found.min.tolist(), found.max.tolist()) == ([1.0, 5.0], [4.0, 5.0])


def test_missing_values_count_apart() -> None:
    """NaN is counted as missing and has no part in anything else; other columns do not notice."""
    nan = np.nan
    found = of_batch(np.array([[1.0, nan, 3.0], [nan, nan, nan], [1.0, 2.0, 3.0]]))
    assert found.count.tolist() == [2, 0, 3]
    assert found.missing.tolist() == [1, 3, 0]
    assert found.mean.tolist() == [2.0, 0.0, 2.0]
    assert found.m2.tolist() == [2.0, 0.0, 2.0]
    assert found.min.tolist() == [1.0, np.inf, 1.0]
    assert found.max.tolist() == [3.0, -np.inf, 3.0]
    assert found.constant().tolist() == [False, True, False]


def test_no_records_have_no_moments() -> None:
    """A batch without records is the neutral element; a batch without columns is fine."""
    found = of_batch(np.empty((2, 0)))
    assert found.count.tolist() == [0, 0]
    assert found.scale().tolist() == [1.0, 1.0]
    assert merge(found, empty(2)).min.tolist() == [np.inf, np.inf]
    assert of_batch(np.empty((0, 5))).count.tolist() == []


def test_two_values_far_from_zero() -> None:
    """1e15 and its neighbour half a unit on: the spread is exact though the mean is none of a double's."""
    found = merge(of_batch(np.array([[1e15]])), of_batch(np.array([[1e15 + 0.125]])))
    assert found.m2[0] == 0.125**2 / 2
    assert found.mean[0] + found.mean_rest[0] == found.mean[0]
    assert found.mean_rest[0] != 0


def test_squares_beyond_a_double_are_infinite_in_silence() -> None:
    """±1e30 are squared without loss; from 1e200 on M2 is not finite, and nothing warns."""
    assert of_batch(np.array([[1e30, -1e30]])).m2[0] == pytest.approx(2e60, rel=1e-15)
    assert not np.isfinite(of_batch(np.array([[1e200, 0.0]])).std()[0])
    assert not np.isfinite(merge(of_batch(np.array([[1e200]])), of_batch(np.array([[0.0]]))).std()[0])


def test_a_spread_whose_square_underflows_counts_as_none() -> None:
    """0 and 1e-200 have no spread that could be divided by: scale 1, as for a constant."""
    found = of_batch(np.array([[0.0, 1e-200], [0.0, 1e-150]]))
    assert found.constant().tolist() == [True, False]
    assert found.scale().tolist() == [1.0, pytest.approx(5e-151)]
