"""Owns gathering: the records of any interval of ranks, in order, from all runs."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.errors import DiskError
from pipeline.runs.run import Run, join_slices, merge_runs
from pipeline.runs.spilled import SpilledRun, cell_edges, cell_positions
from pipeline.storage.reads import read_many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.storage.paths import AnyPath


class Order(Protocol):
    """All records in some order; any number of threads may gather from it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """The number of columns of numbers, integers and texts."""

    def batches(
        self, begin: int, end: int, batch_records: int, *, ahead: ReadAhead | None = None
    ) -> Iterator[tuple[Run, ...]]:
        """Yield the records at the places [begin, end), `batch_records` at a time, the last fewer."""


class RankIndex:
    """All records ordered by key, cut into cells; cells are gathered, ranks are cut out of them.

    Any number of threads may gather from it.
    """

    def __init__(self, runs: Sequence[Run], spilled: Sequence[SpilledRun], *, cell_bits: int) -> None:
        edges = cell_edges(cell_bits)
        self._runs = runs
        self._spilled = spilled
        # Four bytes each: beside hundreds of runs there may be thousands of cells.
        self._positions = [array("i", cell_positions(run, edges).astype(np.intc).tobytes()) for run in runs]
        self._shift = np.uint64(64 - cell_bits) if cell_bits else None
        counts = np.zeros(len(edges) + 1, np.int64)
        for at in self._positions:
            counts += np.diff(np.asarray(at))
        for run in spilled:
            counts += run.counts()
        self._cumulative = np.concatenate([[0], np.cumsum(counts)])

    @property
    def num_records(self) -> int:
        """The number of records in all runs."""
        return int(self._cumulative[-1])

    @property
    def num_cells(self) -> int:
        """The number of cells."""
        return len(self._cumulative) - 1

    def cell_at(self, rank: int) -> int:
        """Return the cell in which the record of this rank is."""
        return int(np.searchsorted(self._cumulative, rank, side="right")) - 1

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
        last = None if ahead is None else int(np.searchsorted(self._cumulative, ahead.end, side="left"))
        yield from batched(
            between(self._cumulative, begin, end, lambda cell: self._cell(cell, ahead, last)), batch_records
        )

    def _cell(self, cell: int, ahead: ReadAhead | None = None, last: int | None = None) -> Run:
        """Return all records of `cell`, ordered."""
        return self.checked(merge_runs(self.parts(cell, ahead, last)), self._cumulative[cell : cell + 2])

    def parts(self, cell: int, ahead: ReadAhead | None = None, last: int | None = None) -> list[Run]:
        """Return all records of `cell`, in no order; what is read `ahead` ends before the cell `last`."""
        slices = [(at[cell], at[cell + 1]) for at in self._positions]
        parts = [join_slices(self._runs, slices)] if self._runs else []
        return parts + self._stored(cell, ahead, last)

    def split_values(
        self, cell: int, ahead: ReadAhead | None = None, last: int | None = None
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Return the keys and split values of all records of `cell`, in no order; see `parts`."""
        stored = self._stored(cell, ahead, last)
        slices = [(at[cell], at[cell + 1]) for at in self._positions]
        cuts = list(zip(self._runs, slices, strict=True))
        keys = [run.keys[begin:end] for run, (begin, end) in cuts] + [run.keys for run in stored]
        values = [run.integers[-1, begin:end] for run, (begin, end) in cuts]
        values += [run.integers[-1] for run in stored]
        return np.concatenate(keys), np.concatenate(values)

    def checked(self, run: Run, ends: NDArray[np.int64]) -> Run:
        """Return `run` if it has the records from one of the `ends` to the other.

        Raises:
            DiskError: it has not.
        """
        if run.num_records != ends[1] - ends[0]:
            where = str(self._spilled[0].path.parent) if self._spilled else ""
            raise DiskError("temporary files gave back other records than were written", path=where)
        return run

    def _stored(self, cell: int, ahead: ReadAhead | None, last: int | None) -> list[Run]:
        """Return the records of `cell` that are in files."""
        if not self._spilled:
            return []
        if ahead is None:
            return read_window(self._spilled, cell, cell + 1).parts(cell)
        if ahead.window is None or not ahead.window.first <= cell < ahead.window.last:
            ahead.window = None  # before the next one is read: there is no memory for two
            ahead.window = read_window(self._spilled, cell, self._window_end(cell, ahead, last))
        return ahead.window.parts(cell)

    def _window_end(self, cell: int, ahead: ReadAhead, last: int | None) -> int:
        """Return the cell before which a window ends that begins with `cell`."""
        stored_bytes = sum(run.num_bytes for run in self._spilled)
        most = self._cumulative[cell] + self.num_records * ahead.num_bytes // max(stored_bytes, 1)
        within = int(np.searchsorted(self._cumulative, most, side="right")) - 1
        return max(cell + 1, within if last is None else min(within, last))


def between(
    cumulative: NDArray[np.int64], begin: int, end: int, cell_of: Callable[[int], Run]
) -> Iterator[Run]:
    """Yield the records at the places [begin, end) in order, as they come from the cells.

    `cumulative` tells where each cell begins and the last one ends, `cell_of(cell)` what is in it, in order.
    """
    if begin >= end:
        return
    first = int(np.searchsorted(cumulative, begin, side="right")) - 1
    last = int(np.searchsorted(cumulative, end, side="left"))
    for cell in range(first, last):
        low, high = int(cumulative[cell]), int(cumulative[cell + 1])
        if low < high:
            yield cell_of(cell).between(max(begin - low, 0), min(end, high) - low)


def batched(runs: Iterator[Run], batch_records: int) -> Iterator[tuple[Run, ...]]:
    """Yield the records of `runs`, one after the other, `batch_records` at a time, the last fewer."""
    held: list[Run] = []
    num_held = 0
    for run in runs:
        first = 0
        while num_held + run.num_records - first >= batch_records:
            cut = first + batch_records - num_held
            yield (*held, run.between(first, cut))
            held, num_held, first = [], 0, cut
        held.append(run.between(first, run.num_records))
        num_held += run.num_records - first
    if num_held:
        yield tuple(held)


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
