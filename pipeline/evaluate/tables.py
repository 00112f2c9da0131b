"""Owns the tables of an evaluation: rows of plain values, as JSON and `dvc plots` take them.

Neighbours: `figures` computes, `output` writes and draws.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.evaluate.figures import RESIDUAL_SHARES
from pipeline.metrics import MAX_POINTS, mean_precision, mean_recall

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.evaluate.figures import SliceFigures
    from pipeline.evaluate.importance import Importance
    from pipeline.metrics import Calibration, Curve, NumberBin

    Rows = list[dict[str, Any]]

DIGITS = 7  # as many as a float32 score has
MAX_CELLS = 2500  # of a confusion matrix; beyond, pairs without records are left out
ALL_POINTS = 20_000  # of the curves of all classes together: 2 MB


def roc_rows(curves: Sequence[Curve]) -> Rows:
    """Return the ROC curve: of one curve with its thresholds, of several their mean."""
    if len(curves) == 1:
        return _rows(
            threshold=curves[0].threshold,
            false_positive_rate=curves[0].false_positive_rate,
            true_positive_rate=curves[0].recall,
        )
    rates = np.linspace(0.0, 1.0, MAX_POINTS - 1)
    # The curve begins in the corner, though on the grid, at no false positives, it may stand higher already.
    recalls = np.append(0.0, mean_recall(curves, rates))
    return _rows(false_positive_rate=np.append(0.0, rates), true_positive_rate=recalls)


def pr_rows(curves: Sequence[Curve]) -> Rows:
    """Return the precision-recall curve: of one curve with its thresholds, of several their mean."""
    if len(curves) == 1:
        one = curves[0]
        return _rows(threshold=one.threshold, recall=one.recall, precision=one.precision)
    recalls = np.linspace(0.0, 1.0, MAX_POINTS)
    return _rows(recall=recalls, precision=mean_precision(curves, recalls))


def class_rows(curves: Mapping[str, Curve]) -> Rows:
    """Return the points of the curves of several classes, each against the rest; fewer of each if many."""
    most = max(2, ALL_POINTS // len(curves))
    found: Rows = []
    for name, one in curves.items():
        kept = np.unique(np.linspace(0, len(one.recall) - 1, min(most, len(one.recall))).astype(np.intp))
        rows = _rows(
            threshold=one.threshold[kept],
            false_positive_rate=one.false_positive_rate[kept],
            recall=one.recall[kept],
            precision=one.precision[kept],
        )
        found += [{"class": name} | row for row in rows]
    return found


def calibration_rows(calibration: Calibration) -> Rows:
    """Return the bins of a reliability diagram."""
    return [
        {
            "begin": one.begin,
            "end": one.end,
            "predicted": _short(one.probability),
            "actual": _short(one.share),
            "records": one.records,
        }
        for one in calibration.bins
    ]


def confusion_rows(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Rows:
    """Return a row for each pair of classes; `share` is that of the actual class."""
    all_pairs = len(classes) ** 2 <= MAX_CELLS
    return [
        {
            "actual": actual,
            "predicted": predicted,
            "records": records,
            "share": _short(records / max(1, total)),
        }
        for actual, counts in zip(classes, confusion, strict=True)
        for total in [sum(counts)]
        for predicted, records in zip(classes, counts, strict=True)
        if all_pairs or records
    ]


def residual_rows(quantiles: Sequence[float]) -> Rows:
    """Return what share of the residuals (predicted - actual) stays within which."""
    shares = zip(RESIDUAL_SHARES, quantiles, strict=True)
    return [{"share": share, "residual": _short(residual)} for share, residual in shares]


def number_rows(bins: Sequence[NumberBin]) -> Rows:
    """Return what was so where about the same number was predicted."""
    return [
        {
            name: value if isinstance(value, int) else _short(value)
            for name, value in dataclasses.asdict(one).items()
        }
        for one in bins
    ]


def importance_rows(importances: Sequence[Importance]) -> Rows:
    """Return a row for each column: by how much the metric drops when it is permuted."""
    return [
        {
            "column": one.column,
            "metric": one.metric,
            "drop": _short(one.drop),
            "low": _short(one.low),
            "high": _short(one.high),
        }
        for one in importances
    ]


def slice_rows(slices: Sequence[SliceFigures], metric: str) -> Rows:
    """Return a row for each slice: its figures, and that of `metric` once more, for plots of any label."""
    return [
        {"column": one.column, "slice": one.name, "value": one.value, "metric": metric}
        | {"figure": one.figures[metric]}
        | one.figures
        for one in slices
    ]


def slice_tree(slices: Sequence[SliceFigures]) -> dict[str, dict[str, Any]]:
    """Return the figures by column and slice."""
    tree: dict[str, dict[str, Any]] = {}
    for one in slices:
        tree.setdefault(one.column, {})[one.name] = one.figures
    return tree


def column_of(rows: Rows, name: str) -> list[Any]:
    """Return one column of a table, without the rows that have no value there."""
    return [row[name] for row in rows if row[name] is not None]


def _rows(**columns: np.ndarray[Any, Any]) -> Rows:
    shortened = [[_short(value) for value in values.tolist()] for values in columns.values()]
    return [dict(zip(columns, row, strict=True)) for row in zip(*shortened, strict=True)]


def _short(value: float | None) -> float | None:
    """Return a number with as many digits as matter; None for one that JSON cannot hold."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}")
