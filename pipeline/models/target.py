"""Owns what a network is trained to predict: the last layer, the loss and the metric that fit the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import LabelError

if TYPE_CHECKING:
    from pipeline.manifest import Manifest

TWO_CLASSES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What comes out of a network, and how it is judged.

    `scale` and `offset` turn the last layer's output into the label's unit: those of a number label, else 1
    and 0. The loss is multiplied by `loss_scale`, so that a learning rate fits whatever units the label and
    the weights have: for a number it is the share of the variance that is not explained.
    """

    units: int
    activation: str
    loss: str
    metric: str
    scale: float = 1.0
    offset: float = 0.0
    loss_scale: float = 1.0


def target_of(manifest: Manifest) -> Target:
    """Return the target of a dataset.

    Raises:
        LabelError: the train split holds fewer than two classes.
    """
    weight = _moments(manifest, manifest.weight.name) if manifest.weight else (1.0, 0.0)
    # Weights may be of any size, luminosities or 1e-6: their mean becomes 1, as far as that can be.
    loss_scale = 1 / weight[0] if weight[0] > 0 else 1.0
    if manifest.label.kind == "number":
        mean, scale = _moments(manifest, manifest.label.name)
        return Target(
            units=1,
            activation="linear",
            loss="mean_squared_error",
            metric="mean_absolute_error",
            scale=scale,
            offset=mean,
            loss_scale=loss_scale / (scale * scale),
        )
    classes = manifest.label.classes
    counts = manifest.label.counts.get("train", (1,) * len(classes))
    present = [value for value, count in zip(classes, counts, strict=True) if count]
    if len(present) < TWO_CLASSES:
        found = f"only {present[0]!r}" if present else "none"
        raise LabelError(
            f"the train split needs at least two classes, found {found}",
            column=manifest.label.name,
            hint="convert with another --label",
        )
    if len(classes) == TWO_CLASSES:
        return Target(
            units=1,
            activation="sigmoid",
            loss="binary_crossentropy",
            metric="accuracy",
            loss_scale=loss_scale,
        )
    return Target(
        units=len(classes),
        activation="softmax",
        loss="sparse_categorical_crossentropy",
        metric="accuracy",
        loss_scale=loss_scale,
    )


def _moments(manifest: Manifest, name: str) -> tuple[float, float]:
    """Return mean and scale of a column in the train split; 0 and 1 where the manifest has none."""
    moments = next(column.moments for column in manifest.columns if column.name == name)
    if moments is None:
        return 0.0, 1.0
    return moments.mean, moments.std if moments.std > 0 else 1.0
