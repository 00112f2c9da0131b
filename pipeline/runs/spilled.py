"""Owns the run on disk: one immutable file of blocks, one block per cell of the key space, each checksummed.

    block   keys       uint64 [n]           ┐
            numbers    float32|64 [C, n]    │ little-endian, C order, back to back
            integers   int64 [K, n]         ┘
            texts      Arrow IPC stream of one record batch, only where there are text columns

A block is one contiguous read. Where blocks begin, their sizes and checksums (XXH3-64) stay in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import xxhash

from pipeline.errors import DiskError
from pipeline.runs.run import Run, merge_runs
from pipeline.storage.files import WholeFile
from pipeline.storage.reads import read_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pipeline.storage.paths import AnyPath


# One entry per cell. An array, not objects: there are as many as spills times cells.
BLOCK = np.dtype(
    [
        ("offset", "<i8"),
        ("num_bytes", "<i8"),
        ("num_records", "<i8"),
        ("checksum", "<u8"),
        ("is_double", "?"),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpilledRun:
    """A run in a file; `blocks`, BLOCK (num_cells,), tells where the records of each cell are."""

    path: AnyPath
    shape: tuple[int, int, int]
    blocks: NDArray[np.void]

    def counts(self) -> NDArray[np.int64]:
        """Return the number of records in each cell."""
        counts: NDArray[np.int64] = self.blocks["num_records"]
        return counts

    @property
    def num_bytes(self) -> int:
        """The size of the file."""
        return int(self.blocks["num_bytes"].sum())

    def read_cell(self, cell: int) -> Run:
        """Return the records of `cell`, ordered by key.

        Raises:
            DiskError: the bytes are not those that were written.
        """
        block = self.blocks[cell]
        data = self._read_block(block)
        if data is None:
            raise DiskError(
                f"a temporary file gave back other bytes than were written, at byte {block['offset']}",
                path=str(self.path),
                hint="check the disk, then run the same command again",
            )
        return _decode(data, block, self.shape)

    def is_whole(self) -> bool:
        """Whether the file is there and every block is what was written; takes the memory of a block."""
        try:
            return all(self._read_block(block) is not None for block in self.blocks)
        except OSError:  # it is not there, or a disk that cannot read it
            return False

    def _read_block(self, block: np.void) -> bytes | None:
        """Return the bytes of a block, or None if they are not those that were written."""
        data = read_at(self.path, int(block["offset"]), int(block["num_bytes"]))
        return data if xxhash.xxh3_64_intdigest(data) == block["checksum"] else None


def cell_edges(cell_bits: int) -> NDArray[np.uint64]:
    """Return the first key of every cell but the first, uint64 (2**cell_bits - 1,)."""
    return np.arange(1, 1 << cell_bits, dtype=np.uint64) << np.uint64(64 - cell_bits)


def cell_positions(run: Run, edges: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return where each cell begins and the last one ends among the records of `run`."""
    return np.concatenate([[0], np.searchsorted(run.keys, edges, side="left"), [run.num_records]])


def spill(runs: Sequence[Run], path: AnyPath, edges: NDArray[np.uint64]) -> SpilledRun:
    """Merge `runs` into the file `path`, one cell at a time: takes the memory of a cell, not of the runs.

    The file appears whole and is safely on disk when this returns.
    """
    positions = [cell_positions(run, edges).tolist() for run in runs]
    blocks = np.zeros(len(edges) + 1, BLOCK)
    offset = 0
    with WholeFile(path) as file:
        for cell in range(len(edges) + 1):
            merged = merge_runs(
                [run.between(at[cell], at[cell + 1]) for run, at in zip(runs, positions, strict=True)]
            )
            digest = xxhash.xxh3_64()
            num_bytes = 0
            for part in _encode(merged):
                digest.update(part)
                num_bytes += file.write(part)
            is_double = merged.numbers.dtype == np.float64
            blocks[cell] = (offset, num_bytes, merged.num_records, digest.intdigest(), is_double)
            offset += num_bytes
        file.publish()
    return SpilledRun(path=path, shape=runs[0].shape, blocks=blocks)


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


def _decode(data: bytes, block: np.void, shape: tuple[int, int, int]) -> Run:
    n, (num_numbers, num_integers, num_texts) = int(block["num_records"]), shape
    dtype = np.dtype(np.float64 if block["is_double"] else np.float32)
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
