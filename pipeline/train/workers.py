"""Owns who trains together: one process, or several that TF_CONFIG names; on each, one device or several.

    TF_CONFIG = {"cluster": {"worker": ["10.0.0.1:7070", "10.0.0.2:7070"]},
                 "task": {"type": "worker", "index": 0}}

is what TensorFlow wants to find in the environment of each worker: all addresses, and which is its own.
Worker 0 is the chief. Neighbours: `distributed` trains on several replicas, `passes` on one.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import backend
from pipeline.errors import OptionError, WorkersLostError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tensorflow as tf

VARIABLE = "TF_CONFIG"
_EXAMPLE = '{"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type": "worker", "index": 0}}'
HINT = f"set {VARIABLE}='{_EXAMPLE}'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Who trains together; `strategy` is None for one process on one device."""

    strategy: tf.distribute.Strategy | None = None
    rank: int = 0
    world_size: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what comes of the training."""
        return self.rank == 0

    @property
    def num_replicas(self) -> int:
        """The number of copies of the network, over all workers."""
        return self.strategy.num_replicas_in_sync if self.strategy else 1

    def check_batch_size(self, batch_size: int) -> None:
        """Raise unless a batch can be divided among the replicas.

        Raises:
            OptionError: it cannot.
        """
        if batch_size % self.num_replicas:
            nearest = max(1, round(batch_size / self.num_replicas)) * self.num_replicas
            raise OptionError(
                f"--batch-size {batch_size}: cannot be divided among {self.num_replicas} replicas",
                hint=f"pass --batch-size {nearest}",
            )


@contextmanager
def losses_told(world_size: int) -> Iterator[None]:
    """Turn what TensorFlow says when another worker is gone into one of our errors.

    Raises:
        WorkersLostError: a worker ended, or never came.
    """
    errors = backend.tensorflow().errors
    try:
        yield
    except (
        errors.UnavailableError,
        errors.AbortedError,
        errors.CancelledError,
        errors.DeadlineExceededError,
    ) as error:
        if world_size == 1:
            raise
        reason = str(error.message).strip().rsplit("\n", maxsplit=1)[-1][:200]
        raise WorkersLostError(
            f"one of the other {world_size - 1} workers is gone: {reason}",
            hint="look why it ended, then start all workers again",
        ) from None


def gather_workers(strategy: str) -> Workers:
    """Return who trains together by `--strategy`; "multiworker" waits until all workers have come.

    To be called before anything is computed: TensorFlow wants it so.

    Raises:
        OptionError: TF_CONFIG is missing, or does not name this worker and all others.
        WorkersLostError: a worker did not come.
    """
    if strategy == "none":
        return Workers()
    if strategy == "mirrored":
        return Workers(strategy=backend.tensorflow().distribute.MirroredStrategy())
    rank, world_size = parse_tf_config(os.environ.get(VARIABLE, ""))
    with losses_told(world_size):
        together = backend.tensorflow().distribute.MultiWorkerMirroredStrategy()
    return Workers(strategy=together, rank=rank, world_size=world_size)


def parse_tf_config(text: str) -> tuple[int, int]:
    """Return rank and number of the workers that `text`, the value of TF_CONFIG, names.

    >>> parse_tf_config('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
    (1, 2)

    Raises:
        OptionError: it is empty, not JSON, or names no workers, or not this one among them.
    """
    if not text:
        raise OptionError(f"--strategy multiworker: {VARIABLE} is not set", hint=HINT)
    try:
        tree: Any = json.loads(text)
        workers, task = tree["cluster"]["worker"], tree["task"]
        rank, kind = task["index"], task["type"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise OptionError(f"{VARIABLE} does not say who the workers are", hint=HINT) from None
    if set(tree["cluster"]) != {"worker"} or kind != "worker":
        raise OptionError(f"{VARIABLE} names other kinds of task; expected workers alone", hint=HINT)
    if not isinstance(workers, list) or not all(isinstance(address, str) for address in workers):
        raise OptionError(f"{VARIABLE}: expected a list of HOST:PORT as workers", hint=HINT)
    if not isinstance(rank, int) or not 0 <= rank < len(workers):
        raise OptionError(f"{VARIABLE}: there is no worker {rank!r} among {len(workers)}", hint=HINT)
    return rank, len(workers)
