"""The figures of predictions, against scikit-learn and by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from pipeline.metrics import (
    auc,
    brier_score,
    calibration,
    curve,
    many_class_metrics,
    mean_precision,
    mean_recall,
    number_metrics,
    residual_quantiles,
    two_class_metrics,
)

NUM_RECORDS = 500


def draws(seed: int) -> np.random.Generator:
    """Return a generator of its own for each test."""
    return np.random.default_rng(seed)


@pytest.mark.parametrize("levels", [2, 5, 50, 10**9])
@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_that_of_scikit_learn(levels: int, *, weighted: bool) -> None:
    """With many ties and with none, weighted and not: equal to 1e-12."""
    rng = draws(levels)
    positive = rng.random(NUM_RECORDS) < 0.3
    score = np.floor((rng.random(NUM_RECORDS) + positive * 0.3) * levels) / levels
    weight = rng.exponential(size=NUM_RECORDS) if weighted else None
    assert auc(positive, score, weight) == pytest.approx(
        oracle.roc_auc_score(positive, score, sample_weight=weight), rel=1e-12
    )


@given(
    records=st.lists(st.tuples(st.booleans(), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=12)
)
def test_auc_counts_pairs(records: list[tuple[bool, int, int]]) -> None:
    """It is the weighted share of (positive, negative) pairs in the right order, a tie being half of one."""
    positive, score, weight = (np.array(column) for column in zip(*records, strict=True))
    right = total = 0.0
    for (_, high, w), (_, low, v) in itertools.product(
        [record for record in records if record[0]], [record for record in records if not record[0]]
    ):
        total += w * v
        right += w * v * ((high > low) + (high == low) / 2)
    found = auc(positive, score, weight)
    assert (found is None) if total == 0 else found == pytest.approx(right / total, rel=1e-12)


def test_auc_of_float32_scores_near_one() -> None:
    """Scores that differ in the last bit of float32 are no ties."""
    score = np.array([1 - 2**-24, 1.0], np.float32)
    assert auc(np.array([False, True]), score) == 1.0
    assert auc(np.array([True, False]), score) == 0.0


@pytest.mark.parametrize("weighted", [False, True])
def test_two_class_metrics_are_those_of_scikit_learn(*, weighted: bool) -> None:
    """Every figure, to 1e-12; counts are of records, with weights or without."""
    rng = draws(1)
    label = rng.integers(0, 2, NUM_RECORDS)
    score = np.clip(rng.normal(0.4 + 0.2 * label, 0.2), 0.001, 0.999).astype(np.float32)
    weight = rng.exponential(size=NUM_RECORDS).astype(np.float32) if weighted else None
    found = two_class_metrics(label, score, weight)
    predicted = score > 0.5
    given_weight = {"sample_weight": weight}
    expected = {
        "loss": oracle.log_loss(label, score.astype(np.float64), **given_weight),
        "accuracy": oracle.accuracy_score(label, predicted, **given_weight),
        "precision": oracle.precision_score(label, predicted, **given_weight),
        "recall": oracle.recall_score(label, predicted, **given_weight),
        "f1": oracle.f1_score(label, predicted, **given_weight),
        "auc": oracle.roc_auc_score(label, score, **given_weight),
    }
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-12)
    counts = oracle.confusion_matrix(label, predicted).tolist()
    assert [list(row) for row in found.confusion] == counts
    assert [found.true_negatives, found.false_positives] == counts[0]
    assert [found.false_negatives, found.true_positives] == counts[1]


@pytest.mark.parametrize("weighted", [False, True])
def test_many_class_metrics_are_those_of_scikit_learn(*, weighted: bool) -> None:
    """Loss, accuracy, macro one-vs-rest AUC and the confusion matrix of four classes."""
    rng = draws(2)
    label = rng.integers(0, 4, NUM_RECORDS)
    score = rng.random((NUM_RECORDS, 4)) + np.eye(4)[label] * 0.4
    score /= score.sum(axis=1, keepdims=True)
    weight = rng.exponential(size=NUM_RECORDS) if weighted else None
    found = many_class_metrics(label, score, weight)
    predicted = score.argmax(axis=1)
    aucs = [oracle.roc_auc_score(label == i, score[:, i], sample_weight=weight) for i in range(4)]
    assert found.loss == pytest.approx(oracle.log_loss(label, score, sample_weight=weight), rel=1e-12)
    assert found.accuracy == pytest.approx(oracle.accuracy_score(label, predicted, sample_weight=weight))
    assert found.auc == pytest.approx(sum(aucs) / 4, rel=1e-12)
    assert [list(row) for row in found.confusion] == oracle.confusion_matrix(label, predicted).tolist()


@pytest.mark.parametrize("weighted", [False, True])
def test_number_metrics_are_those_of_scikit_learn(*, weighted: bool) -> None:
    """Squared and absolute error and R², at an offset where float32 arithmetic would fail."""
    rng = draws(3)
    label = 1e6 + rng.normal(size=NUM_RECORDS)
    predicted = label + rng.normal(0, 0.1, size=NUM_RECORDS)
    weight = rng.exponential(size=NUM_RECORDS) if weighted else None
    found = number_metrics(label, predicted, weight)
    given_weight = {"sample_weight": weight}
    expected = {
        "loss": oracle.mean_squared_error(label, predicted, **given_weight),
        "mae": oracle.mean_absolute_error(label, predicted, **given_weight),
        "rmse": oracle.root_mean_squared_error(label, predicted, **given_weight),
        "r2": oracle.r2_score(label, predicted, **given_weight),
    }
    assert dataclasses.asdict(found) == pytest.approx(expected, rel=1e-9)


def test_what_is_not_defined_is_none_or_zero() -> None:
    """One class only has no AUC, nothing predicted positive has precision 0, a constant has no R²."""
    zeros = np.zeros(4, np.int64)
    found = two_class_metrics(zeros, np.full(4, 0.1))
    assert (found.auc, found.precision, found.recall, found.accuracy) == (None, 0.0, 0.0, 1.0)
    assert many_class_metrics(zeros, np.full((4, 3), 1 / 3)).auc is None
    assert number_metrics(np.ones(4), np.zeros(4)).r2 is None


def test_a_class_that_is_absent_does_not_count() -> None:
    """The macro AUC is the mean over the classes that the split holds."""
    label = np.array([0, 1, 0, 1])
    score = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.3, 0.6, 0.1], [0.4, 0.5, 0.1]])
    first, second = (auc(label == index, score[:, index]) for index in (0, 1))
    assert first is not None
    assert second is not None
    assert many_class_metrics(label, score).auc == (first + second) / 2


def test_a_sure_mistake_has_a_finite_loss() -> None:
    """Probability 0 for the truth costs what 1e-7 would cost, as in Keras."""
    found = two_class_metrics(np.array([1, 0]), np.array([0.0, 0.0], np.float32))
    assert found.loss == pytest.approx(-np.log(1e-7) / 2, rel=1e-6)


def tied_scores(levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return whether records are positive, float32 scores with so many levels, and weights."""
    rng = draws(levels)
    positive = rng.random(NUM_RECORDS) < 0.4
    score = np.floor((rng.random(NUM_RECORDS) * 0.7 + positive * 0.3) * levels) / levels
    return positive, score.astype(np.float32), rng.exponential(size=NUM_RECORDS)


@pytest.mark.parametrize("levels", [2, 7, 10**6])
@pytest.mark.parametrize("weighted", [False, True])
def test_curves_are_those_of_scikit_learn(levels: int, *, weighted: bool) -> None:
    """Every point of both curves, their thresholds and areas, with ties and without."""
    positive, score, weights = tied_scores(levels)
    given_weight = {"sample_weight": weights if weighted else None}
    found = curve(positive, score, weights if weighted else None)
    assert found is not None
    rates, recalls, thresholds = oracle.roc_curve(positive, score, drop_intermediate=False, **given_weight)
    assert found.false_positive_rate == pytest.approx(rates, abs=1e-12)
    assert found.recall == pytest.approx(recalls, abs=1e-12)
    assert found.threshold.tolist() == thresholds.tolist()
    precisions, recalls, _ = oracle.precision_recall_curve(positive, score, **given_weight)
    assert found.precision == pytest.approx(precisions[::-1], abs=1e-12)
    assert found.recall == pytest.approx(recalls[::-1], abs=1e-12)
    assert found.auc == pytest.approx(oracle.roc_auc_score(positive, score, **given_weight), rel=1e-12)
    expected = oracle.average_precision_score(positive, score, **given_weight)
    assert found.average_precision == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("max_points", [2, 3, 10, 100])
def test_thinned_curves_keep_their_ends_and_areas(max_points: int) -> None:
    """No more points than asked for, all on the curve, both ends; the areas are those of all points."""
    positive, score, _ = tied_scores(10**6)
    full, thin = curve(positive, score), curve(positive, score, max_points=max_points)
    assert full is not None
    assert thin is not None
    assert len(thin.recall) <= max_points < len(full.recall)
    for name in ("threshold", "false_positive_rate", "recall", "precision"):
        points, all_points = getattr(thin, name), getattr(full, name)
        assert set(points.tolist()) <= set(all_points.tolist())
        assert (points[0], points[-1]) == (all_points[0], all_points[-1])
    assert (thin.auc, thin.average_precision) == (full.auc, full.average_precision)
    gaps = np.diff(thin.recall) + np.diff(thin.false_positive_rate)
    assert gaps.max() < 2 / max(max_points - 2, 1) + 0.02


def test_a_curve_needs_records_of_both_kinds() -> None:
    """Without them there is none; weights of 0 count as no records."""
    score = np.array([0.1, 0.2, 0.3])
    assert curve(np.array([True, True, True]), score) is None
    assert curve(np.array([False, False, False]), score) is None
    assert curve(np.array([True, False, False]), score, np.array([0.0, 1.0, 1.0])) is None


def test_mean_curves_go_through_the_points_of_equal_ones() -> None:
    """The mean of a curve with itself is that curve; of two curves it lies halfway between them."""
    positive, score, _ = tied_scores(10**6)
    one, other = curve(positive, score), curve(positive, -score)
    assert one is not None
    assert other is not None
    grid = np.linspace(0, 1, 50)
    # The greatest recall that the curve reaches at that share of false positives, or on the line to the next.
    assert mean_recall([one, one], one.false_positive_rate)[-1] == 1
    both = mean_recall([one, other], grid)
    assert both == pytest.approx((mean_recall([one], grid) + mean_recall([other], grid)) / 2)
    assert mean_recall([one], grid) == pytest.approx(
        [max(r for f, r in zip(one.false_positive_rate, one.recall, strict=True) if f <= x) for x in grid],
        abs=0.05,
    )
    assert mean_precision([one, one], np.array([1.0]))[0] == pytest.approx(positive.mean())


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_is_that_of_plain_code(*, weighted: bool) -> None:
    """Bins, counts, means and the error, computed bin by bin with a loop."""
    positive, score, weights = tied_scores(10**6)
    used = weights if weighted else np.ones(NUM_RECORDS)
    found = calibration(score, positive, weights if weighted else None, num_bins=7)
    error = 0.0
    for number, one in enumerate(found.bins):
        inside = [i for i in range(NUM_RECORDS) if number / 7 <= score[i] < (number + 1) / 7]
        assert one.records == len(inside)
        weight = sum(used[i] for i in inside)
        mean = sum(used[i] * float(score[i]) for i in inside) / weight
        share = sum(used[i] * positive[i] for i in inside) / weight
        assert (one.probability, one.share) == (pytest.approx(mean), pytest.approx(share))
        error += weight / used.sum() * abs(mean - share)
    assert found.error == pytest.approx(error)


def test_calibration_has_a_place_for_every_probability() -> None:
    """0 is in the first bin and 1 in the last; bins without records have no figures."""
    found = calibration(np.array([0.0, 1.0, 1.0]), np.array([False, True, False]), num_bins=4)
    assert [one.records for one in found.bins] == [1, 0, 0, 2]
    assert [one.share for one in found.bins] == [0.0, None, None, 0.5]
    assert found.error == pytest.approx(2 / 3 * 0.5)


@pytest.mark.parametrize("weighted", [False, True])
def test_brier_score_is_that_of_scikit_learn(*, weighted: bool) -> None:
    """For two classes, and as the sum over the classes for more."""
    positive, score, weights = tied_scores(10**6)
    given_weight = {"sample_weight": weights if weighted else None}
    used = weights if weighted else None
    label = positive.astype(np.int64)
    expected = oracle.brier_score_loss(positive, score.astype(np.float64), **given_weight)
    assert brier_score(score, label, used) == pytest.approx(expected, rel=1e-12)
    rng = draws(8)
    labels, scores = rng.integers(0, 3, NUM_RECORDS), rng.dirichlet((1, 1, 1), NUM_RECORDS)
    expected = oracle.brier_score_loss(labels, scores, scale_by_half=False, **given_weight)
    assert brier_score(scores, labels, used) == pytest.approx(expected, rel=1e-12)


def test_residual_quantiles_are_those_of_numpy() -> None:
    """The inverted distribution function, with weights and without."""
    rng = draws(9)
    label, predicted = rng.normal(size=NUM_RECORDS), rng.normal(size=NUM_RECORDS)
    weight = rng.integers(0, 4, NUM_RECORDS).astype(np.float64)
    shares = (0.01, 0.25, 0.5, 0.99, 1.0)
    for used in (None, weight):
        expected = np.quantile(predicted - label, shares, weights=used, method="inverted_cdf")
        found = residual_quantiles(label, predicted, used, shares=shares)
        assert found == pytest.approx(expected, rel=1e-12)
