"""Owns the proof of the shuffle: tracers, a few records followed from the source to their place in a shard.

    read_range    offers some of its records, evenly spaced: where they stand, and their keys
    Tracers       adds up what all ranges offer, and thins it evenly over the source
    write_shard   tells the ranks of those that it has written

So what the manifest says of them is what happened, and costs nothing. Which records they are depends on the
source alone, as the order does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.manifest import Shuffle

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pipeline.runs.run import Run

MAX_TRACERS = 2048  # chance then leaves a correlation within 0.06, and a manifest grows by 40 kB
MIN_OFFERED = 16
MAX_HELD = 8 * MAX_TRACERS


def offered(num_kept: int, *, file_index: int, range_index: int) -> NDArray[np.intp]:
    """Return which of the `num_kept` records of a range are offered as tracers: positions, ascending.

    At least so many that all ranges together give `MAX_TRACERS`, however few ranges there are: this one is
    the n-th or a later one, and offers an n-th of them.
    """
    earliest = file_index + range_index + 1
    num = min(num_kept, max(MIN_OFFERED, MAX_TRACERS // earliest))
    return _middles(num, num_kept)


def _middles(num: int, end: int) -> NDArray[np.intp]:
    """Return the middles of `num` equal parts of [0, end)."""
    return (2 * np.arange(num, dtype=np.intp) + 1) * end // (2 * max(num, 1))


class Tracers:
    """What the ranges offer, added up in range order; holds a bounded number of it.

    Kept as uint64 (2, n): positions in the source, ascending, and keys.
    """

    def __init__(self) -> None:
        self._held: list[NDArray[np.uint64]] = [np.empty((2, 0), np.uint64)]
        self.num_held = 0

    def add(self, offer: NDArray[np.uint64], *, records_before: int) -> None:
        """Add the next range's (record of the range, key); `records_before` stand before the range."""
        moved = offer + np.array([[records_before], [0]], np.uint64)
        self._held.append(moved)
        self.num_held += moved.shape[1]
        if self.num_held > MAX_HELD:
            self._held = [_thinned(np.concatenate(self._held, axis=1), 2 * MAX_TRACERS)]
            self.num_held = self._held[0].shape[1]

    def chosen(self) -> NDArray[np.uint64]:
        """Return positions and keys of at most `MAX_TRACERS`."""
        return _thinned(np.concatenate(self._held, axis=1), MAX_TRACERS)

    def keys(self) -> NDArray[np.uint64]:
        """Return the keys of those chosen, ascending."""
        return np.sort(self.chosen()[1])

    def shuffle(self, ranks: Iterable[tuple[int, int]]) -> Shuffle:
        """Return what the manifest says, of (key, rank) as all shards told them."""
        rank_of = dict(ranks)
        positions, keys = self.chosen().tolist()
        assert rank_of.keys() == set(keys)  # noqa: S101  # each was written, and no other
        return Shuffle(positions=tuple(positions), ranks=tuple(rank_of[key] for key in keys))


def _thinned(tracers: NDArray[np.uint64], most: int) -> NDArray[np.uint64]:
    """Return at most `most` of `tracers`, those next to evenly spaced positions."""
    if tracers.shape[1] <= most:
        return tracers
    positions = tracers[0].astype(np.int64)
    places = np.searchsorted(positions, _middles(most, int(positions[-1]) + 1))
    return tracers[:, np.unique(places)]


def traced(pieces: Sequence[Run], tracers: NDArray[np.uint64], begin: int) -> list[tuple[int, int]]:
    """Return (key, rank) of those of `tracers`, keys in ascending order, that are in `pieces`.

    The records of `pieces` have the ranks from `begin` on; the keys of each piece ascend.
    """
    found: list[tuple[int, int]] = []
    for piece in pieces:
        if piece.num_records:
            low = np.searchsorted(tracers, piece.keys[0], side="left")
            high = np.searchsorted(tracers, piece.keys[-1], side="right")
            wanted = tracers[low:high]
            places = np.searchsorted(piece.keys, wanted)
            is_there = piece.keys[places] == wanted
            ranks = begin + places[is_there]
            found += zip(wanted[is_there].tolist(), ranks.tolist(), strict=True)
        begin += piece.num_records
    return found
