"""Owns the residual network: Input → BatchNormalization → Dense → residual blocks → Dense.

    values ─┬─ RMSNormalization → Dense, SiLU → Dropout → Dense ─ + ─ values
            └─────────────────────────────────────────────────────┘

The values that run through the blocks are changed by each a little, so that depth costs no gradient. The last
layer of a block begins as zeros: at first the network is as simple as it can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.models.dense import MOMENTUM, output_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from pipeline.models.target import Target


def build(
    num_features: int,
    target: Target,
    *,
    layers: Sequence[int],
    activation: str,
    dropout: float,
    precision: str = "float32",
) -> keras.Model:
    """Return the network: float32 (batch, num_features) → float32 (batch, target.units), in label units.

    `layers` are the units inside each block; the first of them is also the number of values that run through
    all. The hidden layers compute in `precision`, a dtype policy of Keras; weights and outputs are float32.
    The first weights depend on Keras' global seed.

    Source: He et al. (2016), "Identity Mappings in Deep Residual Networks"; Gorishniy et al. (2021),
    "Revisiting Deep Learning Models for Tabular Data", section 3.2; Zhang & Sennrich (2019), "Root Mean
    Square Layer Normalization".
    """
    keras = backend.keras()
    width = layers[0] if layers else num_features
    inputs = keras.Input((num_features,), name="standardized", dtype="float32")
    norm = keras.layers.BatchNormalization(momentum=MOMENTUM, dtype=precision, name="norm")
    values = keras.layers.Dense(width, dtype=precision, name="stem")(norm(inputs))
    for depth, units in enumerate(layers, start=1):
        change = keras.layers.RMSNormalization(dtype=precision, name=f"norm_{depth}")(values)
        change = keras.layers.Dense(units, activation=activation, dtype=precision, name=f"inner_{depth}")(
            change
        )
        if dropout:
            change = keras.layers.Dropout(dropout, dtype=precision, name=f"dropout_{depth}")(change)
        outer = keras.layers.Dense(width, kernel_initializer="zeros", dtype=precision, name=f"outer_{depth}")
        values = keras.layers.Add(dtype=precision, name=f"add_{depth}")([values, outer(change)])
    return keras.Model(inputs, output_layers(values, target), name="resnet")
