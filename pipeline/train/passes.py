"""Owns one pass over the train split, and one over validation, by Keras' own `fit` and `evaluate`.

Nothing of the loop over batches runs in Python but one callback after every step, or after every few.
Neighbours: `loop` asks for the passes, `distributed` does the same on several replicas.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline import backend
from pipeline.errors import DivergedError
from pipeline.loader.batches import NUM_THREADS
from pipeline.loader.tfdata import to_dataset
from pipeline.train.feed import own_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from pipeline.progress import Progress
    from pipeline.train.building import Networks
    from pipeline.train.continuing import Continuing
    from pipeline.train.feed import Feed


class Passes(Protocol):
    """What `loop` needs; both return the figures, by name, of the whole split."""

    network: keras.Model
    feed: Feed

    def train(self, memory: Continuing, progress: Progress) -> Mapping[str, float]:
        """Train to the end of the epoch in which `memory` stands."""

    def validate(self, memory: Continuing) -> Mapping[str, float]:
        """Judge the network as it is."""

    def wait(self) -> None:
        """Return when all workers have come here."""


class FitPasses:
    """Passes on one device."""

    def __init__(self, networks: Networks, feed: Feed) -> None:
        self.network = networks.trained
        self.feed = feed
        self._networks = networks

    def train(self, memory: Continuing, progress: Progress) -> Mapping[str, float]:
        """Train to the end of the epoch, named from 1 and drawn from 0.

        Raises:
            DivergedError: the loss became NaN or infinite.
            ShardError: a shard is damaged.
        """
        network, feed = self.network, self.feed
        epoch, first = memory.standing.epoch, memory.standing.num_batches
        begin = time.perf_counter() - memory.standing.seconds
        reader = feed.train_reader(epoch=epoch - 1, first_batch=first)
        done = first
        progress.advance(feed.records_of_steps(done))

        def begin_epoch(_epoch: int, logs: object) -> None:
            del logs
            memory.restore_metrics(network)

        def after_steps(last_index: int, logs: Mapping[str, float]) -> None:
            nonlocal done
            before, done = done, min(first + last_index + 1, feed.num_steps)
            check_finite(logs["loss"], name_of_steps(epoch, before + 1, done))
            progress.advance(feed.records_of_steps(done) - feed.records_of_steps(before))
            if done < feed.num_steps:  # after the last one, the figures of the epoch are noted too
                memory.batch_done(network, num_batches=done, seconds=time.perf_counter() - begin)

        callback = backend.keras().callbacks.LambdaCallback(
            on_epoch_begin=begin_epoch, on_train_batch_end=after_steps
        )
        # `shuffle` is about arrays: the batches have their order already, and Keras warns unless told.
        options = {"initial_epoch": epoch - 1, "epochs": epoch, "shuffle": False, "callbacks": [callback]}
        history = own_errors(
            reader,
            lambda: network.fit(to_dataset(reader, num_threads=NUM_THREADS), verbose=0, **options),
        )
        trained = {name: float(values[-1]) for name, values in history.history.items()}
        memory.batches_done(network, trained, seconds=time.perf_counter() - begin)
        return trained

    def validate(self, memory: Continuing) -> Mapping[str, float]:
        """Judge the network on the validation split.

        Raises:
            DivergedError: the loss is NaN or infinite.
            ShardError: a shard is damaged.
        """
        return checked(evaluate(self._networks, self.feed, memory), memory)

    def wait(self) -> None:
        """Return at once: there is one worker."""


def evaluate(networks: Networks, feed: Feed, memory: Continuing) -> Mapping[str, float]:
    """Return the figures of the local network on the worker's share of validation, {} if that is empty.

    Raises:
        ShardError: a shard is damaged.
    """
    network = networks.update_local()
    network.reset_metrics()
    reader = feed.reader("val", epoch=memory.standing.epoch - 1)
    if not reader.num_batches:
        return {}

    def after_batch(_batch_index: int, logs: object) -> None:
        del logs
        memory.check_interrupted(networks.trained)

    callback = backend.keras().callbacks.LambdaCallback(on_test_batch_end=after_batch)
    options = {"verbose": 0, "return_dict": True, "callbacks": [callback]}
    figures = own_errors(
        reader, lambda: network.evaluate(to_dataset(reader, num_threads=NUM_THREADS), **options)
    )
    return {name: float(value) for name, value in figures.items()}


def checked(figures: Mapping[str, float], memory: Continuing) -> Mapping[str, float]:
    """Return the figures of a validation.

    Raises:
        DivergedError: the loss is NaN or infinite.
    """
    check_finite(figures["loss"], f"epoch {memory.standing.epoch}, validation")
    return figures


def name_of_steps(epoch: int, first: int, last: int) -> str:
    """Return how messages name the steps [first, last] of an epoch, all counted from 1."""
    return f"epoch {epoch}, " + (f"step {last}" if first == last else f"steps {first} to {last}")


def check_finite(loss: float, place: str) -> None:
    """Raise if the loss is no finite number.

    Raises:
        DivergedError: it is not.
    """
    if not math.isfinite(loss):
        raise DivergedError(f"{place}: the loss is {loss}")


def check_weights(network: keras.Model, epoch: int) -> None:
    """Raise if a weight is no finite number: without validation records, nothing else would show it.

    Raises:
        DivergedError: one is not.
    """
    if not all(np.isfinite(weights).all() for weights in network.get_weights()):
        raise DivergedError(f"epoch {epoch}, after its last step: a weight is not finite")
