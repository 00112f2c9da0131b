"""The figures of predictions, against scikit-learn and by hand."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from pipeline.metrics import auc, many_class_metrics, number_metrics, two_class_metrics

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
