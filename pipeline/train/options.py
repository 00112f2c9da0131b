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

MODELS = ("dense", "resnet")
SCHEDULES = ("constant", "cosine")
CLASS_WEIGHTS = ("none", "balanced")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
STRATEGIES = ("none", "mirrored", "multiworker")

REPORT_LAYERS = (500, 400, 300, 200, 100)  # the network of the report this project starts from
FEW_STEPS = 32  # in an epoch. 4,000 records in 4 steps: stopped at a test accuracy of .62; in 62 steps: .76
LEAST_BATCH = 16  # records: the means of fewer are noise
ADAMW_DECAY = 0.004  # Keras' own default


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Everything a user can ask of a training; the defaults are those of the command line.

    `patience` is the number of epochs without a better validation loss after which training stops, 0 for
    never; the weights of the best epoch are kept in any case. `warmup` is a share of all steps, or from 1 on
    their number; `weight_decay` None stands for that of the optimizer. `batch_size` is that of all workers
    together. `steps_per_execution` is how many steps run between two looks at the loss, None for: as fits.
    `deterministic` has TensorFlow use only operations whose results do not depend on the timing of threads,
    for the rest of the process. `jit` compiles the network with XLA, None for: where that pays.
    `checkpoint_every` is how much of an epoch a crash may cost.
    """

    model: str = "dense"
    layers: tuple[int, ...] = REPORT_LAYERS
    members: int = 16
    activation: str = "relu"
    batch_norm: bool = True
    dropout: float = 0.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.0
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    class_weight: str = "none"
    batch_size: int = 1024
    epochs: int = 30
    patience: int = 3
    seed: int = 42
    shard_format: ShardFormat | None = None
    precision: str = "float32"
    jit: bool | None = None
    steps_per_execution: int | None = None
    deterministic: bool = False
    strategy: str = "none"
    checkpoint_every: Interval = field(default_factory=lambda: Interval(seconds=DEFAULT_SECONDS))
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of its range, or unknown.
        """
        if any(units < 1 for units in self.layers):
            raise OptionError(f"--layers {','.join(map(str, self.layers))}: expected sizes of at least 1")
        for flag, name, known in (
            ("--model", self.model, MODELS),
            ("--activation", self.activation, ACTIVATIONS),
            ("--optimizer", self.optimizer, OPTIMIZERS),
            ("--schedule", self.schedule, SCHEDULES),
            ("--class-weight", self.class_weight, CLASS_WEIGHTS),
            ("--precision", self.precision, PRECISIONS),
            ("--strategy", self.strategy, STRATEGIES),
        ):
            _check_name(flag, name, known)
        self._check_numbers()
        self._check_together()

    def _check_numbers(self) -> None:
        for flag, share in (("--dropout", self.dropout), ("--label-smoothing", self.label_smoothing)):
            if not 0 <= share < 1:
                raise OptionError(f"{flag} {share}: expected a share, 0 <= share < 1")
        if not (self.learning_rate > 0 and math.isfinite(self.learning_rate)):
            raise OptionError(f"--learning-rate {self.learning_rate}: expected a number above 0")
        if self.weight_decay is not None and not (
            self.weight_decay >= 0 and math.isfinite(self.weight_decay)
        ):
            raise OptionError(f"--weight-decay {self.weight_decay}: expected a number from 0 on")
        if not (0 <= self.warmup < 1 or (math.isfinite(self.warmup) and self.warmup == int(self.warmup))):
            hint = "write 0.05 for a twentieth of all steps, or 500 for so many"
            raise OptionError(f"--warmup {self.warmup}: neither a share nor a number of steps", hint=hint)
        for flag, value, least in (
            ("--members", self.members, 1),
            ("--batch-size", self.batch_size, 1),
            ("--epochs", self.epochs, 1),
            ("--patience", self.patience, 0),
            ("--steps-per-execution", 1 if self.steps_per_execution is None else self.steps_per_execution, 1),
        ):
            if value < least:
                raise OptionError(f"{flag} {value}: expected at least {least}")
        if not 0 <= self.seed < 1 << 32:
            raise OptionError(f"--seed {self.seed}: expected 0 <= seed < 2**32")

    def _check_together(self) -> None:
        if self.model == "resnet" and not self.layers:
            raise OptionError("--layers: a resnet needs at least one block", hint="pass --layers 32,32")
        excluded = [("--jit", bool(self.jit), "--deterministic", self.deterministic)]
        strategy = f"--strategy {self.strategy}"
        if self.strategy != "none":
            several_steps = self.steps_per_execution not in {None, 1}
            excluded += [
                ("--jit", bool(self.jit), strategy, True),
                (f"--steps-per-execution {self.steps_per_execution}", several_steps, strategy, True),
                (f"--precision {self.precision}", self.precision == "mixed_float16", strategy, True),
            ]
        for first, is_first, second, is_second in excluded:
            if is_first and is_second:
                raise OptionError(f"{first} and {second} exclude each other", hint="pass one of them")

    @property
    def decay(self) -> float:
        """The weight decay: what was asked for, else that of the optimizer."""
        if self.weight_decay is not None:
            return self.weight_decay
        return ADAMW_DECAY if self.optimizer == "adamw" else 0.0

    def smaller_batch(self, num_records: int) -> int | None:
        """Return a batch size to advise where early stopping may end a training that has hardly begun.

        None if an epoch over `num_records` has steps enough, or all epochs run in any case.
        """
        if not self.patience or num_records >= FEW_STEPS * self.batch_size:
            return None
        fitting = max(LEAST_BATCH, 1 << max(num_records // FEW_STEPS, 1).bit_length() - 1)
        return fitting if fitting < self.batch_size else None

    def warmup_steps(self, num_steps: int) -> int:
        """Return over how many of `num_steps` steps the learning rate rises."""
        return min(num_steps, round(self.warmup * num_steps if self.warmup < 1 else self.warmup))


def default_options(model: str) -> TrainOptions:
    """Return what the network is trained with unless told otherwise; the dense one is that of the report.

    Raises:
        OptionError: there is no network of this name.
    """
    if model != "resnet":
        return TrainOptions(model=model)
    return TrainOptions(
        model=model,
        layers=(64, 64),
        activation="silu",
        dropout=0.3,
        optimizer="adamw",
        learning_rate=4e-3,
        schedule="cosine",
        warmup=0.05,
        weight_decay=0.01,
        batch_size=256,
        epochs=25,
        patience=0,
    )


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


def parse_steps(text: str) -> int | None:
    """Return the number of steps of "auto", None, or of a whole number.

    Raises:
        OptionError: it is neither.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        hint = "write auto, or a number such as 16"
        raise OptionError(f"--steps-per-execution {text}: no number", hint=hint) from None


def _check_name(flag: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = nearest(name, known) or f"known are {', '.join(known)}"
        raise OptionError(f"{flag} {name}: unknown", hint=hint)
