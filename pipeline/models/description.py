"""Owns model.json: what a saved model expects and predicts, so that others can check before they use it."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Manifest

FORMAT_VERSION = 1
MODEL_NAME = "model.keras"
DESCRIPTION_NAME = "model.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What a model was trained on: `features` in the order of its input, `classes[i]` the label of output i.

    A model of two classes has one output, the probability of `classes[1]`. `fingerprint` is the dataset's.
    """

    format_version: int
    features: tuple[str, ...]
    label: str
    label_kind: str
    classes: tuple[int | str, ...]
    standardized: bool
    fingerprint: str
    options: dict[str, object]


def describe(manifest: Manifest, options: dict[str, object]) -> ModelDescription:
    """Return the description of a model trained on the dataset of `manifest` with `options`."""
    return ModelDescription(
        format_version=FORMAT_VERSION,
        features=tuple(column.name for column in manifest.features),
        label=manifest.label.name,
        label_kind=manifest.label.kind,
        classes=manifest.label.classes,
        standardized=manifest.standardized,
        fingerprint=manifest.fingerprint,
        options=options,
    )


def to_json(description: ModelDescription) -> str:
    """Return the description as JSON."""
    return json.dumps(dataclasses.asdict(description), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def load(model: Path) -> ModelDescription:
    """Return the description of the model in the folder `model`.

    Raises:
        ModelError: there is none, or it cannot be used.
    """
    path = model / DESCRIPTION_NAME
    hint = "train it again: pipeline train SHARDS -o MODEL"
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        version = tree["format_version"]
        if version != FORMAT_VERSION:
            raise ModelError(
                f"format_version {version!r} is unknown, expected {FORMAT_VERSION}", path=str(path), hint=hint
            )
        known = {field.name for field in dataclasses.fields(ModelDescription)}
        values = {name: value for name, value in tree.items() if name in known}
        tuples = {name: tuple(tree[name]) for name in ("features", "classes")}
        return ModelDescription(**(values | tuples))
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError("no such file: this is no model", path=str(path), hint=hint) from None
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"not a model's description: {error}", path=str(path), hint=hint) from None
