"""The use case `predict`: plan → read ranges in parallel, in order → the model → a table → publish.

`options` is what can be asked, `planning` and `memory` decide, `reading` turns a byte range into rows for the
model, `output` writes what it says of them. Memory does not grow with the source.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.engine.local import map_tasks
from pipeline.errors import PipelineError
from pipeline.models import description as descriptions
from pipeline.models.saved import open_model
from pipeline.models.scoring import require_defined, score_function, standardization
from pipeline.partial import check_file, written_anew
from pipeline.predict.options import PredictOptions
from pipeline.predict.output import RejectsFile, TableWriter
from pipeline.predict.planning import make_plan
from pipeline.predict.reading import Accounts, read_block
from pipeline.progress import SILENT
from pipeline.source.files import check_unchanged, sizes_known
from pipeline.source.ranges import CutInsideQuotesError, all_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.models.scoring import RawRows, Score, Standardization
    from pipeline.predict.options import TableFormat
    from pipeline.predict.planning import PredictPlan
    from pipeline.predict.reading import Block
    from pipeline.progress import Progress
    from pipeline.source.ranges import RangeTask
    from pipeline.storage.paths import SourcePath

__all__ = ["PredictOptions", "PredictSummary", "predict"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictSummary:
    """What was written: `num_read` records are `num_written` rows and `num_rejected` set aside."""

    output: Path
    table_format: TableFormat
    num_read: int
    num_written: int
    num_rejected: int
    num_blank: int
    warnings: tuple[str, ...]
    seconds: float


def predict(
    model: Path,
    sources: SourcePath | Sequence[SourcePath],
    output: Path,
    options: PredictOptions,
    *,
    progress: Progress = SILENT,
) -> PredictSummary:
    """Write what the model in the folder `model` says of every record of the CSV files `sources` to `output`.

    One row for each record that is not set aside, in the order of the sources. Several byte ranges are parsed
    at a time while the model works; memory is bounded, whatever the size of the source. Atomic: `output` is
    absent (or what it was), or whole.

    Raises:
        UsageError: `output` exists, or options exclude each other.
        InputError: the source cannot be read exactly.
        ModelError: the model cannot be used, or the source lacks its features.
        MachineError: TensorFlow is not installed; disk, memory or permissions do not suffice.
        BusyError: another process writes to the same output.
    """
    began = time.monotonic()
    table_format = options.format_of(output)
    check_file(output, overwrite=options.overwrite)
    plan = make_plan(sources, descriptions.load(model), options)
    backend.load(progress)
    saved = open_model(model)
    work = _Work(
        plan=plan,
        model=model,
        score=score_function(saved, options.precision),
        known=standardization(saved),
        output=output,
        table_format=table_format,
        progress=progress,
    )
    with backend.known_warnings_ignored():
        try:
            accounts = _write(work, streamed=False, overwrite=options.overwrite)
        except CutInsideQuotesError:
            progress.finish()
            accounts = _write(work, streamed=True, overwrite=options.overwrite)
    return PredictSummary(
        output=output,
        table_format=table_format,
        num_read=accounts.num_read,
        num_written=accounts.num_kept,
        num_rejected=accounts.num_rejected,
        num_blank=accounts.num_blank,
        warnings=tuple(accounts.warnings),
        seconds=time.monotonic() - began,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What every step of a prediction needs."""

    plan: PredictPlan
    model: Path
    score: Score
    known: Standardization | None
    output: Path
    table_format: TableFormat
    progress: Progress


def _write(work: _Work, *, streamed: bool, overwrite: bool) -> Accounts:
    """Write the whole table and publish it."""
    reading = work.plan.reading
    accounts = Accounts(reading)
    is_known = sizes_known(reading.files) and all(file.compression == "none" for file in reading.files)
    total = reading.estimates.text_bytes if is_known else None
    work.progress.start("predicting", total=total, unit="bytes")
    with (
        written_anew(work.output, overwrite=overwrite) as file,
        RejectsFile(work.output) as rejects,
        TableWriter(file, work.plan, work.table_format) as table,
    ):
        for block, scores in _blocks(work, accounts, streamed=streamed):
            rejects.add(accounts.add(block), file_name=reading.files[block.file_index].path.name)
            table.add(block, scores)
            work.progress.advance(block.num_text_bytes, records=block.num_records)
        for source in reading.files:
            check_unchanged(source)
        accounts.finish()
    work.progress.finish()
    return accounts


def _blocks(
    work: _Work, accounts: Accounts, *, streamed: bool
) -> Iterator[tuple[Block, NDArray[np.float32]]]:
    """Yield the blocks of the source in order, with what the model says of their rows."""
    reading = work.plan.reading
    tasks = all_ranges(
        reading.files,
        reading.options.identity.range_bytes,
        delimiter=reading.dialect.delimiter,
        streamed=streamed,
    )
    # Each thread reads a block and asks the model itself: two that take turns at the matrix products leave no
    # core idle, where one that spreads each product over all cores waits for the slowest, again and again.
    read = partial(_read_and_score, work)
    try:
        # Closed, so that no thread still reads when an error is handled.
        with closing(map_tasks(read, tasks, num_workers=reading.memory.num_threads)) as blocks:
            yield from blocks
    except PipelineError as error:
        # Blocks come in order, so all lines before the faulty one are counted by now.
        if error.line is not None:
            error.line += accounts.lines_before(error.path)
        raise


def _read_and_score(work: _Work, task: RangeTask) -> tuple[Block, NDArray[np.float32]]:
    block = read_block(task, plan=work.plan, known=work.known)
    return block, _scores(block.rows, work)


def _scores(rows: RawRows, work: _Work) -> NDArray[np.float32]:
    """Return what the model says, a batch at a time."""
    size = work.plan.batch_size
    num_rows = len(rows.features)
    found = np.empty((num_rows, work.plan.described.num_outputs), np.float32)
    for begin in range(0, num_rows, size):
        found[begin : begin + size] = work.score(rows.between(begin, begin + size))
    require_defined(found, path=str(work.model))
    return found
