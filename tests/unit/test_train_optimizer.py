"""How weights change: the learning rate over the steps, weight decay, and scaled losses."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline import backend
from pipeline.train import TrainOptions, default_options
from pipeline.train.optimizer import optimizer_of


@pytest.fixture
def network() -> Any:
    """A network with a matrix, a bias, and a normalization."""
    keras = backend.keras()
    return keras.Sequential(
        [keras.Input((2,)), keras.layers.BatchNormalization(), keras.layers.Dense(1, name="dense")]
    )


def rates(network: Any, options: TrainOptions, num_steps: int) -> list[float]:
    """Return the learning rate of each of `num_steps` steps, and of one more."""
    optimizer = optimizer_of(network, options, num_steps)
    optimizer.build(network.trainable_variables)
    found = []
    with backend.known_warnings_ignored():
        for step in range(num_steps + 1):
            optimizer.iterations.assign(step)
            found.append(float(backend.keras().ops.convert_to_numpy(optimizer.learning_rate)))
    return found


def test_a_constant_rate_stays(network: Any) -> None:
    """Without a schedule and a warm-up the rate is the same at each step."""
    assert rates(network, TrainOptions(learning_rate=0.5), 5) == [0.5] * 6


def test_a_warm_up_rises_to_the_rate(network: Any) -> None:
    """Over a tenth of twenty steps, or over four of them, in equal parts; after that it stays."""
    options = TrainOptions(learning_rate=0.5, warmup=0.1)
    assert rates(network, options, 20) == pytest.approx([0.0, 0.25] + [0.5] * 19)
    options = TrainOptions(learning_rate=0.5, warmup=4)
    assert rates(network, options, 6) == pytest.approx([0.0, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("warmup", [0, 4])
def test_a_cosine_ends_at_zero(network: Any, warmup: int) -> None:
    """After the warm-up, (1 + cos(pi * done)) / 2 of the rate, where done goes from 0 to 1."""
    options = TrainOptions(learning_rate=0.5, schedule="cosine", warmup=warmup)
    expected = [0.5 * (1 + math.cos(math.pi * step / 10)) / 2 for step in range(11)]
    assert rates(network, options, 10 + warmup)[warmup:] == pytest.approx(expected, abs=1e-6)


def test_weight_decay_shrinks_matrices_alone(network: Any) -> None:
    """With gradients of zero a step takes rate * decay off each matrix, and nothing off the rest."""
    options = TrainOptions(optimizer="adamw", learning_rate=0.1, weight_decay=0.5)
    optimizer = optimizer_of(network, options, 10)
    for variable in network.trainable_variables:
        variable.assign(np.ones(variable.shape))
    gradients = [np.zeros(variable.shape, np.float32) for variable in network.trainable_variables]
    optimizer.apply(gradients, network.trainable_variables)
    found = {variable.path.split("/")[-1]: np.asarray(variable) for variable in network.trainable_variables}
    assert np.allclose(found.pop("kernel"), 1 - 0.1 * 0.5)
    assert all(np.array_equal(values, np.ones_like(values)) for values in found.values())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (TrainOptions(), 0.0),
        (TrainOptions(optimizer="adamw"), 0.004),
        (TrainOptions(optimizer="adamw", weight_decay=0.0), 0.0),
        (TrainOptions(weight_decay=0.2), 0.2),
    ],
    ids=str,
)
def test_the_decay_is_what_was_asked_for(network: Any, options: TrainOptions, expected: float) -> None:
    """Given, it is that of any optimizer; else AdamW has Keras' default and no other one has any."""
    assert options.decay == expected
    assert (optimizer_of(network, options, 10).weight_decay or 0.0) == expected


def test_float16_scales_the_loss(network: Any) -> None:
    """Its optimizer scales the loss, and leaves out a step whose gradients overflow."""
    optimizer = optimizer_of(network, TrainOptions(precision="mixed_float16", optimizer="sgd"), 10)
    optimizer.build(network.trainable_variables)
    assert float(optimizer.scale_loss(1.0)) > 1000
    before = network.get_weights()
    infinite = [np.full(variable.shape, np.inf, np.float32) for variable in network.trainable_variables]
    optimizer.apply(infinite, network.trainable_variables)
    assert all(np.array_equal(*pair) for pair in zip(before, network.get_weights(), strict=True))
    assert float(optimizer.scale_loss(1.0)) > 1000


def test_the_residual_network_has_defaults_of_its_own() -> None:
    """AdamW with a cosine; the dense network keeps what the report trained it with."""
    assert default_options("dense") == TrainOptions()
    options = default_options("resnet")
    assert (options.model, options.optimizer, options.schedule) == ("resnet", "adamw", "cosine")
