"""Owns the figures of a trained network on one split, computed from the shards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.loader.batches import cut_batches, read_ahead
from pipeline.metrics import many_class_metrics, number_metrics, two_class_metrics

if TYPE_CHECKING:
    from typing import Any

    import keras
    from numpy.typing import NDArray

    from pipeline.loader.reader import Reader
    from pipeline.metrics import ManyClassMetrics, NumberMetrics, TwoClassMetrics
    from pipeline.progress import Progress

    Metrics = TwoClassMetrics | ManyClassMetrics | NumberMetrics


def metrics_of(network: keras.Model, reader: Reader, progress: Progress) -> Metrics:
    """Return the metrics of `network` on what `reader` reads; takes memory for all its predictions.

    Raises:
        ShardError: a shard is damaged.
    """
    label, score, weight = predict(network, reader, progress)
    if reader.columns.label_dtype == "float32":
        return number_metrics(label, score[:, 0], weight)
    if score.shape[1] == 1:
        return two_class_metrics(label, score[:, 0], weight)
    return many_class_metrics(label, score, weight)


def predict(
    network: keras.Model, reader: Reader, progress: Progress
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32] | None]:
    """Return label (num_records,), predictions (num_records, num_outputs) and weight or None."""
    labels, scores, weights = [], [], []
    for features, label, *weight in cut_batches(read_ahead(reader, num_threads=1), reader.batch_size):
        # A view of a block: it must be copied to outlive it.
        labels.append(label.copy())
        scores.append(network.predict_on_batch(features))
        weights += [part.copy() for part in weight]
        progress.advance(len(label))
    return np.concatenate(labels), np.concatenate(scores), np.concatenate(weights) if weights else None
