"""Owns the opening of a model that training left: it is checked before Keras sees it, and again afterwards.

A `.keras` file can hold code: lambdas as bytecode, names of classes to import, paths to read. What `train`
writes holds none of it, so only the few layers our networks are made of are let through, and then Keras' own
safe mode has its say. Neighbours: `description` is model.json, `raw` is what the model computes.

    model.json         says the SHA-256 of model.keras
    model.keras        a zip of three members, none of them compressed
        metadata.json      Keras' version
        config.json        the layers, by name
        model.weights.h5   their weights
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import backend
from pipeline.errors import ModelError
from pipeline.models import description as descriptions
from pipeline.models.description import MODEL_NAME, TRAIN_AGAIN
from pipeline.models.raw import CATEGORIES_NAME, FEATURES_NAME
from pipeline.storage import system_errors_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import keras

    from pipeline.models.description import ModelDescription

MEMBERS = {"metadata.json", "config.json", "model.weights.h5"}
MAX_CONFIG_BYTES = 64 << 20  # 20,000 columns take 2 MB

# Every object that the networks of this package are made of, by the module that Keras writes for it.
KNOWN_OBJECTS = {
    "keras": {"DTypePolicy"},
    "keras.src.models.functional": {"Functional"},
    "keras.initializers": {"GlorotUniform", "Ones", "RandomNormal", "RandomUniform", "Zeros"},
    "keras.layers": {
        *("InputLayer", "Rescaling", "Dense", "EinsumDense", "Dropout", "Add", "Concatenate"),
        *("BatchNormalization", "RMSNormalization", "Flatten", "Reshape", "GlobalAveragePooling1D"),
        *("Cropping1D", "Embedding", "StringLookup"),
    },
    None: {"__keras_tensor__", "__numpy__"},  # plain values: a place in the graph, an array
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedModel:
    """A model that was checked: float64 (batch, num_features), as in the CSV → float32 (batch, num_outputs).

    The columns are those of `description.features`, in that order; the outputs what `description` says. Where
    `description` has categories, texts (batch, num_categories) are an input, too; see `raw`.
    """

    description: ModelDescription
    keras_model: keras.Model

    @property
    def network(self) -> keras.Model:
        """The part behind the standardization: takes float32 rows as they stand in the shards."""
        return self.keras_model.layers[-1]


def open_model(model: Path) -> SavedModel:
    """Return the model in the folder `model`; nothing but built-in layers is ever built, no code is run.

    Raises:
        ModelError: there is none, it is damaged, or it is not what `train` writes.
        MissingExtraError: TensorFlow or Keras is not installed.
        AccessError: it may not be read.
    """
    described = descriptions.load(model)
    path = model / MODEL_NAME
    with system_errors_told(path, hint="try again"):
        _check_file(path, described)
    return SavedModel(description=described, keras_model=_load(path, described))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_file(path: Path, described: ModelDescription) -> None:
    try:
        if file_sha256(path) != described.model_sha256:
            raise _refused("damaged: its SHA-256 is not the one in model.json", path)
        with zipfile.ZipFile(path) as archive:
            config = _config_of(archive, path)
    except (FileNotFoundError, IsADirectoryError):
        raise _refused("no such file", path) from None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _refused(f"not a Keras model: {error}", path) from None
    for tree in objects_in(config):
        module, name = tree.get("module"), tree["class_name"]
        # Not a set of strings only: what a hostile file holds here may not even be hashable.
        known = any(module == of and name in names for of, names in KNOWN_OBJECTS.items() if _plain(name))
        if not known or tree.get("registered_name") not in {None, name} or _reads_file(tree):
            whose = f"{module}.{name}" if module else str(name)
            raise _refused(f"holds {whose[:100]!r}, which no model of ours is made of", path)


def _config_of(archive: zipfile.ZipFile, path: Path) -> Any:  # noqa: ANN401  # any JSON
    members = archive.infolist()
    names = [member.filename for member in members]
    if strange := next((name for name in names if name not in MEMBERS), None):
        raise _refused(f"holds {strange[:100]!r}, which is no part of a Keras model", path)
    if sorted(names) != sorted(MEMBERS):
        raise _refused(f"not a Keras model: expected {', '.join(sorted(MEMBERS))}", path)
    # As Keras writes them; so no member can grow when it is read.
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise _refused("not a model of ours: its members are compressed", path)
    if archive.getinfo("config.json").file_size > MAX_CONFIG_BYTES:
        raise _refused(f"its config.json is larger than {MAX_CONFIG_BYTES} bytes", path)
    try:
        return json.loads(archive.read("config.json"))
    except (ValueError, RecursionError) as error:
        raise _refused(f"its config.json cannot be read: {error}", path) from None


def objects_in(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # any JSON
    """Yield every object of a configuration that Keras would build, at any depth, itself and no copy."""
    left = [tree]
    while left:
        branch = left.pop()
        if isinstance(branch, dict):
            if "class_name" in branch:
                yield branch
            left += branch.values()
        elif isinstance(branch, list | tuple):  # a tuple where it was never JSON
            left += branch


def _reads_file(tree: dict[str, Any]) -> bool:
    """Whether a layer would look its vocabulary up in a file: a text in its place is a path."""
    config = tree.get("config")
    if tree["class_name"] != "StringLookup":
        return False
    words = config.get("vocabulary") if isinstance(config, dict) else None
    return not isinstance(words, list) or not all(isinstance(word, str) for word in words)


def _plain(name: object) -> bool:
    return isinstance(name, str)


def _load(path: Path, described: ModelDescription) -> keras.Model:
    keras = backend.keras()
    try:
        with backend.known_warnings_ignored():
            model = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001  # Keras raises many kinds for what it cannot build
        reason = str(error).strip().split("\n", maxsplit=1)[0][:200] or type(error).__name__
        raise _refused(f"Keras cannot load it: {reason}", path) from None
    expected = {FEATURES_NAME: len(described.features), CATEGORIES_NAME: len(described.categories)}
    found = {tensor.name: tensor.shape[-1] for tensor in model.inputs}
    if found != {name: width for name, width in expected.items() if width}:
        raise _refused(f"takes {_widths(found)}; model.json names {_widths(expected)}", path)
    if not isinstance(model.layers[-1], keras.Model):
        raise _refused("not a model of ours: its last layer is no network", path)
    if model.output_shape != (None, described.num_outputs):
        found = model.output_shape[-1] if isinstance(model.output_shape, tuple) else model.output_shape
        raise _refused(f"gives {found} outputs; model.json promises {described.num_outputs}", path)
    return model


def _widths(by_name: Mapping[str, int | None]) -> str:
    return " and ".join(f"{width} {name}" for name, width in by_name.items() if width != 0)


def _refused(message: str, path: Path) -> ModelError:
    return ModelError(message, path=str(path), hint=TRAIN_AGAIN)
