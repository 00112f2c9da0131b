"""The use case `evaluate`: open the model → go through a split once → figures → tables and plots → publish.

`options` is what can be asked, `predictions` what is kept of every record, `slices` how records are told
apart, `figures` what is computed, `importance` what columns are worth, `tables` and `output` how it is
written down.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.errors import DatasetError
from pipeline.evaluate import output as outputs
from pipeline.evaluate.figures import judge, judge_slices
from pipeline.evaluate.importance import importance
from pipeline.evaluate.options import EvaluateOptions
from pipeline.evaluate.predictions import predict_split, require_labels
from pipeline.evaluate.slices import slice_columns
from pipeline.loader import check_dataset
from pipeline.models import description as descriptions
from pipeline.models.saved import open_model
from pipeline.models.scoring import score_function
from pipeline.progress import SILENT
from pipeline.storage import staging

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.evaluate.figures import Figures, SliceFigures
    from pipeline.evaluate.importance import Importance
    from pipeline.manifest import Manifest
    from pipeline.models.description import ModelDescription
    from pipeline.progress import Progress

__all__ = ["EvaluateOptions", "EvaluateSummary", "evaluate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSummary:
    """What came of an evaluation: figures of all records of `split` and of slices; what columns are worth."""

    output: Path
    split: str
    figures: Figures
    slices: tuple[SliceFigures, ...]
    importance: tuple[Importance, ...]
    warnings: tuple[str, ...]
    seconds: float


def evaluate(
    model: Path, shards: Path, output: Path, options: EvaluateOptions, *, progress: Progress = SILENT
) -> EvaluateSummary:
    """Judge the model in the folder `model` on a split of the dataset in `shards`; write it to `output`.

    The split is read once, in batches; kept are a label and scores for each record (see `Predictions`).
    The same model and dataset give the same figures up to rounding in the matrix products. Atomic: `output`
    is absent, or whole.

    Raises:
        UsageError: `output` exists, or a slice is no column to slice by.
        ModelError: the model cannot be used, or its features and classes are not those of the dataset.
        DatasetError: there is no dataset, a shard is damaged, or the split has no records.
        MissingExtraError: TensorFlow, Keras or matplotlib is not installed.
        BusyError: another process writes to the same output.
    """
    begin = time.monotonic()
    outputs.check_output(output, overwrite=options.overwrite)
    manifest = check_dataset(shards)
    described = descriptions.load(model)
    _check(described, manifest, shards, options)
    backend.load(progress)
    saved = open_model(model)
    with backend.known_warnings_ignored(), staging(output) as stage:
        stage.begin()
        num_records = manifest.splits[options.split].records
        progress.start(f"evaluating on {options.split}", total=num_records, unit="records")
        score = score_function(saved, options.precision)
        found = predict_split(
            score,
            described,
            shards,
            manifest,
            options,
            model_path=model,
            progress=progress,
        )
        progress.finish()
        judged, slices = judge(found, described), judge_slices(found, described)
        worth = importance(found, described, score, batch_size=options.batch_size, progress=progress)
        outputs.write_importance(stage.dataset, worth)
        metric = outputs.SLICE_METRIC[described.label_kind]
        outputs.write_metrics(stage.dataset, options.split, judged, slices, metric)
        outputs.draw_slices(stage.dataset, judged, slices, metric)
        if described.label_kind == "number":
            outputs.write_number(stage.dataset, judged, found)
        else:
            outputs.write_classes(stage.dataset, judged, described.classes)
        outputs.write_empty_tables(stage.dataset)
        stage.publish()
    return EvaluateSummary(
        output=output,
        split=options.split,
        figures=judged.figures,
        slices=slices,
        importance=worth,
        warnings=_warnings(described, manifest),
        seconds=time.monotonic() - begin,
    )


def _check(described: ModelDescription, manifest: Manifest, shards: Path, options: EvaluateOptions) -> None:
    """Raise for all that can be seen before TensorFlow is loaded."""
    found = [column.name for column in manifest.inputs]
    descriptions.require_columns(described, found, path=str(shards))
    require_labels(described, manifest, path=str(shards))
    slice_columns(manifest, options.slices, path=str(shards))
    if not manifest.splits[options.split].records:
        filled = [name for name, split in manifest.splits.items() if split.records]
        raise DatasetError(
            f"the split {options.split} has no records",
            path=str(shards),
            hint=f"pass --split {filled[-1]}" if filled else "",
        )


def _warnings(described: ModelDescription, manifest: Manifest) -> tuple[str, ...]:
    if described.fingerprint == manifest.fingerprint:
        return ()
    return ("the model was trained on another dataset, which may hold records that it is judged on here",)
