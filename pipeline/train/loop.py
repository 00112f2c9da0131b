"""Owns the loop over epochs: train, validate, keep the best weights, stop when it gets no better.

The inner loop over batches is Keras' own `fit`: nothing of it runs in Python but one callback a step.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline import backend
from pipeline.errors import DivergedError
from pipeline.loader.batches import NUM_THREADS
from pipeline.loader.reader import Request, open_reader
from pipeline.loader.tfdata import to_dataset
from pipeline.train.history import EpochRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import keras

    from pipeline.loader.reader import Reader
    from pipeline.manifest import Manifest
    from pipeline.plan import ShardFormat
    from pipeline.progress import Progress
    from pipeline.train.options import TrainOptions

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """Where the batches of a training come from."""

    shards: Path
    manifest: Manifest
    shard_format: ShardFormat | None
    batch_size: int
    seed: int

    def num_records(self, split: str) -> int:
        """Return the number of records of a split."""
        return self.manifest.splits[split].records

    def reader(self, split: str, *, epoch: int = 0, shuffle: bool = False) -> Reader:
        """Return the reader of one epoch, counted from 0; the first one verifies checksums."""
        request = Request(
            shards=self.shards,
            split=split,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            shuffle=shuffle,
            shard_format=self.shard_format,
            verify_checksums=epoch == 0,
        )
        return open_reader(request)


def run_epochs(
    network: keras.Model,
    feed: Feed,
    options: TrainOptions,
    *,
    metric: str,
    keep: Callable[[EpochRecord], None],
    log: Callable[[EpochRecord], None],
    progress: Progress,
) -> tuple[tuple[EpochRecord, ...], EpochRecord]:
    """Train `network`; return the history and its best epoch, whose weights it then has.

    `keep` is called whenever an epoch is the best so far, `log` after every epoch. Without validation records
    there is no early stopping, and the last epoch counts as the best.

    Raises:
        DivergedError: the loss became NaN or infinite.
        ShardError: a shard is damaged.
    """
    validate = feed.num_records("val") > 0
    history: list[EpochRecord] = []
    best, weights = None, network.get_weights()
    for epoch in range(1, options.epochs + 1):
        num_records = feed.num_records("train") + feed.num_records("val")
        progress.start(f"epoch {epoch}/{options.epochs}", total=num_records, unit="records")
        record = _run_epoch(network, feed, epoch, metric, progress)
        progress.finish()
        history.append(record)
        log(record)
        if best is None or not validate or record.score < best.score:
            best, weights = record, network.get_weights()
            keep(record)
        elif options.patience and epoch - best.epoch >= options.patience:
            break
    network.set_weights(weights)
    return tuple(history), best or history[-1]


def _run_epoch(network: keras.Model, feed: Feed, epoch: int, metric: str, progress: Progress) -> EpochRecord:
    begin = time.perf_counter()
    trained = _train(network, feed, epoch, progress)
    seconds = time.perf_counter() - begin
    val: Mapping[str, float] = {}
    if feed.num_records("val"):
        val = _validate(network, feed, epoch)
        progress.advance(feed.num_records("val"))
    return EpochRecord(
        epoch=epoch,
        loss=trained["loss"],
        metric=trained[metric],
        val_loss=val.get("loss"),
        val_metric=val.get(metric),
        learning_rate=float(network.optimizer.learning_rate),
        seconds=seconds,
        records_per_second=feed.num_records("train") / seconds,
    )


def _train(network: keras.Model, feed: Feed, epoch: int, progress: Progress) -> Mapping[str, float]:
    """Train for one epoch, which is named from 1 and drawn from 0; return the figures of the whole epoch."""
    left = feed.num_records("train")

    def after_batch(batch_index: int, logs: Mapping[str, float]) -> None:
        nonlocal left
        _check_finite(logs["loss"], f"epoch {epoch}, step {batch_index + 1}")
        done = min(left, feed.batch_size)
        left -= done
        progress.advance(done)

    callback = backend.keras().callbacks.LambdaCallback(on_train_batch_end=after_batch)
    reader = feed.reader("train", epoch=epoch - 1, shuffle=True)
    # `shuffle` is about arrays: the batches have their order already, and Keras warns unless told.
    options = {"initial_epoch": epoch - 1, "epochs": epoch, "shuffle": False, "callbacks": [callback]}
    history = _own_errors(
        reader,
        lambda: network.fit(to_dataset(reader, num_threads=NUM_THREADS), verbose=0, **options),
    )
    return {name: float(values[-1]) for name, values in history.history.items()}


def _validate(network: keras.Model, feed: Feed, epoch: int) -> Mapping[str, float]:
    reader = feed.reader("val", epoch=epoch - 1)
    figures = _own_errors(
        reader,
        lambda: network.evaluate(to_dataset(reader, num_threads=NUM_THREADS), verbose=0, return_dict=True),
    )
    _check_finite(figures["loss"], f"epoch {epoch}, validation")
    return {name: float(value) for name, value in figures.items()}


def _own_errors(reader: Reader, work: Callable[[], Result]) -> Result:
    """Return the result of `work`; an error of ours that tf.data wrapped is raised as it was."""
    try:
        return work()
    except backend.tensorflow().errors.OpError:
        if reader.failures:
            raise reader.failures[0] from None
        raise


def _check_finite(loss: float, place: str) -> None:
    if not math.isfinite(loss):
        raise DivergedError(f"{place}: the loss is {loss}")
