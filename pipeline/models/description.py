"""Owns model.json: what a saved model expects and predicts, so that others can check before they use it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError, nearest
from pipeline.storage import system_errors_told

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.manifest import Manifest

FORMAT_VERSION = 1
MODEL_NAME = "model.keras"
DESCRIPTION_NAME = "model.json"
MAX_DESCRIPTION_BYTES = 16 << 20  # 20,000 columns take 1 MB; more is no description of ours
TRAIN_AGAIN = "train it again: pipeline train SHARDS -o MODEL"
TWO_CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a model was trained on: `features` in the order of its input, `classes[i]` the label of output i.

    `categories` are the columns that it takes as texts, in the order of that input; `readings` names the
    features whose cells are booleans or dates.

    A model of two classes has one output, the probability of `classes[1]`; of a number, one in the label's
    unit. `fingerprint` is the dataset's. `model_sha256` is that of model.keras.
    """

    format_version: int
    features: tuple[str, ...]
    label: str
    label_kind: str
    classes: tuple[int | str, ...]
    standardized: bool
    fingerprint: str
    parameters: int
    model_sha256: str
    options: dict[str, object]
    categories: tuple[str, ...] = ()
    readings: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of all columns that the model takes: numbers, then categories."""
        return (*self.features, *self.categories)

    @property
    def num_outputs(self) -> int:
        """The number of values that the model gives for a record."""
        return 1 if len(self.classes) <= TWO_CLASSES else len(self.classes)


def describe(
    manifest: Manifest, options: dict[str, object], *, parameters: int, model_sha256: str
) -> ModelDescription:
    """Return the description of a model trained on the dataset of `manifest` with `options`."""
    return ModelDescription(
        format_version=FORMAT_VERSION,
        features=tuple(column.name for column in manifest.features),
        label=manifest.label.name,
        label_kind=manifest.label.kind,
        classes=manifest.label.classes,
        standardized=manifest.standardized,
        fingerprint=manifest.fingerprint,
        parameters=parameters,
        model_sha256=model_sha256,
        options=options,
        categories=tuple(column.name for column in manifest.categories),
        readings={column.name: column.reading for column in manifest.features if column.reading},
    )


def to_json(description: ModelDescription) -> str:
    """Return the description as JSON."""
    return json.dumps(dataclasses.asdict(description), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load(model: Path) -> ModelDescription:
    """Return the description of the model in the folder `model`; keys it does not know are ignored.

    Raises:
        ModelError: there is none, or it cannot be used.
        AccessError: it may not be read.
    """
    path = model / DESCRIPTION_NAME
    try:
        with system_errors_told(path, hint="try again"):
            if path.stat().st_size > MAX_DESCRIPTION_BYTES:
                raise _MalformedError(f"larger than {MAX_DESCRIPTION_BYTES} bytes")
            return _described(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise ModelError("no such file: this is no model", path=str(path), hint=TRAIN_AGAIN) from None
    except (ValueError, RecursionError) as error:
        message = f"not a model's description: {error}"
        raise ModelError(message, path=str(path), hint=TRAIN_AGAIN) from None


def require_columns(described: ModelDescription, found: Sequence[str], *, path: str) -> None:
    """Raise unless `found`, the columns at `path`, hold every feature of the model; their order is free.

    Raises:
        ModelError: features are missing; the message names them, and the columns expected and found.
    """
    missing = [name for name in described.inputs if name not in set(found)]
    if not missing:
        return
    raise ModelError(
        f"{len(missing)} of the model's {len(described.inputs)} features are missing: {_listed(missing)}; "
        f"expected {_listed(described.inputs)}; found {_listed(found)}",
        path=path,
        hint=nearest(missing[0], found) or "take the model that was trained on such columns",
    )


class _MalformedError(ValueError):
    """Something in the file is not what it should be; the text says what."""


def _described(tree: Any) -> ModelDescription:  # noqa: ANN401  # any JSON
    if not isinstance(tree, dict):
        raise _MalformedError("expected an object")
    if tree.get("format_version") != FORMAT_VERSION:
        version = tree.get("format_version")
        raise _MalformedError(f"format_version {version!r} is unknown, expected {FORMAT_VERSION}")
    values: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        # A bool is an int to Python, and to nobody else.
        found = tree.get(name)
        if not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool):
            raise _MalformedError(f"{name}: expected {kind.__name__}, found {type(found).__name__}")
        values[name] = tuple(tree[name]) if kind is list else found
    values |= _of_columns(tree, values["features"])
    if not all(isinstance(value, (int, str)) for value in values["classes"]):
        raise _MalformedError("classes: expected integers or texts")
    return ModelDescription(**values)


def _of_columns(tree: dict[str, Any], features: tuple[object, ...]) -> dict[str, Any]:
    """Return what says how columns are taken; models without categories may say nothing of it."""
    categories, readings = tree.get("categories", []), tree.get("readings", {})
    if not isinstance(categories, list) or not isinstance(readings, dict):
        raise _MalformedError("categories, readings: expected a list and an object")
    names = [*features, *categories]
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise _MalformedError("features, categories: expected names, each once")
    if not all(reading in ("boolean", "datetime") for reading in readings.values()):
        raise _MalformedError("readings: expected boolean or datetime")
    return {"categories": tuple(categories), "readings": readings}


# What JSON gives for each field.
_KINDS: dict[str, type] = {
    "format_version": int,
    "features": list,
    "label": str,
    "label_kind": str,
    "classes": list,
    "standardized": bool,
    "fingerprint": str,
    "parameters": int,
    "model_sha256": str,
    "options": dict,
}
MAX_LISTED = 40  # names in a message


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return (", ".join(map(repr, names[:MAX_LISTED])) or "none") + rest
