"""Owns batches as an IterableDataset of PyTorch, in one order whatever the number of its workers.

The only module of the loader that needs PyTorch, imported when a dataset is made.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib
from typing import TYPE_CHECKING, Any

from pipeline.errors import MissingExtraError
from pipeline.loader.batches import NUM_THREADS, Batches
from pipeline.loader.reader import Request, open_reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

    from torch import Tensor
    from torch.utils.data import IterableDataset

    from pipeline.loader.state import LoaderState
    from pipeline.plan import ShardFormat


def torch_dataset(  # noqa: PLR0913  # the same keywords as `batches`, each with a default
    shards: Path,
    split: str,
    batch_size: int,
    *,
    seed: int,
    epoch: int = 0,
    shuffle: bool = True,
    drop_remainder: bool = False,
    rank: int = 0,
    world_size: int = 1,
    shard_format: ShardFormat | None = None,
    first_batch: int = 0,
    restore: LoaderState | None = None,
    verify_checksums: bool = False,
    num_threads: int = NUM_THREADS,
) -> IterableDataset:
    """Return the batches of an epoch as a `torch.utils.data.IterableDataset` of whole batches.

    To be read as it is, or by `DataLoader(…, batch_size=None)`. Elements are (features, label) or (features,
    label, weight): float32 (batch, num_features), int64 class index or float32 number (batch,), float32
    (batch,). They are the very batches of `loader.batches`, in the same order, for any `num_workers`: worker
    w of n makes the batches w, w + n, w + 2n …, and a DataLoader asks the workers in turns (unless it is made
    with `in_order=False`). Each worker reads all of the shards, with `num_threads` threads of its own, and
    has the memory that `loader.batches` states.

    Its length is the number of batches left in the epoch. `set_epoch(epoch)` has the next iteration read that
    epoch, persistent workers included. `state(num_batches)` is where a reader stands that has taken so many
    batches since; it may be restored with another number of workers, and with `batches` or `dataset`.

    Raises:
        MissingExtraError: PyTorch is not installed.
        OptionError: a value is out of its range.
        OptionsChangedError: the state is that of another dataset, split, seed …
        ManifestError: there is no dataset.
    """
    request = Request(
        shards=shards,
        split=split,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        shuffle=shuffle,
        drop_remainder=drop_remainder,
        rank=rank,
        world_size=world_size,
        shard_format=shard_format,
        first_batch=first_batch,
        verify_checksums=verify_checksums,
    )
    request = open_reader(request, restore).request
    place = torch().tensor([request.epoch, request.first_batch])
    return _made(request, place.share_memory_(), num_threads)


def torch() -> ModuleType:
    """Return the module `torch`.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        module = importlib.import_module("torch")  # optional, and a second to load
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError.of("torch", "torch") from None
    importlib.import_module("torch.utils.data")
    return module


def _made(request: Request, place: Tensor, num_threads: int) -> IterableDataset:
    return _dataset_class()(request, place, num_threads)


@functools.cache
def _dataset_class() -> Any:  # noqa: ANN401  # a class whose base is imported late
    torch_module = torch()

    class EpochBatches(torch_module.utils.data.IterableDataset):  # type: ignore[misc,name-defined]  # likewise
        """The batches of an epoch; `place` is epoch and first batch, in memory that all workers share."""

        def __init__(self, request: Request, place: Tensor, num_threads: int) -> None:
            self._request = request
            self._place = place
            self._num_threads = num_threads

        def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
            worker = torch_module.utils.data.get_worker_info()
            lane, num_lanes = (worker.id, worker.num_workers) if worker else (0, 1)
            request = dataclasses.replace(self._here(), lane=lane, num_lanes=num_lanes)
            for batch in Batches(open_reader(request), self._num_threads):
                yield tuple(torch_module.from_numpy(array) for array in batch)

        def __len__(self) -> int:
            return open_reader(self._here()).num_batches

        def set_epoch(self, epoch: int) -> None:
            """Have the next iteration read `epoch`, from its first batch on."""
            dataclasses.replace(self._request, epoch=epoch)  # checks it here, not in a worker
            self._place.copy_(torch_module.tensor([epoch, 0]))

        def state(self, num_batches: int) -> LoaderState:
            """Return where a reader stands that has taken `num_batches` batches of this epoch."""
            return open_reader(self._here()).state(num_batches)

        def __reduce__(self) -> tuple[Any, ...]:
            return _made, (self._request, self._place, self._num_threads)

        def _here(self) -> Request:
            epoch, first_batch = self._place.tolist()
            return dataclasses.replace(self._request, epoch=epoch, first_batch=first_batch)

    return EpochBatches
