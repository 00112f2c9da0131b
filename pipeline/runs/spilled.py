"""Owns the run on disk: one immutable file of blocks, one block per cell of the key space, each checksummed.

    block   keys       uint64 [n]           ┐
            numbers    float32|64 [C, n]    │ little-endian, C order, back to back
            integers   int64 [K, n]         ┘
            texts      Arrow IPC stream of one record batch, only where there are text columns
      …                one for each cell, in their order
    table   BLOCK [num_cells]: where each block is, and its checksum (XXH3-64)

The blocks of neighbouring cells are one contiguous read. The table stays in the file: of a large source there
are as many blocks as would fill the memory.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.errors import DiskError
from pipeline.runs.run import Run, merge_runs
from pipeline.storage.files import WholeFile
from pipeline.storage.reads import read_many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.storage.paths import AnyPath


BLOCK = np.dtype(
    [
        ("offset", "<i8"),
        ("num_bytes", "<i8"),
        ("num_records", "<i8"),
        ("checksum", "<u8"),
        ("is_double", "?"),
    ]
)
MERGE_BYTES = (
    4 << 20
)  # merged at a time when runs are spilled: cells may be so small that each is mere overhead
CHECK_BYTES = 16 << 20  # read at a time when a file is looked through


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpilledRun:
    """A run in a file: `num_bytes` of blocks, then the table of `num_cells` cells; XXH3-64 of the latter."""

    path: AnyPath
    shape: tuple[int, int, int]
    num_bytes: int
    num_cells: int
    table_checksum: int

    def table_place(self, first: int, last: int) -> tuple[AnyPath, int, int]:
        """Return (path, offset, num_bytes) of the table's entries for the cells [first, last)."""
        offset = self.num_bytes + first * BLOCK.itemsize
        return self.path, offset, (last - first) * BLOCK.itemsize

    def counts(self) -> NDArray[np.int64]:
        """Return the number of records in each cell.

        Raises:
            DiskError: the file is not as it was written.
        """
        counts: NDArray[np.int64] = self._whole_table()["num_records"]
        return counts

    def _whole_table(self) -> NDArray[np.void]:
        (data,) = read_many([self.table_place(0, self.num_cells)])
        if xxhash.xxh3_64_intdigest(data) != self.table_checksum:
            raise self.damaged(self.num_bytes)
        return self.table(data, self.num_cells)

    def table(self, data: bytes, num_cells: int) -> NDArray[np.void]:
        """Return the entries of the table that were read as `data`.

        Raises:
            DiskError: they are fewer than `num_cells`, or cannot be.
        """
        if len(data) != num_cells * BLOCK.itemsize:
            raise self.damaged(self.num_bytes)
        table = np.frombuffer(data, BLOCK)
        ends = table["offset"] + table["num_bytes"]
        is_one_read = (ends[:-1] == table["offset"][1:]).all() and (ends <= self.num_bytes).all()
        if not is_one_read or ((table["num_records"] > 0) != (table["num_bytes"] > 0)).any():
            raise self.damaged(self.num_bytes)
        return table

    def block(self, entry: np.void, data: memoryview) -> Run:
        """Return the records of the cell with this entry in the table, ordered by key, from its bytes.

        Raises:
            DiskError: the bytes are not those that were written.
        """
        if _checksum(entry, [data]) != entry["checksum"]:
            raise self.damaged(int(entry["offset"]))
        return _decode(data, entry, self.shape)

    def damaged(self, offset: int) -> DiskError:
        """Return the error for bytes that are not those that were written."""
        return DiskError(
            f"a temporary file gave back other bytes than were written, at byte {offset}",
            path=str(self.path),
            hint="check the disk, then run the same command again",
        )

    def is_there(self) -> bool:
        """Whether the file is there, as far as its table tells."""
        try:
            self._whole_table()
        except OSError:
            return False
        return True

    def is_whole(self) -> bool:
        """Whether the file is there and every block is what was written."""
        try:
            table = self._whole_table()
            return all(self._are_whole(table[first:last]) for first, last in _grouped(table, CHECK_BYTES))
        except OSError:  # it is not there, or a disk that cannot read it; our errors of the disk among them
            return False

    def _are_whole(self, table: NDArray[np.void]) -> bool:
        begin = int(table["offset"][0])
        (data,) = read_many([(self.path, begin, int(table["num_bytes"].sum()))])
        parts = (memoryview(data)[at - begin : at - begin + size] for at, size in _places(table))
        return all(
            _checksum(entry, [part]) == entry["checksum"] for entry, part in zip(table, parts, strict=True)
        )


def _places(table: NDArray[np.void]) -> Iterable[tuple[int, int]]:
    return zip(table["offset"].tolist(), table["num_bytes"].tolist(), strict=True)


def _grouped(table: NDArray[np.void], num_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield intervals [first, last) of blocks of about `num_bytes` together, one at least."""
    first = total = 0
    for index, size in enumerate(table["num_bytes"].tolist()):
        if total and total + size > num_bytes:
            yield first, index
            first, total = index, 0
        total += size
    yield first, len(table)


def cell_edges(cell_bits: int) -> NDArray[np.uint64]:
    """Return the first key of every cell but the first, uint64 (2**cell_bits - 1,)."""
    return np.arange(1, 1 << cell_bits, dtype=np.uint64) << np.uint64(64 - cell_bits)


def cell_positions(run: Run, edges: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return where each cell begins and the last one ends among the records of `run`."""
    return np.concatenate([[0], np.searchsorted(run.keys, edges, side="left"), [run.num_records]])


def spill(runs: Sequence[Run], path: AnyPath, edges: NDArray[np.uint64]) -> SpilledRun:
    """Merge `runs` into the file `path`, some cells at a time: takes the memory of those, not of the runs.

    The file appears whole and is safely on disk when this returns.
    """
    table = np.zeros(len(edges) + 1, BLOCK)
    offset = 0
    with WholeFile(path) as file:
        for cell, run in enumerate(_merged_cells(runs, edges)):
            parts = _encode(run)
            num_bytes = sum(map(file.write, parts))
            table[cell] = (offset, num_bytes, run.num_records, 0, run.numbers.dtype == np.float64)
            table[cell]["checksum"] = _checksum(table[cell], parts)
            offset += num_bytes
        file.write(table.tobytes())
        file.publish()
    return SpilledRun(
        path=path,
        shape=runs[0].shape,
        num_bytes=offset,
        num_cells=len(table),
        table_checksum=xxhash.xxh3_64_intdigest(table.tobytes()),
    )


def _merged_cells(runs: Sequence[Run], edges: NDArray[np.uint64]) -> Iterator[Run]:
    """Yield the records of each cell, from all runs, ordered by key."""
    positions = [cell_positions(run, edges).tolist() for run in runs]
    num_cells = len(edges) + 1
    total_bytes = sum(run.num_bytes for run in runs)
    step = max(1, MERGE_BYTES * num_cells // max(total_bytes, 1))
    for first in range(0, num_cells, step):
        last = min(first + step, num_cells)
        merged = merge_runs(
            [run.between(at[first], at[last]) for run, at in zip(runs, positions, strict=True)]
        )
        places = cell_positions(merged, edges[first : last - 1]).tolist()
        for begin, end in itertools.pairwise(places):
            yield merged.between(begin, end)


def _checksum(entry: np.void, parts: Sequence[bytes | memoryview]) -> int:
    """Return the XXH3-64 of a block, which holds what its entry says of it, too."""
    digest = xxhash.xxh3_64(seed=2 * int(entry["num_records"]) + int(entry["is_double"]))
    for part in parts:
        digest.update(part)
    return digest.intdigest()


def _encode(run: Run) -> list[memoryview]:
    parts = [np.ascontiguousarray(array).data.cast("B") for array in _arrays(run) if array.size]
    if run.texts and run.num_records:
        batch = pa.RecordBatch.from_arrays(list(run.texts), names=[str(i) for i in range(len(run.texts))])
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        parts.append(memoryview(sink.getvalue()).cast("B"))
    return parts


def _arrays(run: Run) -> tuple[NDArray[Any], ...]:
    return run.keys, run.numbers, run.integers


def _decode(data: memoryview, entry: np.void, shape: tuple[int, int, int]) -> Run:
    n, (num_numbers, num_integers, num_texts) = int(entry["num_records"]), shape
    dtype = np.dtype(np.float64 if entry["is_double"] else np.float32)
    keys = np.frombuffer(data, np.uint64, n)
    numbers = np.frombuffer(data, dtype, num_numbers * n, 8 * n)
    at = 8 * n + numbers.nbytes
    integers = np.frombuffer(data, np.int64, num_integers * n, at)
    texts: tuple[pa.LargeStringArray, ...] = (pa.nulls(0, pa.large_string()),) * num_texts
    if num_texts and n:
        with pa.ipc.open_stream(pa.py_buffer(data).slice(at + integers.nbytes)) as reader:
            texts = tuple(reader.read_next_batch().columns)
    return Run(
        keys=keys,
        numbers=numbers.reshape(num_numbers, n),
        integers=integers.reshape(num_integers, n),
        texts=texts,
    )
