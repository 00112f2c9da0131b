"""Losses of smoothed labels and weighted classes, against their formulas in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import backend
from pipeline.models.loss import loss_of
from pipeline.models.target import Target

TWO = Target(units=1, activation="sigmoid", loss="binary_crossentropy", metric="accuracy")
THREE = Target(units=3, activation="softmax", loss="sparse_categorical_crossentropy", metric="accuracy")
LABELS = np.array([0, 1, 1, 0])
SCORES = np.array([[0.2], [0.9], [0.4], [0.7]], np.float32)


def test_the_plain_loss_is_that_of_keras() -> None:
    """Nothing asked for, nothing changed: the name that Keras knows."""
    assert loss_of(TWO) == "binary_crossentropy"
    assert loss_of(THREE, label_smoothing=0.0, class_weights=None) == "sparse_categorical_crossentropy"


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.25, 3.0)])
def test_two_classes(smoothing: float, weights: tuple[float, float]) -> None:
    """-(t log p + (1 - t) log(1 - p)), t between the label and one half, times the weight of the class."""
    loss = loss_of(TWO, label_smoothing=smoothing, class_weights=weights)
    assert callable(loss)
    wanted = LABELS * (1 - smoothing) + smoothing / 2
    score = SCORES[:, 0].astype(np.float64)
    expected = -(wanted * np.log(score) + (1 - wanted) * np.log(1 - score)) * np.array(weights)[LABELS]
    for shape in ((-1,), (-1, 1)):
        found = np.asarray(loss(LABELS.reshape(shape), SCORES))
        assert found.shape == (4,)
        assert np.allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_three_classes(smoothing: float) -> None:
    """The cross-entropy with a distribution that gives each of the other classes a share."""
    labels = np.array([2, 0])
    scores = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]], np.float32)
    weights = (2.0, 1.0, 0.5)
    wanted = np.eye(3)[labels] * (1 - smoothing) + smoothing / 3
    expected = -(wanted * np.log(scores.astype(np.float64))).sum(axis=1) * np.array(weights)[labels]
    loss = loss_of(THREE, label_smoothing=smoothing, class_weights=weights)
    assert callable(loss)
    assert np.allclose(np.asarray(loss(labels, scores)), expected, rtol=1e-5)


def test_keras_takes_it_with_record_weights() -> None:
    """Compiled into a network, record weights multiply it once more and the mean is over the records."""
    keras = backend.keras()
    network = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(1.0)])
    network.compile(loss=loss_of(TWO, class_weights=(1.0, 3.0)))
    record_weights = np.array([1.0, 2.0, 0.0, 1.0])
    plain = -np.log(np.where(LABELS == 1, SCORES[:, 0], 1 - SCORES[:, 0]))
    expected = (plain * np.array([1.0, 3.0])[LABELS] * record_weights).mean()
    found = network.evaluate(SCORES, LABELS, sample_weight=record_weights, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)
