"""Owns a network as it is asked for predictions: the same function, in fewer and cheaper operations.

    trained     x → Dense → BatchNormalization → Dropout → Dense → …
    inference   x → Dense ───────────────────────────────→ Dense → …

Batch normalization by moving statistics multiplies and shifts each value by constants, s x + t; what a dense
layer makes of it, (s x + t) W + b, is a dense layer of x with the weights s W and the bias t W + b.
Neighbour: `scoring` asks for it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.models.saved import objects_in

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray

    Layers = dict[str, dict[str, Any]]  # how Keras describes each layer, by its name

PRECISIONS = ("float32", "mixed_bfloat16")
ROWS_AT_A_TIME = 64  # of a kernel, as doubles
PRODUCTS = {"Dense", "EinsumDense"}
OUTPUT_NAME = "output"  # float32 in all our networks, whatever the products before it are


def for_inference(network: keras.Model, precision: str = "float32") -> keras.Model:
    """Return what gives the same as `network`, float32 (batch, columns) → (batch, outputs), to rounding.

    Dropout is left out, and a batch normalization that dense layers alone take becomes part of them. With
    "mixed_bfloat16" the hidden layers multiply numbers of bfloat16, whose mantissas have 8 bits; all else
    stays float32. `network` is left as it is.
    """
    config = copy.deepcopy(network.get_config())
    layers: Layers = {layer["name"]: layer for layer in config["layers"]}
    for name in [name for name, layer in layers.items() if layer["class_name"] == "Dropout"]:
        _take_out(name, layers)
    merged = {name: takers for name in layers if (takers := _dense_takers(name, layers))}
    for name in merged:
        _take_out(name, layers)
    for name, layer in layers.items():
        if layer["class_name"] in PRODUCTS and name != OUTPUT_NAME:
            layer["config"]["dtype"] = precision
    found = type(network).from_config(config | {"layers": list(layers.values())})
    norms = {taker: network.get_layer(name) for name, takers in merged.items() for taker in takers}
    for layer in found.layers:
        weights = network.get_layer(layer.name).get_weights()
        layer.set_weights(_merged(norms[layer.name], *weights) if layer.name in norms else weights)
    return found


def _tensors(layer: dict[str, Any]) -> list[dict[str, Any]]:
    """Return how Keras describes each tensor that a layer takes, by the layer that gives it; no copies."""
    nodes = objects_in(layer["inbound_nodes"])
    return [tree["config"] for tree in nodes if tree["class_name"] == "__keras_tensor__"]


def _takers(name: str, layers: Layers) -> list[str]:
    return [
        taker
        for taker, layer in layers.items()
        if any(tensor["keras_history"][0] == name for tensor in _tensors(layer))
    ]


def _dense_takers(name: str, layers: Layers) -> list[str]:
    """Return the dense layers that take what a batch normalization gives; none if others do as well."""
    if layers[name]["class_name"] != "BatchNormalization":
        return []
    takers = _takers(name, layers)
    return takers if all(layers[taker]["class_name"] == "Dense" for taker in takers) else []


def _take_out(name: str, layers: Layers) -> None:
    """Let whoever takes what a layer gives take what that layer takes."""
    takers = _takers(name, layers)
    (source,) = _tensors(layers.pop(name))
    for taker in takers:
        for tensor in _tensors(layers[taker]):
            if tensor["keras_history"][0] == name:
                tensor.update(source)


def _merged(
    norm: keras.Layer, kernel: NDArray[np.float32], bias: NDArray[np.float32]
) -> list[NDArray[np.float64] | NDArray[np.float32]]:
    """Return the weights of a dense layer that does what `norm` did before it."""
    gamma, beta, mean, variance = (values.astype(np.float64) for values in norm.get_weights())
    factor = gamma / np.sqrt(variance + norm.epsilon)
    shift = beta - mean * factor
    summed = bias.astype(np.float64)
    for begin in range(0, len(kernel), ROWS_AT_A_TIME):
        rows = slice(begin, begin + ROWS_AT_A_TIME)
        summed += shift[rows] @ kernel[rows].astype(np.float64)
        kernel[rows] *= factor[rows, np.newaxis]
    return [kernel, summed]
