"""Owns batches as NumPy arrays: blocks read ahead by threads, cut into batches across their borders."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.loader.reader import Request, open_reader

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from pipeline.loader.reader import Reader
    from pipeline.loader.rows import Rows
    from pipeline.loader.state import LoaderState
    from pipeline.plan import ShardFormat

Arrays = tuple["NDArray[Any]", ...]

NUM_THREADS = 2


def batches(  # noqa: PLR0913  # the same keywords as `dataset`, each with a default
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
) -> Batches:
    """Return the batches of an epoch: (features, label) or, with a weight column, (features, label, weight).

    features float32 (batch, num_features) in the order of the manifest, C order; label int64 class index, or
    float32 number, (batch,); weight float32 (batch,). Every batch has `batch_size` records but the last.

    The order is a function of the dataset, `seed` and `epoch`: no thread, machine load or format changes it.
    The `world_size` ranks partition it. Without `shuffle` it is the order on disk. `first_batch` continues
    an epoch at that batch, without reading the ones before; `restore` continues where a state was taken, in
    its epoch, at its batch.

    At most `3 * num_threads + 2` blocks are in memory: 16 MiB each, more only for records of over 16 kB. A
    batch is a view into a block and may be changed in place: no other batch shares its memory.

    Raises:
        OptionError: a value is out of its range.
        OptionsChangedError: the state is that of another dataset, split, seed …
        ManifestError: there is no dataset.
        ShardError: while iterating: a shard is missing or damaged.
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
    return Batches(open_reader(request, restore), num_threads)


class Batches:
    """The batches of one reader, one after the other; knows how many it has given."""

    def __init__(self, reader: Reader, num_threads: int) -> None:
        self._reader = reader
        self._batches = cut_batches(read_ahead(reader, num_threads), reader.batch_size)
        self._num_given = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Arrays:
        batch = next(self._batches)
        self._num_given += 1
        return batch

    def __len__(self) -> int:
        """Return the number of batches, those already given among them."""
        return self._reader.num_batches

    def state(self) -> LoaderState:
        """Return where this iteration stands: `restore` it, and the next batch is the one that comes now."""
        return self._reader.state(self._num_given)

    def close(self) -> None:
        """End the iteration and its threads before the last batch; nothing to do after that."""
        self._batches.close()


def read_ahead(reader: Reader, num_threads: int) -> Iterator[Rows]:
    """Yield the cuts of `reader` in order, up to `num_threads` being read at a time."""
    with ThreadPoolExecutor(num_threads, thread_name_prefix="loader") as pool:
        pending: deque[Future[Rows]] = deque()
        try:
            for cut_index in range(len(reader.cuts)):
                pending.append(pool.submit(reader.read, cut_index))
                if len(pending) > num_threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def cut_batches(blocks: Iterable[Rows], batch_size: int) -> Generator[Arrays]:
    """Yield the records of `blocks` in batches; only a batch that spans blocks is copied."""
    rest: list[Rows] = []
    num_rest = 0
    for rows in blocks:
        num_records = len(rows.label)
        begin = min(batch_size - num_rest, num_records) if num_rest else 0
        if begin:
            rest.append(rows.between(0, begin))
            num_rest += begin
            if num_rest < batch_size:
                continue
            yield _concatenated(rest)
        last = num_records - (num_records - begin) % batch_size
        for first in range(begin, last, batch_size):
            yield rows.between(first, first + batch_size).arrays
        # A copy of less than a batch, so that the rest does not keep its whole block in memory.
        rest, num_rest = [rows.between(last, num_records).copy()], num_records - last
        del rows
    if num_rest:
        yield _concatenated(rest)


def _concatenated(rows: list[Rows]) -> Arrays:
    if len(rows) == 1:
        return rows[0].arrays
    return tuple(np.concatenate(arrays) for arrays in zip(*(part.arrays for part in rows), strict=True))
