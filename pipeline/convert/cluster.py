"""Owns how a cluster does the two halves of a conversion: what a task is, and what it leaves in storage.

    read      a task reads consecutive byte ranges and writes run files into the staging folder
    moments   a task takes some row groups
    write     a task writes a shard into the staging folder

Workers find the runs of others through the journal, which lies in the same storage: only summaries, moments
and the entries of shards go back to the client. What a task writes depends on nothing but the task, and
appears whole, so it may be done twice. Neighbours: `work` does the same with threads, `engine.dask` maps.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import moments as moments_of
from pipeline.convert.journal import read_runs
from pipeline.convert.journal_entries import FinishedRun
from pipeline.convert.memory import settle_process
from pipeline.convert.reading import read_range
from pipeline.convert.writing import moments_of_batches, write_shard
from pipeline.engine.dask import existing_cluster, local_cluster, reported
from pipeline.errors import PipelineError
from pipeline.runs.ranks import RankIndex
from pipeline.runs.spilled import cell_edges, spill
from pipeline.source.ranges import stored_ranges, streamed_ranges
from pipeline.storage.paths import absolute, make_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pipeline.convert.journal import Journal
    from pipeline.convert.reading import RangeResult, RangeSummary
    from pipeline.convert.writing import Finish, WrittenShard
    from pipeline.engine.dask import DaskEngine
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.run import Run
    from pipeline.source.ranges import RangeTask, StoredRange
    from pipeline.storage.paths import AnyPath

TASKS_PER_WORKER = 4  # of reading, so that workers end at about the same time
MAX_RANGES = 64  # half a gibibyte of text: what is lost when a worker dies, and done again in seconds
BATCHES_PER_TASK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every task of a conversion needs; `token` tells one state of the journal from another."""

    plan: ConvertPlan
    folder: AnyPath
    token: int = 0
    finish: Finish | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadTask:
    """Consecutive byte ranges of one file; None: all of them, by streaming, but for those that are known.

    `known` maps those to their numbers of lines.
    """

    file_index: int
    ranges: tuple[StoredRange, ...] | None
    known: Mapping[int, int]


class ClusterWork:
    """The halves done by the workers of a cluster; see `work.Work`."""

    def __init__(self, plan: ConvertPlan, journal: Journal, folder: AnyPath, engine: DaskEngine) -> None:
        files = tuple(dataclasses.replace(file, path=absolute(file.path)) for file in plan.files)
        self._names = {str(far.path): str(f.path) for far, f in zip(files, plan.files, strict=True)}
        self._shared = Shared(plan=dataclasses.replace(plan, files=files), folder=folder)
        self._journal = journal
        self._engine = engine

    def read(self) -> Generator[RangeSummary, None, None]:
        """Read all ranges into run files; yield their summaries in range order."""
        known = deque(sorted(self._journal.summaries().items()))
        tasks = list(self._read_tasks({place: summary.num_lines for place, summary in known}))
        results = self._engine.map_tasks(read_task, self._shared, tasks)
        for task in tasks:
            first = task.ranges[0].range_index if task.ranges else 0
            while known and known[0][0] < (task.file_index, first):
                yield known.popleft()[1]
            yield from self._merged(task, self._result(results), known)
        yield from (summary for _, summary in known)

    def _result(self, results: Iterator[tuple[FinishedRun, ...]]) -> tuple[FinishedRun, ...]:
        try:
            finished = next(results)
        except PipelineError as error:
            error.path = self._names.get(error.path, error.path)
            raise
        for run in finished:
            self._journal.add_run(run.run, run.summaries)
        return finished

    def _merged(
        self,
        task: ReadTask,
        finished: Sequence[FinishedRun],
        known: deque[tuple[tuple[int, int], RangeSummary]],
    ) -> Iterator[RangeSummary]:
        """Yield the summaries of a task, and between them those of ranges that it left out as known."""
        for summary in (summary for run in finished for summary in run.summaries):
            while known and known[0][0] < (task.file_index, summary.range_index):
                yield known.popleft()[1]
            yield summary

    def _read_tasks(self, known: Mapping[tuple[int, int], int]) -> Iterator[ReadTask]:
        plan = self._shared.plan
        size = plan.options.identity.range_bytes
        num_ranges = plan.estimates.num_ranges
        per_task = min(MAX_RANGES, max(1, num_ranges // (TASKS_PER_WORKER * self._engine.num_workers)))
        for index, file in enumerate(plan.files):
            if self._journal.streamed or not file.in_ranges:
                there = {at: num_lines for (of, at), num_lines in known.items() if of == index}
                yield ReadTask(file_index=index, ranges=None, known=there)
                continue
            held: list[StoredRange] = []
            for place in stored_ranges(file, index, size):
                is_known = (index, place.range_index) in known
                if held and (is_known or len(held) == per_task):
                    yield ReadTask(file_index=index, ranges=tuple(held), known={})
                    held = []
                held += [] if is_known else [place]
            if held:
                yield ReadTask(file_index=index, ranges=tuple(held), known={})

    def index(self) -> RankIndex:
        """Return the index of all records, once `read` is through."""
        return _index(self._shared.folder, len(self._journal.runs), self._shared.plan.memory.cell_bits)

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """Return the moments of the numeric columns over the ranks [begin, end), merged in order of rank."""
        total = moments_of.empty(self.index().shape[0])
        step = batch_records * BATCHES_PER_TASK
        tasks = [(low, min(low + step, end), batch_records) for low in range(begin, end, step)]
        for found in self._engine.map_tasks(moments_task, self._with_token(), tasks):
            for moments in found:
                total = moments_of.merge(total, moments)
        return total

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """Write the shards that are not there yet; yield all of them in order."""
        there = {spec.stem: self._journal.finished_shard(spec, finish.folder) for spec in specs}
        shared = dataclasses.replace(self._with_token(), finish=finish)
        missing = [spec for spec in specs if there[spec.stem] is None]
        results = self._engine.map_tasks(write_task, shared, missing)
        for spec in specs:
            shard = there[spec.stem]
            if shard is None:
                shard = next(results)
                self._journal.add_shard(shard)
            yield shard

    def _with_token(self) -> Shared:
        return dataclasses.replace(self._shared, token=len(self._journal.runs))


@contextmanager
def connected(plan: ConvertPlan) -> Iterator[DaskEngine]:
    """Yield the engine that the options name: an existing cluster, or one of processes on this machine.

    Raises:
        MissingExtraError: Dask is not installed.
        WorkersLostError: there is no such scheduler, or it has no workers.
    """
    options = plan.options
    num_workers = options.num_workers or len(os.sched_getaffinity(0))
    cluster = existing_cluster(options.scheduler) if options.scheduler else local_cluster(num_workers)
    with cluster as engine, reported(options.performance_report):
        yield engine


def read_task(shared: Shared, task: ReadTask) -> tuple[FinishedRun, ...]:
    """Read byte ranges into run files, as many as the memory of a worker asks for; runs on a worker.

    Raises:
        InputError: a fault in the text; its line counts from the first range of the task, or of the file.
    """
    settle_process()
    plan = shared.plan
    make_folder(shared.folder / "runs")
    finished: list[FinishedRun] = []
    held: list[tuple[Run, RangeSummary]] = []
    num_lines = num_bytes = 0
    size = plan.options.identity.range_bytes
    ranges: Iterable[RangeTask]
    ranges = task.ranges or streamed_ranges(
        plan.files[task.file_index], task.file_index, size, delimiter=plan.dialect.delimiter
    )
    for place in ranges:
        if place.range_index in task.known:
            num_lines += task.known[place.range_index]
            continue
        result = _read_one(place, plan, num_lines)
        held.append((result.run, result.summary))
        num_lines += result.summary.num_lines
        num_bytes += result.run.num_bytes
        if num_bytes >= plan.memory.runs_bytes:
            finished.append(_spilled(held, shared))
            held, num_bytes = [], 0
    if held:
        finished.append(_spilled(held, shared))
    return tuple(finished)


def _read_one(place: RangeTask, plan: ConvertPlan, num_lines: int) -> RangeResult:
    try:
        return read_range(place, plan)
    except PipelineError as error:
        if error.line is not None:
            error.line += num_lines
        raise


def _spilled(held: Sequence[tuple[Run, RangeSummary]], shared: Shared) -> FinishedRun:
    """Write the runs of consecutive ranges as one file, called after the first of them."""
    first = held[0][1]
    path = shared.folder / "runs" / f"run-{first.file_index:05d}-{first.range_index:08d}"
    edges = cell_edges(shared.plan.memory.cell_bits)
    return FinishedRun(
        run=spill([run for run, _ in held], path, edges), summaries=tuple(summary for _, summary in held)
    )


def moments_task(shared: Shared, task: tuple[int, int, int]) -> tuple[Moments, ...]:
    """Return the moments of each batch of an interval of ranks: (begin, end, batch_records); on a worker."""
    begin, end, batch_records = task
    return tuple(moments_of_batches(_shared_index(shared), begin, end, batch_records))


def write_task(shared: Shared, spec: ShardSpec) -> WrittenShard:
    """Write a shard; runs on a worker."""
    settle_process()
    assert shared.finish is not None  # noqa: S101  # `write` sets it
    make_folder(shared.finish.folder)
    return write_shard(spec, _shared_index(shared), shared.finish)


def _shared_index(shared: Shared) -> RankIndex:
    return _index(shared.folder, shared.token, shared.plan.memory.cell_bits)


@functools.lru_cache(maxsize=1)
def _index(folder: AnyPath, token: int, cell_bits: int) -> RankIndex:
    """Return the index of all runs that the journal in `folder` names; once a process and state of it."""
    runs = [finished.run for finished in read_runs(folder)]
    assert len(runs) == token  # noqa: S101  # the client wrote as many
    return RankIndex([], runs, cell_bits=cell_bits)
