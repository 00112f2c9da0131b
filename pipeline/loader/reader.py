"""Owns what one rank reads in one epoch: a manifest and an order turned into permuted blocks of records.

Neighbours: `order` computes, `rows` reads; `batches` and `tfdata` cut the blocks into batches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline import manifest as manifests
from pipeline.errors import DatasetError, OptionError
from pipeline.keys import SPLITS
from pipeline.loader import order as orders
from pipeline.loader.read_parquet import read_parquet
from pipeline.loader.read_tfrecord import read_tfrecord
from pipeline.loader.rows import Columns, Rows, empty, taken
from pipeline.plan import row_group_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.errors import PipelineError
    from pipeline.loader.order import Cut, EpochOrder, Layout
    from pipeline.manifest import Manifest, Split
    from pipeline.plan import ShardFormat

READERS: dict[ShardFormat, Callable[..., None]] = {"parquet": read_parquet, "tfrecord": read_tfrecord}
TEXT_BYTES = 4  # what a text column counts for in a row group, as in `plan.record_bytes`


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to read: a split of a dataset, cut how, in which order, by which rank, from which batch on."""

    shards: Path
    split: str
    batch_size: int
    seed: int
    epoch: int = 0
    shuffle: bool = True
    drop_remainder: bool = False
    rank: int = 0
    world_size: int = 1
    shard_format: ShardFormat | None = None
    first_batch: int = 0
    verify_checksums: bool = False

    def __post_init__(self) -> None:
        """Check all that can be checked without the dataset.

        Raises:
            OptionError: a value is out of its range.
        """
        if self.split not in SPLITS:
            raise OptionError(f"split {self.split!r}: expected {', '.join(SPLITS)}")
        if self.batch_size < 1:
            raise OptionError(f"batch_size {self.batch_size}: expected at least 1")
        if not 0 <= self.seed < 1 << 64:
            raise OptionError(f"seed {self.seed}: expected 0 <= seed < 2**64")
        if not 0 <= self.epoch < orders.MAX_EPOCHS:
            raise OptionError(f"epoch {self.epoch}: expected 0 <= epoch < 2**32")
        if not 0 <= self.rank < self.world_size:
            raise OptionError(f"rank {self.rank}: expected 0 <= rank < world_size = {self.world_size}")
        if self.first_batch < 0:
            raise OptionError(f"first_batch {self.first_batch}: expected at least 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Reader:
    """One rank's share of one epoch, from the first batch on; safe to use from many threads at once.

    `spare` is memory to be used again; `failures` are the errors that tf.data turned into its own.
    """

    paths: tuple[Path, ...]
    shard_format: ShardFormat
    columns: Columns
    order: EpochOrder
    cuts: tuple[Cut, ...]
    batch_size: int
    num_batches: int
    verify_checksums: bool
    spare: list[Rows] = field(default_factory=list)
    failures: list[PipelineError] = field(default_factory=list)

    def read(self, cut_index: int) -> Rows:
        """Return the records of a cut, in the order of the epoch.

        Raises:
            ShardError: a shard is missing, damaged, or holds other records than the manifest says.
        """
        cut = self.cuts[cut_index]
        groups = self.order.block_groups(cut.block_index)
        num_records = int((groups[:, 2] - groups[:, 1]).sum())
        permutation = self.order.block_permutation(cut.block_index)
        if permutation is None:
            rows = empty(num_records, self.columns)
            self._read_groups(groups, rows)
            return rows.between(cut.begin, cut.end)
        try:
            scratch = self.spare.pop()
        except IndexError:
            scratch = empty(int(np.diff(self.order.bounds).max()), self.columns)
        # Used again for every block: writing to fresh memory costs more than reading the shards.
        rows = scratch.between(0, num_records)
        self._read_groups(groups, rows)
        result = taken(rows, permutation[cut.begin : cut.end], self.columns)
        self.spare.append(scratch)
        return result

    def _read_groups(self, groups: NDArray[np.int64], into: Rows) -> None:
        filled = 0
        for shard_index, begin, end in groups.tolist():
            READERS[self.shard_format](
                self.paths[shard_index],
                begin=begin,
                end=end,
                columns=self.columns,
                into=into.between(filled, filled + end - begin),
                verify_checksums=self.verify_checksums,
            )
            filled += end - begin


def open_reader(request: Request) -> Reader:
    """Return the reader of what `request` asks for; reads the manifest and no shard.

    Raises:
        ManifestError: there is no dataset.
        DatasetError: it has no shards of that format.
    """
    manifest = manifests.load(request.shards)
    split = manifest.splits[request.split]
    shard_format = _shard_format(manifest, request)
    entries = split.of_format(shard_format)
    layout = layout_of(manifest, split, shard_format)
    order = orders.epoch_order(layout, seed=request.seed, epoch=request.epoch, shuffle=request.shuffle)
    share = {"rank": request.rank, "world_size": request.world_size}
    begin, end = orders.rank_bounds(layout.num_records, **share)
    total = orders.num_batches(
        layout.num_records, request.batch_size, **share, drop_remainder=request.drop_remainder
    )
    end = min(end, begin + total * request.batch_size)
    begin = min(end, begin + request.first_batch * request.batch_size)
    return Reader(
        paths=tuple(request.shards / entry.path for entry in entries),
        shard_format=shard_format,
        columns=columns_of(manifest),
        order=order,
        cuts=tuple(orders.cuts(order.bounds, begin, end)),
        batch_size=request.batch_size,
        num_batches=max(0, total - request.first_batch),
        verify_checksums=request.verify_checksums,
    )


def layout_of(manifest: Manifest, split: Split, shard_format: str) -> Layout:
    """Return how the records of `split` lie in shards; it does not depend on the format."""
    widths = [
        TEXT_BYTES if column.dtype == "string" else np.dtype(column.dtype).itemsize
        for column in manifest.columns
    ]
    group_records = row_group_records(sum(widths))
    return orders.Layout(
        shard_records=tuple(entry.records for entry in split.of_format(shard_format)),
        group_records=group_records,
        groups_per_block=orders.groups_per_block(group_records * sum(widths)),
    )


def columns_of(manifest: Manifest) -> Columns:
    """Return the columns that a batch is made of."""
    return Columns(
        features=tuple(column.name for column in manifest.features),
        label=manifest.label.name,
        label_dtype="int64" if manifest.label.kind == "classes" else "float32",
        weight=manifest.weight.name if manifest.weight else None,
    )


def _shard_format(manifest: Manifest, request: Request) -> ShardFormat:
    stored = [name for name in READERS if name in manifest.formats]
    wanted = request.shard_format or (stored[0] if stored else "parquet")
    if wanted not in stored:
        raise DatasetError(
            f"no {wanted} shards", path=str(request.shards), hint=f"convert with --format {wanted}"
        )
    return wanted
