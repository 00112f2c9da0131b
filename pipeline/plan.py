"""Owns the plan of a conversion: options, byte ranges, shards and their names, as frozen values.

Decides nothing about bytes in files; `source` fills it from sizes, header and first range, `convert` acts
on it. `Identity` holds just those options that change the bytes of a dataset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from pipeline.errors import OptionError
from pipeline.keys import SPLITS
from pipeline.schema import RoleOptions, Schema
from pipeline.splitting.rule import SplitRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from upath import UPath

    from pipeline.standard_input import StandardInput

Compression = Literal["none", "gzip", "zstd", "bzip2", "xz"]
ShardFormat = Literal["parquet", "tfrecord"]

RANGE_BYTES = 8 << 20  # the grid of byte ranges: part of the dataset's identity, never tuned
ROW_GROUP_BYTES = 4 << 20  # 32,768 records of 32 float32 columns: small enough to mix several while training
MIN_ROW_GROUP_RECORDS = 256  # for very wide tables, where a page per column must still be worth its header
DEFAULT_SHARD_BYTES = 64 << 20
DEFAULT_MEMORY_BYTES = 1 << 30

DELIMITER = re.compile(r'[\t -~](?<![0-9A-Za-z.+"-])')

UNITS = {"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9, "gb": 10**9}
UNITS |= {"t": 10**12, "tb": 10**12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def parse_size(text: str) -> int:
    """Return the number of bytes of a size such as 64MiB, 1GB or 500k.

    >>> parse_size("64MiB"), parse_size("1.5k")
    (67108864, 1500)

    Raises:
        OptionError: not a positive size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", text)
    unit = UNITS.get(found[2].lower()) if found else None
    num_bytes = int(Fraction(found[1]) * unit) if found and unit else 0
    if num_bytes <= 0:
        raise OptionError(f"{text!r} is not a size", hint="write sizes as 64MiB, 1GB or 500k")
    return num_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How the text of the source is divided: delimiter, and names where the text has no header line."""

    delimiter: str
    has_header: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """One source file as the plan found it; a change of size or time during the run is an error.

    `num_bytes` and `modified_ns` are those of the file as stored; -1 is an unknown size, and of a store the
    latter is any number that changes with the file. `text_offset` counts the bytes before the first record
    (byte-order mark, header line) of the uncompressed text; `num_blank` blank lines before the header are
    among them, and `header_lines` counts all of their lines. `header` and `order`, the names as written and
    without blanks, are given where a further file has its columns in another order. `in_ranges` says whether
    any part of the text can be read on its own: of compressed files it cannot, nor from some servers.
    `expansion` is how many bytes of text a stored byte comes to, by the beginning of the file.
    """

    path: Path | UPath | StandardInput
    num_bytes: int
    modified_ns: int
    compression: Compression
    text_offset: int
    num_blank: int = 0
    header_lines: int = 0
    header: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    in_ranges: bool = True
    expansion: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """A cell of the grid: the records whose first byte lies in [begin, end) of the uncompressed text."""

    file_index: int
    range_index: int
    begin: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The options that change the bytes of a dataset."""

    seed: int = 42
    split: tuple[Fraction, ...] = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
    rule: SplitRule = field(default_factory=SplitRule)
    standardize: bool = True
    shard_bytes: int = DEFAULT_SHARD_BYTES
    compression: Literal["none", "zstd", "snappy", "gzip"] = "none"
    range_bytes: int = RANGE_BYTES
    on_bad_row: Literal["error", "skip"] = "error"
    on_missing: Literal["error", "drop", "mean"] = "error"
    on_nonfinite: Literal["error", "drop"] = "error"

    def __post_init__(self) -> None:
        """Check the ranges of the values.

        Raises:
            OptionError: a value is out of its range.
        """
        if not 0 <= self.seed < 1 << 64:
            raise OptionError(f"--seed {self.seed}: expected 0 <= seed < 2**64")
        if self.range_bytes < 1:
            raise OptionError(f"range_bytes {self.range_bytes}: expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertOptions:
    """Everything a user can ask of a conversion; the defaults are those of the command line."""

    identity: Identity = field(default_factory=Identity)
    roles: RoleOptions = field(default_factory=RoleOptions)
    label_kind: Literal["auto", "classes", "number"] = "auto"
    formats: tuple[ShardFormat, ...] = ("parquet",)
    delimiter: str | None = None
    has_header: bool = True
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    num_workers: int | None = None
    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    performance_report: str | None = None
    max_rejects: int | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check what can be checked without the source.

        Raises:
            OptionError: values exclude each other.
        """
        if len(set(self.formats)) != len(self.formats) or not self.formats:
            raise OptionError(f"--format {', '.join(self.formats)}: each format once, at least one")
        if self.delimiter is not None and not DELIMITER.fullmatch(self.delimiter):
            said = f"--delimiter {self.delimiter!r}: expected one ASCII character, no quote, none of a number"
            raise OptionError(said, hint="write --delimiter ';' for semicolons, '\\t' for tabs")
        allowed = {"parquet": {"none", "zstd", "snappy"}, "tfrecord": {"none", "gzip"}}
        for name in self.formats:
            if self.identity.compression not in allowed[name]:
                choice = ", ".join(sorted(allowed[name]))
                raise OptionError(f"--compression {self.identity.compression}: {name} can have {choice}")
        if self.scheduler is not None and self.engine != "dask":
            raise OptionError("--scheduler is for --engine dask alone", hint="pass --engine dask as well")
        if self.num_workers is not None and self.num_workers < 1:
            raise OptionError(f"--workers {self.num_workers}: expected at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimates:
    """What the plan expects, from sizes and the first range; nothing that changes bytes depends on it.

    `run_bytes` is the size of all runs.
    """

    text_bytes: int
    num_records: int
    num_ranges: int
    shard_bytes: int
    num_shards: dict[str, int]
    run_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """How `--memory` is divided; nothing of it changes the bytes of a dataset.

    `num_threads` is one more than the workers, so that no core waits while one of them reads or writes;
    `cell_bits` is the logarithm of the number of cells in which runs are spilled and gathered.
    """

    num_workers: int
    num_threads: int
    runs_bytes: int
    cell_bits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskPlan:
    """What a conversion is expected to take of the disk, by the first records, and the least it can take.

    All 0 where that cannot be told.
    """

    dataset_bytes: int = 0
    spilled_bytes: int = 0
    least_bytes: int = 0

    @property
    def num_bytes(self) -> int:
        """What it is expected to take before it is published: the dataset, and the runs beside it."""
        return self.dataset_bytes + self.spilled_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertPlan:
    """All that `convert` will do: sources, columns, options; computed once, then only acted on."""

    files: tuple[SourceFile, ...]
    header: tuple[str, ...]
    dialect: Dialect
    schema: Schema
    options: ConvertOptions
    estimates: Estimates
    memory: MemoryPlan
    disk: DiskPlan = field(default_factory=DiskPlan)

    def of_file(self, file_index: int) -> ConvertPlan:
        """Return the plan as the parsers need it for one file: with the columns as that file has them."""
        file = self.files[file_index]
        if not file.order:
            return self
        return replace(self, header=file.header, schema=replace(self.schema, order=file.order))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSpec:
    """One output file: the records of ranks [begin, end) in the order of splits, and of keys within them."""

    split: str
    shard_index: int
    num_shards: int
    begin: int
    end: int

    @property
    def stem(self) -> str:
        """The file name without extension, the same for every format."""
        return f"{self.split}-{self.shard_index:05d}-of-{self.num_shards:05d}"


def parse_stem(stem: str) -> tuple[str, int, int] | None:
    """Return (split, shard_index, num_shards) of a shard's stem, or None where it is none.

    >>> parse_stem("val-00001-of-00002")
    ('val', 1, 2)
    """
    found = re.fullmatch(r"(\w+)-([0-9]{5,18})-of-([0-9]{5,18})", stem)
    if found is None:
        return None
    spec = ShardSpec(split=found[1], shard_index=int(found[2]), num_shards=int(found[3]), begin=0, end=0)
    # One shard has one name: no other padding, no split we do not write, no sixth of five.
    if spec.stem != stem or spec.split not in SPLITS or spec.shard_index >= spec.num_shards:
        return None
    return spec.split, spec.shard_index, spec.num_shards


def record_bytes(schema: Schema, text_bytes_per_record: int = 0) -> int:
    """Return the size of a record in a shard, uncompressed: what shards and row groups are measured by."""
    widths = {"float32": 4, "int64": 8, "float64": 8, "string": 4}
    fixed = sum(widths[column.dtype(schema.label_kind)] for column in schema.used)
    return fixed + text_bytes_per_record


def row_group_records(num_bytes_per_record: int) -> int:
    """Return the number of records in each row group of a shard but the last."""
    return max(MIN_ROW_GROUP_RECORDS, ROW_GROUP_BYTES // num_bytes_per_record)


def cut_shards(sizes: Sequence[int], *, shard_bytes: int, num_bytes_per_record: int) -> tuple[ShardSpec, ...]:
    """Return the shards of splits of these `sizes`, in order of rank; an empty split has none.

    The shards of a split differ by at most one record in size, so that ranks of a distributed training get
    equal work.
    """
    target = max(1, shard_bytes // num_bytes_per_record)
    specs: list[ShardSpec] = []
    begin = 0
    for name, size in zip(SPLITS, sizes, strict=True):
        count = -(-size // target)
        cuts = [begin + size * index // count for index in range(count + 1)] if count else []
        specs += [
            ShardSpec(split=name, shard_index=index, num_shards=count, begin=cuts[index], end=cuts[index + 1])
            for index in range(count)
        ]
        begin += size
    return tuple(specs)
