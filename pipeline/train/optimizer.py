"""Owns how weights are changed: the optimizer, its learning rate over the steps, and its weight decay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend

if TYPE_CHECKING:
    import keras

    from pipeline.train.options import TrainOptions


def optimizer_of(network: keras.Model, options: TrainOptions, num_steps: int) -> keras.optimizers.Optimizer:
    """Return the optimizer for `network`, whose schedule ends after `num_steps` steps.

    Weight decay is that of the matrices alone: biases, and the scales and offsets of normalization, are none.
    float16 gradients are computed of a scaled loss, and a step whose gradients overflow is left out.

    Source: Loshchilov & Hutter (2019), "Decoupled Weight Decay Regularization"; Micikevicius et al. (2018),
    "Mixed Precision Training".
    """
    optimizers = backend.keras().optimizers
    kind = type(optimizers.get(options.optimizer))
    # None means none to all of them but AdamW, which wants a number.
    decay = options.decay if options.optimizer == "adamw" else options.decay or None
    optimizer = kind(learning_rate=_learning_rate(options, num_steps), weight_decay=decay)
    if options.decay:
        others = [variable for variable in network.trainable_variables if variable.name != "kernel"]
        optimizer.exclude_from_weight_decay(var_list=others)
    if options.precision == "mixed_float16":
        optimizer = optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _learning_rate(
    options: TrainOptions, num_steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the rate, or how it rises over the warm-up and then stays, or falls to 0 as a cosine.

    Source: Loshchilov & Hutter (2017), "SGDR: Stochastic Gradient Descent with Warm Restarts", equation 5;
    Goyal et al. (2017), "Accurate, Large Minibatch SGD", section 2.2.
    """
    warmup_steps = options.warmup_steps(num_steps)
    if options.schedule == "constant" and not warmup_steps:
        return options.learning_rate
    return backend.keras().optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else options.learning_rate,
        decay_steps=max(1, num_steps - warmup_steps),
        alpha=1.0 if options.schedule == "constant" else 0.0,  # of the rate is what the cosine ends at
        warmup_target=options.learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
