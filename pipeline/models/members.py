"""Owns how a network of several members is judged: each by a loss of its own, all together by their mean.

Trained by the loss of their mean, members would lean on each other and be worth hardly more than one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras
    from tensorflow import Tensor

    from pipeline.models.loss import Loss
    from pipeline.models.target import Target


def mean_of_losses(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the mean of `loss` over members: labels (batch,), scores (batch, members, units) → (batch,).

    Source: Gorishniy et al. (2025), "TabM: Advancing Tabular Deep Learning with Parameter-Efficient
    Ensembling", section 3.
    """
    tf, keras = backend.tensorflow(), backend.keras()
    of_one = keras.losses.get(loss)

    def member_loss(label: Tensor, predicted: Tensor) -> Tensor:
        members, units = predicted.shape[1:]
        labels = tf.repeat(tf.reshape(label, [-1, 1]), members, axis=0)
        losses = of_one(labels, tf.reshape(predicted, [-1, units]))
        return tf.reduce_mean(tf.reshape(losses, [-1, members]), axis=1)

    return member_loss


def metric_of_mean(target: Target) -> keras.metrics.Metric:
    """Return the metric of `target` for the mean of the members' predictions."""
    tf, metrics = backend.tensorflow(), backend.keras().metrics
    of_one = {
        "binary_crossentropy": metrics.binary_accuracy,
        "sparse_categorical_crossentropy": metrics.sparse_categorical_accuracy,
        "mean_squared_error": metrics.mean_absolute_error,
    }[target.loss]

    def member_metric(label: Tensor, predicted: Tensor) -> Tensor:
        return of_one(tf.reshape(label, [-1, 1]), tf.reduce_mean(predicted, axis=1))

    return metrics.MeanMetricWrapper(member_metric, name=target.metric)
