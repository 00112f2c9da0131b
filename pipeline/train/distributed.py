"""Owns the passes of a training on several replicas of the network: more devices, or more processes.

Every replica reads records of its own, and each step changes all replicas by the mean of their gradients, so
they stay equal. `tf.distribute` does the exchange; the loop over steps is ours, because the `fit` of Keras 3
cannot have several workers. What Keras leaves to each replica, the running moments of batch normalization, is
averaged at the end of an epoch. Neighbours: `workers` knows who takes part, `passes` does this on one device.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import backend
from pipeline.loader.batches import NUM_THREADS
from pipeline.loader.tfdata import to_dataset
from pipeline.train.feed import own_errors
from pipeline.train.passes import check_finite, checked, evaluate, name_of_steps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import keras
    import tensorflow as tf

    from pipeline.loader.reader import Reader
    from pipeline.progress import Progress
    from pipeline.train.building import Networks
    from pipeline.train.continuing import Continuing
    from pipeline.train.feed import Feed

    Arrays = list[np.ndarray[Any, Any]]


class DistributedPasses:
    """Passes of one of the workers."""

    def __init__(self, networks: Networks, feed: Feed, strategy: tf.distribute.Strategy) -> None:
        self.network = networks.trained
        self.feed = feed
        self._networks = networks
        self._strategy = strategy
        function = backend.tensorflow().function
        self._step = function(self._replicated_step)
        self._mean = function(self._replicated_mean)

    def train(self, memory: Continuing, progress: Progress) -> Mapping[str, float]:
        """Train to the end of the epoch, named from 1 and drawn from 0; all workers return the same figures.

        Raises:
            DivergedError: the loss became NaN or infinite; on all workers, at the same step.
            ShardError: a shard is damaged.
        """
        network, feed = self.network, self.feed
        epoch, first = memory.standing.epoch, memory.standing.num_batches
        begin = time.perf_counter() - memory.standing.seconds
        reader = feed.train_reader(epoch=epoch - 1, first_batch=first)
        progress.advance(feed.records_of_steps(first))
        network.reset_metrics()
        memory.restore_metrics(network)

        def run_steps() -> None:
            for step, batch in enumerate(self._shares(reader), start=first + 1):
                check_finite(float(self._step(batch)), name_of_steps(epoch, step, step))
                progress.advance(feed.records_of_steps(step) - feed.records_of_steps(step - 1))
                if step < feed.num_steps:
                    memory.batch_done(network, num_batches=step, seconds=time.perf_counter() - begin)

        own_errors(reader, run_steps)
        progress.advance(feed.num_records("train") - feed.records_of_steps(feed.num_steps))
        self._agree()
        trained = {name: float(value) for name, value in network.get_metrics_result().items()}
        memory.batches_done(network, trained, seconds=time.perf_counter() - begin)
        return trained

    def validate(self, memory: Continuing) -> Mapping[str, float]:
        """Judge the network on the validation split, each worker on its share of the records.

        Raises:
            DivergedError: the loss is NaN or infinite.
            ShardError: a shard is damaged.
        """
        evaluate(self._networks, self.feed, memory)
        local = self._networks.local
        # Each figure is a total divided by a count: the means of both over the workers give that of all.
        self._assign(local.metrics_variables)
        return checked({name: float(value) for name, value in local.get_metrics_result().items()}, memory)

    def wait(self) -> None:
        """Return when all workers have come here."""
        self._mean([np.zeros(1, np.float32)])

    def _shares(self, reader: Reader) -> Iterable[Any]:
        """Return the batches of this worker, divided among its replicas."""
        tensorflow = backend.tensorflow()
        num_here = self._strategy.num_replicas_in_sync // self.feed.world_size
        options = tensorflow.data.Options()
        # A worker reads its share already; TensorFlow must not divide it again.
        options.experimental_distribute.auto_shard_policy = tensorflow.data.experimental.AutoShardPolicy.OFF
        batches = to_dataset(reader, num_threads=NUM_THREADS)
        shares = batches.rebatch(self.feed.batch_size // num_here).with_options(options)
        distributed: Iterable[Any] = self._strategy.distribute_datasets_from_function(lambda _: shares)
        return distributed

    def _agree(self) -> None:
        """Give all replicas the same values of what no gradient changes."""
        self._assign([v for v in self.network.non_trainable_variables if v.dtype == "float32"])

    def _assign(self, variables: Sequence[keras.Variable]) -> None:
        """Give variables the mean of their values over the workers."""
        means = self._mean([variable.value for variable in variables])
        for variable, mean in zip(variables, means, strict=True):
            variable.assign(self._strategy.experimental_local_results(mean)[0])

    def _replicated_step(self, batch: Any) -> tf.Tensor:  # noqa: ANN401  # tensors, one for each replica
        figures = self._strategy.run(self.network.train_step, args=(batch,))
        return self._strategy.reduce("MEAN", figures["loss"], axis=None)

    def _replicated_mean(self, values: list[Any]) -> Any:  # noqa: ANN401  # tensors, one for each replica
        distribute = backend.tensorflow().distribute

        def mean(tensors: list[tf.Tensor]) -> list[tf.Tensor]:
            context = distribute.get_replica_context()
            return [context.all_reduce(distribute.ReduceOp.MEAN, tensor + 0) for tensor in tensors]

        return self._strategy.run(mean, args=(values,))
