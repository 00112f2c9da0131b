"""Owns the statistics of the features: count, mean, M2, min, max and missing, per column.

Computed centred per batch and merged pairwise, never as a sum of squares. Neighbours: `runs` supplies the
batches, `manifest` writes the result down.

Source: Chan, Golub & LeVeque (1983), "Algorithms for computing the sample variance", The American
Statistician 37(3), equation 2.1b.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """Mergeable statistics of `num_columns` columns; every field has shape (num_columns,).

    `m2` is the sum of squared deviations from the mean. `count` does not include the missing values. A column
    without values has mean 0, m2 0, min +inf, max -inf. `mean_rest` is what `mean` lost by rounding: at an
    offset of 1e9 a mean of 1/3 more is rounded by 5e-8, and merging squares that into M2. Where squares leave
    the range of a double, from values of 1e153 on, m2 is infinite or NaN; nothing is raised.
    """

    count: Counts
    mean: Floats
    mean_rest: Floats
    m2: Floats
    min: Floats
    max: Floats
    missing: Counts

    def variance(self) -> Floats:
        """Return the population variance, shape (num_columns,)."""
        return self.m2 / np.maximum(self.count, 1)

    def std(self) -> Floats:
        """Return the population standard deviation, shape (num_columns,)."""
        return np.sqrt(self.variance())

    def scale(self) -> Floats:
        """Return what to divide by to standardize: the std, or 1 for a constant column."""
        std = self.std()
        return np.where(self.constant(), 1.0, std)

    def constant(self) -> NDArray[np.bool_]:
        """Return which columns have no spread, or one whose square underflows, shape (num_columns,)."""
        # Not `std == 0` alone: the M2 of a constant can be a rounding error when batches are merged.
        spread: NDArray[np.bool_] = (self.min < self.max) & (self.std() != 0)
        return ~spread


def empty(num_columns: int) -> Moments:
    """Return the moments of no records: the neutral element of `merge`."""
    zeros, counts = np.zeros(num_columns), np.zeros(num_columns, np.int64)
    inf = np.full(num_columns, np.inf)
    return Moments(count=counts, mean=zeros, mean_rest=zeros, m2=zeros, min=inf, max=-inf, missing=counts)


def side_by_side(parts: Sequence[Moments]) -> Moments:
    """Return the moments of the columns of all `parts`, one part after the other."""
    names = [field.name for field in dataclasses.fields(Moments)]
    return Moments(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@np.errstate(over="ignore", invalid="ignore")
def of_batch(values: Floats) -> Moments:
    """Return the moments of `values`, float64 (num_columns, num_records), where NaN means missing.

    Overwrites `values`: fresh memory for the deviations would cost more than the arithmetic.

    Two passes: the mean, then the deviations from it; the sum of the deviations, 0 but for rounding,
    corrects both (Chan, Golub & LeVeque, equation 1.7).
    """
    num_columns, num_records = values.shape
    if num_records == 0:
        return empty(num_columns)
    mean = np.add.reduce(values, axis=1) / num_records
    if np.isnan(mean).any():
        return _of_batch_with_missing(values)
    low, high = np.minimum.reduce(values, axis=1), np.maximum.reduce(values, axis=1)
    deviation = np.subtract(values, mean[:, np.newaxis], out=values)
    residual = np.add.reduce(deviation, axis=1)
    np.square(deviation, out=deviation)
    m2 = np.add.reduce(deviation, axis=1) - residual * residual / num_records
    mean, mean_rest = _exact_sum(mean, residual / num_records)
    return Moments(
        count=np.full(num_columns, num_records, np.int64),
        mean=mean,
        mean_rest=mean_rest,
        m2=np.maximum(m2, 0.0),
        min=low,
        max=high,
        missing=np.zeros(num_columns, np.int64),
    )


def _of_batch_with_missing(values: Floats) -> Moments:
    present = ~np.isnan(values)
    count = np.count_nonzero(present, axis=1)
    divisor = np.maximum(count, 1)
    mean = np.add.reduce(values, axis=1, where=present) / divisor
    deviation = np.where(present, values - mean[:, np.newaxis], 0.0)
    residual = np.add.reduce(deviation, axis=1)
    m2 = np.add.reduce(np.square(deviation), axis=1) - residual * residual / divisor
    mean, mean_rest = _exact_sum(mean, residual / divisor)
    return Moments(
        count=count,
        mean=mean,
        mean_rest=mean_rest,
        m2=np.maximum(m2, 0.0),
        min=np.minimum.reduce(values, axis=1, where=present, initial=np.inf),
        max=np.maximum.reduce(values, axis=1, where=present, initial=-np.inf),
        missing=values.shape[1] - count,
    )


@np.errstate(over="ignore", invalid="ignore")
def merge(left: Moments, right: Moments) -> Moments:
    """Return the moments of both sets of records together (equation 2.1b).

    The order of merging changes the last bits, so callers merge in range order, always.
    """
    count = left.count + right.count
    divisor = np.maximum(count, 1)
    # Nearby means subtract exactly, so their small difference keeps all its digits.
    delta = (right.mean - left.mean) + (right.mean_rest - left.mean_rest)
    share = right.count / divisor
    mean, mean_rest = _exact_sum(left.mean, left.mean_rest + delta * share)
    # An empty side has mean 0, so its delta is meaningless: take the other side's mean as it stands.
    for nothing, other in ((right, left), (left, right)):
        mean = np.where(nothing.count == 0, other.mean, mean)
        mean_rest = np.where(nothing.count == 0, other.mean_rest, mean_rest)
    return Moments(
        count=count,
        mean=mean,
        mean_rest=mean_rest,
        m2=left.m2 + right.m2 + delta * delta * (left.count * share),
        min=np.minimum(left.min, right.min),
        max=np.maximum(left.max, right.max),
        missing=left.missing + right.missing,
    )


def _exact_sum(left: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Return the rounded sum and what rounding took from it (Knuth, TAOCP volume 2, theorem 4.2.2B)."""
    total = left + right
    shadow = total - left
    return total, (left - (total - shadow)) + (right - shadow)
