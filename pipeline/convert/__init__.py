"""The use case `convert`: plan → read every range into runs → decide → write shards → publish.

`planning` makes the plan, `reading` turns a byte range into a sorted run, `accounts` adds the ranges up,
`writing` turns runs into shards, `describing` makes the manifest. This module is the straight line through
them.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import keys, moments
from pipeline.convert.accounts import Accounts
from pipeline.convert.cautions import cautions
from pipeline.convert.describing import build_manifest, fingerprint, rejects_entry, rejects_jsonl
from pipeline.convert.journal import Journal
from pipeline.convert.planning import make_plan
from pipeline.convert.reading import read_range
from pipeline.convert.writing import Finish, moments_of_ranks, write_shard
from pipeline.engine.local import map_tasks
from pipeline.errors import (
    InputError,
    NonFiniteError,
    PipelineError,
    TargetExistsError,
    TooManyRejectsError,
    UsageError,
)
from pipeline.manifest import MANIFEST_NAME, REJECTS_NAME, load, to_json
from pipeline.plan import cut_shards, record_bytes, row_group_records
from pipeline.progress import SILENT
from pipeline.runs.store import RunStore
from pipeline.source.files import check_unchanged, count_lines
from pipeline.source.ranges import CutInsideQuotesError, ranges_of
from pipeline.storage import Staging, check_target, staging, write_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import WrittenShard
    from pipeline.manifest import Manifest
    from pipeline.moments import Moments
    from pipeline.plan import ConvertOptions, ConvertPlan, ShardSpec
    from pipeline.progress import Progress
    from pipeline.runs.ranks import RankIndex
    from pipeline.source.ranges import RangeTask

__all__ = ["ConvertSummary", "convert", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertSummary:
    """What was done: the manifest, and what must not be in it because it changes from run to run."""

    target: Path
    manifest: Manifest
    seconds: float


def convert(
    source: Path, target: Path, options: ConvertOptions, *, progress: Progress = SILENT
) -> ConvertSummary:
    """Turn the CSV `source` into a dataset of shards in the folder `target`.

    Deterministic: the same content and the same `options.identity` give the same bytes, for any number of
    workers and any compression of the source. Atomic: `target` is absent, or whole.

    Raises:
        UsageError: the target exists, or options exclude each other.
        InputError: the source cannot be read exactly.
        MachineError: disk, memory or permissions do not suffice.
        BusyError: another process writes to the same target.
    """
    began = time.monotonic()
    if not Staging(target).folder.exists():
        check_target(target, overwrite=options.overwrite)  # before anything is made
    plan = make_plan(source, options)
    with staging(target, resumable=True) as stage:
        journal = Journal(stage.folder, plan)
        if stage.published_request() == journal.request_digest():
            stage.discard()  # all that an earlier process, killed, had left to do
            manifest = load(target)
        else:
            manifest = _run(plan, target, stage, journal, progress)
    return ConvertSummary(target=target, manifest=manifest, seconds=time.monotonic() - began)


def _run(
    plan: ConvertPlan, target: Path, stage: Staging, journal: Journal, progress: Progress
) -> Manifest:
    """Begin or continue; what could not help another attempt is not left behind."""
    try:
        check_target(target, overwrite=plan.options.overwrite)
    except TargetExistsError:
        if not journal.exists():
            stage.discard()
        raise
    if not journal.resume(progress):
        journal.begin(streamed=False)
        stage.begin()
    try:
        return _convert(plan, stage, journal, progress)
    except (InputError, UsageError):
        stage.discard()  # the same command would fail again, and another one could not continue it
        raise


def _convert(plan: ConvertPlan, stage: Staging, journal: Journal, progress: Progress) -> Manifest:
    accounts, index = _read(plan, stage, journal, progress)
    manifest = _write(plan, accounts, index, journal, stage.dataset, progress)
    if accounts.rejects:
        rejects = rejects_jsonl(plan, accounts)
        write_text(stage.dataset / REJECTS_NAME, rejects)
        manifest = dataclasses.replace(manifest, rejects=rejects_entry(rejects))
    write_text(stage.dataset / MANIFEST_NAME, to_json(manifest))
    names = [entry.path for split in manifest.splits.values() for entry in split.shards]
    names += [MANIFEST_NAME, *([REJECTS_NAME] if accounts.rejects else [])]
    stage.publish(request=journal.request_digest(), names=names)
    return manifest


def _read(
    plan: ConvertPlan, stage: Staging, journal: Journal, progress: Progress
) -> tuple[Accounts, RankIndex]:
    """Return the accounts of all ranges, and their records ordered, in memory and in the runs folder."""
    try:
        return _read_ranges(plan, stage.runs, journal, progress)
    except CutInsideQuotesError:
        progress.finish()
        journal.begin(streamed=True)
        stage.begin()
        return _read_ranges(plan, stage.runs, journal, progress)


def _read_ranges(
    plan: ConvertPlan, folder: Path, journal: Journal, progress: Progress
) -> tuple[Accounts, RankIndex]:
    store: RunStore[RangeSummary] = RunStore(
        folder,
        budget_bytes=plan.memory.runs_bytes,
        cell_bits=plan.memory.cell_bits,
        on_spill=journal.add_run,
        spilled=[finished.run for finished in journal.runs],
    )
    known = journal.summaries()

    def read(task: RangeTask) -> RangeSummary:
        if summary := known.get((task.file_index, task.range_index)):
            return summary
        result = read_range(task, plan)
        store.add(result.run, result.summary)
        return result.summary

    header_lines = tuple(count_lines(file.path, file.compression, file.text_offset) for file in plan.files)
    accounts = Accounts(plan, header_lines)
    is_plain = all(file.compression == "none" for file in plan.files)
    progress.start("reading", total=plan.estimates.text_bytes if is_plain else None, unit="bytes")
    ranges = _ranges(plan, streamed=journal.streamed)
    file_index = 0
    try:
        for summary in map_tasks(read, ranges, num_workers=plan.memory.num_threads):
            file_index = summary.file_index
            accounts.add(summary)
            progress.advance(summary.num_text_bytes)
    except PipelineError as error:
        # Results come in range order, so all lines before the faulty range are counted by now.
        if error.line is not None and not isinstance(error, TooManyRejectsError):
            error.line += accounts.files[file_index].num_lines
        raise
    for file in plan.files:
        check_unchanged(file)
    accounts.finish()
    progress.finish()
    return accounts, store.index()


def _ranges(plan: ConvertPlan, *, streamed: bool) -> Iterator[RangeTask]:
    size, delimiter = plan.options.identity.range_bytes, plan.dialect.delimiter
    for index, file in enumerate(plan.files):
        yield from ranges_of(file, index, size, delimiter=delimiter, streamed=streamed)


def _write(
    plan: ConvertPlan,
    accounts: Accounts,
    index: RankIndex,
    journal: Journal,
    folder: Path,
    progress: Progress,
) -> Manifest:
    """Write all shards into `folder` and return the manifest."""
    per_record = record_bytes(plan.schema, accounts.kept_text_bytes // accounts.num_kept)
    batch_records = row_group_records(per_record)
    specs = cut_shards(
        index.num_records,
        plan.options.identity.split,
        shard_bytes=plan.options.identity.shard_bytes,
        num_bytes_per_record=per_record,
    )
    train = _train_moments(plan, accounts, index, batch_records)
    _check_finite(plan, train)
    classes = tuple(sorted(accounts.labels, key=lambda value: (isinstance(value, str), value)))
    accounts.warnings += cautions(plan, accounts, train, classes)
    finish = _finish(plan, accounts, train, classes, batch_records, folder)
    progress.start("writing shards", total=index.num_records, unit="records")

    def write(spec: ShardSpec) -> WrittenShard:
        if shard := journal.finished_shard(spec, folder):
            return shard
        shard = write_shard(spec, index, finish)
        journal.add_shard(shard)
        return shard

    written: list[WrittenShard] = []
    for shard in map_tasks(write, specs, num_workers=plan.memory.num_threads):
        written.append(shard)
        progress.advance(shard.spec.end - shard.spec.begin)
    progress.finish()
    return build_manifest(plan, accounts, train, classes, written)


def _train_moments(plan: ConvertPlan, accounts: Accounts, index: RankIndex, batch_records: int) -> Moments:
    """Return the moments of exactly the train split.

    While streaming, only records whose key lies below `certain` were counted. The rest of the split is
    counted now; if the split ends even before that (few records, by chance), all of it is.
    Which of the two happens depends on the keys alone, so the bytes do not depend on it.
    """
    _, train_end = keys.split_bounds(index.num_records, plan.options.identity.split)[0]
    certain = index.rank_of(keys.certain_train_key(plan.options.identity.split[0]))
    if train_end < certain:
        return moments_of_ranks(index, 0, train_end, batch_records)
    return moments.merge(accounts.moments, moments_of_ranks(index, certain, train_end, batch_records))


def _check_finite(plan: ConvertPlan, train: Moments) -> None:
    """Raise if a column that is computed with has values whose squares leave the range of a double."""
    for column, std in zip(plan.schema.numbers, train.std().tolist(), strict=True):
        if column.role != "keep" and not math.isfinite(std):
            raise NonFiniteError(
                "the values are too large: their variance leaves the range of a double",
                path=str(plan.files[0].path),
                column=column.name,
                hint=f"pass --drop {column.name} to leave it out, or --keep {column.name} to carry it",
            )


def _finish(
    plan: ConvertPlan,
    accounts: Accounts,
    train: Moments,
    classes: tuple[float | str, ...],
    batch_records: int,
    folder: Path,
) -> Finish:
    num_features = len(plan.schema.features)  # they come first among the numbers
    return Finish(
        schema=plan.schema,
        classes=classes,
        mean=train.mean[:num_features],
        scale=train.scale()[:num_features],
        standardize=plan.options.identity.standardize,
        batch_records=batch_records,
        formats=plan.options.formats,
        compression=plan.options.identity.compression,
        fingerprint=fingerprint(plan, accounts),
        folder=folder,
    )
