"""Owns a saved model as a function over NumPy: records as they stand in the CSV → what it says of them.

Neighbours: `saved` opens the model, `inference` has its network; `evaluate` and `predict` call what this
returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.errors import ModelError
from pipeline.models.description import TWO_CLASSES
from pipeline.models.inference import for_inference
from pipeline.models.raw import CATEGORIES_NAME, FEATURES_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pipeline.models.description import ModelDescription
    from pipeline.models.saved import SavedModel

    Score = Callable[["RawRows"], NDArray[np.float32]]

CENTRE_NAME, SCALE_NAME = "centre", "scale"  # the layers that standardize, see `raw`
THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawRows:
    """Records as they stand in the CSV.

    features    float64 (num_records, num_features)
    categories  texts as objects (num_records, num_categories), without blanks around them
    """

    features: NDArray[np.float64]
    categories: NDArray[np.object_]

    def between(self, begin: int, end: int) -> RawRows:
        """Return the records [begin, end), not copied."""
        return RawRows(features=self.features[begin:end], categories=self.categories[begin:end])


def score_function(saved: SavedModel, precision: str = "float32") -> Score:
    """Return the function RawRows of num_records → float32 (num_records, num_outputs).

    It may be called from several threads at once, with any number of records; it is compiled once. Nothing is
    narrowed to float32 before the model has standardized it: `keras.Model.predict` would do that. The hidden
    layers compute in `precision`, as `for_inference` says.
    """
    tf = backend.tensorflow()
    raw = saved.keras_model
    row = raw.layers[-2].output  # what the network takes
    model = backend.keras().Model(raw.inputs, for_inference(saved.network, precision)(row))
    described = saved.description
    specs = {
        FEATURES_NAME: tf.TensorSpec((None, len(described.features)), tf.float64),
        CATEGORIES_NAME: tf.TensorSpec((None, len(described.categories)), tf.string),
    }
    names = [tensor.name for tensor in model.inputs]

    @tf.function(input_signature=[specs[name] for name in names])  # type: ignore[untyped-decorator]  # TensorFlow has no types
    def compiled(*inputs: object) -> object:
        return tf.cast(model(inputs[0] if len(inputs) == 1 else list(inputs), training=False), tf.float32)

    def score(rows: RawRows) -> NDArray[np.float32]:
        by_name = {FEATURES_NAME: rows.features, CATEGORIES_NAME: rows.categories}
        found: NDArray[np.float32] = compiled(*(by_name[name] for name in names)).numpy()
        return found

    return score


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standardization:
    """What a model does to each feature first: (x - mean) / scale; both (num_features,)."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]


def standardization(saved: SavedModel) -> Standardization | None:
    """Return how the model standardizes, or None if it takes the features as they are."""
    if not saved.description.standardized or not saved.description.features:
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
