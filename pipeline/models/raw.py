"""Owns the model that is saved: a trained network that takes records as they stand in the CSV.

Standardization happens inside it, in float64, with the moments of the train split. Built-in layers only, so
that `keras.models.load_model` opens it anywhere, in safe mode, without this package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend

if TYPE_CHECKING:
    import keras

    from pipeline.manifest import ColumnMoments, Manifest


def taking_raw_records(network: keras.Model, manifest: Manifest) -> keras.Model:
    """Return a model float64 (batch, num_features), in the order of the manifest → what `network` gives.

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
    features = keras.Input((len(manifest.features),), name="features", dtype="float64")
    values = features
    if manifest.standardized:
        moments = [column.moments for column in manifest.features if column.moments]
        mean = np.array([of_column.mean for of_column in moments])
        scale = np.array([_scale(of_column) for of_column in moments])
        values = keras.layers.Rescaling(1.0, offset=-mean, dtype="float64", name="centre")(values)
        values = keras.layers.Rescaling(1 / scale, dtype="float64", name="scale")(values)
    return keras.Model(features, plain(values), name="raw")


def _scale(moments: ColumnMoments) -> float:
    """Return what `convert` divides by: the std, or 1 for a constant column."""
    constant = moments.std == 0 or moments.min == moments.max
    return 1.0 if constant else moments.std
