"""Owns how a cluster does the two halves of a conversion: which tasks there are, and what becomes of results.

Workers read the source and write runs and shards by themselves; only summaries, moments and the entries of
shards come back. Neighbours: `cluster_tasks` is what a worker does, `exchange` how large tasks are, `work`
does the same with threads, `engine.dask` maps, `engine.clusters` has the cluster.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import xxhash

from pipeline import moments as moments_of
from pipeline.convert import vocabulary
from pipeline.convert.cluster_tasks import (
    Shared,
    Span,
    categories_task,
    moments_task,
    prepare,
    read_task,
    survey_task,
    write_task,
)
from pipeline.convert.exchange import exchange_of, num_processes
from pipeline.convert.memory import peak_memory_bytes
from pipeline.engine.clusters import existing_cluster, local_cluster, reported
from pipeline.errors import InputError, UsageError
from pipeline.runs.ranks import RankIndex
from pipeline.runs.splits import Census, SplitIndex
from pipeline.runs.surveys import stretches
from pipeline.source.ranges import CutInsideQuotesError, num_ranges
from pipeline.source.sniff import expected_text_bytes
from pipeline.storage.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from pipeline.convert.cluster_tasks import ReadResult
    from pipeline.convert.journal import Journal
    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import Finish, WrittenShard
    from pipeline.engine.dask import DaskEngine
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.surveys import Survey
    from pipeline.splitting.division import Division
    from pipeline.storage.paths import AnyPath

    RangeId = tuple[int, int]

Result = TypeVar("Result")
Value = TypeVar("Value")


class ClusterWork:
    """The halves done by the workers of a cluster; see `work.Work`."""

    def __init__(self, plan: ConvertPlan, journal: Journal, folder: AnyPath, engine: DaskEngine) -> None:
        # Workers have working folders of their own.
        files = tuple(dataclasses.replace(file, path=absolute(file.path)) for file in plan.files)
        self._plan = plan
        self._shared = Shared(
            plan=dataclasses.replace(plan, files=files),
            folder=absolute(folder),
            request=journal.request_digest(),
        )
        self._journal = journal
        self._engine = engine
        self._exchange = exchange_of(plan, engine.num_workers)
        self._index: RankIndex | None = None
        self._divided: SplitIndex | None = None

    def read(self) -> Generator[RangeSummary, None, None]:
        """Read all ranges into run files; yield their summaries in range order."""
        known = self._journal.summaries()
        rest = deque(sorted(known.items()))
        tasks = tasks_of(
            self._plan,
            {place: summary.digest for place, summary in known.items()},
            text_bytes_per_task=self._exchange.text_bytes_per_task,
            streamed=self._journal.streamed,
        )
        for result in in_order(self._noted(self._engine.map_tasks(read_task, self._shared, tasks))):
            for summary in result.summaries:
                yield from _before(rest, (summary.file_index, summary.range_index))
                yield summary
            if result.error is not None:
                yield from _before(rest, result.failed_at)
                raise self._fault(result)
        yield from (summary for _, summary in rest)

    def _noted(self, results: Iterable[tuple[int, ReadResult]]) -> Iterator[tuple[int, ReadResult]]:
        """Yield the results, their runs entered in the journal."""
        for index, result in results:
            for finished in result.runs:
                self._journal.add_run(finished.run, finished.summaries)
            yield index, result

    def _fault(self, result: ReadResult) -> Exception:
        assert result.error is not None  # noqa: S101  # it was asked
        if isinstance(result.error, CutInsideQuotesError):
            # What workers have begun must not be there when the folder is emptied.
            self._engine.wait_for_stragglers()
        else:
            result.error.path = str(self._plan.files[result.failed_at[0]].path)
        return result.error

    def index(self) -> RankIndex:
        """Return the index of all records, once `read` is through."""
        if self._index is None:
            runs = [finished.run for finished in self._journal.runs]
            self._index = RankIndex([], runs, cell_bits=self._plan.memory.cell_bits)
        return self._index

    def survey(self, survey: Survey[Value]) -> Value:
        """Return what `survey` finds in all records."""
        shared = dataclasses.replace(self._gathering(), survey=survey)
        tasks = stretches(self.index(), max(1, self._exchange.num_writing_tasks))
        found: Iterator[Value] = in_order(self._engine.map_tasks(survey_task, shared, tasks))
        return functools.reduce(survey.merge, found)

    def divide(self, division: Division) -> tuple[int, ...]:
        """Take the order of `division` from here on; return the sizes of the splits."""
        self._divided = SplitIndex(self.index(), division, self.survey(Census(division=division)))
        return self._divided.sizes

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """Return the moments of the numeric columns over the ranks [begin, end), merged in order of rank."""
        total = moments_of.empty(self.index().shape[0])
        tasks = self._intervals_of(begin, end, batch_records)
        for found in in_order(self._engine.map_tasks(moments_task, self._gathering(), tasks)):
            for moments in found:
                total = moments_of.merge(total, moments)
        return total

    def category_counts(self, begin: int, end: int, batch_records: int) -> vocabulary.Counts:
        """Return how often each category has which value among the ranks [begin, end)."""
        tasks = self._intervals_of(begin, end, batch_records)
        found = self._engine.map_tasks(categories_task, self._gathering(), tasks)
        return vocabulary.total((counts for _, counts in found), self._plan.schema)

    def _intervals_of(self, begin: int, end: int, batch_records: int) -> list[tuple[int, int, int]]:
        """Return tasks, each an interval of the ranks [begin, end) of whole batches."""
        shards = max(1, self._exchange.num_writing_tasks)
        step = max(1, self.index().num_records // shards // batch_records) * batch_records
        return [(low, min(low + step, end), batch_records) for low in range(begin, end, step)]

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """Write the shards that are not there yet; yield all of them in order."""
        there = {spec: self._journal.finished_shard(spec, finish.folder) for spec in specs}
        missing = [spec for spec in specs if there[spec] is None]
        tasks = list(_grouped(missing, self._exchange.shards_per_task))
        shared = dataclasses.replace(self._gathering(), finish=finish)
        results = in_order(self._entered(self._engine.map_tasks(write_task, shared, tasks)))
        written = (shard for shards in results for shard in shards)
        for spec in specs:
            yield there[spec] or next(written)

    def _entered(
        self, results: Iterable[tuple[int, tuple[WrittenShard, ...]]]
    ) -> Iterator[tuple[int, tuple[WrittenShard, ...]]]:
        """Yield the results, their shards entered in the journal."""
        for index, shards in results:
            for shard in shards:
                self._journal.add_shard(shard)
            yield index, shards

    def worker_bytes(self) -> int:
        """Return the most memory that one of the workers has had."""
        return max(self._engine.of_workers(peak_memory_bytes), default=0)

    def _gathering(self) -> Shared:
        window_bytes = self._exchange.window_bytes
        return dataclasses.replace(
            self._shared, index=self.index(), divided=self._divided, window_bytes=window_bytes
        )


@contextmanager
def connected(plan: ConvertPlan, folder: AnyPath) -> Iterator[DaskEngine]:
    """Yield the engine that the options name: an existing cluster, or one of processes on this machine.

    `folder` is where its tasks write.

    Raises:
        MissingExtraError: Dask is not installed.
        WorkersLostError: there is no such scheduler, or it has too few workers.
    """
    options = plan.options
    name = xxhash.xxh3_64_hexdigest(str(absolute(folder)).encode())
    if options.scheduler:
        cluster = existing_cluster(options.scheduler, name=name, num_workers=options.num_workers or 1)
    else:
        cluster = local_cluster(num_processes(options), name=name, prepare=prepare)
    with cluster as engine, reported(engine, options.performance_report):
        try:
            yield engine
        except (InputError, UsageError):
            engine.wait_for_stragglers()  # what they write must not outlive what is removed
            raise


def tasks_of(
    plan: ConvertPlan, known: Mapping[RangeId, bytes], *, text_bytes_per_task: int, streamed: bool
) -> Iterator[tuple[Span, ...]]:
    """Yield the reading tasks: spans of consecutive byte ranges but those in `known`, given by their digests.

    Small files share a task; a file that streams by is never cut.
    """
    held: list[Span] = []
    held_bytes = 0
    for span, num_bytes in _spans(plan, known, text_bytes_per_task, streamed=streamed):
        # Names of runs differ by whether the first span streams by.
        differs = bool(held) and (held[0].end is None) != (span.end is None)
        if held and (differs or held_bytes + num_bytes > text_bytes_per_task):
            yield tuple(held)
            held, held_bytes = [], 0
        held.append(span)
        held_bytes += num_bytes
    if held:
        yield tuple(held)


def _spans(
    plan: ConvertPlan, known: Mapping[RangeId, bytes], most_bytes: int, *, streamed: bool
) -> Iterator[tuple[Span, int]]:
    """Yield spans of up to `most_bytes` of text, and the bytes of each as far as they can be told."""
    size = plan.options.identity.range_bytes
    by_file: dict[int, dict[int, bytes]] = {}
    for (index, number), digest in known.items():
        by_file.setdefault(index, {})[number] = digest
    for index, file in enumerate(plan.files):
        there = by_file.get(index, {})
        if streamed or not file.in_ranges:
            yield Span(file_index=index, begin=0, end=None, known=there), expected_text_bytes(file)
            continue
        wanted = [number for number in range(num_ranges(file, size)) if number not in there]
        for begin, end in _intervals(wanted, max(1, most_bytes // size)):
            num_bytes = min(end * size, file.num_bytes) - begin * size
            yield Span(file_index=index, begin=begin, end=end, known={}), num_bytes


def _intervals(numbers: Iterable[int], most: int) -> Iterator[tuple[int, int]]:
    """Yield the ascending `numbers` as intervals [begin, end) of up to `most` of them."""
    begin = end = -1
    for number in numbers:
        if number != end or end - begin == most:
            if end > begin:
                yield begin, end
            begin = number
        end = number + 1
    if end > begin:
        yield begin, end


def _grouped(specs: Sequence[ShardSpec], most: int) -> Iterator[tuple[ShardSpec, ...]]:
    """Yield groups of up to `most` shards whose ranks follow on each other."""
    held: list[ShardSpec] = []
    for spec in specs:
        if held and (len(held) == most or held[-1].end != spec.begin):
            yield tuple(held)
            held = []
        held.append(spec)
    if held:
        yield tuple(held)


def in_order(results: Iterable[tuple[int, Result]]) -> Iterator[Result]:
    """Yield results, numbered from 0, in the order of their numbers."""
    waiting: dict[int, Result] = {}
    turn = 0
    for index, result in results:
        waiting[index] = result
        while turn in waiting:
            yield waiting.pop(turn)
            turn += 1


def _before(known: deque[tuple[RangeId, RangeSummary]], place: RangeId) -> Iterator[RangeSummary]:
    """Yield, and remove, the summaries of ranges before `place`."""
    while known and known[0][0] < place:
        yield known.popleft()[1]
