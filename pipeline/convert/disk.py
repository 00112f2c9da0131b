"""Owns what a conversion takes of the disk: an estimate beforehand, held against what is free.

Beside the dataset, the runs that memory does not hold are on disk until the last shard is written. Only a
conversion that clearly cannot fit is refused: records may turn out longer than the first ones were, and a
compression may do wonders. One that merely may not fit begins, with a word, and continues after more room was
made.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import DiskError
from pipeline.plan import DiskPlan, record_bytes
from pipeline.source.files import sizes_known
from pipeline.storage.publication import Staging

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.plan import ConvertOptions, Estimates, MemoryPlan, SourceFile
    from pipeline.progress import Progress
    from pipeline.schema import Schema
    from pipeline.storage.paths import AnyPath

EXAMPLE_BYTES = 60  # what a tf.train.Example takes beside its numbers: frame, names, lengths
LEAST_SHARE = 0.5  # of the records expected: so far off, the first mebibyte of a file hardly ever is
LEAST_KEPT = 0.05  # the same if rows may be set aside
LEAST_COMPRESSED = 0.05  # of the size of shards, if they are compressed; floats of measurements: 0.9
CLOSE = 0.9  # an estimate beyond this share of what is free deserves a word


def plan_disk(
    files: Sequence[SourceFile],
    schema: Schema,
    options: ConvertOptions,
    estimates: Estimates,
    memory: MemoryPlan,
    *,
    text_bytes_per_record: float,
) -> DiskPlan:
    """Return what a conversion is expected to take of the disk, and the least that it can take."""
    if not sizes_known(files):
        return DiskPlan()
    per_record = record_bytes(schema, int(text_bytes_per_record))
    shard_bytes = sum(per_record + (EXAMPLE_BYTES if form == "tfrecord" else 0) for form in options.formats)
    identity = options.identity
    keeps_all = {identity.on_bad_row, identity.on_missing, identity.on_nonfinite} == {"error"}
    # Text is at least as long as what it is compressed to.
    stored = sum(file.num_bytes for file in files) / max(1, estimates.text_bytes)
    least = int((LEAST_SHARE if keeps_all else LEAST_KEPT) * min(1.0, stored) * estimates.num_records)
    is_plain = identity.compression == "none"
    return DiskPlan(
        dataset_bytes=estimates.num_records * shard_bytes,
        spilled_bytes=_spilled(estimates.num_records, schema, 8, text_bytes_per_record, options, memory),
        least_bytes=int(least * shard_bytes * (1 if is_plain else LEAST_COMPRESSED))
        + _spilled(least, schema, 4, text_bytes_per_record, options, memory),
    )


def _spilled(
    num_records: int,
    schema: Schema,
    num_bytes_per_number: int,
    text_bytes_per_record: float,
    options: ConvertOptions,
    memory: MemoryPlan,
) -> int:
    """Return how many bytes of runs memory does not hold."""
    numbers = num_bytes_per_number * len(schema.numbers)
    has_value = options.identity.rule.name != "key"
    fixed = 8 + numbers + 8 * (len(schema.integers) + has_value) + 8 * len(schema.texts)
    total = int(num_records * (fixed + text_bytes_per_record))
    # Runs pass between the processes of a cluster as files.
    held = 0 if options.engine == "dask" else memory.runs_bytes
    return max(0, total - held)


def free_bytes(target: AnyPath) -> int | None:
    """Return what is free on the file system where `target` would be; None of a store, which has no end."""
    if not isinstance(target, Path):
        return None
    there = target.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def check_room(disk: DiskPlan, target: AnyPath, progress: Progress) -> None:
    """Raise if what is free cannot hold a conversion to `target`; say so where it will be close.

    What an unfinished conversion has written already counts as there.

    Raises:
        DiskError: even the least that it can take is more than is free.
    """
    free = free_bytes(target)
    if free is None or not isinstance(target, Path):
        return
    written = sum(path.stat().st_size for path in Staging(target).folder.rglob("*") if path.is_file())
    room = free + written
    if disk.least_bytes > room:
        raise DiskError(
            f"need about {_amount(disk.num_bytes)}, have {_amount(room)}",
            path=str(target),
            hint="free some space, or name a target on another disk",
        )
    if disk.num_bytes > CLOSE * room:
        progress.start("the disk may not suffice", total=None, unit="")
        progress.finish(f"need about {_amount(disk.num_bytes)}, have {_amount(room)}")


def _amount(num_bytes: int) -> str:
    """Return a size in megabytes, in gigabytes from ten of them on.

    >>> _amount(1_234_567_890), _amount(98_765_432_100)
    ('1,235 MB', '98.8 GB')
    """
    if num_bytes < 10**10:
        return f"{num_bytes / 1e6:,.0f} MB"
    return f"{num_bytes / 1e9:,.1f} GB"
