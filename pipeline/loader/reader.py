"""Owns what one rank reads in one epoch: a manifest and an order turned into permuted blocks of records.

Neighbours: `order` computes, `rows` reads; `batches`, `tfdata` and `torchdata` cut the blocks into batches;
`state` says where to begin.
"""

from __future__ import annotations

import dataclasses
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
from pipeline.loader.shard_file import ROW_GROUP_RECORDS, check_can_hold
from pipeline.loader.state import LoaderState, check_same
from pipeline.manifest.checks import record_bytes
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to read: a split of a dataset, cut how, in which order, by which rank, from which batch on.

    Of the batches of the rank, those with i % num_lanes == lane, where several processes feed it.
    """

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
    lane: int = 0
    num_lanes: int = 1

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

    `begin` is where in the sequence of the epoch the first batch begins, `start` the same as a state; `spare`
    is memory to be used again; `failures` are the errors that tf.data turned into its own.
    """

    paths: tuple[Path, ...]
    shard_format: ShardFormat
    columns: Columns
    order: EpochOrder
    cuts: tuple[Cut, ...]
    begin: int
    num_batches: int
    request: Request
    start: LoaderState
    spare: list[Rows] = field(default_factory=list)
    failures: list[PipelineError] = field(default_factory=list)

    @property
    def batch_size(self) -> int:
        """The number of records in every batch but the last."""
        return self.request.batch_size

    def state(self, num_batches: int) -> LoaderState:
        """Return the state after the first `num_batches` batches of this reader.

        Raises:
            OptionError: it has fewer.
        """
        if not 0 <= num_batches <= self.num_batches:
            raise OptionError(f"num_batches {num_batches}: expected 0 to {self.num_batches}")
        return dataclasses.replace(self.start, next_batch=self.start.next_batch + num_batches)

    def read(self, cut_index: int) -> Rows:
        """Return the records of a cut, in the order of the epoch.

        Raises:
            ShardError: a shard is missing, damaged, or holds other records than the manifest says.
        """
        cut = self.cuts[cut_index]
        groups = self.order.block_groups(cut.block_index)
        num_records = int((groups[:, 2] - groups[:, 1]).sum())
        chosen = self._chosen(cut)
        if chosen is None:
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
        result = taken(rows, chosen, self.columns)
        self.spare.append(scratch)
        return result

    def _chosen(self, cut: Cut) -> NDArray[np.int64] | None:
        """Return which records of the block make up the cut, in order; None: all between its ends."""
        permutation = self.order.block_permutation(cut.block_index)
        first = int(self.order.bounds[cut.block_index]) + cut.begin - self.begin
        mine = orders.in_lane(
            (first, first + cut.end - cut.begin),
            self.batch_size,
            lane=self.request.lane,
            num_lanes=self.request.num_lanes,
        )
        if permutation is None and mine is None:
            return None
        chosen = np.arange(cut.begin, cut.end) if permutation is None else permutation[cut.begin : cut.end]
        return chosen if mine is None else chosen[mine]

    def _read_groups(self, groups: NDArray[np.int64], into: Rows) -> None:
        filled = 0
        for shard_index, begin, end in groups.tolist():
            READERS[self.shard_format](
                self.paths[shard_index],
                begin=begin,
                end=end,
                columns=self.columns,
                into=into.between(filled, filled + end - begin),
                verify_checksums=self.request.verify_checksums,
            )
            filled += end - begin


def open_reader(request: Request, state: LoaderState | None = None) -> Reader:
    """Return the reader of what `request` asks for; reads the manifest, and of shards no more than the size.

    With a `state`, epoch and first batch are those of the state.

    Raises:
        ManifestError: there is no dataset.
        DatasetError: it has no shards of that format, or one is not there.
        OptionsChangedError: the state is that of another dataset, split, seed …
    """
    manifest = manifests.load(request.shards)
    start = _start(request, manifest.fingerprint)
    if state is not None:
        check_same(state, start)
        request = dataclasses.replace(request, epoch=state.epoch, first_batch=state.next_batch)
        start = state
    split = manifest.splits[request.split]
    shard_format = _shard_format(manifest, request)
    check_can_hold(request.shards, manifest, split.of_format(shard_format))
    layout = layout_of(manifest, split, shard_format)
    order = orders.epoch_order(layout, seed=request.seed, epoch=request.epoch, shuffle=request.shuffle)
    begin, end, num_batches = _share(layout.num_records, request)
    return Reader(
        paths=tuple(request.shards / entry.path for entry in split.of_format(shard_format)),
        shard_format=shard_format,
        columns=columns_of(manifest),
        order=order,
        cuts=_cuts(order, begin, end, request),
        begin=begin,
        num_batches=max(0, num_batches - request.lane + request.num_lanes - 1) // request.num_lanes,
        request=request,
        start=start,
    )


def _start(request: Request, fingerprint: str) -> LoaderState:
    names = ("split", "batch_size", "seed", "epoch", "shuffle", "drop_remainder", "rank", "world_size")
    asked = {name: getattr(request, name) for name in names}
    return LoaderState(fingerprint=fingerprint, next_batch=request.first_batch, **asked)


def _share(num_records: int, request: Request) -> tuple[int, int, int]:
    """Return which records [begin, end) of the sequence the rank reads, and in how many batches."""
    share = {"rank": request.rank, "world_size": request.world_size}
    begin, end = orders.rank_bounds(num_records, **share)
    total = orders.num_batches(
        num_records, request.batch_size, **share, drop_remainder=request.drop_remainder
    )
    end = min(end, begin + total * request.batch_size)
    return (
        min(end, begin + request.first_batch * request.batch_size),
        end,
        max(0, total - request.first_batch),
    )


def _cuts(order: EpochOrder, begin: int, end: int, request: Request) -> tuple[Cut, ...]:
    """Return the cuts of the records [begin, end) that hold any of the lane."""

    def in_lane(cut: Cut) -> bool:
        first = int(order.bounds[cut.block_index]) + cut.begin - begin
        last = first + cut.end - cut.begin - 1
        batches = range(first // request.batch_size, last // request.batch_size + 1)
        return any(index % request.num_lanes == request.lane for index in batches[: request.num_lanes])

    return tuple(cut for cut in orders.cuts(order.bounds, begin, end) if in_lane(cut))


def layout_of(manifest: Manifest, split: Split, shard_format: str) -> Layout:
    """Return how the records of `split` lie in shards; it does not depend on the format."""
    columns = columns_of(manifest)
    stored = manifest.options.get(ROW_GROUP_RECORDS)
    group_records = stored if isinstance(stored, int) and stored > 0 else _computed_group_records(manifest)
    read_bytes = 4 * columns.num_columns + np.dtype(columns.label_dtype).itemsize
    read_bytes += 4 if columns.weight else 0
    return orders.Layout(
        shard_records=tuple(entry.records for entry in split.of_format(shard_format)),
        group_records=group_records,
        groups_per_block=orders.groups_per_block(group_records * read_bytes),
    )


def _computed_group_records(manifest: Manifest) -> int:
    """Return the size of row groups for a manifest that does not tell; texts are taken to be short."""
    return row_group_records(record_bytes(manifest))


def columns_of(manifest: Manifest) -> Columns:
    """Return the columns that a batch is made of."""
    return Columns(
        features=tuple(column.name for column in manifest.features),
        label=manifest.label.name,
        label_dtype="int64" if manifest.label.kind == "classes" else "float32",
        weight=manifest.weight.name if manifest.weight else None,
        categories=tuple(column.name for column in manifest.categories),
    )


def _shard_format(manifest: Manifest, request: Request) -> ShardFormat:
    stored = [name for name in READERS if name in manifest.formats]
    wanted = request.shard_format or (stored[0] if stored else "parquet")
    if wanted not in stored:
        raise DatasetError(
            f"no {wanted} shards", path=str(request.shards), hint=f"convert with --format {wanted}"
        )
    return wanted
