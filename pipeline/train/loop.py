"""Owns the loop over epochs: train, validate, keep the best weights, stop when it gets no better.

Neighbours: `passes` is told to train and to validate; `continuing` is told after every step, and gives back
the place where an earlier process stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.train.history import EpochRecord
from pipeline.train.passes import check_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.progress import Progress
    from pipeline.train.continuing import Continuing, Standing
    from pipeline.train.options import TrainOptions
    from pipeline.train.passes import Passes


def run_epochs(
    passes: Passes,
    options: TrainOptions,
    memory: Continuing,
    *,
    metric: str,
    keep: Callable[[EpochRecord], None],
    log: Callable[[EpochRecord], None],
    progress: Progress,
) -> tuple[tuple[EpochRecord, ...], EpochRecord]:
    """Train the network of `passes` from where `memory` stands; return the history and its best epoch.

    The network then has the weights of that epoch. `keep` is called whenever an epoch is the best so far,
    `log` after every epoch; both also for what `memory` brings along. Without validation records there is no
    early stopping, and the last epoch counts as the best.

    Raises:
        DivergedError: the loss, or a weight, became NaN or infinite.
        ShardError: a shard is damaged.
    """
    network, validate = passes.network, passes.feed.num_records("val") > 0
    for record in memory.standing.history:
        log(record)
    if best := memory.standing.best:
        memory.restore_best(network)
        keep(best)
    memory.restore(network)
    with memory.signals_held():
        while not _is_over(memory.standing, options, validate=validate):
            record = _run_epoch(passes, options, memory, metric, progress)
            check_weights(network, record.epoch)
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
    passes: Passes,
    options: TrainOptions,
    memory: Continuing,
    metric: str,
    progress: Progress,
) -> EpochRecord:
    epoch, feed = memory.standing.epoch, passes.feed
    convert_to_numpy = backend.keras().ops.convert_to_numpy  # the rate may exist once per replica
    num_train, num_val = feed.num_records("train"), feed.num_records("val")
    progress.start(f"epoch {epoch}/{options.epochs}", total=num_train + num_val, unit="records")
    trained = memory.standing.trained
    if trained is None:
        trained = passes.train(memory, progress)
    else:
        progress.advance(num_train)
    seconds = memory.standing.seconds
    val: Mapping[str, float] = {}
    if num_val:
        val = passes.validate(memory)
        progress.advance(num_val)
    progress.finish()
    return EpochRecord(
        epoch=epoch,
        loss=trained["loss"],
        metric=trained[metric],
        val_loss=val.get("loss"),
        val_metric=val.get(metric),
        learning_rate=float(convert_to_numpy(passes.network.optimizer.learning_rate)),
        seconds=seconds,
        records_per_second=feed.records_of_steps(feed.num_steps) / seconds,
    )
