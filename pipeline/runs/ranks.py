"""Owns gathering: the records of any interval of ranks, in order, from all runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.runs.run import Run, merge_runs
from pipeline.runs.spilled import SpilledRun, cell_edges, cell_positions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class RankIndex:
    """All records ordered by key, cut into cells; cells are gathered, ranks are cut out of them."""

    def __init__(self, runs: Sequence[Run], spilled: Sequence[SpilledRun], *, cell_bits: int) -> None:
        edges = cell_edges(cell_bits)
        self._runs = runs
        self._spilled = spilled
        self._positions = [cell_positions(run, edges).tolist() for run in runs]
        self._shift = np.uint64(64 - cell_bits) if cell_bits else None
        counts = np.zeros(len(edges) + 1, np.int64)
        for at in self._positions:
            counts += np.diff(at)
        for run in spilled:
            counts += run.counts()
        self._cumulative = np.concatenate([[0], np.cumsum(counts)])

    @property
    def num_records(self) -> int:
        """The number of records in all runs."""
        return int(self._cumulative[-1])

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of columns of numbers, integers and texts."""
        return self._runs[0].shape if self._runs else self._spilled[0].shape

    def rank_of(self, key: int) -> int:
        """Return how many records have a key below `key`."""
        if key >> 64:
            return self.num_records
        bound = np.uint64(key)
        cell = int(bound >> self._shift) if self._shift is not None else 0
        keys = self._cell(cell).keys
        return int(self._cumulative[cell] + np.searchsorted(keys, bound, side="left"))

    def batches(self, begin: int, end: int, batch_records: int) -> Iterator[tuple[Run, ...]]:
        """Yield the records of ranks [begin, end) in order, `batch_records` at a time, the last fewer.

        A batch comes in pieces, as the cells are; joining them is left to whoever copies the records anyway.
        Takes the memory of two cells.
        """
        held: list[Run] = []
        num_held = 0
        for run in self._between(begin, end):
            first = 0
            while num_held + run.num_records - first >= batch_records:
                cut = first + batch_records - num_held
                yield (*held, run.between(first, cut))
                held, num_held, first = [], 0, cut
            held.append(run.between(first, run.num_records))
            num_held += run.num_records - first
        if num_held:
            yield tuple(held)

    def _between(self, begin: int, end: int) -> Iterator[Run]:
        """Yield the records of ranks [begin, end) in order, as they come from the cells."""
        if begin >= end:
            return
        first = int(np.searchsorted(self._cumulative, begin, side="right")) - 1
        last = int(np.searchsorted(self._cumulative, end, side="left"))
        for cell in range(first, last):
            low, high = int(self._cumulative[cell]), int(self._cumulative[cell + 1])
            if low < high:
                yield self._cell(cell).between(max(begin - low, 0), min(end, high) - low)

    def _cell(self, cell: int) -> Run:
        """Return all records of `cell`, ordered."""
        parts = [
            run.between(at[cell], at[cell + 1]) for run, at in zip(self._runs, self._positions, strict=True)
        ]
        parts += [run.read_cell(cell) for run in self._spilled]
        return merge_runs(parts)
