"""The saved model takes raw records: exact in float64, portable, and the same as from the shards."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import backend
from pipeline import manifest as manifests
from pipeline.convert import convert
from pipeline.models import dense
from pipeline.models.inputs import Inputs
from pipeline.models.raw import taking_raw_records
from pipeline.models.target import Target
from pipeline.plan import ConvertOptions, Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NUM_RECORDS = 400
TWO_CLASSES = Target(units=1, activation="sigmoid", loss="binary_crossentropy", metric="accuracy")


@pytest.fixture(autouse=True)
def known_warnings() -> Iterator[None]:
    """Keras' own warnings, in the calls that a user would make."""
    with backend.known_warnings_ignored():
        yield


def hard_columns() -> dict[str, np.ndarray]:
    """Return columns that float32 cannot hold, or whose deviation is tiny, huge or none."""
    rng = np.random.default_rng(11)
    return {
        "label": np.arange(NUM_RECORDS) % 2,
        "time": 1.7e9 + rng.normal(size=NUM_RECORDS),
        "tiny": 1e-9 * rng.normal(size=NUM_RECORDS),
        "huge": 1e25 * rng.normal(size=NUM_RECORDS),
        "flat": np.full(NUM_RECORDS, 0.1),
    }


NAMES = ("time", "tiny", "huge", "flat")


def make_dataset(folder: Path, *, standardize: bool = True) -> Path:
    """Convert the hard columns, all of them to the train split."""
    folder.mkdir(parents=True)
    columns = hard_columns()
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    text = ",".join(columns) + "\n" + "".join(",".join(map(repr, row)) + "\n" for row in rows)
    (folder / "source.csv").write_text(text)
    options = ConvertOptions(identity=Identity(standardize=standardize, seed=3), num_workers=1)
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


@pytest.fixture(scope="module")
def shards(fresh_folder: Callable[[], Path]) -> Path:
    """The hard columns, standardized."""
    return make_dataset(fresh_folder())


@pytest.fixture(scope="module")
def saved(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with its first weights, saved as training saves it."""
    backend.keras().utils.set_random_seed(1)
    network = dense.build(
        Inputs(num_numbers=len(NAMES)),
        TWO_CLASSES,
        layers=(16,),
        activation="relu",
        batch_norm=True,
        dropout=0.0,
    )
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    with backend.known_warnings_ignored():
        taking_raw_records(network, manifests.load(shards)).save(path)
    return path


def raw_matrix() -> np.ndarray:
    """Return the raw feature rows, float64 (num_records, num_features)."""
    return np.stack([hard_columns()[name] for name in NAMES], axis=1)


def standardized_by_numpy(shards: Path) -> np.ndarray:
    """Return (x - mean) / scale in float64, with the moments written in the manifest."""
    tree = json.loads((shards / "manifest.json").read_text())
    moments = [column["moments"] for column in tree["columns"] if column["role"] == "feature"]
    mean = np.array([m["mean"] for m in moments])
    scale = np.array([m["std"] if m["std"] > 0 and m["min"] < m["max"] else 1.0 for m in moments])
    return (raw_matrix() - mean) / scale


def up_to(model: Any, layer: str) -> Any:
    """Return the part of `model` from its input to the output of `layer`."""
    return backend.keras().Model(model.inputs[0], model.get_layer(layer).output)


def test_standardization_survives_saving_in_float64(saved: Path, shards: Path) -> None:
    """Loaded in safe mode, the values are within 1e-6 of NumPy's, for a unix timestamp and all else."""
    model = backend.keras().models.load_model(saved, safe_mode=True)
    expected = standardized_by_numpy(shards)
    found = np.asarray(up_to(model, "scale")(raw_matrix()))
    assert found.dtype == np.float64
    assert np.abs(found - expected).max() < 1e-6
    assert np.abs(found - expected).max() <= 1e-14 * np.abs(expected).max()
    assert np.abs(expected[:, 0]).max() > 2


def test_keras_own_normalization_would_not_do() -> None:
    """The known-wrong ways: `Normalization`, lists as constants, and float32 input, each off by over 0.01."""
    keras = backend.keras()
    raw = raw_matrix()[:, :2]
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    expected = (raw - mean) / std
    inputs = keras.Input((2,), dtype="float64")
    layers = keras.layers
    normalized = layers.Normalization(mean=mean, variance=std**2, dtype="float64")(inputs)
    lists = layers.Rescaling(1.0, offset=(-mean).tolist(), dtype="float64")(inputs)
    lists = layers.Rescaling((1 / std).tolist(), dtype="float64")(lists)
    arrays = layers.Rescaling(1.0, offset=-mean, dtype="float64")(inputs)
    arrays = layers.Rescaling(1 / std, dtype="float64")(arrays)
    for wrong in (normalized, lists):
        assert np.abs(np.asarray(keras.Model(inputs, wrong)(raw)) - expected).max() > 0.01
    right = keras.Model(inputs, arrays)
    assert np.abs(np.asarray(right(raw.astype(np.float32))) - expected).max() > 0.01
    assert np.abs(right.predict(raw, verbose=0) - expected).max() > 0.01
    assert np.abs(np.asarray(right(raw)) - expected).max() < 1e-6


def test_every_way_to_call_that_keeps_float64_agrees(saved: Path) -> None:
    """Called, by `predict_on_batch`, and by `predict` on a tf.data dataset: the same predictions."""
    model = backend.keras().models.load_model(saved)
    raw = raw_matrix()
    expected = np.asarray(model(raw))
    pipeline = backend.tensorflow().data.Dataset.from_tensor_slices(raw).batch(64)
    assert np.allclose(model.predict_on_batch(raw), expected, atol=1e-6)
    assert np.allclose(model.predict(pipeline, verbose=0), expected, atol=1e-6)
    assert expected.dtype == np.float32


def test_float32_input_works_where_float32_can_hold_it(saved: Path) -> None:
    """Rows as float32 are accepted, and right in the columns that survive it."""
    model = up_to(backend.keras().models.load_model(saved), "scale")
    narrow = raw_matrix().astype(np.float32)
    found = np.asarray(model(narrow))
    assert np.abs(found - np.asarray(model(raw_matrix())))[:, 1:3].max() < 1e-5


def test_raw_records_and_shards_give_the_same_predictions(saved: Path, shards: Path) -> None:
    """The network on the standardized float32 shards, the model on the CSV's rows: equal to 1e-5."""
    model = backend.keras().models.load_model(saved)
    network = model.get_layer("dense")
    found = np.sort(np.asarray(model(raw_matrix()))[:, 0])
    tables = [pq.read_table(path) for path in sorted(shards.glob("*.parquet"))]
    features = np.concatenate(
        [np.stack([table.column(name).to_numpy() for name in NAMES], axis=1) for table in tables]
    )
    expected = np.sort(np.asarray(network(features))[:, 0])
    assert np.abs(found - expected).max() < 1e-5
    assert expected.std() > 0.01


def test_it_is_made_of_built_in_layers(saved: Path) -> None:
    """Every object in the file is Keras' own: nothing to register, nothing that safe mode refuses."""
    config = json.loads(zipfile.ZipFile(saved).read("config.json"))
    found = list(objects(config))
    assert {tree["class_name"] for tree in found} >= {"Rescaling", "Dense", "Functional"}
    assert "Lambda" not in {tree["class_name"] for tree in found}
    assert all(tree["module"].startswith("keras") for tree in found)
    assert not any(tree["registered_name"] not in {None, "Functional"} for tree in found)


def objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every serialized object in a configuration."""
    if isinstance(tree, dict):
        if "registered_name" in tree:
            yield tree
        tree = list(tree.values())
    if isinstance(tree, list):
        for branch in tree:
            yield from objects(branch)


def test_without_standardization_raw_rows_go_to_the_network(tmp_path: Path) -> None:
    """A dataset that is not standardized gives a model without such layers, with the same kind of input."""
    shards = make_dataset(tmp_path / "data", standardize=False)
    network = dense.build(
        Inputs(num_numbers=4), TWO_CLASSES, layers=(), activation="relu", batch_norm=False, dropout=0.0
    )
    model = taking_raw_records(network, manifests.load(shards))
    assert [layer.name for layer in model.layers] == ["features", "dense"]
    assert model.inputs[0].dtype == "float64"
    raw = raw_matrix()
    assert np.allclose(np.asarray(model(raw)), np.asarray(network(raw.astype(np.float32))))
