"""Owns where the batches of a training come from: a dataset, all of it or the share of one worker."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline import backend
from pipeline.loader.order import num_batches
from pipeline.loader.reader import Request, open_reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.loader.reader import Reader
    from pipeline.manifest import Manifest
    from pipeline.plan import ShardFormat

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The batches of a worker: `batch_size` records of its own, of `world_size` times as many in a step.

    With `same_steps` every worker has the same number of full batches in an epoch: what is left over in the
    train split, fewer records than a step has, is left out, other records in every epoch.
    """

    shards: Path
    manifest: Manifest
    shard_format: ShardFormat | None
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    same_steps: bool = False

    def num_records(self, split: str) -> int:
        """Return the number of records of a split, over all workers."""
        return self.manifest.splits[split].records

    @property
    def num_steps(self) -> int:
        """The number of steps in an epoch."""
        return num_batches(
            self.num_records("train"),
            self.batch_size,
            rank=self.rank,
            world_size=self.world_size,
            drop_remainder=self.same_steps,
        )

    def records_of_steps(self, num_steps: int) -> int:
        """Return how many records of the train split so many steps of an epoch take, over all workers."""
        return min(self.num_records("train"), num_steps * self.batch_size * self.world_size)

    def alone(self) -> Feed:
        """Return the feed of a worker that has nobody to share with."""
        return dataclasses.replace(self, rank=0, world_size=1)

    def train_reader(self, *, epoch: int, first_batch: int = 0) -> Reader:
        """Return the reader of one epoch, counted from 0, in its own order; the first verifies checksums."""
        return self._reader("train", epoch=epoch, shuffle=True, first_batch=first_batch)

    def reader(self, split: str, *, epoch: int = 0) -> Reader:
        """Return a reader of a split as it lies on disk; in epoch 0 it verifies checksums."""
        return self._reader(split, epoch=epoch, shuffle=False, first_batch=0)

    def _reader(self, split: str, *, epoch: int, shuffle: bool, first_batch: int) -> Reader:
        request = Request(
            shards=self.shards,
            split=split,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            shuffle=shuffle,
            drop_remainder=shuffle and self.same_steps,
            rank=self.rank,
            world_size=self.world_size,
            shard_format=self.shard_format,
            first_batch=first_batch,
            verify_checksums=epoch == 0,
        )
        return open_reader(request)


def own_errors(reader: Reader, work: Callable[[], Result]) -> Result:
    """Return the result of `work`; an error of ours that tf.data wrapped is raised as it was.

    Raises:
        ShardError: a shard is damaged.
    """
    try:
        return work()
    except backend.tensorflow().errors.OpError:
        if reader.failures:
            raise reader.failures[0] from None
        raise
