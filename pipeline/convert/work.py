"""Owns how the threads of this process do the two halves of a conversion.

    read      byte ranges → runs, in memory as far as `--memory` allows; summaries in range order
    moments   of an interval of ranks, and how often categories have which value
    write     runs → shards

Neighbours: `reading` and `writing` are the halves, `cluster` does them otherwise, `engine` maps tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipeline.convert import vocabulary
from pipeline.convert.reading import read_range
from pipeline.convert.writing import moments_of_ranks, write_shard
from pipeline.engine.local import map_tasks
from pipeline.errors import SourceChangedError
from pipeline.runs.ranks import ReadAhead
from pipeline.runs.store import RunStore
from pipeline.source import ranges
from pipeline.source.ranges import RangeText

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pipeline.convert.journal import Journal
    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import Finish, WrittenShard
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.ranks import RankIndex
    from pipeline.source.ranges import RangeTask
    from pipeline.storage.paths import AnyPath

AHEAD_BYTES = (
    2 << 20
)  # half a row group: enough that opening files costs nothing, and little beside five of them


class Work(Protocol):
    """A way to do the two halves; the dataset does not depend on it."""

    def read(self) -> Generator[RangeSummary, None, None]:
        """Read all ranges into runs; yield their summaries in range order."""

    def index(self) -> RankIndex:
        """Return the index of all records, once `read` is through."""

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """Return the moments of the numeric columns over the ranks [begin, end), merged in order of rank."""

    def category_counts(self, begin: int, end: int, batch_records: int) -> vocabulary.Counts:
        """Return how often each category has which value among the ranks [begin, end)."""

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """Write the shards that are not there yet; yield all of them in order."""


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

    def moments(self, begin: int, end: int, batch_records: int) -> Moments:
        """See `Work.moments`."""
        return moments_of_ranks(self.index(), begin, end, batch_records)

    def category_counts(self, begin: int, end: int, batch_records: int) -> vocabulary.Counts:
        """See `Work.category_counts`."""
        schema = self._plan.schema
        batches = self.index().batches(begin, end, batch_records)
        return vocabulary.total((vocabulary.counts_of(pieces, schema) for pieces in batches), schema)

    def write(self, specs: Sequence[ShardSpec], finish: Finish) -> Generator[WrittenShard, None, None]:
        """See `Work.write`."""
        index = self.index()

        def write(spec: ShardSpec) -> WrittenShard:
            if shard := self._journal.finished_shard(spec, finish.folder):
                return shard
            ahead = ReadAhead(num_bytes=AHEAD_BYTES, end=spec.end)
            shard = write_shard(spec, index, finish, ahead=ahead)
            self._journal.add_shard(shard)
            return shard

        yield from map_tasks(write, specs, num_workers=self._plan.memory.num_threads)


def all_ranges(plan: ConvertPlan, *, streamed: bool) -> Iterator[RangeTask]:
    """Yield the ranges of all files in order."""
    size, delimiter = plan.options.identity.range_bytes, plan.dialect.delimiter
    return ranges.all_ranges(plan.files, size, delimiter=delimiter, streamed=streamed)
