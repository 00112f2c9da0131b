"""The use case `train`: check → build → epochs → figures → publish.

`options` is what can be asked; `workers` are who trains together, `feed` gives them batches; `building` makes
the network, with `optimizer` and `balance`; `loop` runs the epochs by `passes` over the data, or by those of
`distributed`; `history` records them, `continuing` remembers where they stand; `evaluation` judges the
network, `advice` warns, `output` writes it down. This module is the straight line through them.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.errors import DivergedError, OptionError
from pipeline.loader import check_dataset
from pipeline.models.description import MODEL_NAME
from pipeline.models.inputs import inputs_of
from pipeline.models.target import target_of
from pipeline.progress import SILENT
from pipeline.storage import staging
from pipeline.train import output as outputs
from pipeline.train.advice import advice
from pipeline.train.balance import class_weights_of
from pipeline.train.building import Task, build
from pipeline.train.continuing import Continuing, describe_request
from pipeline.train.distributed import DistributedPasses
from pipeline.train.evaluation import metrics_of
from pipeline.train.feed import Feed
from pipeline.train.history import EventLog
from pipeline.train.interval import Interval, parse_interval
from pipeline.train.loop import run_epochs
from pipeline.train.options import TrainOptions, default_options, parse_layers, parse_steps
from pipeline.train.passes import FitPasses
from pipeline.train.workers import gather_workers, losses_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.manifest import Manifest
    from pipeline.progress import Progress
    from pipeline.storage import Staging
    from pipeline.train.building import Networks
    from pipeline.train.evaluation import Metrics
    from pipeline.train.history import EpochRecord
    from pipeline.train.passes import Passes
    from pipeline.train.workers import Workers

__all__ = [
    "TrainOptions",
    "TrainSummary",
    "default_options",
    "parse_interval",
    "parse_layers",
    "parse_steps",
    "train",
]

EVALUATION_BATCH = 8192  # records: twice the rate of 1,024, where no gradient asks for small steps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """What came of a training; `split` is the one that `metrics` are of.

    Of `world_size` workers, that of rank 0 wrote the output.
    """

    output: Path
    split: str
    metrics: Metrics
    history: tuple[EpochRecord, ...]
    best_epoch: int
    num_parameters: int
    rank: int
    world_size: int
    warnings: tuple[str, ...]
    seconds: float


def train(shards: Path, output: Path, options: TrainOptions, *, progress: Progress = SILENT) -> TrainSummary:
    """Train a network on the dataset in `shards` and write it, with its history and figures, to `output`.

    The order of records and the first weights are functions of the seed. Atomic: `output` is absent, or
    whole. Interrupted or killed, or when the loss diverges, the best model so far and a checkpoint stay in
    `<output>.incomplete/`: the same call continues there.

    Raises:
        UsageError: `output` exists, or an unfinished training is there that was asked for something else.
        DatasetError: there is no dataset, a shard is damaged, or the loss became NaN.
        LabelError: the train split holds fewer than two classes.
        MissingExtraError: TensorFlow, Keras or matplotlib is not installed.
        WorkersLostError: one of the workers that train together is gone.
        BusyError: another process writes to the same output.
    """
    begin = time.monotonic()
    outputs.check_output(output, overwrite=options.overwrite)
    manifest = check_dataset(shards)
    target = target_of(manifest)
    workers = gather_workers(options.strategy)
    feed = _feed(shards, manifest, options, workers)
    task = Task(
        inputs=inputs_of(manifest),
        target=target,
        class_weights=class_weights_of(feed, options),
        num_steps=feed.num_steps,
    )
    work = _Work(feed=feed, task=task, options=options, workers=workers, progress=progress)
    backend.load(progress)
    with (
        backend.known_warnings_ignored(),
        losses_told(workers.world_size),
        _places(output, workers) as places,
    ):
        result = _train(work, *places)
    return TrainSummary(
        output=output,
        split=result.split,
        metrics=result.metrics,
        history=result.history,
        best_epoch=result.best.epoch,
        num_parameters=result.num_parameters,
        rank=workers.rank,
        world_size=workers.world_size,
        warnings=tuple(advice(feed, options, result.metrics, split=result.split)),
        seconds=time.monotonic() - begin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What every step of a training needs."""

    feed: Feed
    task: Task
    options: TrainOptions
    workers: Workers
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Result:
    """What the epochs came to."""

    history: tuple[EpochRecord, ...]
    best: EpochRecord
    split: str
    metrics: Metrics
    num_parameters: int


def _feed(shards: Path, manifest: Manifest, options: TrainOptions, workers: Workers) -> Feed:
    workers.check_batch_size(options.batch_size)
    feed = Feed(
        shards=shards,
        manifest=manifest,
        shard_format=options.shard_format,
        batch_size=options.batch_size // workers.world_size,
        seed=options.seed,
        rank=workers.rank,
        world_size=workers.world_size,
        same_steps=workers.strategy is not None,
    )
    if not feed.num_steps:
        hint = "pass a smaller --batch-size, or train without --strategy"
        num_records = feed.num_records("train")
        raise OptionError(f"--batch-size {options.batch_size}: the train split has {num_records}", hint=hint)
    return feed


@contextmanager
def _places(output: Path, workers: Workers) -> Iterator[tuple[Path, Path | None]]:
    """Yield where the model goes, and where what must be remembered goes, None for: beside it.

    Of several workers the chief alone writes, and none can be continued: the others would have to stand at
    the same step.
    """
    if workers.world_size == 1:
        yield output, None
        return
    with tempfile.TemporaryDirectory() as folder:
        yield output if workers.is_chief else Path(folder) / "model", Path(folder)


def _train(work: _Work, output: Path, scratch: Path | None) -> _Result:
    options, every = work.options, Interval() if scratch else work.options.checkpoint_every
    request = describe_request(work.feed.manifest, options)
    with staging(output, resumable=True) as stage:
        memory = Continuing(scratch or stage.folder, request, every)
        try:
            if not memory.resume():
                stage.begin()
            networks = build(work.task, options, work.workers)
            passes = _passes(networks, work)
            history, best = _run_epochs(networks, passes, work, memory, stage.dataset)
            result = _evaluate(networks, work, history, best)
            final = outputs.final_figures(
                result.split, work.feed.num_records(result.split), best, result.metrics
            )
            outputs.write_figures(stage.dataset, history, best, work.task.target.metric, final)
            stage.publish()
            passes.wait()
        except BaseException as error:
            if not memory.exists:
                stage.discard()  # nothing has been learned that could be continued
            if isinstance(error, DivergedError):
                raise _with_hint(error, stage) from None
            raise
    return result


def _passes(networks: Networks, work: _Work) -> Passes:
    strategy = work.workers.strategy
    if strategy is None:
        return FitPasses(networks, work.feed)
    return DistributedPasses(networks, work.feed, strategy)


def _run_epochs(
    networks: Networks, passes: Passes, work: _Work, memory: Continuing, folder: Path
) -> tuple[tuple[EpochRecord, ...], EpochRecord]:
    # Written anew from the history: it may hold an epoch that came after the checkpoint.
    shutil.rmtree(folder / outputs.LOGS_NAME, ignore_errors=True)
    folder.mkdir(exist_ok=True)

    def keep(_record: EpochRecord) -> None:
        outputs.write_model(folder, networks.update_local(), work.feed.manifest, work.options)

    metric = work.task.target.metric
    log = EventLog(folder / outputs.LOGS_NAME, metric)
    return run_epochs(
        passes, work.options, memory, metric=metric, keep=keep, log=log.add, progress=work.progress
    )


def _evaluate(
    networks: Networks, work: _Work, history: tuple[EpochRecord, ...], best: EpochRecord
) -> _Result:
    """Return the result with the metrics of the model that is saved, on test if it has records."""
    feed = dataclasses.replace(work.feed.alone(), batch_size=EVALUATION_BATCH)
    split = next(name for name in ("test", "val", "train") if feed.num_records(name))
    work.progress.start(f"evaluating on {split}", total=feed.num_records(split), unit="records")
    network = networks.update_local()
    metrics = metrics_of(network, feed.reader(split), work.progress)
    work.progress.finish()
    return _Result(
        history=history, best=best, split=split, metrics=metrics, num_parameters=network.count_params()
    )


def _with_hint(error: DivergedError, stage: Staging) -> DivergedError:
    hint = "lower --learning-rate"
    if stage.folder.exists():
        hint += f", after: rm -r {stage.folder}"
    if (kept := stage.dataset / MODEL_NAME).exists():
        hint += f"; the best model so far is {kept}"
    return DivergedError(error.message, hint=hint)
