"""Owns the folder that an evaluation leaves, in forms that `dvc metrics` and `dvc plots` take.

Tables that a label of this kind does not have are empty lists: the plots of dvc.yaml are there for any label.

metrics.json                all figures, of all records and of each slice
slices.json                 the figures of slices, a row for each
roc.json, pr.json           points of the curves; of many classes, the mean of each against the rest
curves_by_class.json        of many classes, the points of each
calibration.json            what was so where about the same was predicted: a row for each bin
confusion.json              a row for each pair of classes
residuals.json              of a number, quantiles of predicted - actual
importance.json             a row for each column: by how much a metric drops when it is permuted
roc.png, pr.png, …          the same to look at
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline import plots
from pipeline.errors import TargetExistsError
from pipeline.evaluate import tables
from pipeline.models.description import DESCRIPTION_NAME
from pipeline.storage import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.evaluate.figures import Judgement, SliceFigures
    from pipeline.evaluate.importance import Importance
    from pipeline.evaluate.predictions import Predictions
    from pipeline.metrics import Curve

METRICS_NAME = "metrics.json"
TABLES = ("slices", "importance", "roc", "pr", "calibration", "confusion", "residuals")
MAX_DRAWN_CLASSES = 100
MAX_DRAWN_COLUMNS = 40
METRIC_NAMES = {"auc": "AUC", "accuracy": "accuracy", "r2": "R²"}
SLICE_METRIC = {"classes": "auc", "number": "rmse"}


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise if an evaluation may not be written to `output`.

    Raises:
        TargetExistsError: it is a file, a folder that is no evaluation, or one and `overwrite` is not set.
    """
    if output.is_symlink() or (output.exists() and not output.is_dir()):
        raise TargetExistsError("the target is not a folder", path=str(output), hint="name another target")
    if not output.exists() or not any(output.iterdir()):
        return
    # A model has figures of that name, too.
    if not (output / METRICS_NAME).exists() or (output / DESCRIPTION_NAME).exists():
        raise TargetExistsError(
            "the target is a folder that holds other things", path=str(output), hint="name another target"
        )
    if not overwrite:
        hint = "pass --overwrite to replace it, or name another target"
        raise TargetExistsError("the target exists", path=str(output), hint=hint)


def write_metrics(
    folder: Path, split: str, judged: Judgement, slices: Sequence[SliceFigures], metric: str
) -> None:
    """Write the figures of all records and of each slice, of which `metric` is the one that is drawn."""
    tree: dict[str, object] = {"split": split, **judged.figures}
    if slices:
        tree["slices"] = tables.slice_tree(slices)
        _write(folder / "slices.json", tables.slice_rows(slices, metric))
    _write(folder / METRICS_NAME, tree)


def write_classes(folder: Path, judged: Judgement, classes: Sequence[int | str]) -> None:
    """Write curves, calibration and confusion of a model of classes."""
    names = [str(value) for value in classes]
    # Of two classes there is the curve of the second one alone.
    by_class = zip(names[-len(judged.curves) :], judged.curves, strict=True)
    curves = {name: one for name, one in by_class if one}
    if curves:
        _write_curves(folder, curves, several=len(judged.curves) > 1)
    if judged.calibration:
        rows = tables.calibration_rows(judged.calibration)
        _write(folder / "calibration.json", rows)
        plots.save_reliability(
            folder / "calibration.png",
            tables.column_of(rows, "predicted"),
            tables.column_of(rows, "actual"),
            edges=[0.0, *tables.column_of(rows, "end")],
            records=tables.column_of(rows, "records"),
        )
    _write(folder / "confusion.json", tables.confusion_rows(judged.confusion, names))
    if len(names) <= MAX_DRAWN_CLASSES:
        plots.save_confusion(folder / "confusion.png", judged.confusion, names)


def _write_curves(folder: Path, curves: dict[str, Curve], *, several: bool) -> None:
    drawn = list(curves.values())
    roc, pr = tables.roc_rows(drawn), tables.pr_rows(drawn)
    _write(folder / "roc.json", roc)
    _write(folder / "pr.json", pr)
    behind = drawn[:MAX_DRAWN_CLASSES] if several else []
    if several:
        _write(folder / "curves_by_class.json", tables.class_rows(curves))
    label = "mean of the classes" if several else "model"
    plots.save_shares(
        folder / "roc.png",
        [plots.Line(x=one.false_positive_rate, y=one.recall) for one in behind],
        plots.Line(
            x=tables.column_of(roc, "false_positive_rate"),
            y=tables.column_of(roc, "true_positive_rate"),
            name=label,
        ),
        across="false positive rate",
        up="true positive rate",
        by_chance=True,
    )
    plots.save_shares(
        folder / "pr.png",
        [plots.Line(x=one.recall, y=one.precision) for one in behind],
        plots.Line(x=tables.column_of(pr, "recall"), y=tables.column_of(pr, "precision"), name=label),
        across="recall",
        up="precision",
        by_chance=False,
    )


def write_number(folder: Path, judged: Judgement, found: Predictions) -> None:
    """Write what is told of a model of a number."""
    _write(folder / "residuals.json", tables.residual_rows(judged.quantiles))
    _write(folder / "calibration.json", tables.number_rows(judged.bins))
    plots.save_density(folder / "predicted.png", found.label, found.score[:, 0])


def draw_slices(folder: Path, judged: Judgement, slices: Sequence[SliceFigures], metric: str) -> None:
    """Write a plot of `metric` by slice, of those where it is defined."""
    by_column: dict[str, dict[str, float]] = {}
    for one in slices:
        if (value := one.figures[metric]) is not None:
            by_column.setdefault(one.column, {})[one.name] = value
    overall = judged.figures[metric]
    if by_column and overall is not None:
        plots.save_slices(folder / "slices.png", metric, overall, by_column)


def write_importance(folder: Path, importances: Sequence[Importance]) -> None:
    """Write what each column is worth, and a plot of those worth most; nothing where it is not known."""
    if not importances:
        return
    _write(folder / "importance.json", tables.importance_rows(importances))
    drawn = importances[:MAX_DRAWN_COLUMNS]
    plots.save_importance(
        folder / "importance.png",
        METRIC_NAMES[drawn[0].metric],
        {one.column: (one.drop, one.low, one.high) for one in drawn},
    )


def write_empty_tables(folder: Path) -> None:
    """Write an empty list for each table that is not there."""
    for name in TABLES:
        if not (path := folder / f"{name}.json").exists():
            _write(path, [])


def _write(path: Path, tree: object) -> None:
    write_text(path, json.dumps(tree, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
