"""Owns what a dry run can say of time and memory: it reads the first mebibyte as a conversion would.

Nothing is written, and nothing of a dataset depends on it. Neighbour: `reading` is what is rehearsed.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pipeline.convert.exchange import num_processes
from pipeline.convert.reading import read_range
from pipeline.errors import PipelineError
from pipeline.source.files import open_text, read_exactly
from pipeline.source.quotes import last_cut
from pipeline.source.ranges import RangeText

if TYPE_CHECKING:
    from pipeline.convert.reading import RangeResult
    from pipeline.plan import ConvertPlan

REHEARSED_BYTES = 1 << 20
WRITING_SHARE = 0.2  # of the time for reading: docs/design.md, "What it costs"
BEGINNING_SECONDS = 0.5  # libraries loaded, folders made and forced to the disk
SPILLS_PER_BUDGET = 4  # runs go to disk by quarters of their memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to expect of a conversion on this machine, at the speed of its first mebibyte."""

    seconds: float
    runs_bytes: int
    spilled_bytes: int


def rehearse(plan: ConvertPlan) -> Rehearsal | None:
    """Return what to expect of the conversion; None where the first mebibyte cannot be read as planned."""
    file = plan.files[0]
    with _Clock() as unpacking, open_text(file.path, file.compression) as text:
        body = read_exactly(text, file.text_offset + REHEARSED_BYTES)[file.text_offset :]
    body = body[: last_cut(body, plan.dialect.delimiter)] or body
    task = RangeText(file_index=0, range_index=0, begin=file.text_offset, text=body)
    try:
        read_range(task, plan)  # the first call pays for what is loaded late
        with _Clock() as reading:
            result = read_range(task, plan)
    except PipelineError:
        return None
    num_times = plan.estimates.text_bytes / max(len(body), 1)
    num_workers = _num_workers(plan)
    work = (reading.seconds * (1 + WRITING_SHARE) + unpacking.seconds) * num_times / num_workers
    # One thread unpacks, whatever the number of workers.
    serial = unpacking.seconds * num_times if file.compression != "none" else 0.0
    runs_bytes = _runs_bytes(result, plan)
    return Rehearsal(
        seconds=BEGINNING_SECONDS + max(work, serial),
        runs_bytes=runs_bytes,
        spilled_bytes=_spilled_bytes(runs_bytes, plan),
    )


def _num_workers(plan: ConvertPlan) -> int:
    """Return how many will work at the same time: here, no more than there are cores."""
    if plan.options.engine == "dask":
        wanted = num_processes(plan.options)
        return wanted if plan.options.scheduler else min(wanted, len(os.sched_getaffinity(0)))
    return min(plan.options.num_workers or plan.memory.num_workers, len(os.sched_getaffinity(0)))


class _Clock:
    """Measures the work of one thread: Polars may use several, and others may use the machine."""

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = max(time.perf_counter() - self._began[0], time.process_time() - self._began[1])


def _runs_bytes(result: RangeResult, plan: ConvertPlan) -> int:
    return round(result.run.num_bytes / max(result.run.num_records, 1) * plan.estimates.num_records)


def _spilled_bytes(runs_bytes: int, plan: ConvertPlan) -> int:
    """Return how much of the runs will be on disk: all of them on a cluster, else what memory cannot hold."""
    if plan.options.engine == "dask":
        return runs_bytes
    unit = max(plan.memory.runs_bytes // SPILLS_PER_BUDGET, 1)
    over = runs_bytes - (plan.memory.runs_bytes - unit)
    return min(runs_bytes, -(-over // unit) * unit) if over > 0 else 0
