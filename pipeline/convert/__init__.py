"""The use case `convert`: plan → read every range into runs → decide → write shards → publish.

`planning` makes the plan, `reading` turns a byte range into a sorted run, `accounts` adds the ranges up,
`writing` turns runs into shards, `describing` makes the manifest. This module is the straight line through
them.
"""

from __future__ import annotations

import dataclasses
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.convert.accounts import Accounts
from pipeline.convert.cautions import cautions
from pipeline.convert.describing import build_manifest, fingerprint, rejects_entry, rejects_jsonl
from pipeline.convert.disk import check_room
from pipeline.convert.dividing import divide
from pipeline.convert.journal import Journal
from pipeline.convert.planning import make_plan, num_threads
from pipeline.convert.train_split import check_finite, vocabularies_of
from pipeline.convert.work import ThreadWork
from pipeline.convert.writing import Finish
from pipeline.counted import counted
from pipeline.engine.local import map_tasks
from pipeline.errors import (
    InputError,
    PipelineError,
    SourceChangedError,
    TargetExistsError,
    TooManyRejectsError,
    UsageError,
)
from pipeline.manifest import MANIFEST_NAME, REJECTS_NAME, load, to_json
from pipeline.plan import cut_shards, record_bytes, row_group_records
from pipeline.progress import SILENT
from pipeline.source.files import check_unchanged, sizes_known
from pipeline.source.ranges import CutInsideQuotesError
from pipeline.storage.files import write_text
from pipeline.storage.paths import system_errors_told
from pipeline.storage.publication import check_target, staging_anywhere, staging_exists

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.convert.vocabulary import Vocabulary
    from pipeline.convert.work import Work
    from pipeline.convert.writing import WrittenShard
    from pipeline.manifest import Manifest
    from pipeline.moments import Moments
    from pipeline.plan import ConvertOptions, ConvertPlan
    from pipeline.progress import Progress
    from pipeline.storage.paths import AnyPath, SourcePath
    from pipeline.storage.publication import AnyStaging

__all__ = ["ConvertSummary", "convert", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertSummary:
    """What was done: the manifest, and what must not be in it because it changes from run to run.

    `text_bytes` of uncompressed text were read, `spilled_bytes` of runs were on disk for a while, the largest
    process at work had `worker_bytes` of memory; all are 0 if an earlier process had done all the work.
    """

    target: AnyPath
    manifest: Manifest
    seconds: float = 0.0
    text_bytes: int = 0
    spilled_bytes: int = 0
    worker_bytes: int = 0


def convert(
    sources: SourcePath | Sequence[SourcePath],
    target: AnyPath,
    options: ConvertOptions,
    *,
    progress: Progress = SILENT,
) -> ConvertSummary:
    """Turn the CSV files `sources` into a dataset of shards in the folder `target`.

    Deterministic: the same content and the same `options.identity` give the same bytes, for any number of
    workers and any compression of the source. Atomic: `target` is absent, or whole.

    Raises:
        UsageError: the target exists, or options exclude each other.
        InputError: the source cannot be read exactly.
        MachineError: disk, memory or permissions do not suffice.
        BusyError: another process writes to the same target.
    """
    began = time.monotonic()
    with system_errors_told(target, hint="name another target"):
        if not staging_exists(target):
            check_target(target, overwrite=options.overwrite)  # before anything is made
    plan = make_plan(sources, options)
    check_room(plan.disk, target, progress)
    with staging_anywhere(target) as stage:
        journal = Journal(stage.folder, plan)
        if stage.published_request() == journal.request_digest():
            stage.discard()  # all that an earlier process, killed, had left to do
            done = ConvertSummary(target=target, manifest=load(target))
        else:
            done = _run(plan, target, stage, journal, progress)
    return dataclasses.replace(done, target=target, seconds=time.monotonic() - began)


def _run(
    plan: ConvertPlan, target: AnyPath, stage: AnyStaging, journal: Journal, progress: Progress
) -> ConvertSummary:
    """Begin or continue; what could not help another attempt is not left behind."""
    try:
        check_target(target, overwrite=plan.options.overwrite)
    except TargetExistsError:
        if not journal.exists():
            stage.discard()
        raise
    if journal.resume(progress):
        stage.reopen()
    else:
        journal.begin(streamed=False)
        stage.begin()
    try:
        return _convert(plan, stage, journal, progress)
    except (InputError, UsageError):
        stage.discard()  # the same command would fail again, and another one could not continue it
        raise


def _convert(plan: ConvertPlan, stage: AnyStaging, journal: Journal, progress: Progress) -> ConvertSummary:
    with _working(plan, stage, journal) as begin_work:
        accounts, work = _read(plan, stage, journal, begin_work, progress)
        manifest = _write(plan, accounts, work, stage.dataset, progress)
        worker_bytes = work.worker_bytes()
    if accounts.rejects:
        rejects = rejects_jsonl(plan, accounts)
        write_text(stage.dataset / REJECTS_NAME, rejects)
        manifest = dataclasses.replace(manifest, rejects=rejects_entry(rejects))
    write_text(stage.dataset / MANIFEST_NAME, to_json(manifest))
    names = [entry.path for split in manifest.splits.values() for entry in split.shards]
    names += [MANIFEST_NAME, *([REJECTS_NAME] if accounts.rejects else [])]
    stage.publish(request=journal.request_digest(), names=names)
    return ConvertSummary(
        target=stage.target,
        manifest=manifest,
        text_bytes=sum(account.num_text_bytes for account in accounts.files),
        spilled_bytes=sum(finished.run.num_bytes for finished in journal.runs),
        worker_bytes=worker_bytes,
    )


@contextmanager
def _working(plan: ConvertPlan, stage: AnyStaging, journal: Journal) -> Iterator[Callable[[], Work]]:
    """Yield what begins the work, anew with each call, on the engine that was asked for."""
    if plan.options.engine == "local":
        yield lambda: ThreadWork(plan, journal, stage.runs)
        return
    from pipeline.convert.cluster import ClusterWork, connected  # noqa: PLC0415  # loads Dask

    with connected(plan, stage.folder) as engine:
        yield lambda: ClusterWork(plan, journal, stage.folder, engine)


def _read(
    plan: ConvertPlan,
    stage: AnyStaging,
    journal: Journal,
    begin_work: Callable[[], Work],
    progress: Progress,
) -> tuple[Accounts, Work]:
    """Return the accounts of all ranges, and the work with their records in order."""
    try:
        return _read_ranges(plan, begin_work(), progress)
    except CutInsideQuotesError:
        progress.finish()
        journal.begin(streamed=True)
        stage.begin()
        return _read_ranges(plan, begin_work(), progress)


def _read_ranges(plan: ConvertPlan, work: Work, progress: Progress) -> tuple[Accounts, Work]:
    accounts = Accounts(plan)
    is_known = sizes_known(plan.files)  # of compressed text, a good guess
    progress.start("reading", total=plan.estimates.text_bytes if is_known else None, unit="bytes")
    try:
        # Closed, so that no thread still writes when an error is handled.
        with closing(work.read()) as summaries:
            for summary in summaries:
                accounts.add(summary)
                progress.advance(summary.num_text_bytes, records=summary.num_records)
    except PipelineError as error:
        # Results come in range order, so all lines before the faulty range are counted by now.
        if error.line is not None and not isinstance(error, TooManyRejectsError):
            error.line += accounts.lines_before(error.path)
        raise
    threads = num_threads([file.path for file in plan.files])
    for _ in map_tasks(check_unchanged, plan.files, num_workers=threads):
        pass
    if work.index().num_records != accounts.num_kept:
        # A stream has no size: it may end before what an unfinished run read of it.
        raise SourceChangedError(
            f"ends after {counted(accounts.num_read, 'row')}, sooner than when the unfinished run read it",
            path=str(plan.files[-1].path),
            hint="run the same command again: it starts afresh",
        )
    accounts.finish()
    progress.finish()
    return accounts, work


def _write(
    plan: ConvertPlan, accounts: Accounts, work: Work, folder: AnyPath, progress: Progress
) -> Manifest:
    """Write all shards into `folder` and return the manifest."""
    per_record = record_bytes(plan.schema, accounts.kept_text_bytes // accounts.num_kept)
    batch_records = row_group_records(per_record)
    divided = divide(plan, accounts, work, batch_records, progress)
    train = divided.train
    specs = cut_shards(
        divided.sizes, shard_bytes=plan.options.identity.shard_bytes, num_bytes_per_record=per_record
    )
    check_finite(plan, train)
    known = vocabularies_of(plan, work, divided.sizes[0], batch_records)
    classes = tuple(sorted(accounts.labels, key=lambda value: (isinstance(value, str), value)))
    accounts.warnings += cautions(plan, accounts, train, classes)
    finish = _finish(
        plan,
        accounts,
        train,
        classes=classes,
        known=known,
        batch_records=batch_records,
        folder=folder,
    )
    progress.start("writing shards", total=accounts.num_kept, unit="records")
    written: list[WrittenShard] = []
    with closing(work.write(specs, finish)) as shards:
        for shard in shards:
            written.append(shard)
            progress.advance(shard.spec.end - shard.spec.begin)
    progress.finish()
    return build_manifest(plan, accounts, train, classes, known, written)


def _finish(  # all that is known by now
    plan: ConvertPlan,
    accounts: Accounts,
    train: Moments,
    *,
    classes: tuple[float | str, ...],
    known: tuple[Vocabulary, ...],
    batch_records: int,
    folder: AnyPath,
) -> Finish:
    num_features = len(plan.schema.features)  # they come first among the numbers
    return Finish(
        schema=plan.schema,
        classes=classes,
        vocabularies=known,
        mean=train.mean[:num_features],
        scale=train.scale()[:num_features],
        standardize=plan.options.identity.standardize,
        batch_records=batch_records,
        tracers=accounts.tracers.keys(),
        formats=plan.options.formats,
        compression=plan.options.identity.compression,
        fingerprint=fingerprint(plan, accounts),
        folder=folder,
    )
