"""Owns what a manifest says, as values: nothing here reads, writes or checks. Format: docs/format.md."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The program that wrote the dataset."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceEntry:
    """One source file: its size as stored, its records, the XXH3-128 of its text."""

    path: str
    bytes: int
    records: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the records came from; `header` holds the names as written."""

    files: tuple[SourceEntry, ...]
    header: tuple[str, ...]
    delimiter: str
    has_header: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordCounts:
    """The accounting: read = written + rejected; blank lines are no records."""

    read: int
    written: int
    rejected: int
    blank: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectsEntry:
    """The file of the rows set aside; `path` is relative to the manifest."""

    path: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """The label column; `classes[i]` is the value written as i; `counts[split][i]` its records."""

    name: str
    kind: str
    classes: tuple[int | str, ...] = ()
    counts: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMoments:
    """Statistics of the train split in raw units; `std` is that of the population."""

    count: int
    mean: float
    std: float
    min: float | None
    max: float | None
    missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnEntry:
    """One column of the shards; `moments` for columns of numbers.

    `reading` says of a number that its cells are booleans or dates. Of a category, `vocabulary[i]` is the
    value written as i + 1, and `counts[i]` how many records of the train split have it.
    """

    name: str
    role: str
    dtype: str
    moments: ColumnMoments | None = None
    reading: str | None = None
    vocabulary: tuple[str, ...] | None = None
    counts: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEntry:
    """One shard file; `path` is relative to the manifest.

    `head_sha256`, of the first 4,096 bytes, tells at once one shard from another; empty where not known.
    """

    path: str
    format: str
    records: int
    bytes: int
    sha256: str
    head_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One split: its records and shards, per format in the order of the records."""

    records: int
    shards: tuple[ShardEntry, ...]

    def of_format(self, name: str) -> tuple[ShardEntry, ...]:
        """Return the shards of format `name`, in the order of the records."""
        return tuple(shard for shard in self.shards if shard.format == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle:
    """Where a few records stood and where they came to stand, the k-th of both lists being one record.

    `positions` count the records read before it, ascending; `ranks` those before it in train, val and test.
    """

    positions: tuple[int, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a reader must know about a dataset.

    `digest` is that of the file it was read from, empty where there was none; it makes no difference between
    two manifests.
    """

    format_version: int
    generator: Generator
    fingerprint: str
    source: Source
    options: dict[str, Any]
    records: RecordCounts
    label: Label
    columns: tuple[ColumnEntry, ...]
    splits: dict[str, Split]
    warnings: tuple[str, ...] = ()
    rejects: RejectsEntry | None = None
    shuffle: Shuffle | None = None
    digest: str = dataclasses.field(default="", compare=False)

    @property
    def standardized(self) -> bool:
        """Whether the features in the shards are standardized."""
        return bool(self.options.get("standardize"))

    @property
    def split_rule(self) -> str:
        """By what records were divided into splits: "key" unless the options name another rule."""
        return str(self.options.get("split_rule", "key"))

    @property
    def split_column(self) -> str:
        """The column that decided the splits; empty where none did."""
        return str(self.options.get("split_column", ""))

    @property
    def features(self) -> tuple[ColumnEntry, ...]:
        """The features that are numbers, in the order of the CSV."""
        return tuple(column for column in self.columns if column.role == "feature")

    @property
    def categories(self) -> tuple[ColumnEntry, ...]:
        """The features that are categories, in the order of the CSV."""
        return tuple(column for column in self.columns if column.role == "category")

    @property
    def inputs(self) -> tuple[ColumnEntry, ...]:
        """What a model is trained on, in the order of a feature vector: numbers, then categories."""
        return (*self.features, *self.categories)

    @property
    def weight(self) -> ColumnEntry | None:
        """The weight column, if there is one."""
        return next((column for column in self.columns if column.role == "weight"), None)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats in which every split is stored."""
        return tuple(dict.fromkeys(s.format for split in self.splits.values() for s in split.shards))
