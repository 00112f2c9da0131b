"""Owns how a network comes to be: the one that is asked for, with its first weights, compiled for training.

The network that is trained may compute at half the precision, have members that are told apart, or exist in
several replicas. What is judged and saved is a copy of it that does none of this.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.models import dense, resnet
from pipeline.models.loss import loss_of
from pipeline.models.members import mean_of_losses, metric_of_mean
from pipeline.train.optimizer import optimizer_of

if TYPE_CHECKING:
    import keras

    from pipeline.models.inputs import Inputs
    from pipeline.models.target import Target
    from pipeline.train.options import TrainOptions
    from pipeline.train.workers import Workers

MAX_STEPS_PER_EXECUTION = 16
# On two cores XLA takes ten seconds to compile the default network for all shapes of a batch, and then saves
# 5 us a record.
JIT_RECORDS = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Networks:
    """`trained` is what learns; `local` has the same weights, and is what is judged and saved."""

    trained: keras.Model
    local: keras.Model

    def update_local(self) -> keras.Model:
        """Return the local network with the weights of the trained one."""
        self.local.set_weights(self.trained.get_weights())
        return self.local


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be learned: `num_steps` is the number of steps in an epoch."""

    inputs: Inputs
    target: Target
    class_weights: tuple[float, ...] | None
    num_steps: int


def build(task: Task, options: TrainOptions, workers: Workers) -> Networks:
    """Return the networks; the first weights are a function of the seed."""
    tf, keras = backend.tensorflow(), backend.keras()
    keras.utils.set_random_seed(options.seed)
    if options.deterministic:
        tf.config.experimental.enable_op_determinism()
    loss = loss_of(task.target, label_smoothing=options.label_smoothing, class_weights=task.class_weights)
    judged = {
        "loss": loss,
        "loss_weights": task.target.loss_scale,
        "weighted_metrics": [task.target.metric],
    }
    of_members = {"loss": mean_of_losses(loss), "weighted_metrics": [metric_of_mean(task.target)]}
    jit = _jit(task, options)
    with workers.strategy.scope() if workers.strategy else nullcontext():
        trained = network_of(task, options, precision=options.precision, apart=True)
        trained.compile(
            optimizer=optimizer_of(trained, options, task.num_steps * options.epochs),
            jit_compile=jit,
            steps_per_execution=_steps_per_execution(task, options),
            **(judged | of_members if options.model == "resnet" else judged),
        )
        if workers.strategy:
            _make_all_variables(trained, task.inputs.num_columns)
    local = network_of(task, options)
    local.compile(jit_compile=jit, **judged)
    return Networks(trained=trained, local=local)


def network_of(
    task: Task, options: TrainOptions, *, precision: str = "float32", apart: bool = False
) -> keras.Model:
    """Return the network that `--model` names, not compiled; with `apart` its members are told apart."""
    if options.model == "resnet":
        return resnet.build(
            task.inputs,
            task.target,
            layers=options.layers,
            members=options.members,
            activation=options.activation,
            dropout=options.dropout,
            precision=precision,
            apart=apart,
        )
    return dense.build(
        task.inputs,
        task.target,
        layers=options.layers,
        activation=options.activation,
        batch_norm=options.batch_norm,
        dropout=options.dropout,
        precision=precision,
    )


def _make_all_variables(network: keras.Model, num_columns: int) -> None:
    """Make the variables of optimizer and metrics: on several replicas the first step may not make them."""
    record, label = np.zeros((1, num_columns), np.float32), np.zeros(1, np.float32)
    predicted = network(record)
    network.optimizer.build(network.trainable_variables)
    network.compute_loss(record, label, predicted)
    network.compute_metrics(record, label, predicted)
    network.reset_metrics()


def _jit(task: Task, options: TrainOptions) -> bool:
    """Return whether XLA compiles the network: what was asked for, else whether that pays."""
    if options.jit is not None:
        return options.jit
    # On GPUs XLA needs libraries that need not be there; bfloat16 on processors it makes slower.
    is_fit = not options.deterministic and options.strategy == "none" and options.precision == "float32"
    num_records = task.num_steps * options.batch_size * options.epochs
    return (
        is_fit and num_records >= JIT_RECORDS and not backend.tensorflow().config.list_physical_devices("GPU")
    )


def _steps_per_execution(task: Task, options: TrainOptions) -> int:
    """Return how many steps run between two looks at the loss, at least twenty looks in an epoch."""
    if options.strategy != "none":
        return 1
    if options.steps_per_execution is not None:
        return options.steps_per_execution
    # A checkpoint can only be written between two looks.
    most = options.checkpoint_every.num_batches or MAX_STEPS_PER_EXECUTION
    return max(1, min(MAX_STEPS_PER_EXECUTION, most, task.num_steps // 20))
