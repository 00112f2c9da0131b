"""Owns the folder that a training leaves behind.

model.keras       takes raw records (see `pipeline.models.raw`)
model.json        what it expects and predicts
metrics.json      figures on the test split, or on the one it names
history.csv       one row per epoch
metric.json       its metric once more, under names that do not depend on the label, for `dvc plots`
accuracy.png      curves over epochs; of another metric, its name
loss.png
logs/             the same for TensorBoard
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING

from pipeline.errors import TargetExistsError
from pipeline.models import description
from pipeline.models.raw import taking_raw_records
from pipeline.models.saved import file_sha256
from pipeline.plots import save_curves
from pipeline.storage import fsync_directory, write_text
from pipeline.train.history import to_csv

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import keras

    from pipeline.manifest import Manifest
    from pipeline.train.evaluation import Metrics
    from pipeline.train.history import EpochRecord
    from pipeline.train.options import TrainOptions

HISTORY_NAME = "history.csv"
METRIC_NAME = "metric.json"
METRICS_NAME = "metrics.json"
LOGS_NAME = "logs"
RUN_OPTIONS = ("overwrite", "checkpoint_every")  # they say nothing about the model


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise if a model may not be written to `output`.

    Raises:
        TargetExistsError: it is a file, a folder that is no model, or a model and `overwrite` is not set.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise TargetExistsError("the target is not a folder", path=str(output), hint="name another target")
    if not output.exists() or not any(output.iterdir()):
        return
    if not (output / description.DESCRIPTION_NAME).exists():
        raise TargetExistsError(
            "the target is a folder that holds other things", path=str(output), hint="name another target"
        )
    if not overwrite:
        hint = "pass --overwrite to replace it, or name another target"
        raise TargetExistsError("the target exists", path=str(output), hint=hint)


def write_model(folder: Path, network: keras.Model, manifest: Manifest, options: TrainOptions) -> None:
    """Write the model and its description; a model that is there already stays whole until it is replaced."""
    chosen = {k: v for k, v in dataclasses.asdict(options).items() if k not in RUN_OPTIONS}
    chosen["weight_decay"] = options.decay
    aside = folder / f"partial-{description.MODEL_NAME}"
    taking_raw_records(network, manifest).save(aside)
    with aside.open("rb") as file:
        os.fsync(file.fileno())
    described = description.describe(
        manifest, chosen, parameters=network.count_params(), model_sha256=file_sha256(aside)
    )
    aside.rename(folder / description.MODEL_NAME)
    write_text(folder / description.DESCRIPTION_NAME, description.to_json(described))
    fsync_directory(folder)


def write_figures(
    folder: Path, history: Sequence[EpochRecord], best: EpochRecord, metric: str, final: dict[str, object]
) -> None:
    """Write history, metrics and plots."""
    write_text(folder / HISTORY_NAME, to_csv(history, metric))
    rows = [
        {"epoch": record.epoch, "metric": metric, "train": record.metric, "val": record.val_metric}
        for record in history
    ]
    write_text(folder / METRIC_NAME, json.dumps(rows, indent=1, allow_nan=False) + "\n")
    write_text(folder / METRICS_NAME, json.dumps(final, indent=2, allow_nan=False) + "\n")
    losses = {"train": [record.loss for record in history]}
    metrics = {"train": [record.metric for record in history]}
    if best.val_loss is not None:
        losses["validation"] = [record.val_loss for record in history if record.val_loss is not None]
        metrics["validation"] = [record.val_metric for record in history if record.val_metric is not None]
    save_curves(folder / "loss.png", "loss", losses, best_epoch=best.epoch)
    save_curves(folder / f"{metric}.png", metric.replace("_", " "), metrics, best_epoch=best.epoch)


def final_figures(split: str, num_records: int, best: EpochRecord, metrics: Metrics) -> dict[str, object]:
    """Return what metrics.json holds."""
    return {"split": split, "records": num_records, "best_epoch": best.epoch, **dataclasses.asdict(metrics)}
