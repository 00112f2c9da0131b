"""Owns how a cluster exchanges records: how large its tasks are, and what that comes to.

    reading    a task reads text for one run: as much as fills the memory of a worker, but so little that
               every worker gets several tasks
    exchange   each window of the order of keys is gathered from every run: two reads a run and window
    writing    a task writes the shards of one window, but so few that every worker gets several tasks

So there are about (bytes / memory)² slices, and they get smaller as the source grows: `check` refuses where
requests would be all there is. The same numbers drive the work (`cluster`), `--dry-run`, and docs/scaling.md.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import MemoryBudgetError
from pipeline.storage.files import PART_BYTES

if TYPE_CHECKING:
    from pipeline.plan import ConvertOptions, ConvertPlan

TASKS_PER_WORKER = 4  # so that workers end at about the same time
WINDOWS_PER_MEMORY = 2  # the other half of what runs had is for ordering what was gathered
MIN_SLICE_BYTES = 4 << 10  # a request moves no less than a page; from here on most of the work is asking
MAX_REQUESTS = 1_000_000  # below this, small slices are the price of a small source
UNCERTAIN_SHARE = 1 / 64  # of the records: whether they are in the train split shows when all are counted
UPLOAD_REQUESTS = 2  # to begin and to end what comes in parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """The tasks of a conversion on a cluster, and what passes between them.

    `text_bytes_per_task` is the text of a reading task; `window_bytes` what a writing task gathers at a time,
    in whole cells of `cell_bytes`.
    """

    num_workers: int
    text_bytes: int
    run_bytes: int
    shard_bytes: int
    memory_bytes: int
    num_ranges: int
    num_shards: int
    text_bytes_per_task: int
    shards_per_task: int
    window_bytes: int
    cell_bytes: int

    @property
    def num_reading_tasks(self) -> int:
        """The number of reading tasks; a file that streams by is one of its own."""
        return max(1, -(-self.text_bytes // self.text_bytes_per_task))

    @property
    def num_runs(self) -> int:
        """The number of run files."""
        return max(self.num_reading_tasks, -(-self.run_bytes // self.memory_bytes))

    @property
    def num_writing_tasks(self) -> int:
        """The number of writing tasks."""
        return -(-self.num_shards // self.shards_per_task)

    @property
    def num_windows(self) -> int:
        """The number of windows that writing tasks gather."""
        # Where one task ends and the next begins, both need the cell.
        per_task = self.run_bytes / self.num_writing_tasks + self.cell_bytes
        return self.num_writing_tasks * max(1, math.ceil(per_task / self.window_bytes))

    @property
    def slice_bytes(self) -> int:
        """The mean size of what one read of a run gives to one window."""
        return self.run_bytes // self.num_slices

    @property
    def num_reads(self) -> int:
        """The number of reads: byte ranges, then the table and the blocks of every run for every window.

        Beside the windows of shards there are those for the moments of a 64th of the records, and that of one
        cell by which the client finds the rank where these begin. The client also reads every table once.
        """
        windows = self.num_windows + math.ceil(self.num_windows * UNCERTAIN_SHARE) + 1
        return self.num_ranges + self.num_runs * (1 + 2 * windows)

    @property
    def num_writes(self) -> int:
        """The number of writes to a store: runs and shards in parts, their copies, entries of the journal."""
        runs = self.num_runs * _uploads(self.run_bytes / self.num_runs)
        shards = self.num_shards * (1 + _uploads(self.shard_bytes / self.num_shards))
        return math.ceil(runs + shards) + self.num_runs + self.num_shards

    @property
    def moved_bytes(self) -> int:
        """The bytes between workers and storage: text, runs written and read, shards; none by the client."""
        return self.text_bytes + 2 * self.run_bytes + self.shard_bytes

    @property
    def num_slices(self) -> int:
        """The number of slices: every window has one of every run."""
        return self.num_runs * self.num_windows


def num_processes(options: ConvertOptions) -> int:
    """Return how many workers were asked for; of a cluster of one's own, there is one for each core."""
    return options.num_workers or len(os.sched_getaffinity(0))


def _uploads(num_bytes: float) -> float:
    parts = math.ceil(num_bytes / PART_BYTES)
    return parts + UPLOAD_REQUESTS if parts > 1 else 1


def exchange_of(plan: ConvertPlan, num_workers: int) -> Exchange:
    """Return how `num_workers` workers exchange the records of `plan`."""
    estimates, memory_bytes = plan.estimates, plan.memory.runs_bytes
    range_bytes = plan.options.identity.range_bytes
    text_bytes, num_shards = max(1, estimates.text_bytes), max(1, sum(estimates.num_shards.values()))
    filling = text_bytes * memory_bytes // max(1, estimates.run_bytes)
    fair = text_bytes // (TASKS_PER_WORKER * num_workers)
    window_bytes = max(1, memory_bytes // WINDOWS_PER_MEMORY)
    cell_bytes = estimates.run_bytes >> plan.memory.cell_bits
    shards_in_window = (window_bytes - cell_bytes) * num_shards // max(1, estimates.run_bytes)
    return Exchange(
        num_workers=num_workers,
        text_bytes=text_bytes,
        run_bytes=estimates.run_bytes,
        shard_bytes=estimates.shard_bytes,
        memory_bytes=memory_bytes,
        num_ranges=estimates.num_ranges,
        num_shards=num_shards,
        text_bytes_per_task=max(range_bytes, min(filling, fair) // range_bytes * range_bytes),
        shards_per_task=max(1, min(shards_in_window, num_shards // (TASKS_PER_WORKER * num_workers))),
        window_bytes=window_bytes,
        cell_bytes=cell_bytes,
    )


def check(exchange: Exchange, memory_bytes: int) -> None:
    """Raise if the memory of a worker is so small for the source that requests would be all there is.

    Raises:
        MemoryBudgetError: it is; the memory that would do is named.
    """
    slice_bytes, num_reads = exchange.slice_bytes, exchange.num_reads
    if slice_bytes >= MIN_SLICE_BYTES or num_reads <= MAX_REQUESTS:
        return
    # With k times the memory there are 1/k as many runs and windows.
    needed = memory_bytes * math.sqrt(MIN_SLICE_BYTES / max(slice_bytes, 1))
    raise MemoryBudgetError(
        f"workers would exchange records in {exchange.num_slices:,} slices of {slice_bytes} bytes",
        hint=f"pass --memory {math.ceil(needed / (1 << 30))}GiB or more, with workers that have as much",
    )
