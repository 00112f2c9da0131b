"""Owns the loss of classes whose labels are smoothed, or which do not count alike.

The plain losses are Keras' own, by name (`target`). A model file never holds a loss, so a function will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.models.target import TWO_CLASSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from tensorflow import Tensor

    from pipeline.models.target import Target

    Loss = str | Callable[[Tensor, Tensor], Tensor]


def loss_of(
    target: Target, *, label_smoothing: float = 0.0, class_weights: tuple[float, ...] | None = None
) -> Loss:
    """Return what Keras' `compile` takes as the loss: labels (batch,) and probabilities → (batch,).

    With `label_smoothing` s a record's own class is wanted with probability 1 - s + s / num_classes, every
    other one with s / num_classes. The loss of a record of class i is multiplied by `class_weights[i]`.

    Source: Szegedy et al. (2016), "Rethinking the Inception Architecture for Computer Vision", section 7.
    """
    if not label_smoothing and class_weights is None:
        return target.loss
    tf, keras = backend.tensorflow(), backend.keras()
    num_classes = max(TWO_CLASSES, target.units)

    def class_loss(label: Tensor, predicted: Tensor) -> Tensor:
        index = tf.cast(tf.reshape(label, [-1]), tf.int32)
        wanted = tf.one_hot(index, num_classes) * (1 - label_smoothing) + label_smoothing / num_classes
        if target.units == 1:
            loss = keras.losses.binary_crossentropy(wanted[:, 1:], predicted)
        else:
            loss = keras.losses.categorical_crossentropy(wanted, predicted)
        return loss if class_weights is None else loss * tf.gather(tf.constant(class_weights), index)

    return class_loss
