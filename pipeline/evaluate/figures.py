"""Owns the figures of an evaluation: of all records, of every slice, and what curves are drawn from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.metrics import (
    brier_score,
    calibration,
    curve,
    many_class_metrics,
    number_calibration,
    number_metrics,
    residual_quantiles,
    two_class_metrics,
)

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from pipeline.evaluate.predictions import Predictions
    from pipeline.metrics import Calibration, Curve, NumberBin
    from pipeline.models.description import ModelDescription

    Figures = dict[str, float | int | None]
    Weight = NDArray[np.float32] | None

RESIDUAL_SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The figures of some records, and what of them can be drawn.

    `curves` has one curve for two classes, that of the second one; one for every class where there are more,
    None for a class that no record has; none for a number. `confusion[i][j]` are the records of class i that
    were taken for j. `quantiles` are residuals at `RESIDUAL_SHARES`, of a number; `bins` what was
    so where about the same number was predicted.
    """

    figures: Figures
    curves: tuple[Curve | None, ...] = ()
    calibration: Calibration | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    quantiles: tuple[float, ...] = ()
    bins: tuple[NumberBin, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFigures:
    """The figures of the records whose `column` has the value `name`; `value` is None for a tenth."""

    column: str
    name: str
    value: float | str | None
    figures: Figures


def judge(found: Predictions, described: ModelDescription) -> Judgement:
    """Return the judgement of all records; takes about 60 bytes a record while it lasts."""
    return _judged(found.label, found.score, found.weight, described)


def judge_slices(found: Predictions, described: ModelDescription) -> tuple[SliceFigures, ...]:
    """Return the figures of every slice of every column, in the order of their values."""
    judged = []
    for slices in found.slices:
        for index, (name, records) in enumerate(slices):
            weight = None if found.weight is None else found.weight[records]
            judgement = _judged(found.label[records], found.score[records], weight, described)
            value = None if slices.values is None else slices.values[index]
            judged.append(
                SliceFigures(column=slices.column, name=name, value=value, figures=judgement.figures)
            )
    return tuple(judged)


def _judged(
    label: NDArray[Any], score: NDArray[np.float32], weight: Weight, described: ModelDescription
) -> Judgement:
    if described.label_kind == "number":
        return _number(label, score[:, 0], weight)
    if described.num_outputs == 1:
        return _two_classes(label, score[:, 0], weight)
    return _many_classes(label, score, weight)


def _two_classes(label: NDArray[np.int64], score: NDArray[np.float32], weight: Weight) -> Judgement:
    metrics = two_class_metrics(label, score, weight)
    drawn = curve(label == 1, score, weight)
    reliable = calibration(score, label == 1, weight)
    figures = _scalars(metrics, len(label)) | {
        "average_precision": drawn.average_precision if drawn else None,
        "brier": brier_score(score, label, weight),
        "calibration_error": reliable.error,
    }
    return Judgement(figures=figures, curves=(drawn,), calibration=reliable, confusion=metrics.confusion)


def _many_classes(label: NDArray[np.int64], score: NDArray[np.float32], weight: Weight) -> Judgement:
    metrics = many_class_metrics(label, score, weight)
    drawn = tuple(curve(label == index, score[:, index], weight) for index in range(score.shape[1]))
    precisions = [one.average_precision for one in drawn if one]
    # The class that is predicted, and whether it was that one.
    reliable = calibration(score.max(axis=1), score.argmax(axis=1) == label, weight)
    figures = _scalars(metrics, len(label)) | {
        "average_precision": float(np.mean(precisions)) if precisions else None,
        "brier": brier_score(score, label, weight),
        "calibration_error": reliable.error,
    }
    return Judgement(figures=figures, curves=drawn, calibration=reliable, confusion=metrics.confusion)


def _number(label: NDArray[np.float32], predicted: NDArray[np.float32], weight: Weight) -> Judgement:
    quantiles = residual_quantiles(label, predicted, weight, shares=RESIDUAL_SHARES)
    named = {
        f"residual_p{round(100 * share):02d}": value
        for share, value in zip(RESIDUAL_SHARES, quantiles, strict=True)
    }
    figures = _scalars(number_metrics(label, predicted, weight), len(label)) | named
    return Judgement(figures=figures, quantiles=quantiles, bins=number_calibration(label, predicted, weight))


def _scalars(metrics: Any, num_records: int) -> Figures:  # noqa: ANN401  # any of the metrics' dataclasses
    figures: Figures = {"records": num_records}
    fields = dataclasses.asdict(metrics)
    return figures | {name: value for name, value in fields.items() if not isinstance(value, tuple)}
