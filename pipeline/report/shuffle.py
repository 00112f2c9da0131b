"""Owns the judgement of a shuffle and a split: what chance allows, and what is there.

Of the shards as they lie on disk, and of the tracers: where records stood in the source, and where they
are now. A test that is repeated for many columns or shards is
allowed as much less chance each time (Bonferroni): of a fair dataset, 99 of 100 tables are without a mark.
Source: Wald & Wolfowitz 1940 (runs); Kolmogorov 1933, Smirnov 1948 (drift); Spearman 1904 (correlation of
ranks); Wald & Wolfowitz 1943 (serial correlation of a random order); the normal approximation of the binomial
distribution (shares), and of the lagged mean of independent values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.sketch import Sketch

CHANCE = 0.01  # that a page shows a fault where there is none
MIN_TRACERS = 20  # of fewer, the normal approximation says little


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A figure, and the band in which chance leaves it."""

    name: str
    found: float
    low: float
    high: float

    @property
    def is_fine(self) -> bool:
        """Whether chance explains it."""
        return self.low <= self.found <= self.high


def deviations(num_tests: int) -> float:
    """Return how many standard deviations `num_tests` normal figures together stay within, but for chance.

    >>> round(deviations(1), 2), round(deviations(100), 2)
    (2.58, 3.89)
    """
    return NormalDist().inv_cdf(1 - CHANCE / (2 * max(num_tests, 1)))


def runs(sketch: Sketch, *, num_tests: int) -> Finding | None:
    """Return the number of runs of equal classes among the records, against that of a random order.

    None where there is one class only, or no record.
    """
    counts = sketch.class_counts.astype(np.float64)
    total = counts.sum()
    if total < 2 or np.count_nonzero(counts) < 2:  # noqa: PLR2004  # nothing can be in disorder
        return None
    # Mood 1940, for any number of classes.
    squares = float((counts**2).sum())
    expected = total - squares / total + 1
    cubes = float((counts**3).sum())
    variance = (squares * (squares + total * (total + 1)) - 2 * total * cubes - total**3) / (
        total**2 * (total - 1)
    )
    reach = deviations(num_tests) * math.sqrt(max(variance, 0.0))
    return Finding(
        name="runs of equal labels", found=sketch.num_runs, low=expected - reach, high=expected + reach
    )


def lagged(sketch: Sketch, *, num_tests: int) -> NDArray[np.float64]:
    """Return the half width of the band around 0 for the correlation of neighbouring records."""
    return np.full(len(sketch.lagged), deviations(num_tests) / math.sqrt(max(sketch.num_records, 1)))


def shard_shares(sketch: Sketch, share: float, class_index: int, *, num_tests: int) -> list[Finding]:
    """Return the share of a class in each shard that was read; `share` is that of all records."""
    findings = []
    for index, counts in enumerate(sketch.shard_counts):
        total = int(counts.sum())
        if not total:
            continue
        # Half a record more on either side: counts are whole.
        reach = deviations(num_tests) * math.sqrt(share * (1 - share) / total) + 0.5 / total
        found = float(counts[class_index] / total)
        findings.append(Finding(name=str(index), found=found, low=share - reach, high=share + reach))
    return findings


def drift(left: Sketch, right: Sketch, *, num_tests: int) -> tuple[NDArray[np.float64], float]:
    """Return the distance of two splits in every column, and how large chance makes it.

    The greatest difference between the two distribution functions, at the borders of the bins.
    """
    functions = []
    for sketch in (left, right):
        counts = sketch.histograms.sum(axis=0)
        functions.append(np.cumsum(counts, axis=1) / max(sketch.num_records, 1))
    found: NDArray[np.float64] = np.abs(functions[0] - functions[1]).max(axis=1)
    return found, _allowed_distance(max(left.num_records, 1), max(right.num_records, 1), num_tests)


def correlation(ranks: NDArray[np.int64], *, num_tests: int) -> Finding | None:
    """Return how far `ranks`, in the order of the source, rise with it, against a random order (Spearman).

    None of so few that nothing can be said.
    """
    num = len(ranks)
    if num < MIN_TRACERS:
        return None
    order = _standardized(ranks)
    found = float((order * _standardized(np.arange(num))).mean())
    reach = deviations(num_tests) / math.sqrt(num - 1)
    return Finding(
        name="correlation of place in the source and place here", found=found, low=-reach, high=reach
    )


def serial_correlation(ranks: NDArray[np.int64], *, num_tests: int) -> Finding | None:
    """Return how alike the places are of neighbours in the source, against a random order."""
    num = len(ranks)
    if num < MIN_TRACERS:
        return None
    order = _standardized(ranks)
    found = float((order[1:] * order[:-1]).mean())
    expected, reach = -1 / (num - 1), deviations(num_tests) / math.sqrt(num - 1)
    return Finding(
        name="correlation of the places of neighbours in the source",
        found=found,
        low=expected - reach,
        high=expected + reach,
    )


def _standardized(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the order of distinct values, mean 0 and std 1."""
    order: NDArray[np.float64] = np.argsort(np.argsort(values)).astype(np.float64)
    order -= order.mean()
    order /= order.std()
    return order


def distance(positions: NDArray[np.int64], others: NDArray[np.int64], *, num_tests: int) -> Finding | None:
    """Return how far the places in the source of a split's records are from those of all other records."""
    if min(len(positions), len(others)) < MIN_TRACERS:
        return None
    both = np.concatenate([positions, others])
    shares = [np.searchsorted(np.sort(part), both, side="right") / len(part) for part in (positions, others)]
    found = float(np.abs(shares[0] - shares[1]).max())
    high = _allowed_distance(len(positions), len(others), num_tests)
    return Finding(
        name="distance of its places in the source from those of the others", found=found, low=0.0, high=high
    )


def _allowed_distance(num: int, num_others: int, num_tests: int) -> float:
    allowed = math.sqrt(-0.5 * math.log(CHANCE / max(num_tests, 1) / 2))
    return allowed * math.sqrt((num + num_others) / (num * num_others))
