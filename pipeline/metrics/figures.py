"""Owns the figures of one set of predictions: loss, accuracy, AUC, confusion, errors and their quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]
    Integers = NDArray[np.int64]

THRESHOLD = 0.5
SMALLEST_PROBABILITY = 1e-7  # as Keras clips: a single sure mistake must not make the loss infinite


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoClassMetrics:
    """Predictions of class 1 against class 0, by a score above 0.5; `confusion[i][j]`: i taken for j."""

    loss: float
    accuracy: float
    precision: float
    recall: float
    f1: float
    auc: float | None
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyClassMetrics:
    """Predictions of the class with the highest score; `auc` is the mean of each class against the rest."""

    loss: float
    accuracy: float
    auc: float | None
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberMetrics:
    """Predictions of a number, in its unit; `loss` is the mean squared error, `r2` is None for a constant."""

    loss: float
    mae: float
    rmse: float
    r2: float | None


def two_class_metrics(label: Integers, score: Floats, weight: Floats | None = None) -> TwoClassMetrics:
    """Return the metrics of the probability `score` of class 1."""
    weights = _weights(len(label), weight)
    predicted = score > THRESHOLD
    correct = predicted == (label == 1)
    precision = _share(weights[correct & predicted].sum(), weights[predicted].sum())
    recall = _share(weights[correct & predicted].sum(), weights[label == 1].sum())
    confusion = _confusion(label, predicted.astype(np.int64), 2)
    return TwoClassMetrics(
        loss=_log_loss(np.where(label == 1, score, 1 - score.astype(np.float64)), weights),
        accuracy=_share(weights[correct].sum(), weights.sum()),
        precision=precision,
        recall=recall,
        f1=_share(2 * precision * recall, precision + recall),
        auc=auc(label == 1, score, weight),
        true_positives=confusion[1][1],
        false_positives=confusion[0][1],
        true_negatives=confusion[0][0],
        false_negatives=confusion[1][0],
        confusion=confusion,
    )


def many_class_metrics(label: Integers, score: Floats, weight: Floats | None = None) -> ManyClassMetrics:
    """Return the metrics of the probabilities `score`, one column per class."""
    weights = _weights(len(label), weight)
    predicted = score.argmax(axis=1)
    num_classes = score.shape[1]
    aucs = [auc(label == index, score[:, index], weight) for index in range(num_classes)]
    defined = [value for value in aucs if value is not None]
    return ManyClassMetrics(
        loss=_log_loss(score[np.arange(len(label)), label], weights),
        accuracy=_share(weights[predicted == label].sum(), weights.sum()),
        auc=sum(defined) / len(defined) if defined else None,
        confusion=_confusion(label, predicted, num_classes),
    )


def number_metrics(label: Floats, predicted: Floats, weight: Floats | None = None) -> NumberMetrics:
    """Return the metrics of predictions of a number."""
    weights = _weights(len(label), weight)
    truth = label.astype(np.float64)
    error = predicted.astype(np.float64) - truth
    squared = _mean(error * error, weights)
    variance = _mean((truth - _mean(truth, weights)) ** 2, weights)
    return NumberMetrics(
        loss=squared,
        mae=_mean(np.abs(error), weights),
        rmse=squared**0.5,
        r2=1 - squared / variance if variance > 0 else None,
    )


def residual_quantiles(
    label: Floats, predicted: Floats, weight: Floats | None = None, *, shares: Sequence[float]
) -> tuple[float, ...]:
    """Return, for each of `shares`, the residual (predicted - label) that this share of records stays within.

    Shares of the weight, where records have one. Each is the residual of some record, none is interpolated.
    """
    residual = predicted.astype(np.float64) - label.astype(np.float64)
    return quantiles(residual, _weights(len(label), weight), shares=shares)


def quantiles(values: Floats, weights: Floats, *, shares: Sequence[float]) -> tuple[float, ...]:
    """Return, for each of `shares` of the weight, the value that it stays within: one of `values`."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    # A share of all may be rounded to just above the last sum.
    wanted = np.searchsorted(reached, np.asarray(shares) * reached[-1], side="left")
    return tuple(values[order[np.minimum(wanted, len(order) - 1)]].tolist())


def auc(positive: NDArray[np.bool_], score: Floats, weight: Floats | None = None) -> float | None:
    """Return the area under the ROC curve, exactly, or None unless there are both kinds of records.

    It is the probability that a positive record scores above a negative one, where a tie counts half.

    Source: Hanley & McNeil (1982), "The meaning and use of the area under a receiver operating characteristic
    (ROC) curve", Radiology 143(1).

    >>> auc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.9]))
    0.875
    """
    weights = _weights(len(positive), weight)
    order = np.argsort(score, kind="stable")
    ordered, positives = score[order], np.where(positive, weights, 0.0)[order]
    negatives = np.where(positive, 0.0, weights)[order]
    total = positives.sum() * negatives.sum()
    if total == 0:
        return None
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    tied_positives = np.add.reduceat(positives, begins)
    tied_negatives = np.add.reduceat(negatives, begins)
    below = np.cumsum(tied_negatives) - tied_negatives
    return float((tied_positives * (below + tied_negatives / 2)).sum() / total)


def _weights(num_records: int, weight: Floats | None) -> NDArray[np.float64]:
    return np.ones(num_records) if weight is None else weight.astype(np.float64)


def _mean(values: Floats, weights: NDArray[np.float64]) -> float:
    return _share((weights * values).sum(), weights.sum())


def _share(amount: float, whole: float) -> float:
    return float(amount / whole) if whole else 0.0


def _log_loss(probability: Floats, weights: NDArray[np.float64]) -> float:
    """Return the mean of -log(probability given to the true class)."""
    clipped = np.clip(probability.astype(np.float64), SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return -_mean(np.log(clipped), weights)


def _confusion(label: Integers, predicted: Integers, num_classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(label * num_classes + predicted, minlength=num_classes * num_classes)
    return tuple(tuple(row) for row in counts.reshape(num_classes, num_classes).tolist())
