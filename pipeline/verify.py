"""The use case `verify`: is every byte of a dataset what was written, and is the manifest true.

Per shard: existence, size, SHA-256, footer, number of records, every value finite, every class known; then
the moments of the train split, recomputed. Neighbours: `loader` reads, `engine` spreads the shards.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import manifest as manifests
from pipeline import moments as moments_of
from pipeline.engine.local import map_tasks
from pipeline.errors import ShardError
from pipeline.loader.check import check_shard
from pipeline.loader.read_parquet import read_parquet
from pipeline.loader.read_tfrecord import read_tfrecord
from pipeline.loader.reader import columns_of
from pipeline.loader.rows import REMAKE, empty
from pipeline.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.loader.rows import Rows
    from pipeline.manifest import Manifest, ShardEntry
    from pipeline.moments import Moments
    from pipeline.progress import Progress

BATCH_RECORDS = 32_768  # what is decoded at a time: 4 MB of 32 float32
HASH_BYTES = 1 << 20
READERS: dict[str, Any] = {"parquet": read_parquet, "tfrecord": read_tfrecord}
# A standardized value is rounded to 24 bits, by at most 3e-8 of itself; mean and std deviate by less.
MOMENTS_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What was verified; `faults` holds an error for every shard or claim that does not hold."""

    num_shards: int
    num_bytes: int
    num_records: int
    faults: tuple[ShardError, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Checked:
    entry: ShardEntry
    split: str
    fault: ShardError | None
    moments: Moments
    class_counts: NDArray[np.int64]


def verify(shards: Path, *, num_workers: int = 2, progress: Progress = SILENT) -> VerifySummary:
    """Read every byte and every record of the dataset in `shards`; bounded memory, nothing is written.

    Every damage that changes a single bit of a shard is found, by its SHA-256.

    Raises:
        ManifestError: there is no dataset.
    """
    began = time.monotonic()
    manifest = manifests.load(shards)
    tasks = [(name, entry) for name, split in manifest.splits.items() for entry in split.shards]
    num_bytes = sum(entry.bytes for _, entry in tasks)
    progress.start("verifying", total=num_bytes, unit="bytes")

    def check(task: tuple[str, ShardEntry]) -> _Checked:
        return _check_shard(shards, task[0], task[1], manifest)

    checked = []
    for result in map_tasks(check, tasks, num_workers=num_workers):
        checked.append(result)
        progress.advance(result.entry.bytes)
    progress.finish()
    faults = [result.fault for result in checked if result.fault]
    if not faults:
        faults = [*_double_shards(shards, checked), *_wrong_claims(shards, manifest, checked)]
    return VerifySummary(
        num_shards=len(tasks),
        num_bytes=num_bytes,
        num_records=manifest.records.written,
        faults=tuple(faults),
        seconds=time.monotonic() - began,
    )


def _check_shard(shards: Path, split: str, entry: ShardEntry, manifest: Manifest) -> _Checked:
    path = shards / entry.path
    moments = moments_of.empty(len(manifest.features))
    counts = np.zeros(len(manifest.label.classes), np.int64)
    fault = None
    try:
        # The checksum first: what the footer of a damaged file says is worth little.
        _expect(_checksum_fault(path, entry), path)
        check_shard(path, entry, manifest)
        for rows in _batches(path, entry, manifest):
            part = moments_of.of_batch(np.ascontiguousarray(rows.features.T, dtype=np.float64))
            moments = moments_of.merge(moments, part)
            counts += _count_classes(rows, path, len(counts))
        finite = np.isfinite(moments.m2).all() and not moments.missing.any()
        _expect("" if finite else "a feature is not finite", path)
    except ShardError as error:
        fault = error
    return _Checked(entry=entry, split=split, fault=fault, moments=moments, class_counts=counts)


def _expect(fault: str, path: Path) -> None:
    if fault:
        raise ShardError(fault, path=str(path), hint=REMAKE)


def _checksum_fault(path: Path, entry: ShardEntry) -> str:
    """Return what is wrong with the bytes of a shard, or nothing."""
    if path.is_symlink() or not path.is_file():
        return "no such shard" if not path.is_symlink() else "a symbolic link, expected a file"
    digest, num_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(HASH_BYTES):
            digest.update(part)
            num_bytes += len(part)
    if num_bytes != entry.bytes:
        return f"{num_bytes} bytes, expected {entry.bytes}"
    return "" if digest.hexdigest() == entry.sha256 else "damaged: its SHA-256 is not the one in the manifest"


def _batches(path: Path, entry: ShardEntry, manifest: Manifest) -> Iterator[Rows]:
    columns = columns_of(manifest)
    for begin in range(0, entry.records, BATCH_RECORDS):
        end = min(begin + BATCH_RECORDS, entry.records)
        rows = empty(end - begin, columns)
        READERS[entry.format](path, begin=begin, end=end, columns=columns, into=rows, verify_checksums=True)
        yield rows


def _count_classes(rows: Rows, path: Path, num_classes: int) -> NDArray[np.int64]:
    if not num_classes:
        return np.zeros(0, np.int64)
    known = rows.label.min() >= 0 and rows.label.max() < num_classes
    _expect("" if known else "a label is no class of the manifest", path)
    return np.bincount(rows.label, minlength=num_classes)


def _double_shards(shards: Path, checked: list[_Checked]) -> Iterator[ShardError]:
    """Yield an error for every shard that has the bytes of another: then two splits share records."""
    seen: dict[str, str] = {}
    for result in checked:
        other = seen.setdefault(result.entry.sha256, result.entry.path)
        if other != result.entry.path:
            path = str(shards / result.entry.path)
            yield ShardError(f"has the same bytes as {other}", path=path, hint=REMAKE)


def _wrong_claims(shards: Path, manifest: Manifest, checked: list[_Checked]) -> Iterator[ShardError]:
    """Yield an error for every claim of the manifest that the records do not bear out."""
    path = str(shards / manifests.MANIFEST_NAME)
    for form in manifest.formats:
        of_format = [result for result in checked if result.entry.format == form]
        for split, claimed in manifest.label.counts.items():
            found = sum(r.class_counts for r in of_format if r.split == split)
            if not np.array_equal(np.broadcast_to(found, len(claimed)), claimed):
                yield ShardError(f"{split}: the classes have other counts in the {form} shards", path=path)
        train = moments_of.empty(len(manifest.features))
        for result in of_format:
            if result.split == "train":
                train = moments_of.merge(train, result.moments)
        yield from _wrong_moments(manifest, train, path)


def _wrong_moments(manifest: Manifest, train: Moments, path: str) -> Iterator[ShardError]:
    for row, column in enumerate(manifest.features):
        claimed = column.moments
        if claimed is None:
            continue
        num_records = claimed.count + claimed.missing
        # Missing values stand at the mean, so they draw the std towards 0.
        std = claimed.std * (claimed.count / max(num_records, 1)) ** 0.5
        mean, scale = claimed.mean, max(claimed.std, abs(claimed.mean))
        if manifest.standardized:
            mean, std, scale = 0.0, std / (claimed.std or 1.0), 1.0
        off = max(abs(float(train.mean[row]) - mean), abs(float(train.std()[row]) - std))
        if off > MOMENTS_TOLERANCE * max(scale, 1e-300):
            found = f"the shards have mean {train.mean[row]:.9g} and std {train.std()[row]:.9g}"
            expected = f"expected {mean:.9g} and {std:.9g}"
            yield ShardError(f"{found}, {expected}", path=path, column=column.name, hint=REMAKE)
