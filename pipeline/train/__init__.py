"""The use case `train`: check → build → epochs → figures → publish.

`options` is what can be asked, `loop` runs the epochs, `history` records them, `continuing` remembers where
they stand in case they are interrupted, `evaluation` judges the network, `output` writes it down. This module
is the straight line through them.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.errors import DivergedError
from pipeline.loader import check_dataset
from pipeline.models import dense
from pipeline.models.description import MODEL_NAME
from pipeline.models.target import target_of
from pipeline.progress import SILENT
from pipeline.storage import staging
from pipeline.train import output as outputs
from pipeline.train.continuing import Continuing, describe_request
from pipeline.train.evaluation import metrics_of
from pipeline.train.history import EventLog
from pipeline.train.interval import parse_interval
from pipeline.train.loop import Feed, run_epochs
from pipeline.train.options import TrainOptions, parse_layers

if TYPE_CHECKING:
    from pathlib import Path

    import keras

    from pipeline.manifest import Manifest
    from pipeline.models.target import Target
    from pipeline.progress import Progress
    from pipeline.storage import Staging
    from pipeline.train.evaluation import Metrics
    from pipeline.train.history import EpochRecord

__all__ = ["TrainOptions", "TrainSummary", "parse_interval", "parse_layers", "train"]

EVALUATION_BATCH = 8192  # records: twice the rate of 1,024, where no gradient asks for small steps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSummary:
    """What came of a training; `split` is the one that `metrics` are of."""

    output: Path
    split: str
    metrics: Metrics
    history: tuple[EpochRecord, ...]
    best_epoch: int
    num_parameters: int
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
        BusyError: another process writes to the same output.
    """
    begin = time.monotonic()
    outputs.check_output(output, overwrite=options.overwrite)
    manifest = check_dataset(shards)
    work = _Work(
        manifest=manifest,
        feed=Feed(
            shards=shards,
            manifest=manifest,
            shard_format=options.shard_format,
            batch_size=options.batch_size,
            seed=options.seed,
        ),
        options=options,
        target=target_of(manifest),
        progress=progress,
    )
    with backend.known_warnings_ignored(), staging(output, resumable=True) as stage:
        memory = Continuing(stage.folder, describe_request(manifest, options), options.checkpoint_every)
        try:
            if not memory.resume():
                stage.begin()
            network = _build(work)
            history, best = _run_epochs(network, work, memory, stage.dataset)
            split, metrics = _evaluate(network, work)
            final = outputs.final_figures(split, work.feed.num_records(split), best, metrics)
            outputs.write_figures(stage.dataset, history, best, work.target.metric, final)
            stage.publish()
        except BaseException as error:
            if not memory.exists:
                stage.discard()  # nothing has been learned that could be continued
            if isinstance(error, DivergedError):
                raise _with_hint(error, stage) from None
            raise
    return TrainSummary(
        output=output,
        split=split,
        metrics=metrics,
        history=history,
        best_epoch=best.epoch,
        num_parameters=network.count_params(),
        warnings=_warnings(work),
        seconds=time.monotonic() - begin,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What every step of a training needs."""

    manifest: Manifest
    feed: Feed
    options: TrainOptions
    target: Target
    progress: Progress


def _build(work: _Work) -> keras.Model:
    """Return the network with its first weights, compiled."""
    tf, keras = backend.tensorflow(), backend.keras()
    options, target = work.options, work.target
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    network = dense.build(
        len(work.manifest.features),
        target,
        layers=options.layers,
        activation=options.activation,
        batch_norm=options.batch_norm,
        dropout=options.dropout,
    )
    optimizer = {"class_name": options.optimizer, "config": {"learning_rate": options.learning_rate}}
    network.compile(
        optimizer=keras.optimizers.get(optimizer),
        loss=target.loss,
        loss_weights=target.loss_scale,
        weighted_metrics=[target.metric],
        jit_compile=options.jit,
    )
    return network


def _run_epochs(
    network: keras.Model, work: _Work, memory: Continuing, folder: Path
) -> tuple[tuple[EpochRecord, ...], EpochRecord]:
    # Written anew from the history: it may hold an epoch that came after the checkpoint.
    shutil.rmtree(folder / outputs.LOGS_NAME, ignore_errors=True)
    folder.mkdir(exist_ok=True)

    def keep(_record: EpochRecord) -> None:
        outputs.write_model(folder, network, work.manifest, work.options)

    log = EventLog(folder / outputs.LOGS_NAME, work.target.metric)
    return run_epochs(
        network,
        work.feed,
        work.options,
        memory,
        metric=work.target.metric,
        keep=keep,
        log=log.add,
        progress=work.progress,
    )


def _evaluate(network: keras.Model, work: _Work) -> tuple[str, Metrics]:
    """Return the split that is judged, test if it has records, and the metrics on it."""
    split = next(name for name in ("test", "val", "train") if work.feed.num_records(name))
    feed = dataclasses.replace(work.feed, batch_size=EVALUATION_BATCH)
    work.progress.start(f"evaluating on {split}", total=work.feed.num_records(split), unit="records")
    metrics = metrics_of(network, feed.reader(split), work.progress)
    work.progress.finish()
    return split, metrics


def _warnings(work: _Work) -> tuple[str, ...]:
    warnings = []
    if not work.feed.num_records("val"):
        warnings.append("no validation records: early stopping is off, the last epoch is kept")
    if not work.feed.num_records("test"):
        used = "validation" if work.feed.num_records("val") else "train"
        warnings.append(f"no test records: the metrics are of the {used} split")
    return tuple(warnings)


def _with_hint(error: DivergedError, stage: Staging) -> DivergedError:
    hint = "lower --learning-rate"
    if stage.folder.exists():
        hint += f", after: rm -r {stage.folder}"
    if (kept := stage.dataset / MODEL_NAME).exists():
        hint += f"; the best model so far is {kept}"
    return DivergedError(error.message, hint=hint)
