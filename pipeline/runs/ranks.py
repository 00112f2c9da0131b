"""Owns gathering: the records of any interval of ranks, in order, from all runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import DiskError
from pipeline.runs.run import Run, join_slices, merge_runs
from pipeline.runs.spilled import SpilledRun, cell_edges, cell_positions
from pipeline.storage.reads import read_many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.storage.paths import AnyPath


class RankIndex:
    """All records ordered by key, cut into cells; cells are gathered, ranks are cut out of them.

    Any number of threads may gather from it.
    """

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

    def batches(
        self, begin: int, end: int, batch_records: int, *, ahead: ReadAhead | None = None
    ) -> Iterator[tuple[Run, ...]]:
        """Yield the records of ranks [begin, end) in order, `batch_records` at a time, the last fewer.

        A batch comes in pieces, as the cells are; joining them is left to whoever copies the records anyway.
        Takes the memory of two cells, and what is read `ahead`.
        """
        held: list[Run] = []
        num_held = 0
        for run in self._between(begin, end, ahead):
            first = 0
            while num_held + run.num_records - first >= batch_records:
                cut = first + batch_records - num_held
                yield (*held, run.between(first, cut))
                held, num_held, first = [], 0, cut
            held.append(run.between(first, run.num_records))
            num_held += run.num_records - first
        if num_held:
            yield tuple(held)

    def _between(self, begin: int, end: int, ahead: ReadAhead | None) -> Iterator[Run]:
        """Yield the records of ranks [begin, end) in order, as they come from the cells."""
        if begin >= end:
            return
        first = int(np.searchsorted(self._cumulative, begin, side="right")) - 1
        last = int(np.searchsorted(self._cumulative, end, side="left"))
        for cell in range(first, last):
            low, high = int(self._cumulative[cell]), int(self._cumulative[cell + 1])
            if low < high:
                yield self._cell(cell, ahead).between(max(begin - low, 0), min(end, high) - low)

    def _cell(self, cell: int, ahead: ReadAhead | None = None) -> Run:
        """Return all records of `cell`, ordered."""
        slices = [(at[cell], at[cell + 1]) for at in self._positions]
        parts = [join_slices(self._runs, slices)] if self._runs else []
        if self._spilled:
            parts += self._window_of(cell, ahead).parts(cell)
        merged = merge_runs(parts)
        if merged.num_records != self._cumulative[cell + 1] - self._cumulative[cell]:
            raise DiskError("temporary files gave back other records than were written", path=self._where())
        return merged

    def _window_of(self, cell: int, ahead: ReadAhead | None) -> Window:
        if ahead is None:
            return read_window(self._spilled, cell, cell + 1)
        if ahead.window is None or not ahead.window.first <= cell < ahead.window.last:
            ahead.window = None  # before the next one is read: there is no memory for two
            ahead.window = read_window(self._spilled, cell, self._window_end(cell, ahead))
        return ahead.window

    def _window_end(self, cell: int, ahead: ReadAhead) -> int:
        """Return the cell before which a window ends that begins with `cell`."""
        stored_bytes = sum(run.num_bytes for run in self._spilled)
        most = self._cumulative[cell] + self.num_records * ahead.num_bytes // max(stored_bytes, 1)
        within = int(np.searchsorted(self._cumulative, most, side="right")) - 1
        wanted = int(np.searchsorted(self._cumulative, ahead.end, side="left"))
        return max(cell + 1, min(within, wanted))

    def _where(self) -> str:
        return str(self._spilled[0].path.parent) if self._spilled else ""


@dataclass(slots=True, kw_only=True)
class ReadAhead:
    """Lets one thread that gathers front to back read about `num_bytes` at a time, up to the rank `end`.

    The fewer the reads, the fewer the requests to a store.
    """

    num_bytes: int
    end: int
    window: Window | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """What files of runs hold of the cells [first, last): of each its table's entries, and the blocks."""

    first: int
    last: int
    spilled: Sequence[SpilledRun]
    tables: Sequence[NDArray[np.void]]
    blocks: Sequence[bytes]

    def parts(self, cell: int) -> list[Run]:
        """Return the records of `cell` by file, one at least; files without any are left out.

        Raises:
            DiskError: bytes are not those that were written.
        """
        found: list[Run] = []
        for run, table, blocks in zip(self.spilled, self.tables, self.blocks, strict=True):
            entry = table[cell - self.first]
            if entry["num_records"] or (not found and run is self.spilled[-1]):
                begin = int(entry["offset"] - table[0]["offset"])
                found.append(run.block(entry, memoryview(blocks)[begin : begin + int(entry["num_bytes"])]))
        return found


def read_window(spilled: Sequence[SpilledRun], first: int, last: int) -> Window:
    """Return the blocks of the cells [first, last) of all files: two reads a file.

    Raises:
        DiskError: a file is not as it was written.
    """
    entries = read_many([run.table_place(first, last) for run in spilled])
    tables = [run.table(data, last - first) for run, data in zip(spilled, entries, strict=True)]
    places: list[tuple[AnyPath, int, int]] = [
        (run.path, int(table[0]["offset"]), int(table["num_bytes"].sum()))
        for run, table in zip(spilled, tables, strict=True)
    ]
    return Window(first=first, last=last, spilled=spilled, tables=tables, blocks=read_many(places))
