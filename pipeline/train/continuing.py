"""Owns what an unfinished training remembers, and how it goes on: at the next batch, to the same weights.

    model.incomplete/
      checkpoint.npz   where the training stands, every variable, and what the training was asked for
      dataset/         the best model so far; becomes the target

A checkpoint holds all that the batches to come depend on: the variables of the network (with the states of
its random generators), of the optimizer and of the running metrics; the history; the weights of the best
epoch. The order of the records is arithmetic, so the number of batches done says where to read on.

Neighbours: `loop` tells after every batch what is done, `checkpoint` is the file.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import OptionsChangedError
from pipeline.train.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from pipeline.train.history import EpochRecord
from pipeline.train.output import RUN_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

    import keras
    from numpy.typing import NDArray

    from pipeline.manifest import Manifest
    from pipeline.train.interval import Interval
    from pipeline.train.options import TrainOptions

    Arrays = dict[str, NDArray[Any]]
    Handler = Callable[[int, FrameType | None], Any]

CHECKPOINT_NAME = "checkpoint.npz"
CHECKPOINT_VERSION = 1
PACKAGES = ("keras", "numpy", "tensorflow")  # of another version they may draw and round otherwise
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a training stands: `num_batches` batches of `epoch`, counted from 1, are done.

    `trained` are the figures of the train split once all batches of the epoch are done, `seconds` is what
    they took so far. `best_epoch` is 0 before the first epoch has ended.
    """

    epoch: int = 1
    num_batches: int = 0
    seconds: float = 0.0
    trained: Mapping[str, float] | None = None
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0

    @property
    def best(self) -> EpochRecord | None:
        """The best epoch so far."""
        return self.history[self.best_epoch - 1] if self.best_epoch else None


class Continuing:
    """The memory of a training in its staging folder: restores it, and writes it whenever that is due."""

    def __init__(self, folder: Path, request: dict[str, Any], every: Interval) -> None:
        self._path = folder / CHECKPOINT_NAME
        self._request = request
        self._every = every
        self._arrays: Arrays = {}
        self._best_weights: list[NDArray[Any]] = []
        self._written_at = time.monotonic()
        self._batches_since = 0
        self._interruption: Callable[[], object] | None = None
        self.standing = Standing()

    def resume(self) -> bool:
        """Take up what an earlier process left; return False if there is nothing to take up.

        Raises:
            OptionsChangedError: it was started with other options, data or packages; they are listed.
            ModelError: the checkpoint is damaged.
        """
        checkpoint = read_checkpoint(self._path)
        if checkpoint is None:
            return False
        _check_same(checkpoint.tree["request"], self._request, self._path.parent)
        tree = checkpoint.tree["standing"]
        history = tuple(EpochRecord(**record) for record in tree.pop("history"))
        self.standing = Standing(history=history, **tree)
        self._arrays = dict(checkpoint.arrays)
        self._best_weights = self._taken("best")
        return True

    @property
    def exists(self) -> bool:
        """Whether there is a checkpoint on disk."""
        return self._path.exists()

    def restore_best(self, network: keras.Model) -> None:
        """Give `network` the weights of the best epoch."""
        network.set_weights(self._best_weights)

    def restore(self, network: keras.Model) -> None:
        """Give a compiled network and its optimizer the values they had; without any, do nothing."""
        if self._arrays:
            network.optimizer.build(network.trainable_variables)
            _assign(network.variables, self._taken("model"))
            _assign(network.optimizer.variables, self._taken("optimizer"))

    def restore_metrics(self, network: keras.Model) -> None:
        """Give the running metrics of an interrupted epoch their values; Keras has just reset them."""
        if values := self._taken("metrics"):
            if len(network.metrics_variables) < len(values):
                _make_metrics(network)
            _assign(network.metrics_variables, values)

    def batch_done(self, network: keras.Model, *, num_batches: int, seconds: float) -> None:
        """Note that so many batches of the epoch are done, after so many seconds; write that if it is due."""
        self._batches_since += num_batches - self.standing.num_batches
        self.standing = dataclasses.replace(self.standing, num_batches=num_batches, seconds=seconds)
        self._write_if_due(network)

    def batches_done(self, network: keras.Model, trained: Mapping[str, float], *, seconds: float) -> None:
        """Note the figures of an epoch whose batches are all done; write them if that is due."""
        self._batches_since += 1  # the last one
        self.standing = dataclasses.replace(self.standing, trained=dict(trained), seconds=seconds)
        self._write_if_due(network)

    def epoch_done(self, network: keras.Model, record: EpochRecord, *, is_best: bool) -> None:
        """Note, and write in any case, that an epoch is done."""
        if is_best:
            self._best_weights = network.get_weights()
        self.standing = Standing(
            epoch=record.epoch + 1,
            history=(*self.standing.history, record),
            best_epoch=record.epoch if is_best else self.standing.best_epoch,
        )
        self._write(network)
        self.check_interrupted(network)

    def check_interrupted(self, network: keras.Model) -> None:
        """If a signal came, write where the training stands and let the signal do what it does."""
        if self._interruption is not None:
            self._write(network)
            self._interruption()

    @contextmanager
    def signals_held(self) -> Iterator[None]:
        """Hold Ctrl-C and SIGTERM within this block until a batch has ended; a second one acts at once."""
        if threading.current_thread() is not threading.main_thread():
            yield  # only the main thread is interrupted by signals
            return
        before: dict[int, Handler | int | None] = {number: signal.getsignal(number) for number in SIGNALS}

        def restore_handlers() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def hold(number: int, frame: FrameType | None) -> None:
            restore_handlers()
            self._interruption = lambda: _act(before[number], number, frame)

        for number, handler in before.items():
            if callable(handler):  # neither ignored nor left to the system
                signal.signal(number, hold)
        try:
            yield
        finally:
            restore_handlers()

    def _write_if_due(self, network: keras.Model) -> None:
        self.check_interrupted(network)
        if self._every.is_over(self._batches_since, time.monotonic() - self._written_at):
            self._write(network)

    def _write(self, network: keras.Model) -> None:
        groups = {"model": network.variables, "optimizer": network.optimizer.variables}
        if self.standing.num_batches and self.standing.trained is None:
            groups["metrics"] = network.metrics_variables
        arrays = {
            f"{group}/{index:04d}": variable.numpy()
            for group, variables in groups.items()
            for index, variable in enumerate(variables)
        }
        arrays |= {f"best/{index:04d}": weights for index, weights in enumerate(self._best_weights)}
        tree = {"request": self._request, "standing": dataclasses.asdict(self.standing)}
        write_checkpoint(self._path, Checkpoint(tree=tree, arrays=arrays))
        self._written_at, self._batches_since = time.monotonic(), 0

    def _taken(self, group: str) -> list[NDArray[Any]]:
        """Return the arrays of a group in their order, and forget them."""
        names = sorted(name for name in self._arrays if name.startswith(f"{group}/"))
        return [self._arrays.pop(name) for name in names]


def describe_request(manifest: Manifest, options: TrainOptions) -> dict[str, Any]:
    """Return what a training was asked for: one that differs in it cannot go on where the other stopped."""
    chosen = {name: value for name, value in dataclasses.asdict(options).items() if name not in RUN_OPTIONS}
    return {
        "checkpoint_version": CHECKPOINT_VERSION,
        "dataset": manifest.fingerprint,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in chosen.items()},
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def _check_same(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    names = [name for name in before | now if before.get(name) != now.get(name)]
    if names:
        listed = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in names)
        raise OptionsChangedError(
            f"an unfinished training is there: {listed}",
            path=str(folder),
            hint=f"run the command as it was, or start afresh: rm -r {folder}",
        )


def _make_metrics(network: keras.Model) -> None:
    # Keras makes their variables when it first sees a batch: two records of zeros will do.
    features, label = np.zeros((2, network.input_shape[-1]), np.float32), np.zeros(2, np.int64)
    network.compute_metrics(features, label, network(features, training=False))


def _assign(variables: Sequence[keras.Variable], values: Sequence[NDArray[Any]]) -> None:
    # In their order, which follows from the options; names carry counters of the process.
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _act(handler: Handler | int | None, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
