"""Owns the residual network: features one by one → several members side by side → the mean of what they say.

    features ─ BatchNormalization ─ 8 relu units for each ─ Dense ─┬─ member 1 ─ Dense ─┐
                                                                   ├─ member 2 ─ Dense ─┼─ mean
                                                                   └─ …                 ┘
              categories ─ a vector for each value ─────────┘
    member:   values ─┬─ RMSNormalization → Dense, SiLU → Dropout → Dense ─ + ─ values ─ …
                      └─────────────────────────────────────────────────────┘

Units that see one feature alone let the network bend along single features, as trees do; a dense layer sees
only mixtures. A residual block changes the values that run through it by a little, at first by nothing: so
depth costs no gradient. Members differ in their first weights alone, but err in different places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.models.dense import MOMENTUM, in_label_units
from pipeline.models.inputs import embedded, numbers_of, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras

    from pipeline.models.inputs import Inputs
    from pipeline.models.target import Target

UNITS_PER_FEATURE = 8


def build(
    inputs: Inputs,
    target: Target,
    *,
    layers: Sequence[int],
    members: int,
    activation: str,
    dropout: float,
    precision: str = "float32",
    apart: bool = False,
) -> keras.Model:
    """Return the network: float32 (batch, inputs.num_columns) → (batch, target.units), in label units.

    With `apart` it returns what each member says, (batch, members, target.units), as training needs it; the
    weights are the same. Each of `layers` is the number of units in a block; half the first is the number of
    values that run through all. The hidden layers compute in `precision`, a dtype policy of Keras; weights
    and outputs are float32. The first weights depend on Keras' global seed.

    Source: He et al. (2016), "Identity Mappings in Deep Residual Networks"; Gorishniy et al. (2021),
    "Revisiting Deep Learning Models for Tabular Data"; Gorishniy et al. (2022), "On Embeddings for Numerical
    Features in Tabular Deep Learning"; Gorishniy et al. (2025), "TabM"; Zhang & Sennrich (2019), "Root Mean
    Square Layer Normalization".
    """
    keras = backend.keras()
    width = max(1, layers[0] // 2)

    row = keras.Input((inputs.num_columns,), name="standardized", dtype="float32")
    numbers = numbers_of(row, inputs)
    if numbers is not None:
        numbers = keras.layers.BatchNormalization(momentum=MOMENTUM, dtype=precision, name="norm")(numbers)
        numbers = _units_per_feature(inputs.num_numbers, precision)(numbers)
        numbers = keras.layers.Flatten(dtype=precision, name="side_by_side")(numbers)
    values = side_by_side(numbers, embedded(row, inputs), precision)
    values = keras.layers.Dense(members * width, dtype=precision, name="stem")(values)
    values = keras.layers.Reshape((members, width), dtype=precision, name="members")(values)
    for depth, units in enumerate(layers, start=1):
        change = keras.layers.RMSNormalization(dtype=precision, name=f"norm_{depth}")(values)
        change = _member_dense((members, width, units), precision, activation, name=f"inner_{depth}")(change)
        if dropout:
            change = keras.layers.Dropout(dropout, dtype=precision, name=f"dropout_{depth}")(change)
        outer = _member_dense((members, units, width), precision, "linear", name=f"outer_{depth}", limit=0.0)
        values = keras.layers.Add(dtype=precision, name=f"add_{depth}")([values, outer(change)])
    outputs = _member_dense((members, width, target.units), "float32", target.activation, name="output")(
        values
    )
    outputs = in_label_units(outputs, target)
    if not apart:
        outputs = keras.layers.GlobalAveragePooling1D(dtype="float32", name="mean")(outputs)
    return keras.Model(row, outputs, name="resnet")


def _units_per_feature(num_features: int, precision: str) -> keras.layers.Layer:
    """Return the layer (batch, feature) → (batch, feature, unit) whose units bend all over each feature.

    A unit bends where its bias and the feature times its slope cancel. Both begin as spread as the features
    are here, with mean 0 and deviation 1.
    """
    keras = backend.keras()
    return keras.layers.EinsumDense(
        "bf,fu->bfu",
        output_shape=(num_features, UNITS_PER_FEATURE),
        bias_axes="fu",
        activation="relu",
        kernel_initializer=keras.initializers.RandomNormal(stddev=1.0),
        bias_initializer=keras.initializers.RandomNormal(stddev=1.0),
        dtype=precision,
        name="units_per_feature",
    )


def _member_dense(
    shape: tuple[int, int, int], precision: str, activation: str, *, name: str, limit: float | None = None
) -> keras.layers.Layer:
    """Return the layer (batch, member, value) → (batch, member, unit): a dense one for each member.

    The first weights are uniform below `limit`, by default as Glorot & Bengio (2010), "Understanding the
    difficulty of training deep feedforward neural networks", equation 16, have it. Keras' own initializer
    would take the members for units.
    """
    keras = backend.keras()
    members, values, units = shape
    bound = (6 / (values + units)) ** 0.5 if limit is None else limit
    return keras.layers.EinsumDense(
        "bmv,mvu->bmu",
        output_shape=(members, units),
        bias_axes="mu",
        activation=activation,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        dtype=precision,
        name=name,
    )
