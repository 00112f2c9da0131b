"""Owns what each column is worth to a model: how much worse it gets when the column is permuted.

A column whose contents come from the wrong records tells the model nothing, and all else stays as it was.
Where two columns say the same, either can stand in for the other, and both look worth little.

Source: Breiman (2001), "Random forests", Machine Learning 45(1), section 10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.keys import key_order, record_keys
from pipeline.metrics import auc, number_metrics
from pipeline.models.scoring import RawRows

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from pipeline.evaluate.options import EvaluateOptions
    from pipeline.evaluate.predictions import Predictions
    from pipeline.models.description import ModelDescription
    from pipeline.models.scoring import Score
    from pipeline.progress import Progress

    Weight = NDArray[np.float32] | None

NUM_REPEATS = 3
MOST_RECORDS = 10_000  # a drop of 0.001 in AUC stands out from chance then
MOST_SCORED = 1_000_000  # records the model is asked about, all columns and repeats together: some seconds
FEWEST_RECORDS = 1000  # of fewer, what is found is mostly chance
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Importance:
    """By how much `metric` drops when `column` is permuted: the mean, least and most of all repeats."""

    column: str
    metric: str
    drop: float
    low: float
    high: float


def num_records_for(options: EvaluateOptions, num_columns: int, num_records: int) -> int:
    """Return over how many records columns are permuted; 0 where that takes too long, or is not wanted."""
    if options.importance is not None:
        return min(options.importance, num_records)
    fair = MOST_SCORED // (num_columns * NUM_REPEATS)
    return min(MOST_RECORDS, fair, num_records) if fair >= FEWEST_RECORDS else 0


def importance(
    found: Predictions,
    described: ModelDescription,
    score: Score,
    *,
    batch_size: int,
    progress: Progress,
) -> tuple[Importance, ...]:
    """Return the importance of every column, the greatest first; none without rows, or without a metric.

    The permutations are the same for the same number of records, whatever the machine.
    """
    metric, num = metric_of(described), len(found.rows.features)
    label, weight = found.label[:num], None if found.weight is None else found.weight[:num]
    whole = _figure(metric, label, found.score[:num], weight) if num else None
    if whole is None:
        return ()
    rows = RawRows(features=found.rows.features.copy(), categories=found.rows.categories.copy())
    columns: list[NDArray[Any]] = [*rows.features.T, *rows.categories.T]
    progress.start("permuting columns", total=num * NUM_REPEATS * len(columns), unit="records")
    results = []
    for index, name in enumerate((*described.features, *described.categories)):
        drops, values = [], columns[index].copy()
        for repeat in range(NUM_REPEATS):
            drawn = record_keys(seed=SEED, file_index=index, range_index=repeat, num_records=num)
            columns[index][:] = values[key_order(drawn)]
            figure = _figure(metric, label, _scored(score, rows, batch_size), weight)
            drops.append(whole - (figure or 0.0))
            progress.advance(num)
        columns[index][:] = values
        mean = sum(drops) / NUM_REPEATS
        results.append(Importance(column=name, metric=metric, drop=mean, low=min(drops), high=max(drops)))
    progress.finish()
    return tuple(sorted(results, key=lambda one: -one.drop))


def metric_of(described: ModelDescription) -> str:
    """Return the name of the metric whose drop is told."""
    if described.label_kind == "number":
        return "r2"
    return "auc" if described.num_outputs == 1 else "accuracy"


def _scored(score: Score, rows: RawRows, batch_size: int) -> NDArray[np.float32]:
    begins = range(0, len(rows.features), batch_size)
    return np.concatenate([score(rows.between(begin, begin + batch_size)) for begin in begins])


def _figure(metric: str, label: NDArray[Any], score: NDArray[np.float32], weight: Weight) -> float | None:
    if metric == "r2":
        return number_metrics(label, score[:, 0], weight).r2
    if metric == "auc":
        return auc(label == 1, score[:, 0], weight)
    correct = score.argmax(axis=1) == label
    return float(np.average(correct, weights=weight))
