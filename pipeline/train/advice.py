"""Owns what a finished training warns of: splits without records, an early end, figures that say nothing.

Neighbours: `options` knows how many steps an epoch should have, `pipeline.metrics` made the figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.counted import counted
from pipeline.metrics import NumberMetrics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.train.evaluation import Metrics
    from pipeline.train.feed import Feed
    from pipeline.train.options import TrainOptions


def advice(feed: Feed, options: TrainOptions, metrics: Metrics, *, split: str) -> Iterator[str]:
    """Yield a warning for each thing that a user should know of a training, and what to do about it.

    `metrics` are those of the records of `split`.
    """
    has_validation = bool(feed.num_records("val"))
    if not has_validation:
        yield "no validation records: early stopping is off, the last epoch is kept"
    if not feed.num_records("test"):
        used = "validation" if has_validation else "train"
        yield f"no test records: the metrics are of the {used} split"
    if said := no_better(metrics, feed.manifest.label.classes):
        yield f"on the {split} split no better than {said}"
    # Without validation, patience ends nothing.
    smaller = options.smaller_batch(feed.num_records("train"))
    if smaller and has_validation:
        other = "" if options.model == "resnet" else "--model resnet, or "
        yield (
            f"an epoch has only {counted(feed.num_steps, 'step')}, so --patience {options.patience} may have"
            f" ended the training too early: pass {other}--batch-size {smaller}"
        )


def no_better(metrics: Metrics, classes: Sequence[int | str]) -> str:
    """Return what would do as well as the model and looks at no feature; "" where the model is better."""
    if isinstance(metrics, NumberMetrics):
        return "the mean of the labels for every record" if metrics.r2 is not None and metrics.r2 <= 0 else ""
    sizes = [sum(row) for row in metrics.confusion]
    num_right = sum(row[at] for at, row in enumerate(metrics.confusion))
    if num_right > max(sizes) or max(sizes) == sum(sizes):
        return ""
    frequent = sizes.index(max(sizes))
    return f"saying {classes[frequent]} of every record (accuracy {max(sizes) / sum(sizes):.4f})"
