"""Owns the division of `--memory`: what each worker needs, and what is left for runs.

    --memory  =  base  +  threads * max(reading, writing)  +  runs

    base      BASE_BYTES: the interpreter, NumPy, Polars and Arrow, loaded and warm; and COLUMN_BYTES a column
    threads   --workers; one more where that leaves at least half of the rest to the runs
    reading   one byte range as text, plus READING_BYTES_PER_CELL for each of its numbers, and TEXT_COPIES of
              its text columns
    writing   WRITING_COPIES row groups, or cells of the runs where those are larger: gathered, ordered,
              standardized, encoded; for TFRecord also ENCODER_BYTES, the tables and tiles of the encoder
    runs      all that is left; what does not fit goes to disk

The factors are measured (benchmarks/bench_memory.py) and held by tests/memory.
"""

from __future__ import annotations

import gc
import math
from pathlib import Path

import pyarrow as pa

from pipeline.errors import MemoryBudgetError
from pipeline.plan import MemoryPlan

BASE_BYTES = 134 << 20
DASK_BYTES = 64 << 20  # a worker of Dask, with its queues and connections
COLUMN_BYTES = 16 << 10  # what Polars and the Parquet writer keep for each column
# A number while its range is read: float64 from Polars (8), in the block (8), as float32 (4), compared (1),
# ordered for the moments (8), its deviation (8), in the run (8).
READING_BYTES_PER_CELL = 36  # not all of them at the same time
TEXT_COPIES = 9  # in Polars, as Arrow, ordered, joined, encoded; each also as bytes and offsets
WRITING_COPIES = 5
ENCODER_BYTES = 24 << 20  # a batch of two row groups takes 20 MiB; more only for larger batches
MIN_RUNS_BYTES = 8 << 20
SLACK = 0.80  # the allocators keep some of what is freed, more when other processes disturb the threads
MAX_CELL_BITS = 14  # a cell takes work in every run; a terabyte of text comes to 10 MiB a cell


def divide(  # noqa: PLR0913  # the formula has as many variables
    memory_bytes: int,
    *,
    num_workers: int,
    num_columns: int,
    num_cells_per_range: int,
    range_bytes: int,
    text_bytes_per_range: int,
    row_group_bytes: int,
    num_row_groups: int,
    encodes_tfrecord: bool,
    runs_dask: bool = False,
) -> MemoryPlan:
    """Return the division of `memory_bytes`; fewer threads where not all can be had.

    `num_cells_per_range` is the expected number of values (records times columns) in a byte range,
    `text_bytes_per_range` what of its text is in text columns, `row_group_bytes` the size of a row group's
    records in a run.

    Raises:
        MemoryBudgetError: not even one worker can be had; it names the memory that would do.
    """
    reading = range_bytes + READING_BYTES_PER_CELL * num_cells_per_range + TEXT_COPIES * text_bytes_per_range
    # Cells of about half a row group on average, so that few hold more than one.
    cell_bits = min(MAX_CELL_BITS, max(0, num_row_groups * 2 - 1).bit_length())
    gathered = max(row_group_bytes, row_group_bytes * num_row_groups >> cell_bits)
    writing = WRITING_COPIES * gathered + (ENCODER_BYTES if encodes_tfrecord else 0)
    worker = max(reading, writing)
    base = BASE_BYTES + COLUMN_BYTES * num_columns + (DASK_BYTES if runs_dask else 0)
    usable = int(memory_bytes * SLACK) - base
    affordable = (usable - MIN_RUNS_BYTES) // worker
    if affordable < 1:
        needed = math.ceil((base + worker + MIN_RUNS_BYTES) / SLACK / (1 << 20))
        raise MemoryBudgetError(
            f"--memory {memory_bytes >> 20}MiB is too little for this source",
            hint=f"pass --memory {needed}MiB or more",
        )
    num_threads = min(num_workers, affordable)
    if 1 < num_workers == num_threads and usable - (num_workers + 1) * worker >= usable // 2:
        num_threads += 1
    return MemoryPlan(
        num_workers=min(num_workers, num_threads),
        num_threads=num_threads,
        runs_bytes=usable - num_threads * worker,
        cell_bits=cell_bits,
    )


def settle_process() -> None:
    """Fit a process that does nothing but convert to its work; not for the process of somebody else."""
    gc.freeze()  # what is loaded by now stays: not to be looked through again with every collection
    # Arrow's own pool keeps 14 MiB for half a MiB in use, out of `--memory`.
    pa.set_memory_pool(pa.system_memory_pool())


def peak_memory_bytes() -> int:
    """Return the most memory that this process has had; 0 where the system does not tell.

    Not `ru_maxrss`: of a new process, that begins with the peak of whoever started it.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return 0
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(peak.split()[1]) << 10
