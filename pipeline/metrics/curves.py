"""Owns the ROC and the precision-recall curve of a score: exact areas, and points few enough to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Points = NDArray[np.float64]

MAX_POINTS = 1000  # more cannot be told apart in a plot, and would be 40 MB of JSON for a million records


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """What becomes of a threshold, from one that nothing reaches to one that everything does.

    All have the shape (num_points,): `threshold` descends and begins with +inf; the records that score at
    least that much are the share `false_positive_rate` of the negative ones and `recall` of the positive
    ones, and `precision` of them are positive (1 where there are none). `auc` and `average_precision` are
    those of the curve with all its points.
    """

    threshold: Points
    false_positive_rate: Points
    recall: Points
    precision: Points
    auc: float
    average_precision: float


def curve(
    positive: NDArray[np.bool_],
    score: Floats,
    weight: Floats | None = None,
    *,
    max_points: int = MAX_POINTS,
) -> Curve | None:
    """Return the curve of `score`, or None unless there are records of both kinds.

    A point for every distinct score, thinned to `max_points` at equal distances along the ROC curve, both
    ends included: so neighbours differ by about `2 / max_points` in recall and share of false positives
    together. Takes 60 bytes a record for the time of the call.

    Source: Fawcett (2006), "An introduction to ROC analysis", Pattern Recognition Letters 27(8); average
    precision is the sum over thresholds of precision times the recall gained.
    """
    order = np.argsort(score, kind="stable")[::-1]
    ordered = score[order]
    weights = np.ones(len(score)) if weight is None else weight.astype(np.float64)
    # The last record of each score: a threshold lets through all records that tie, or none.
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    true_positives = np.cumsum(np.where(positive, weights, 0.0)[order])[ends]
    false_positives = np.cumsum(np.where(positive, 0.0, weights)[order])[ends]
    if not (true_positives[-1] > 0 and false_positives[-1] > 0):
        return None
    recall = np.append(0.0, true_positives / true_positives[-1])
    rate = np.append(0.0, false_positives / false_positives[-1])
    taken = true_positives + false_positives
    # Records without weight may come first: then nothing is taken yet.
    precision = np.append(1.0, np.divide(true_positives, taken, out=np.ones_like(taken), where=taken > 0))
    kept = _thinned(rate + recall, max_points)
    return Curve(
        threshold=np.append(np.inf, ordered[ends].astype(np.float64))[kept],
        false_positive_rate=rate[kept],
        recall=recall[kept],
        precision=precision[kept],
        auc=float((np.diff(rate) * (recall[1:] + recall[:-1]) / 2).sum()),
        average_precision=float((np.diff(recall) * precision[1:]).sum()),
    )


def _thinned(way: Points, max_points: int) -> NDArray[np.intp]:
    """Return the indices of at most `max_points` points, the ends among them, at equal distances of `way`."""
    if len(way) <= max_points:
        return np.arange(len(way))
    wanted = np.linspace(way[0], way[-1], max_points - 1)
    found = np.minimum(np.searchsorted(way, wanted, side="left"), len(way) - 1)
    return np.unique(np.append(found, len(way) - 1))


def mean_recall(curves: Sequence[Curve], rates: Points) -> Points:
    """Return the recall at shares of false positives `rates`, ascending: the mean over the curves of classes.

    >>> sure = curve(np.array([False, True]), np.array([0.2, 0.8]))
    >>> mean_recall([sure, sure], np.array([0.0, 0.5])).tolist()
    [1.0, 1.0]
    """
    # Of points one above the other, `interp` takes the last, which has the greatest recall.
    found = [np.interp(rates, one.false_positive_rate, one.recall) for one in curves]
    return np.asarray(np.mean(found, axis=0))


def mean_precision(curves: Sequence[Curve], recalls: Points) -> Points:
    """Return the precision at `recalls`, ascending: the mean over the curves of classes."""
    return np.asarray(np.mean([np.interp(recalls, one.recall, one.precision) for one in curves], axis=0))
