"""Owns the dense network: Input → BatchNormalization → [Dense → BatchNormalization → Dropout] … → Dense.

Categories, where there are any, join the numbers after their normalization.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.models.inputs import embedded, numbers_of, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from pipeline.models.inputs import Inputs
    from pipeline.models.target import Target


# Keras' 0.99 lags hundreds of steps behind: on 8,000 records, 8 steps an epoch, validation judged a network
# that was not there yet, and training stopped (test AUC .635; .683 with 0.9). PyTorch's default is the same.
MOMENTUM = 0.9


def build(
    inputs: Inputs,
    target: Target,
    *,
    layers: Sequence[int],
    activation: str,
    batch_norm: bool,
    dropout: float,
    precision: str = "float32",
) -> keras.Model:
    """Return the network: float32 (batch, inputs.num_columns) → (batch, target.units), in label units.

    The hidden layers compute in `precision`, a dtype policy of Keras; weights and outputs are float32. With
    the default options this is the network of the report: 500-400-300-200-100, relu, batch normalization of
    the input and after each layer. Its weights depend on Keras' global seed.
    """
    keras = backend.keras()
    row = keras.Input((inputs.num_columns,), name="standardized", dtype="float32")
    numbers = numbers_of(row, inputs)
    if batch_norm and numbers is not None:
        numbers = _norm(0, precision)(numbers)
    values = side_by_side(numbers, embedded(row, inputs), precision)
    for depth, units in enumerate(layers, start=1):
        values = keras.layers.Dense(units, activation=activation, dtype=precision, name=f"dense_{depth}")(
            values
        )
        if batch_norm:
            values = _norm(depth, precision)(values)
        if dropout:
            values = keras.layers.Dropout(dropout, dtype=precision, name=f"dropout_{depth}")(values)
    outputs = output_layers(values, target)
    return keras.Model(row, outputs, name="dense")


def output_layers(values: keras.KerasTensor, target: Target) -> keras.KerasTensor:
    """Return what a network predicts from its last hidden values: float32, in label units."""
    dense = backend.keras().layers.Dense
    output = dense(target.units, activation=target.activation, dtype="float32", name="output")
    return in_label_units(output(values), target)


def in_label_units(outputs: keras.KerasTensor, target: Target) -> keras.KerasTensor:
    """Return predictions in the label's unit; those of classes are what they are."""
    if (target.scale, target.offset) == (1.0, 0.0):
        return outputs
    layers = backend.keras().layers
    rescaling = layers.Rescaling(target.scale, offset=target.offset, dtype="float32", name="label_unit")
    return rescaling(outputs)


def _norm(depth: int, precision: str) -> keras.layers.Layer:
    return backend.keras().layers.BatchNormalization(momentum=MOMENTUM, dtype=precision, name=f"norm_{depth}")
