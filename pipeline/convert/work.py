"""Owns how the threads of this process do the two halves of a conversion.

    read      byte ranges → runs, in memory as far as `--memory` allows; summaries in range order
    survey    something small that is counted of all records
    divide    from the order of keys to that of splits, and keys within them
    moments   of an interval of that order, and how often categories have which value
    write     runs → shards

Neighbours: `reading` and `writing` are the halves, `cluster` does them otherwise, `engine` maps tasks.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Protocol, TypeVar

from pipeline import moments as moments_of
from pipeline.convert import vocabulary
from pipeline.convert.memory import peak_memory_bytes
from pipeline.convert.reading import read_range
from pipeline.convert.writing import moments_of_batches, stretches, write_shard
from pipeline.engine.local import map_tasks
from pipeline.errors import SourceChangedError
from pipeline.runs.ranks import ReadAhead
from pipeline.runs.splits import Census, SplitIndex
from pipeline.runs.store import RunStore
from pipeline.runs.surveys import stretches as stretches_of_cells
from pipeline.runs.surveys import surveyed
from pipeline.source import ranges
from pipeline.source.ranges import RangeText

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pipeline.convert.journal import Journal
    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import Finish, WrittenShard
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.ranks import Order, RankIndex
    from pipeline.runs.surveys import Survey
    from pipeline.source.ranges import RangeTask
    from pipeline.splitting.division import Division
    from pipeline.storage.paths import AnyPath

Value = TypeVar("Value")

TASKS_PER_THREAD = 4  # so that threads end at about the same time
AHEAD_BYTES = (
    2 << 20
)  # half a row group: enough that opening files costs nothing, and little beside five of them


class Work(Protocol):
    """A way to do the two halves; the dataset does not depend on it."""

    def read(self) -> Generator[RangeSummary, None, None]:
        """Read all ranges into runs; yield their summaries in range order."""

    def index(self) -> RankIndex:
        """Return the index of all records, once `read` is through."""

    def survey(self, survey: Survey[Value]) -> Value:
        """Return what `survey` finds in all records."""

    def divide(self, division: Division) -> tuple[int, ...]:
        """Take the order of `division` from here on; return the sizes of the splits."""

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """Return the moments of the numeric columns over the ranks [begin, end), merged in order of rank."""

    def category_counts(self, begin: int, end: int, batch_records: int) -> vocabulary.Counts:
        """Return how often each category has which value among the ranks [begin, end)."""

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """Write the shards that are not there yet; yield all of them in order."""

    def worker_bytes(self) -> int:
        """Return the most memory that a process at work has had."""


class ThreadWork:
    """The halves done by the threads of this process."""

    def __init__(self, plan: ConvertPlan, journal: Journal, runs_folder: AnyPath) -> None:
        self._plan = plan
        self._journal = journal
        self._store: RunStore[RangeSummary] = RunStore(
            runs_folder,
            budget_bytes=plan.memory.runs_bytes,
            cell_bits=plan.memory.cell_bits,
            on_spill=journal.add_run,
            spilled=[finished.run for finished in journal.runs],
        )
        self._index: RankIndex | None = None
        self._divided: SplitIndex | None = None

    def read(self) -> Generator[RangeSummary, None, None]:
        """See `Work.read`."""
        known = self._journal.summaries()

        def read(task: RangeTask) -> RangeSummary:
            if summary := known.get((task.file_index, task.range_index)):
                if isinstance(task, RangeText) and task.digest != summary.digest:
                    raise SourceChangedError(
                        f"changed since the unfinished run began, in byte range {task.range_index}",
                        path=str(self._plan.files[task.file_index].path),
                        hint="remove the folder .incomplete beside the target to start afresh",
                    )
                return summary
            result = read_range(task, self._plan)
            self._store.add(result.run, result.summary)
            return result.summary

        tasks = all_ranges(self._plan, streamed=self._journal.streamed)
        yield from map_tasks(read, tasks, num_workers=self._plan.memory.num_threads)

    def index(self) -> RankIndex:
        """See `Work.index`."""
        if self._index is None:
            self._index = self._store.index()
        return self._index

    def _order(self) -> Order:
        """Return the records in the order of the shards."""
        return self._divided or self.index()

    def survey(self, survey: Survey[Value]) -> Value:
        """See `Work.survey`."""
        index = self.index()

        def look(cells: tuple[int, int]) -> Value:
            return surveyed(
                index, cells, survey, ahead=ReadAhead(num_bytes=AHEAD_BYTES, end=index.num_records)
            )

        num_workers = self._plan.memory.num_threads
        found = map_tasks(
            look, stretches_of_cells(index, TASKS_PER_THREAD * num_workers), num_workers=num_workers
        )
        return functools.reduce(survey.merge, found)

    def divide(self, division: Division) -> tuple[int, ...]:
        """See `Work.divide`."""
        self._divided = SplitIndex(self.index(), division, self.survey(Census(division=division)))
        return self._divided.sizes

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """See `Work.moments`."""
        order, num_workers = self._order(), self._plan.memory.num_threads

        def take(ranks: tuple[int, int]) -> tuple[Moments, ...]:
            ahead = ReadAhead(num_bytes=AHEAD_BYTES, end=ranks[1])
            return tuple(moments_of_batches(order, *ranks, batch_records, ahead=ahead))

        tasks = stretches(begin, end, batch_records, count=TASKS_PER_THREAD * num_workers)
        found = map_tasks(take, tasks, num_workers=num_workers)
        return functools.reduce(
            moments_of.merge, itertools.chain.from_iterable(found), moments_of.empty(order.shape[0])
        )

    def category_counts(self, begin: int, end: int, batch_records: int) -> vocabulary.Counts:
        """See `Work.category_counts`."""
        schema = self._plan.schema
        batches = self._order().batches(begin, end, batch_records)
        return vocabulary.total((vocabulary.counts_of(pieces, schema) for pieces in batches), schema)

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """See `Work.write`."""
        order = self._order()

        def write(spec: ShardSpec) -> WrittenShard:
            if shard := self._journal.finished_shard(spec, finish.folder):
                return shard
            ahead = ReadAhead(num_bytes=AHEAD_BYTES, end=spec.end)
            shard = write_shard(spec, order, finish, ahead=ahead)
            self._journal.add_shard(shard)
            return shard

        yield from map_tasks(write, specs, num_workers=self._plan.memory.num_threads)

    def worker_bytes(self) -> int:
        """See `Work.worker_bytes`."""
        return peak_memory_bytes()


def all_ranges(plan: ConvertPlan, *, streamed: bool) -> Iterator[RangeTask]:
    """Yield the ranges of all files in order."""
    size, delimiter = plan.options.identity.range_bytes, plan.dialect.delimiter
    return ranges.all_ranges(plan.files, size, delimiter=delimiter, streamed=streamed)
