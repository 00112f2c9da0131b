"""Owns the loop over epochs: train, validate, keep the best weights, stop when it gets no better.

`continuing` is told after every batch, and gives back the place where an earlier process stopped.

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
    from pipeline.train.continuing import Continuing, Standing
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

    def reader(self, split: str, *, epoch: int = 0, shuffle: bool = False, first_batch: int = 0) -> Reader:
        """Return the reader of one epoch, counted from 0; the first one verifies checksums."""
        request = Request(
            shards=self.shards,
            split=split,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            shuffle=shuffle,
            shard_format=self.shard_format,
            first_batch=first_batch,
            verify_checksums=epoch == 0,
        )
        return open_reader(request)


def run_epochs(
    network: keras.Model,
    feed: Feed,
    options: TrainOptions,
    memory: Continuing,
    *,
    metric: str,
    keep: Callable[[EpochRecord], None],
    log: Callable[[EpochRecord], None],
    progress: Progress,
) -> tuple[tuple[EpochRecord, ...], EpochRecord]:
    """Train `network` from where `memory` stands; return the history and its best epoch.

    The network then has the weights of that epoch. `keep` is called whenever an epoch is the best so far,
    `log` after every epoch; both also for what `memory` brings along. Without validation records there is no
    early stopping, and the last epoch counts as the best.

    Raises:
        DivergedError: the loss became NaN or infinite.
        ShardError: a shard is damaged.
    """
    validate = feed.num_records("val") > 0
    for record in memory.standing.history:
        log(record)
    if best := memory.standing.best:
        memory.restore_best(network)
        keep(best)
    memory.restore(network)
    with memory.signals_held():
        while not _is_over(memory.standing, options, validate=validate):
            record = _run_epoch(network, feed, options, memory, metric, progress)
            log(record)
            best = memory.standing.best
            is_best = best is None or not validate or record.score < best.score
            if is_best:
                keep(record)
            memory.epoch_done(network, record, is_best=is_best)
    memory.restore_best(network)
    return memory.standing.history, memory.standing.best or memory.standing.history[-1]


def _is_over(standing: Standing, options: TrainOptions, *, validate: bool) -> bool:
    patience = options.patience if validate and standing.best else 0
    stale = standing.epoch - 1 - standing.best_epoch
    return standing.epoch > options.epochs or 0 < patience <= stale


def _run_epoch(
    network: keras.Model,
    feed: Feed,
    options: TrainOptions,
    memory: Continuing,
    metric: str,
    progress: Progress,
) -> EpochRecord:
    epoch = memory.standing.epoch
    num_train, num_val = feed.num_records("train"), feed.num_records("val")
    progress.start(f"epoch {epoch}/{options.epochs}", total=num_train + num_val, unit="records")
    trained = memory.standing.trained
    if trained is None:
        trained = _train(network, feed, memory, progress)
    else:
        progress.advance(num_train)
    seconds = memory.standing.seconds
    val: Mapping[str, float] = {}
    if num_val:
        val = _validate(network, feed, memory)
        progress.advance(num_val)
    progress.finish()
    return EpochRecord(
        epoch=epoch,
        loss=trained["loss"],
        metric=trained[metric],
        val_loss=val.get("loss"),
        val_metric=val.get(metric),
        learning_rate=float(network.optimizer.learning_rate),
        seconds=seconds,
        records_per_second=num_train / seconds,
    )


def _train(network: keras.Model, feed: Feed, memory: Continuing, progress: Progress) -> Mapping[str, float]:
    """Train to the end of the epoch, named from 1 and drawn from 0; return the figures of the whole epoch."""
    epoch, first_batch = memory.standing.epoch, memory.standing.num_batches
    begin = time.perf_counter() - memory.standing.seconds
    reader = feed.reader("train", epoch=epoch - 1, shuffle=True, first_batch=first_batch)
    num_records = feed.num_records("train")
    done = min(num_records, first_batch * feed.batch_size)
    progress.advance(done)

    def begin_epoch(_epoch: int, logs: object) -> None:
        del logs
        memory.restore_metrics(network)

    def after_batch(batch_index: int, logs: Mapping[str, float]) -> None:
        nonlocal done
        num_batches = first_batch + batch_index + 1
        _check_finite(logs["loss"], f"epoch {epoch}, step {num_batches}")
        progress.advance(min(num_records, num_batches * feed.batch_size) - done)
        done = min(num_records, num_batches * feed.batch_size)
        if batch_index + 1 < reader.num_batches:  # after the last one, the figures of the epoch are noted too
            memory.batch_done(network, num_batches=num_batches, seconds=time.perf_counter() - begin)

    callback = backend.keras().callbacks.LambdaCallback(
        on_epoch_begin=begin_epoch, on_train_batch_end=after_batch
    )
    # `shuffle` is about arrays: the batches have their order already, and Keras warns unless told.
    options = {"initial_epoch": epoch - 1, "epochs": epoch, "shuffle": False, "callbacks": [callback]}
    history = _own_errors(
        reader,
        lambda: network.fit(to_dataset(reader, num_threads=NUM_THREADS), verbose=0, **options),
    )
    trained = {name: float(values[-1]) for name, values in history.history.items()}
    memory.batches_done(network, trained, seconds=time.perf_counter() - begin)
    return trained


def _validate(network: keras.Model, feed: Feed, memory: Continuing) -> Mapping[str, float]:
    epoch = memory.standing.epoch
    reader = feed.reader("val", epoch=epoch - 1)

    def after_batch(_batch_index: int, logs: object) -> None:
        del logs
        memory.check_interrupted(network)

    callback = backend.keras().callbacks.LambdaCallback(on_test_batch_end=after_batch)
    options = {"verbose": 0, "return_dict": True, "callbacks": [callback]}
    figures = _own_errors(
        reader, lambda: network.evaluate(to_dataset(reader, num_threads=NUM_THREADS), **options)
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
