"""The network as it is asked for predictions: the same function, in fewer or in cheaper operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import backend
from pipeline.models import dense, resnet
from pipeline.models.inference import for_inference
from pipeline.models.inputs import Inputs
from pipeline.models.saved import open_model
from pipeline.models.scoring import RawRows, score_function
from pipeline.models.target import Target

if TYPE_CHECKING:
    import keras

    from support.trained import Made

TARGET = Target(units=2, activation="linear", loss="mean_squared_error", metric="mae")  # hides nothing
NUMBERS, CATEGORIES = Inputs(num_numbers=5), Inputs(num_numbers=5, vocabulary_sizes=(3, 300))


def networks(inputs: Inputs) -> dict[str, keras.Model]:
    """Return one network of each kind, with weights and statistics as a training leaves them: anything."""
    given: dict[str, Any] = {"activation": "relu", "dropout": 0.2}
    made = {
        "dense": dense.build(inputs, TARGET, layers=(16, 8, 4), batch_norm=True, **given),
        "plain": dense.build(inputs, TARGET, layers=(16, 8), batch_norm=False, **given),
        "resnet": resnet.build(inputs, TARGET, layers=(16, 8), members=3, **given),
    }
    rng = np.random.default_rng(7)
    for network in made.values():
        for weight in network.weights:
            values = rng.uniform(-0.7, 0.9, weight.shape)
            weight.assign(np.abs(values) + 0.1 if weight.name == "moving_variance" else values)
    return made


def rows(inputs: Inputs, num_records: int = 64) -> np.ndarray:
    """Return rows as a network takes them."""
    rng = np.random.default_rng(3)
    numbers = rng.normal(size=(num_records, inputs.num_numbers))
    places = [rng.integers(size + 1, size=num_records) for size in inputs.vocabulary_sizes]
    return np.column_stack([numbers, *places]).astype(np.float32)


@pytest.mark.parametrize("inputs", [NUMBERS, CATEGORIES], ids=["numbers", "categories"])
@pytest.mark.parametrize("name", ["dense", "plain", "resnet"])
def test_it_is_the_same_function(name: str, inputs: Inputs) -> None:
    """Outputs agree to the rounding of float32; the network that was given is as it was."""
    network = networks(inputs)[name]
    before = network.get_weights()
    expected = np.asarray(network(rows(inputs), training=False))
    found = for_inference(network)
    assert np.asarray(found(rows(inputs), training=False)) == pytest.approx(
        expected, abs=2e-6 * float(np.ptp(expected))
    )
    for mine, theirs in zip(before, network.get_weights(), strict=True):
        assert np.array_equal(mine, theirs)


def kinds(network: keras.Model) -> list[str]:
    """Return the kinds of the layers of a network."""
    return [type(layer).__name__ for layer in network.layers]


def test_what_costs_without_effect_is_left_out() -> None:
    """Dense layers alone are left; a normalization beside categories stays, as does that within blocks."""
    assert kinds(for_inference(networks(NUMBERS)["dense"])) == ["InputLayer", *["Dense"] * 4]
    beside = for_inference(networks(CATEGORIES)["dense"])
    assert kinds(beside).count("BatchNormalization") == 1
    assert "Dropout" not in kinds(beside)
    blocks = kinds(for_inference(networks(NUMBERS)["resnet"]))
    assert (blocks.count("BatchNormalization"), blocks.count("RMSNormalization")) == (1, 2)


@pytest.mark.parametrize("inputs", [NUMBERS, CATEGORIES], ids=["numbers", "categories"])
@pytest.mark.parametrize("name", ["dense", "plain", "resnet"])
def test_bfloat16_is_for_hidden_products(name: str, inputs: Inputs) -> None:
    """All of them, and nothing else, compute in it; outputs are float32 and near the others."""
    network = networks(inputs)[name]
    found = for_inference(network, "mixed_bfloat16")
    products = {layer.name for layer in found.layers if type(layer).__name__.endswith("Dense")}
    narrow = {layer.name for layer in found.layers if layer.compute_dtype == "bfloat16"}
    assert narrow == products - {"output"}
    outputs = np.asarray(found(rows(inputs), training=False))
    assert outputs.dtype == np.float32
    expected = np.asarray(network(rows(inputs), training=False))
    assert outputs == pytest.approx(expected, abs=0.03 * float(np.ptp(expected)))
    assert outputs != pytest.approx(expected, abs=1e-4 * float(np.ptp(expected)))


def test_a_normalization_that_others_take_as_well_stays() -> None:
    """What it gives goes round a dense layer, too, so it cannot be part of that layer's weights."""
    layers = backend.keras().layers
    row = backend.keras().Input((4,))
    norm = layers.BatchNormalization(name="norm")(row)
    outputs = layers.Add(name="add")([layers.Dense(4, name="first")(norm), norm])
    network = backend.keras().Model(row, outputs)
    assert "BatchNormalization" in kinds(for_inference(network))


@pytest.mark.parametrize("kind", ["two", "many", "number"])
def test_a_trained_model_says_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    """What `score_function` returns agrees with the saved model called as Keras calls it."""
    made: Made = request.getfixturevalue(kind)
    saved = open_model(made.model)
    features = np.stack([made.columns[name] for name in saved.description.features], axis=1).astype(float)
    expected = np.asarray(saved.keras_model(features, training=False))
    given = RawRows(features=features, categories=np.empty((len(features), 0), object))
    assert score_function(saved)(given) == pytest.approx(expected, rel=1e-5, abs=1e-6)
    narrow = score_function(saved, "mixed_bfloat16")(given)
    assert narrow == pytest.approx(expected, rel=0.05, abs=0.05)
