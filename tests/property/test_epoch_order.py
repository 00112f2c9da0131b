"""Law: the order of an epoch is a permutation, a function of seed and epoch, and ranks partition it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.loader.order import (
    EpochOrder,
    Layout,
    cuts,
    epoch_order,
    groups_per_block,
    num_batches,
    random_permutation,
    rank_bounds,
)

SEEDS = st.integers(0, 2**64 - 1)
LAYOUTS = st.builds(
    Layout,
    shard_records=st.lists(st.integers(0, 40), max_size=6).map(tuple),
    group_records=st.integers(1, 15),
    groups_per_block=st.integers(1, 5),
)


def sequence(layout: Layout, order: EpochOrder) -> list[tuple[int, int]]:
    """Return the records (shard, position) in the order of the epoch, one by one."""
    records: list[tuple[int, int]] = []
    for block_index in range(len(order.bounds) - 1):
        block = [
            (shard_index, position)
            for shard_index, begin, end in order.block_groups(block_index).tolist()
            for position in range(begin, end)
        ]
        permutation = order.block_permutation(block_index)
        records += block if permutation is None else [block[index] for index in permutation]
        assert len(records) == order.bounds[block_index + 1]
    assert len(records) == layout.num_records
    return records


def stored(layout: Layout) -> list[tuple[int, int]]:
    """Return all records as they lie on disk."""
    return [
        (shard_index, position)
        for shard_index, num_records in enumerate(layout.shard_records)
        for position in range(num_records)
    ]


@given(layout=LAYOUTS, seed=SEEDS, epoch=st.integers(0, 2**32 - 1))
def test_every_record_comes_exactly_once(layout: Layout, seed: int, epoch: int) -> None:
    """Whatever the shards, the row groups and the blocks: an epoch is a permutation of the records."""
    records = sequence(layout, epoch_order(layout, seed=seed, epoch=epoch, shuffle=True))
    assert sorted(records) == stored(layout)


@given(layout=LAYOUTS, seed=SEEDS)
def test_without_shuffle_it_is_the_order_on_disk(layout: Layout, seed: int) -> None:
    """Unshuffled records come as they are stored, in every epoch."""
    assert sequence(layout, epoch_order(layout, seed=seed, epoch=3, shuffle=False)) == stored(layout)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    """Epochs 0 to 4 under two seeds are ten different orders; asked again, each comes again."""
    layout = Layout(shard_records=(30, 30, 29), group_records=7, groups_per_block=3)

    def orders() -> list[tuple[tuple[int, int], ...]]:
        return [
            tuple(sequence(layout, epoch_order(layout, seed=seed, epoch=epoch, shuffle=True)))
            for seed, epoch in itertools.product((1, 2), range(5))
        ]

    assert len(set(orders())) == 10
    assert orders() == orders()


def test_the_order_is_the_same_on_every_machine() -> None:
    """Written down once: a change of NumPy or of the arithmetic that reorders old trainings is seen here."""
    layout = Layout(shard_records=(4, 4), group_records=2, groups_per_block=2)
    records = sequence(layout, epoch_order(layout, seed=42, epoch=1, shuffle=True))
    assert records == [(0, 1), (0, 0), (1, 3), (1, 2), (0, 3), (1, 0), (1, 1), (0, 2)]


@pytest.mark.parametrize("stream", [1, 2])
def test_permutations_are_uniform(stream: int) -> None:
    """Over 24,000 keys each of the 24 orders of four records comes about 1,000 times."""
    counts = dict.fromkeys(itertools.permutations(range(4)), 0)
    for key in range(24_000):
        counts[tuple(random_permutation(4, key=(7, key), stream=stream).tolist())] += 1
    chi_square = sum((count - 1000) ** 2 / 1000 for count in counts.values())
    assert chi_square < 53  # with 23 degrees of freedom exceeded once in 2,800 times


def test_a_block_mixes_its_row_groups() -> None:
    """In a block of four row groups a batch holds a quarter of each, within 5 standard deviations."""
    layout = Layout(shard_records=(4096, 4096), group_records=2048, groups_per_block=4)
    order = epoch_order(layout, seed=3, epoch=0, shuffle=True)
    permutation = order.block_permutation(0)
    assert permutation is not None
    counts = np.bincount(permutation[:1024] // 2048, minlength=4)
    assert np.abs(counts - 256).max() < 5 * np.sqrt(1024 * 0.25 * 0.75)


@given(num_records=st.integers(0, 1000), world_size=st.integers(1, 12), batch_size=st.integers(1, 50))
def test_ranks_partition_the_sequence(num_records: int, world_size: int, batch_size: int) -> None:
    """Shares follow each other without gap and differ by one record at most; so do numbers of batches."""
    shares = [rank_bounds(num_records, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [begin for begin, _ in shares] == [0, *(end for _, end in shares[:-1])]
    assert shares[-1][1] == num_records
    sizes = [end - begin for begin, end in shares]
    assert max(sizes) - min(sizes) <= 1
    batches = [
        num_batches(num_records, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)
    ]
    assert batches == [len(range(0, size, batch_size)) for size in sizes]
    # b batches each need between w(b-1)B + w and wbB records: if there is such a b, it is reached.
    possible = any(
        world_size * ((b - 1) * batch_size + 1) <= num_records <= world_size * b * batch_size
        for b in range(1, num_records + 1)
    )
    assert (len(set(batches)) == 1) or not possible


@given(num_records=st.integers(0, 1000), world_size=st.integers(1, 12), batch_size=st.integers(1, 50))
def test_dropping_the_remainder_gives_every_rank_the_same_work(
    num_records: int, world_size: int, batch_size: int
) -> None:
    """With `drop_remainder` all ranks have the same number of full batches, none beyond its share."""
    counts = {
        num_batches(num_records, batch_size, rank=rank, world_size=world_size, drop_remainder=True)
        for rank in range(world_size)
    }
    assert len(counts) == 1
    assert counts.pop() * batch_size <= num_records // world_size


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8), data=st.data())
def test_cuts_cover_exactly_the_interval(sizes: list[int], data: st.DataObject) -> None:
    """The cuts of any interval, end to end, are the records of that interval."""
    bounds = np.cumsum([0, *sizes])
    begin = data.draw(st.integers(0, sum(sizes)))
    end = data.draw(st.integers(begin, sum(sizes)))
    covered = [
        int(bounds[cut.block_index]) + position
        for cut in cuts(bounds, begin, end)
        for position in range(cut.begin, cut.end)
    ]
    assert covered == list(range(begin, end))
    assert all(cut.end <= sizes[cut.block_index] for cut in cuts(bounds, begin, end))


def test_blocks_stay_near_16_mebibytes() -> None:
    """Four row groups of 4 MiB, one of 20 MiB; many small ones, but not more than 64."""
    assert [groups_per_block(size << 20) for size in (20, 8, 4, 1)] == [1, 2, 4, 16]
    assert groups_per_block(1000) == 64
