"""Owns the order of an epoch, as arithmetic: which records follow each other, in which blocks, and whose.

An epoch is one sequence of all records of a split. The row groups of all shards are put in an order drawn
for the epoch; every few of them form a block, which is read together and permuted. A rank takes one of
`world_size` equal contiguous shares of the sequence, and batches are cut from the share, across blocks. So
the state of a reader is one integer: the index of its next batch. Several processes that feed one training
take its batches in turns: each is a lane. Nothing here touches a file.

    row groups   s0g0 s0g1 s0g2 s1g0 s1g1 s1g2        on disk
    epoch        s1g0 s0g2 s0g0 | s1g2 s0g1 s1g1      blocks of three, each permuted within
    ranks        [--- rank 0 --- | --- rank 1 ---]    batches: [ ][ ][ ][ ] ...
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

MAX_EPOCHS = 1 << 32  # epoch and block index share one 64-bit half of the Philox key
BLOCK_BYTES = 16 << 20  # 4 row groups of 4 MiB: enough to part neighbours, small enough to hold several
MAX_GROUPS_PER_BLOCK = (
    64  # row groups are small where texts are long: of 256 records at least, 16,384 a block
)

# The last word of the Philox counter: it keeps these streams apart from each other, and from that of the
# record keys (word 0), even where training and conversion have the same seed.
_STREAM_OF_GROUPS = 1
_STREAM_OF_RECORDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the records of a split lie in shards: all that an order depends on, beside seed and epoch.

    Every row group of a shard has `group_records` records but its last, which may have fewer.
    """

    shard_records: tuple[int, ...]
    group_records: int
    groups_per_block: int

    @property
    def num_records(self) -> int:
        """The number of records of the split."""
        return sum(self.shard_records)

    def groups(self) -> Integers:
        """Return the row groups as they lie on disk: (num_groups, 3) of shard_index, begin, end.

        >>> Layout(shard_records=(5, 3), group_records=3, groups_per_block=4).groups().tolist()
        [[0, 0, 3], [0, 3, 5], [1, 0, 3]]
        """
        size = self.group_records
        rows = [
            (shard_index, begin, min(begin + size, num_records))
            for shard_index, num_records in enumerate(self.shard_records)
            for begin in range(0, num_records, size)
        ]
        return np.array(rows, np.int64).reshape(-1, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The records [begin, end) of a block, counted in the block's permuted order."""

    block_index: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EpochOrder:
    """The sequence of one epoch: `groups` in their drawn order, `bounds[i]` where block i begins.

    `groups` is (num_groups, 3) of shard_index, begin, end; `bounds` is (num_blocks + 1,).
    """

    groups: Integers
    bounds: Integers
    groups_per_block: int
    seed: int
    epoch: int
    shuffle: bool

    def block_groups(self, block_index: int) -> Integers:
        """Return the row groups of a block in the order in which they are concatenated."""
        begin = block_index * self.groups_per_block
        return self.groups[begin : begin + self.groups_per_block]

    def block_permutation(self, block_index: int) -> Integers | None:
        """Return which record of the concatenated row groups comes i-th, or None for: as they stand."""
        if not self.shuffle:
            return None
        num_records = int(self.bounds[block_index + 1] - self.bounds[block_index])
        key = self.epoch * MAX_EPOCHS + block_index
        return random_permutation(num_records, key=(self.seed, key), stream=_STREAM_OF_RECORDS)


def epoch_order(layout: Layout, *, seed: int, epoch: int, shuffle: bool) -> EpochOrder:
    """Return the order of an epoch: the same arguments give the same order, on every machine."""
    groups = layout.groups()
    if shuffle:
        key = (seed, epoch * MAX_EPOCHS)
        groups = groups[random_permutation(len(groups), key=key, stream=_STREAM_OF_GROUPS)]
    sizes = np.concatenate([[0], np.cumsum(groups[:, 2] - groups[:, 1])]).astype(np.int64)
    num_blocks = -(-len(groups) // layout.groups_per_block)
    ends = np.minimum(np.arange(num_blocks + 1) * layout.groups_per_block, len(groups))
    return EpochOrder(
        groups=groups,
        bounds=sizes[ends],
        groups_per_block=layout.groups_per_block,
        seed=seed,
        epoch=epoch,
        shuffle=shuffle,
    )


def random_permutation(num_records: int, *, key: tuple[int, int], stream: int) -> Integers:
    """Return a permutation of range(num_records) that depends on `key` and `stream` alone.

    The records are sorted by 32 bits each of the raw Philox words: by the lower 16 first, then, keeping their
    order, by the upper. NumPy sorts 16 bits by counting: nothing else is nearly as fast. Two records that
    drew the same 32 bits stay as they stand: 2 pairs among 140,000 records. No distribution method is called
    here, so NumPy's promise of a stable bit stream (NEP 19) covers the order.
    """
    # As uint64: a list of Python integers beyond 2**63 would pass through float64.
    generator = np.random.Philox(key=np.array(key, np.uint64), counter=np.array([0, 0, 0, stream], np.uint64))
    words = np.asarray(generator.random_raw(-(-num_records // 2)), dtype="<u8")
    lower, upper = words.view("<u2")[: 2 * num_records].reshape(2, num_records)
    order = np.argsort(lower, kind="stable")
    return np.take(order, np.argsort(upper[order], kind="stable"))


def rank_bounds(num_records: int, *, rank: int, world_size: int) -> tuple[int, int]:
    """Return the share [begin, end) of the sequence that `rank` reads; shares differ by one record at most.

    >>> [rank_bounds(10, rank=rank, world_size=3) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    """
    return num_records * rank // world_size, num_records * (rank + 1) // world_size


def num_batches(
    num_records: int, batch_size: int, *, rank: int = 0, world_size: int = 1, drop_remainder: bool = False
) -> int:
    """Return the number of batches that `rank` reads in an epoch.

    With `drop_remainder` it is the same for every rank. Without, ranks differ (by one) only where no division
    of the records could make them equal.
    """
    if drop_remainder:
        return num_records // world_size // batch_size
    begin, end = rank_bounds(num_records, rank=rank, world_size=world_size)
    return -(-(end - begin) // batch_size)


def in_lane(
    sequence: tuple[int, int], batch_size: int, *, lane: int, num_lanes: int
) -> NDArray[np.bool_] | None:
    """Return which of the records [begin, end) of a sequence of batches belong to `lane`, or None for: all.

    Batch i belongs to lane i % num_lanes.

    >>> in_lane((3, 10), 2, lane=0, num_lanes=2).astype(int)
    array([0, 1, 1, 0, 0, 1, 1])
    """
    if num_lanes == 1:
        return None
    mine: NDArray[np.bool_] = np.arange(*sequence) // batch_size % num_lanes == lane
    return mine


def cuts(bounds: Integers, begin: int, end: int) -> list[Cut]:
    """Return the cuts of blocks that together are the records [begin, end) of the sequence.

    >>> cuts(np.array([0, 10, 20, 30]), 5, 20)
    [Cut(block_index=0, begin=5, end=10), Cut(block_index=1, begin=0, end=10)]
    """
    if begin >= end:
        return []
    first = int(np.searchsorted(bounds, begin, side="right")) - 1
    last = int(np.searchsorted(bounds, end, side="left"))
    starts = [int(bound) for bound in bounds[first : last + 1]]
    return [
        Cut(block_index=first + index, begin=max(begin - start, 0), end=min(end, starts[index + 1]) - start)
        for index, start in enumerate(starts[:-1])
    ]


def groups_per_block(group_bytes: int) -> int:
    """Return how many row groups of `group_bytes` each form a block: 4, or fewer of very wide records.

    More, up to 64, where row groups are small because of columns that are not read.
    """
    return max(1, min(MAX_GROUPS_PER_BLOCK, BLOCK_BYTES // max(1, group_bytes)))
