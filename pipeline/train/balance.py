"""Owns how much each class counts: all alike, or so that every class has the same total weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import OptionError
from pipeline.loader.batches import cut_batches, read_ahead

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.train.feed import Feed
    from pipeline.train.options import TrainOptions


def class_weights_of(feed: Feed, options: TrainOptions) -> tuple[float, ...] | None:
    """Return by what the loss of each class is multiplied, or None where classes count as they are.

    "balanced" gives a class total / (num_classes * total of the class) of the train split: the mean over the
    records stays 1. Totals are numbers of records, or of their weights where there are weights; then the
    labels and weights are read once. A class without records counts 1.

    Raises:
        OptionError: the label is a number, and something was asked for that classes alone have.
        ShardError: a shard is damaged.
    """
    if feed.manifest.label.kind == "number":
        for flag, is_given in (
            (f"--class-weight {options.class_weight}", options.class_weight != "none"),
            (f"--label-smoothing {options.label_smoothing}", options.label_smoothing > 0),
        ):
            if is_given:
                raise OptionError(f"{flag}: the label is a number, it has no classes", hint="leave it out")
    if options.class_weight == "none":
        return None
    totals = _totals(feed)
    weights = totals.sum() / (np.count_nonzero(totals) * np.where(totals > 0, totals, np.inf))
    return tuple(np.where(totals > 0, weights, 1.0).tolist())


def _totals(feed: Feed) -> NDArray[np.float64]:
    """Return the weight that each class has in the train split of all workers together."""
    label = feed.manifest.label
    if feed.manifest.weight is None:
        return np.array(label.counts["train"], np.float64)
    totals = np.zeros(len(label.classes))
    whole = feed.alone()
    for _, labels, weights in cut_batches(read_ahead(whole.reader("train"), num_threads=1), whole.batch_size):
        totals += np.bincount(labels, weights, minlength=len(totals))
    return totals
