"""A model is opened only if it is what training wrote: whole, of known layers, with the promised shape."""

from __future__ import annotations

import base64
import hashlib
import json
import marshal
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import backend
from pipeline import manifest as manifests
from pipeline.errors import ModelError
from pipeline.models import dense, description, resnet
from pipeline.models.inputs import Inputs
from pipeline.models.saved import KNOWN_OBJECTS, open_model
from pipeline.models.target import target_of
from pipeline.train import TrainOptions
from pipeline.train.output import write_model
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = "label,a,b,c\n" + "".join(f"{i % 2},{i},{i * i % 7},{i % 5}.5\n" for i in range(60))
LAYER = {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": None}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as training writes it."""
    folder = tmp_path_factory.mktemp("model")
    manifest = manifests.load(convert_text(TEXT, folder / "data", make_options()).folder)
    network = dense.build(
        Inputs(num_numbers=3),
        target_of(manifest),
        layers=(4,),
        activation="relu",
        batch_norm=True,
        dropout=0.1,
    )
    (folder / "model").mkdir()
    with backend.known_warnings_ignored():
        write_model(folder / "model", network, manifest, TrainOptions(layers=(4,)))
    return folder / "model"


@pytest.fixture
def copy(model: Path, tmp_path: Path) -> Path:
    """A copy of it to be damaged."""
    return shutil.copytree(model, tmp_path / "model")


def vouch_for(folder: Path) -> None:
    """Make model.json agree with whatever model.keras is now, as whoever forges a model would."""
    tree = json.loads((folder / "model.json").read_text())
    tree["model_sha256"] = hashlib.sha256((folder / "model.keras").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(tree))


def members_of(folder: Path) -> dict[str, bytes]:
    """Return what is in model.keras."""
    with zipfile.ZipFile(folder / "model.keras") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write model.keras anew, and vouch for it."""
    with zipfile.ZipFile(folder / "model.keras", "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    vouch_for(folder)


def forge_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the configuration inside model.keras, and vouch for it."""
    members = members_of(folder)
    config = json.loads(members["config.json"])
    change(config)
    forge(folder, members | {"config.json": json.dumps(config).encode()})


def network_layers(config: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of the network within the model."""
    layers: list[dict[str, Any]] = config["config"]["layers"][-1]["config"]["layers"]
    return layers


def test_a_model_is_opened(model: Path) -> None:
    """Description, a Keras model that takes raw rows, and the network behind the standardization."""
    saved = open_model(model)
    assert saved.description.features == ("a", "b", "c")
    assert saved.description.parameters == saved.network.count_params()
    rows = np.array([[1.0, 2.0, 3.0], [1e9, 0.0, -1.0]])
    probability = np.asarray(saved.keras_model(rows))
    assert probability.shape == (2, 1)
    assert ((probability >= 0) & (probability <= 1)).all()
    assert saved.network.inputs[0].dtype == "float32"
    assert saved.network.name == "dense"


def test_every_layer_of_our_networks_is_known(tmp_path: Path) -> None:
    """What is let through is enough for both networks, and holds nothing that runs code or reads files."""
    manifest = manifests.load(convert_text(TEXT, tmp_path / "data", make_options()).folder)
    target = target_of(manifest)
    for index, activation in enumerate(("leaky_relu", "silu", "mish")):
        network = resnet.build(
            Inputs(num_numbers=3), target, layers=(4, 6), members=2, activation=activation, dropout=0.1
        )
        folder = tmp_path / str(index)
        folder.mkdir()
        with backend.known_warnings_ignored():
            write_model(folder, network, manifest, TrainOptions(model="resnet"))
        assert open_model(folder).network.name == "resnet"
    names = set().union(*KNOWN_OBJECTS.values())
    assert not names & {"Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "__lambda__"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data[:0],
        lambda data: data + b"\0",
        lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
    ],
    ids=["a byte short", "half", "empty", "a byte more", "a flipped bit"],
)
def test_other_bytes_than_were_written_are_damage(copy: Path, damage: Callable[[bytes], bytes]) -> None:
    """Whatever happened to the file, its SHA-256 tells."""
    path = copy / "model.keras"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError, match=r"model\.keras: damaged: its SHA-256") as caught:
        open_model(copy)
    assert "train it again" in caught.value.hint


def test_a_missing_file_is_named(copy: Path) -> None:
    """No model.keras, a folder in its place, no model.json: each is said of the file that is missing."""
    (copy / "model.keras").unlink()
    with pytest.raises(ModelError, match=r"model\.keras: no such file"):
        open_model(copy)
    (copy / "model.keras").mkdir()
    with pytest.raises(ModelError, match=r"model\.keras: no such file"):
        open_model(copy)
    (copy / "model.json").unlink()
    with pytest.raises(ModelError, match=r"model\.json: no such file: this is no model"):
        open_model(copy)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_a_cut_zip_is_no_model(copy: Path, share: float) -> None:
    """Cut anywhere, and vouched for, it is still refused in one line."""
    data = (copy / "model.keras").read_bytes()
    (copy / "model.keras").write_bytes(data[: int(len(data) * share)])
    vouch_for(copy)
    with pytest.raises(ModelError, match="not a Keras model: "):
        open_model(copy)


def hostile_code(trace: Path) -> Any:
    """Return a function that leaves a trace when it is called."""
    text = f"lambda x: __import__('pathlib').Path({str(trace)!r}).touch() or x"
    return eval(text)  # noqa: S307  # what an attacker would write


class Unpickled:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self._trace,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_is_no_model(copy: Path, protocol: int) -> None:
    """A pickled object under the name model.keras is refused, and never unpickled."""
    (copy / "model.keras").write_bytes(pickle.dumps(Unpickled(copy / "trace"), protocol))
    vouch_for(copy)
    with pytest.raises(ModelError, match="not a Keras model: "):
        open_model(copy)
    assert not (copy / "trace").exists()


@pytest.mark.parametrize("name", ["data.pkl", "assets/data.pkl", "model.weights.npz", "../config.json", "/x"])
def test_a_stranger_in_the_zip_is_refused(copy: Path, name: str) -> None:
    """Nothing but the three members that Keras writes: no pickle, no other weights, no path leading away."""
    forge(copy, members_of(copy) | {name: pickle.dumps(Unpickled(copy / "trace"))})
    with pytest.raises(ModelError, match="which is no part of a Keras model"):
        open_model(copy)
    assert not (copy / "trace").exists()


def test_every_member_must_be_there_once_and_plain(copy: Path) -> None:
    """A member that is missing, or compressed so that it may grow without bound, is refused."""
    members = members_of(copy)
    for name in members:
        forge(copy, {other: data for other, data in members.items() if other != name})
        with pytest.raises(ModelError, match="not a Keras model: expected"):
            open_model(copy)
    forge(copy, members, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        open_model(copy)


def replaced(layer: dict[str, Any], **others: Any) -> Callable[[dict[str, Any]], object]:
    """Return a change that puts `layer` in the place of the first hidden layer."""

    def change(config: dict[str, Any]) -> None:
        hidden = network_layers(config)[2]
        hidden.update(layer | others)

    return change


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        ({"class_name": "TFSMLayer", "config": {"filepath": "/x"}}, "keras.layers.TFSMLayer"),
        (
            {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}},
            "keras.layers.StringLookup",
        ),
        ({"class_name": "StringLookup", "config": "words"}, "keras.layers.StringLookup"),
        ({"class_name": "IntegerLookup", "config": {"vocabulary": "/x"}}, "keras.layers.IntegerLookup"),
        ({"module": "os", "class_name": "system", "config": {}}, "os.system"),
        ({"module": "subprocess", "class_name": "Popen", "config": {"args": "x"}}, "subprocess.Popen"),
        ({"module": "builtins", "class_name": "function", "config": "eval"}, "builtins.function"),
        ({"module": "keras.utils", "class_name": "get_file", "config": {}}, "keras.utils.get_file"),
        ({"class_name": "__lambda__", "config": {"value": "x"}}, "keras.layers.__lambda__"),
        ({"module": None, "class_name": "Dense"}, "Dense"),
        ({"registered_name": "mine>Dense"}, "keras.layers.Dense"),
        ({"class_name": ["Dense"]}, "Dense"),
        ({"module": ["keras.layers"]}, "Dense"),
    ],
    ids=str,
)
def test_layers_that_training_never_writes_are_refused(copy: Path, layer: dict[str, Any], named: str) -> None:
    """Foreign modules, custom objects, layers that read files or run code: each is named, none is built."""
    forge_config(copy, replaced(LAYER, **layer))
    with pytest.raises(ModelError, match="which no model of ours is made of") as caught:
        open_model(copy)
    assert named in str(caught.value)


def test_the_code_of_a_lambda_never_runs(copy: Path) -> None:
    """A lambda, as an activation or as a layer, is refused before Keras sees it; it would run otherwise."""
    original = members_of(copy)
    code = base64.b64encode(marshal.dumps(hostile_code(copy / "trace").__code__)).decode()
    function = {"class_name": "__lambda__", "config": {"code": code, "defaults": None, "closure": None}}
    layer = {"class_name": "Lambda", "config": {"name": "dense_1", "function": function}}
    for change in (
        lambda config: network_layers(config)[2]["config"].update(activation=function),
        replaced(LAYER, **layer),
    ):
        forge(copy, original)
        forge_config(copy, change)
        with pytest.raises(ModelError, match="which no model of ours is made of"):
            open_model(copy)
    assert not (copy / "trace").exists()
    # The known-wrong way: whoever switches the safe mode off has the code run.
    with pytest.raises(ValueError, match="incompatible with the layer"), backend.known_warnings_ignored():
        backend.keras().models.load_model(copy / "model.keras", safe_mode=False)
    assert (copy / "trace").exists()


@pytest.mark.parametrize(
    "config",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"class_name": "Functional"}'],
    ids=repr,
)
def test_a_configuration_that_is_none_is_refused(copy: Path, config: bytes) -> None:
    """Not JSON, not an object, nested without end: one line each."""
    forge(copy, members_of(copy) | {"config.json": config})
    with pytest.raises(ModelError, match=r"model\.keras: "):
        open_model(copy)


@pytest.mark.parametrize("weights", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_weights_that_are_none_are_refused(copy: Path, weights: bytes) -> None:
    """What Keras finds wrong comes as one line of ours."""
    forge(copy, members_of(copy) | {"model.weights.h5": weights})
    with pytest.raises(ModelError, match="Keras cannot load it: ") as caught:
        open_model(copy)
    assert "\n" not in caught.value.message


def test_weights_of_another_network_are_refused(copy: Path) -> None:
    """Layers of other sizes than the weights have cannot be loaded."""
    forge_config(copy, lambda config: network_layers(config)[2]["config"].update(units=5))
    with pytest.raises(ModelError, match="Keras cannot load it: "):
        open_model(copy)


def test_a_model_without_a_network_in_it_is_refused(copy: Path) -> None:
    """Layers we know, inputs and outputs as promised, but no standardization before a network."""
    keras = backend.keras()
    row = keras.Input((3,), name="features", dtype="float64")
    with backend.known_warnings_ignored():
        keras.Model(row, keras.layers.Dense(1)(row)).save(copy / "model.keras")
    vouch_for(copy)
    with pytest.raises(ModelError, match="its last layer is no network"):
        open_model(copy)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("features", ["a", "b"], "takes 3 features; model.json names 2"),
        ("classes", ["x", "y", "z"], "gives 1 outputs; model.json promises 3"),
    ],
)
def test_a_description_of_another_model_is_refused(copy: Path, key: str, value: Any, message: str) -> None:
    """Number of features and of outputs must be those of the description."""
    tree = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(tree | {key: value}))
    with pytest.raises(ModelError, match=message):
        open_model(copy)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("features", []),
        ("features", [1]),
        ("features", "abc"),
        ("label", None),
        ("classes", [0.5]),
        ("classes", [None]),
        ("standardized", 1),
        ("parameters", True),
        ("parameters", "9"),
        ("model_sha256", 7),
        ("options", []),
        ("format_version", 2),
    ],
)
def test_a_description_of_wrong_types_is_refused(copy: Path, key: str, value: Any) -> None:
    """Every field has its type, or the description is not one."""
    tree = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(tree | {key: value}))
    with pytest.raises(ModelError, match=r"model\.json: not a model's description: .*" + key):
        open_model(copy)


def test_columns_that_lack_a_feature_are_refused(model: Path) -> None:
    """The message names what is missing, what is expected and what was found; the order is free."""
    described = description.load(model)
    description.require_columns(described, ["c", "b", "x", "a"], path="source.csv")
    with pytest.raises(ModelError) as caught:
        description.require_columns(described, ["a", "bb", "c"], path="source.csv")
    assert str(caught.value) == (
        "source.csv: 1 of the model's 3 features are missing: 'b'; "
        "expected 'a', 'b', 'c'; found 'a', 'bb', 'c'"
    )
    assert caught.value.hint == "did you mean 'bb'?"
    with pytest.raises(ModelError, match=r"found 'x0', .* and 60 more$"):
        description.require_columns(described, [f"x{index}" for index in range(100)], path="s")
