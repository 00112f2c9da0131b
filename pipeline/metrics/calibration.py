"""Owns calibration: does what is given 0.7 happen seven times in ten, is a number what it is said to be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics.figures import quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

NUM_BINS = 20  # of width 0.05: narrow enough for a curve, wide enough to hold records
INNER_SHARES = (0.05, 0.95)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The records whose probability lies in [begin, end), the last bin including 1.

    `probability` is the mean of what was predicted, `share` how often it was so; None where there are none.
    """

    begin: float
    end: float
    records: int
    probability: float | None
    share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The reliability diagram, and its sum: the mean distance of `share` from `probability`."""

    bins: tuple[Bin, ...]
    error: float


def calibration(
    probability: Floats,
    happened: NDArray[np.bool_],
    weight: Floats | None = None,
    *,
    num_bins: int = NUM_BINS,
) -> Calibration:
    """Return how often what was given `probability`, (num_records,) in [0, 1], has `happened`.

    For two classes it is the probability of the second one and whether the label was that; for more, the
    probability of the class that was predicted, and whether the label was that.

    Source: Guo et al. (2017), "On calibration of modern neural networks", ICML, equations 2 to 4.
    """
    weights = np.ones(len(happened)) if weight is None else weight.astype(np.float64)
    index = np.minimum((probability * num_bins).astype(np.intp), num_bins - 1)
    counts = np.bincount(index, minlength=num_bins)
    weighed = np.bincount(index, weights, num_bins)
    divisor = np.where(weighed > 0, weighed, 1.0)
    predicted = np.bincount(index, weights * probability, num_bins) / divisor
    observed = np.bincount(index, weights * happened, num_bins) / divisor
    bins = [
        Bin(
            begin=at / num_bins,
            end=(at + 1) / num_bins,
            records=int(counts[at]),
            probability=float(predicted[at]) if weighed[at] > 0 else None,
            share=float(observed[at]) if weighed[at] > 0 else None,
        )
        for at in range(num_bins)
    ]
    total = float(weighed.sum())
    error = float((weighed * np.abs(observed - predicted)).sum() / total) if total else 0.0
    return Calibration(bins=tuple(bins), error=error)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberBin:
    """Records of which about the same number is predicted: means, and within what nine tenths of them are."""

    records: int
    predicted: float
    actual: float
    low: float
    high: float


def number_calibration(
    label: Floats, predicted: Floats, weight: Floats | None = None, *, num_bins: int = NUM_BINS
) -> tuple[NumberBin, ...]:
    """Return bins of equally many records, (num_records,), in the order of what is predicted of them."""
    weights = np.ones(len(label)) if weight is None else weight.astype(np.float64)
    order = np.argsort(predicted, kind="stable")
    bins = []
    for places in np.array_split(order, num_bins):
        total = float(weights[places].sum())
        if not total:
            continue
        truth = label[places].astype(np.float64)
        low, high = quantiles(truth, weights[places], shares=INNER_SHARES)
        bins.append(
            NumberBin(
                records=len(places),
                predicted=float((weights[places] * predicted[places]).sum() / total),
                actual=float((weights[places] * truth).sum() / total),
                low=low,
                high=high,
            )
        )
    return tuple(bins)


def brier_score(score: Floats, label: NDArray[np.int64], weight: Floats | None = None) -> float:
    """Return the mean squared distance of the predicted probabilities from what happened.

    For two classes, `score` (num_records,), it is (p - label)², within [0, 1]; for more, (num_records,
    num_classes), the sum of the squares over the classes, within [0, 2].

    Source: Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78(1).
    """
    weights = np.ones(len(label)) if weight is None else weight.astype(np.float64)
    squared = np.zeros(len(label))
    if score.ndim == 1:
        squared += (score.astype(np.float64) - label) ** 2
    else:
        # Column by column: all classes at a time, as float64, would take twice the memory of the scores.
        for index in range(score.shape[1]):
            squared += (score[:, index].astype(np.float64) - (label == index)) ** 2
    total = float(weights.sum())
    return float((weights * squared).sum() / total) if total else 0.0
