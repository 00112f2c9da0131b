"""Owns what a worker of a cluster does: the tasks of a conversion, and what each leaves in storage.

    read_task      reads consecutive byte ranges and writes run files into the staging folder
    survey_task    looks at some cells of the runs
    moments_task   takes some row groups, as does
    categories_task
    write_task     writes consecutive shards into the staging folder

What a task writes depends on nothing but the task, and appears whole, so it may be done twice, and by two at
the same time. Neighbours: `cluster` hands tasks out, and never sees a record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import xxhash

from pipeline.convert import vocabulary
from pipeline.convert.journal_entries import FinishedRun
from pipeline.convert.memory import settle_process
from pipeline.convert.reading import read_range
from pipeline.convert.writing import moments_of_batches, write_shard
from pipeline.errors import InputError, SourceChangedError
from pipeline.runs.ranks import ReadAhead
from pipeline.runs.spilled import cell_edges, spill
from pipeline.runs.surveys import surveyed
from pipeline.source.ranges import CutInsideQuotesError, RangeText, stored_range, streamed_ranges
from pipeline.storage.paths import system_errors_told

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.convert.reading import RangeResult, RangeSummary
    from pipeline.convert.writing import Finish, WrittenShard
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.ranks import Order, RankIndex
    from pipeline.runs.splits import SplitIndex
    from pipeline.runs.surveys import Survey
    from pipeline.source.ranges import RangeTask
    from pipeline.storage.paths import AnyPath

HINT = "run the same command again: it continues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What every task of a conversion needs; `request` says what was asked for, in a few characters."""

    plan: ConvertPlan
    folder: AnyPath
    request: str
    index: RankIndex | None = None
    divided: SplitIndex | None = None
    survey: Survey[Any] | None = None
    finish: Finish | None = None
    window_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The byte ranges [begin, end) of a file; of one that streams by, `end` is None and stands for all.

    Of the latter, those in `known` are left out: their digests by number.
    """

    file_index: int
    begin: int
    end: int | None
    known: Mapping[int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult:
    """What a reading task left: run files with the summaries of their ranges.

    Where it met a fault in the text: the `error`, in the range `failed_at` of (file, number), and the
    summaries of those before it that are in no run.
    """

    runs: tuple[FinishedRun, ...]
    rest: tuple[RangeSummary, ...] = ()
    failed_at: tuple[int, int] = (0, 0)
    error: InputError | CutInsideQuotesError | None = None

    @property
    def summaries(self) -> Iterator[RangeSummary]:
        """The summaries of the ranges that were read, in order."""
        for run in self.runs:
            yield from run.summaries
        yield from self.rest


def prepare() -> None:
    """Fit a worker that does nothing but convert to its work; it loads what reads."""
    from pipeline.source import fast  # noqa: F401, PLC0415

    settle_process()


def read_task(shared: Shared, spans: tuple[Span, ...]) -> ReadResult:
    """Read byte ranges into run files, as many as the memory of a worker asks for.

    A fault in the text is returned, not raised: the client tells it in its turn. Its line counts from the
    beginning of its range.

    Raises:
        MachineError: storage failed.
    """
    finished: list[FinishedRun] = []
    held: list[RangeResult] = []
    num_bytes = 0
    with system_errors_told(shared.folder, hint=HINT):
        for place in _places(spans, shared.plan):
            try:
                result = _read(place, spans, shared.plan)
            except (InputError, CutInsideQuotesError) as error:
                return ReadResult(
                    runs=tuple(finished),
                    rest=tuple(result.summary for result in held),
                    failed_at=(place.file_index, place.range_index),
                    error=error,
                )
            if result is None:
                continue
            held.append(result)
            num_bytes += result.run.num_bytes
            if num_bytes >= shared.plan.memory.runs_bytes:
                finished.append(_spilled(held, spans, shared))
                held, num_bytes = [], 0
        if held:
            finished.append(_spilled(held, spans, shared))
    return ReadResult(runs=tuple(finished))


def _places(spans: Sequence[Span], plan: ConvertPlan) -> Iterator[RangeTask]:
    size = plan.options.identity.range_bytes
    for span in spans:
        file = plan.files[span.file_index]
        if span.end is None:
            yield from streamed_ranges(file, span.file_index, size, delimiter=plan.dialect.delimiter)
        else:
            for number in range(span.begin, span.end):
                yield stored_range(file, span.file_index, number, size)


def _read(place: RangeTask, spans: Sequence[Span], plan: ConvertPlan) -> RangeResult | None:
    """Return what is in a range, None where that is known."""
    span = next(span for span in spans if span.file_index == place.file_index)
    digest = span.known.get(place.range_index)
    if digest is None:
        return read_range(place, plan)
    if isinstance(place, RangeText) and place.digest == digest:
        return None
    place.load()  # or raise what is wrong
    raise SourceChangedError(
        f"changed since the unfinished run began, in byte range {place.range_index}",
        path=str(plan.files[place.file_index].path),
        hint="remove the folder .incomplete beside the target to start afresh",
    )


def _spilled(held: Sequence[RangeResult], spans: Sequence[Span], shared: Shared) -> FinishedRun:
    """Write the runs of consecutive ranges as one file; its name tells what is in it.

    A worker that was given up may still be at a task which by now is cut otherwise: names must not meet.
    """
    places = [(result.summary.file_index, result.summary.range_index) for result in held]
    content = repr((shared.request, spans[0].end is None, places)).encode()
    file_index, range_index = places[0]
    name = f"run-{file_index:05d}-{range_index:08d}-{xxhash.xxh3_64_hexdigest(content)}"
    edges = cell_edges(shared.plan.memory.cell_bits)
    run = spill([result.run for result in held], shared.folder / "runs" / name, edges)
    return FinishedRun(run=run, summaries=tuple(result.summary for result in held))


def survey_task(shared: Shared, cells: tuple[int, int]) -> Any:  # noqa: ANN401  # what the survey finds
    """Return what the survey finds in the cells [first, last)."""
    assert shared.index is not None  # noqa: S101  # the client sets them
    assert shared.survey is not None  # noqa: S101
    with system_errors_told(shared.folder, hint=HINT):
        ahead = ReadAhead(num_bytes=shared.window_bytes, end=shared.index.num_records)
        return surveyed(shared.index, cells, shared.survey, ahead=ahead)


def moments_task(shared: Shared, task: tuple[int, int, int]) -> tuple[Moments, ...]:
    """Return the moments of each batch of an interval of ranks: (begin, end, batch_records)."""
    begin, end, batch_records = task
    order = _order(shared)
    with system_errors_told(shared.folder, hint=HINT):
        ahead = ReadAhead(num_bytes=shared.window_bytes, end=end)
        return tuple(moments_of_batches(order, begin, end, batch_records, ahead=ahead))


def categories_task(shared: Shared, task: tuple[int, int, int]) -> vocabulary.Counts:
    """Return how often each category has which value in an interval of ranks: (begin, end, batch_records)."""
    begin, end, batch_records = task
    order, schema = _order(shared), shared.plan.schema
    with system_errors_told(shared.folder, hint=HINT):
        ahead = ReadAhead(num_bytes=shared.window_bytes, end=end)
        batches = order.batches(begin, end, batch_records, ahead=ahead)
        return vocabulary.total((vocabulary.counts_of(pieces, schema) for pieces in batches), schema)


def write_task(shared: Shared, specs: tuple[ShardSpec, ...]) -> tuple[WrittenShard, ...]:
    """Write consecutive shards.

    Raises:
        NonFiniteError: a standardized value does not fit into float32.
        MachineError: storage failed.
    """
    assert shared.finish is not None  # noqa: S101  # the client sets it
    order = _order(shared)
    ahead = ReadAhead(num_bytes=shared.window_bytes, end=specs[-1].end)
    with system_errors_told(shared.folder, hint=HINT):
        return tuple(write_shard(spec, order, shared.finish, ahead=ahead) for spec in specs)


def _order(shared: Shared) -> Order:
    order = shared.divided or shared.index
    assert order is not None  # noqa: S101  # the client sets it
    return order
