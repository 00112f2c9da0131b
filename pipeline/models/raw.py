"""Owns the model that is saved: a trained network that takes records as they stand in the CSV.

Standardization happens inside it, in float64, with the moments of the train split. Built-in layers only, so
that `keras.models.load_model` opens it anywhere, in safe mode, without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.models.inputs import columns_between

if TYPE_CHECKING:
    import keras

    from pipeline.manifest import ColumnMoments, Manifest


FEATURES_NAME, CATEGORIES_NAME = "features", "categories"
NO_VALUE = "\0"  # in the place of a vocabulary without any: no cell can hold it


def taking_raw_records(network: keras.Model, manifest: Manifest) -> keras.Model:
    """Return a model float64 (batch, num_features), in the order of the manifest → what `network` gives.

    Where there are categories it takes two inputs: `features`, as said, if any are numbers, and `categories`,
    texts (batch, num_categories) without blanks around them; what is in no vocabulary is the place 0.

    The standardized values are within 1e-15 (relative) of (x - mean) / scale in float64, before the network
    narrows them to float32. float32 input works as well, as far as float32 can hold the values. Call the
    model, or `predict_on_batch`, or give `predict` a tf.data dataset: given a NumPy array, Keras' `predict`
    narrows it to float32 first, in which a unix timestamp has steps of 128 seconds.

    Not `Normalization`: it takes its constants through float32, and never divides by less than 1e-7. Not
    Python lists as constants of `Rescaling`: TensorFlow makes those float32 as well.
    """
    keras = backend.keras()
    # Without what training compiled into it: the optimizer would make the file three times as large.
    plain = type(network).from_config(network.get_config())
    plain.set_weights(network.get_weights())
    inputs, parts = [], []
    if manifest.features:
        features = keras.Input((len(manifest.features),), name=FEATURES_NAME, dtype="float64")
        inputs.append(features)
        parts.append(_standardized(features, manifest))
    if manifest.categories:
        texts = keras.Input((len(manifest.categories),), name=CATEGORIES_NAME, dtype="string")
        inputs.append(texts)
        parts += _places(texts, manifest)
    values = parts[0] if len(parts) == 1 else keras.layers.Concatenate(dtype="float64", name="row")(parts)
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], plain(values), name="raw")


def _standardized(features: keras.KerasTensor, manifest: Manifest) -> keras.KerasTensor:
    keras = backend.keras()
    values = features
    if manifest.standardized:
        moments = [column.moments for column in manifest.features if column.moments]
        mean = np.array([of_column.mean for of_column in moments])
        scale = np.array([_scale(of_column) for of_column in moments])
        values = keras.layers.Rescaling(1.0, offset=-mean, dtype="float64", name="centre")(values)
        values = keras.layers.Rescaling(1 / scale, dtype="float64", name="scale")(values)
    return values


def _places(texts: keras.KerasTensor, manifest: Manifest) -> list[keras.KerasTensor]:
    """Return the place of each text in the vocabulary of its category, as doubles (batch, 1) each."""
    layers = backend.keras().layers
    found = []
    for index, column in enumerate(manifest.categories):
        width = len(manifest.categories)
        text = columns_between(texts, index, index + 1, width, name=f"text_{index}", dtype="string")
        known = list(column.vocabulary or ()) or [NO_VALUE]
        look_up = layers.StringLookup(vocabulary=known, mask_token=None, name=f"vocabulary_{index}")
        # A layer that changes nothing but the type: the row is one of doubles.
        found.append(layers.Rescaling(1.0, dtype="float64", name=f"code_{index}")(look_up(text)))
    return found


def _scale(moments: ColumnMoments) -> float:
    """Return what `convert` divides by: the std, or 1 for a constant column."""
    constant = moments.std == 0 or moments.min == moments.max
    return 1.0 if constant else moments.std
