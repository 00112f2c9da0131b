"""Owns what a user can ask of a training, checked without the dataset; imports no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import OptionError, nearest
from pipeline.train.interval import DEFAULT_SECONDS, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.plan import ShardFormat

ACTIVATIONS = ("relu", "elu", "selu", "gelu", "silu", "mish", "leaky_relu", "tanh", "sigmoid", "softplus")
OPTIMIZERS = ("adam", "adamw", "adamax", "nadam", "lion", "rmsprop", "sgd", "adagrad", "adadelta")

REPORT_LAYERS = (500, 400, 300, 200, 100)  # the network of the report this project starts from


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything a user can ask of a training; the defaults are those of the command line.

    `patience` is the number of epochs without a better validation loss after which training stops, 0 for
    never; the weights of the best epoch are kept in any case. `deterministic` has TensorFlow use only
    operations whose results do not depend on the timing of threads, for the rest of the process. `jit`
    compiles the network with XLA. `checkpoint_every` is how much of an epoch a crash may cost.
    """

    layers: tuple[int, ...] = REPORT_LAYERS
    activation: str = "relu"
    batch_norm: bool = True
    dropout: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 1024
    epochs: int = 30
    patience: int = 3
    seed: int = 42
    shard_format: ShardFormat | None = None
    jit: bool = False
    deterministic: bool = False
    checkpoint_every: Interval = field(default_factory=lambda: Interval(seconds=DEFAULT_SECONDS))
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of its range, or unknown.
        """
        if any(units < 1 for units in self.layers):
            raise OptionError(f"--layers {','.join(map(str, self.layers))}: expected sizes of at least 1")
        _check_name("--activation", self.activation, ACTIVATIONS)
        _check_name("--optimizer", self.optimizer, OPTIMIZERS)
        if not 0 <= self.dropout < 1:
            raise OptionError(f"--dropout {self.dropout}: expected 0 <= dropout < 1")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise OptionError(f"--learning-rate {self.learning_rate}: expected a number above 0")
        for flag, value, least in (
            ("--batch-size", self.batch_size, 1),
            ("--epochs", self.epochs, 1),
            ("--patience", self.patience, 0),
        ):
            if value < least:
                raise OptionError(f"{flag} {value}: expected at least {least}")
        if self.jit and self.deterministic:
            raise OptionError("--jit and --deterministic exclude each other", hint="pass one of them")
        if not 0 <= self.seed < 1 << 32:
            raise OptionError(f"--seed {self.seed}: expected 0 <= seed < 2**32")


def parse_layers(text: str) -> tuple[int, ...]:
    """Return the layer sizes of "500,400,300"; an empty text means no hidden layer.

    >>> parse_layers("64, 32")
    (64, 32)

    Raises:
        OptionError: not whole numbers divided by commas.
    """
    try:
        return tuple(int(size) for size in text.split(",")) if text.strip() else ()
    except ValueError:
        raise OptionError(f"--layers {text}: not sizes", hint="write them as --layers 500,400,300") from None


def _check_name(flag: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        raise OptionError(f"{flag} {name}: unknown", hint=hint)
