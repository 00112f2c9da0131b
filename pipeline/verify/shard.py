"""Owns what is found out about one shard: every byte, every record."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import moments as moments_of
from pipeline.errors import ShardError
from pipeline.loader.check import check_shard, check_size
from pipeline.loader.rows import REMAKE
from pipeline.loader.scan_parquet import scan_parquet
from pipeline.loader.scan_tfrecord import scan_tfrecord
from pipeline.verify.equal_records import HASH_SPACE, order_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.loader.scanned import Scanned
    from pipeline.manifest import Manifest, ShardEntry
    from pipeline.moments import Moments
    from pipeline.verify.equal_records import Hashes, RecordHasher

SCANS: dict[str, Any] = {"parquet": scan_parquet, "tfrecord": scan_tfrecord}
READ_BYTES = 1 << 20  # still in the L2 cache when it is hashed
COLUMNS_AT_A_TIME = 4  # 33,000 records of 4 float64 are 1 MiB: they stay in the L2 cache while summed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Found:
    """What a shard holds.

    moments       of its features, then of its other floats, in the order of the manifest
    class_counts  int64 (num_classes,)
    digest        of its records in their order, the same in every format
    hashes        of those of its records that are compared with other shards
    """

    moments: Moments
    class_counts: NDArray[np.int64]
    digest: int
    hashes: Hashes


def verify_shard(
    path: Path, entry: ShardEntry, manifest: Manifest, hasher: RecordHasher, advance: Callable[[int], None]
) -> Found:
    """Return what a shard holds, once it is sure that it is whole; memory is that of a row group.

    Every damage that changes a single bit is found, by its SHA-256. `advance` is called with every number of
    bytes that were read.

    Raises:
        ShardError: it is missing, damaged, another one, or holds what the format does not allow.
    """
    check_size(path, entry)
    # First of all, so that no decoder ever sees damaged bytes; they are read again from the page cache.
    if _sha256(path, advance) != entry.sha256:
        message = "damaged: its SHA-256 is not the one in the manifest"
        raise ShardError(message, path=str(path), hint=REMAKE)
    check_shard(path, entry, manifest)
    return _scan(path, entry, manifest, hasher)


def _sha256(path: Path, advance: Callable[[int], None]) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(READ_BYTES))
    try:
        # No link is followed, even one that was put there a moment ago.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            while num_bytes := file.readinto(buffer):
                digest.update(buffer[:num_bytes])
                advance(num_bytes)
    except OSError as error:
        found = (
            "no such shard" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        )
        raise ShardError(found, path=str(path), hint=REMAKE) from None
    return digest.hexdigest()


def _scan(path: Path, entry: ShardEntry, manifest: Manifest, hasher: RecordHasher) -> Found:
    sums = _Sums(manifest, path)
    kept = []
    digest = 0
    for records in SCANS[entry.format](path, manifest):
        hashes = hasher.hashes(records)
        digest += order_digest(hashes, sums.num_records)
        kept.append(hasher.kept(hashes))
        sums.add(records)
        if sums.num_records > entry.records:
            break  # however many more there are
    if sums.num_records != entry.records:
        more = " or more" if sums.num_records > entry.records else ""
        message = f"{sums.num_records}{more} records, expected {entry.records}"
        raise ShardError(message, path=str(path), hint=REMAKE)
    return Found(
        moments=sums.moments(),
        class_counts=sums.class_counts,
        digest=digest % HASH_SPACE,
        hashes=np.concatenate([*kept, np.empty(0, np.uint64)]),
    )


def float_columns(manifest: Manifest) -> tuple[str, ...]:
    """Return the names of the columns that are floats and no features: those that have moments, too."""
    columns = (column for column in manifest.columns if column.role != "feature")
    return tuple(column.name for column in columns if column.dtype.startswith("float"))


class _Sums:
    """Moments and counts of a shard, as they grow.

    Those of the features as sums of (x - p) and (x - p)**2, where p is the mean that is expected: nothing
    cancels if it is right, and it shows if it is not.
    """

    def __init__(self, manifest: Manifest, path: Path) -> None:
        self._manifest = manifest
        self._path = path
        self._floats = float_columns(manifest)
        self._others = moments_of.empty(len(self._floats))
        num_features = len(manifest.features)
        self._pivot = np.zeros((num_features, 1))
        if not manifest.standardized:
            self._pivot[:, 0] = [column.moments.mean for column in manifest.features if column.moments]
        self._sums, self._squares = np.zeros(num_features), np.zeros(num_features)
        self._min, self._max = np.full(num_features, np.inf), np.full(num_features, -np.inf)
        self._scratch = np.empty(0)
        self.class_counts = np.zeros(len(manifest.label.classes), np.int64)
        self.num_records = 0

    @np.errstate(invalid="ignore")
    def add(self, records: Scanned) -> None:
        for begin in range(0, len(records.features), COLUMNS_AT_A_TIME):
            some = slice(begin, begin + COLUMNS_AT_A_TIME)
            columns = records.features[some]
            np.minimum(self._min[some], [values.min() for values in columns], out=self._min[some])
            np.maximum(self._max[some], [values.max() for values in columns], out=self._max[some])
            deviation = self._deviation(columns, self._pivot[some])
            self._sums[some] += np.einsum("cr->c", deviation)
            self._squares[some] += np.einsum("cr,cr->c", deviation, deviation)
        if self._floats:
            values = np.stack([records.others[name] for name in self._floats], dtype=np.float64)
            self._others = moments_of.merge(self._others, moments_of.of_batch(values))
        if len(self.class_counts):
            self._count_classes(records.others[self._manifest.label.name])
        self.num_records += records.num_records

    def _deviation(
        self, columns: Sequence[NDArray[np.float32]], pivot: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        shape = (len(columns), len(columns[0]))
        if len(self._scratch) < math.prod(shape):  # used again: fresh memory costs as much as the sums
            self._scratch = np.empty(math.prod(shape))
        deviation = self._scratch[: math.prod(shape)].reshape(shape)
        for row, values in zip(deviation, columns, strict=True):
            row[:] = values
        if pivot.any():
            deviation -= pivot
        return deviation

    def _count_classes(self, labels: NDArray[np.int64]) -> None:
        if labels.min(initial=0) < 0 or labels.max(initial=0) >= len(self.class_counts):
            raise self._fault("a label is no class of the manifest", self._manifest.label.name)
        self.class_counts += np.bincount(labels, minlength=len(self.class_counts))

    def moments(self) -> Moments:
        """Return the moments of all float columns; every feature must be a finite number in every record."""
        for column, total in zip(self._manifest.features, self._sums.tolist(), strict=True):
            if not np.isfinite(total):
                raise self._fault("not finite in every record", column.name)
        offset = self._sums / max(1, self.num_records)
        counts = np.full(len(offset), self.num_records)
        of_features = moments_of.Moments(
            count=counts,
            mean=self._pivot[:, 0] + offset,
            mean_rest=np.zeros(len(offset)),
            m2=np.maximum(self._squares - self._sums * offset, 0.0),
            min=self._min,
            max=self._max,
            missing=np.zeros_like(counts),
        )
        return moments_of.side_by_side([of_features, self._others])

    def _fault(self, message: str, column: str) -> ShardError:
        return ShardError(message, path=str(self._path), column=column, hint=REMAKE)
