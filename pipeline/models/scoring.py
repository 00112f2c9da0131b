"""Owns a saved model as a function over NumPy: records as they stand in the CSV → what it says of them.

Neighbours: `saved` opens the model; `evaluate` and `predict` call what this returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.errors import ModelError
from pipeline.models.description import TWO_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.models.description import ModelDescription
    from pipeline.models.saved import SavedModel

    Score = Callable[[NDArray[np.float64]], NDArray[np.float32]]

CENTRE_NAME, SCALE_NAME = "centre", "scale"  # the layers that standardize, see `raw`
THRESHOLD = 0.5


def score_function(saved: SavedModel) -> Score:
    """Return the function float64 (num_records, num_features) → float32 (num_records, num_outputs).

    It may be called from several threads at once, with any number of records; it is compiled once. Nothing is
    narrowed to float32 before the model has standardized it: `keras.Model.predict` would do that.
    """
    tf = backend.tensorflow()
    model = saved.keras_model
    rows = tf.TensorSpec((None, len(saved.description.features)), tf.float64)

    @tf.function(input_signature=[rows])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def compiled(features: object) -> object:
        return tf.cast(model(features, training=False), tf.float32)

    def score(features: NDArray[np.float64]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = compiled(features).numpy()
        return found

    return score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standardization:
    """What a model does to each feature first: (x - mean) / scale; both (num_features,)."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]


def standardization(saved: SavedModel) -> Standardization | None:
    """Return how the model standardizes, or None if it takes the features as they are."""
    if not saved.description.standardized:
        return None
    model = saved.keras_model
    return Standardization(
        mean=-np.asarray(model.get_layer(CENTRE_NAME).offset, np.float64),
        scale=1 / np.asarray(model.get_layer(SCALE_NAME).scale, np.float64),
    )


def class_probabilities(described: ModelDescription, score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability of every class, (num_records, num_classes), of what a model of classes says."""
    if len(described.classes) > TWO_CLASSES:
        return score
    return np.concatenate([1 - score, score], axis=1)[:, : len(described.classes)]


def predicted_classes(described: ModelDescription, score: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the index into the classes that is predicted, (num_records,)."""
    if len(described.classes) > TWO_CLASSES:
        return np.asarray(score.argmax(axis=1))
    return (score[:, 0] > THRESHOLD).astype(np.intp)


def require_defined(score: NDArray[np.float32], *, path: str) -> None:
    """Raise if the model at `path` gives anything that is no number.

    Raises:
        ModelError: it does.
    """
    if not np.isfinite(score).all():
        raise ModelError("its predictions are not finite", path=path, hint="train it again")
