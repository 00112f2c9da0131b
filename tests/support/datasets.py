"""Converts text given by a test, and reads what was written with pyarrow alone."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.convert import convert
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.splitting.rule import SplitRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

RANGE_BYTES = 8 << 20
SPLIT = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
MANIFEST = "manifest.json"


def make_options(  # noqa: PLR0913  # the options of the command, flat
    *,
    seed: int = 42,
    split: tuple[Fraction, ...] = SPLIT,
    rule: SplitRule | None = None,
    standardize: bool = True,
    shard_bytes: int = 64 << 20,
    range_bytes: int = RANGE_BYTES,
    on_bad_row: Literal["error", "skip"] = "error",
    on_missing: Literal["error", "drop", "mean"] = "error",
    on_nonfinite: Literal["error", "drop"] = "error",
    label: str | None = None,
    label_kind: Literal["auto", "classes", "number"] = "auto",
    weight: str | None = None,
    drop: tuple[str, ...] = (),
    keep: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    datetime: tuple[str, ...] = (),
    delimiter: str | None = None,
    has_header: bool = True,
    num_workers: int = 1,
    max_rejects: int | None = None,
    memory_bytes: int = 1 << 30,
    overwrite: bool = False,
) -> ConvertOptions:
    """Return the options of a conversion from flat keywords; one worker unless told otherwise."""
    return ConvertOptions(
        identity=Identity(
            seed=seed,
            split=split,
            rule=rule or SplitRule(),
            standardize=standardize,
            shard_bytes=shard_bytes,
            range_bytes=range_bytes,
            on_bad_row=on_bad_row,
            on_missing=on_missing,
            on_nonfinite=on_nonfinite,
        ),
        roles=RoleOptions(
            label=label, weight=weight, drop=drop, keep=keep, categorical=categorical, datetime=datetime
        ),
        label_kind=label_kind,
        delimiter=delimiter,
        has_header=has_header,
        num_workers=num_workers,
        max_rejects=max_rejects,
        memory_bytes=memory_bytes,
        overwrite=overwrite,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A folder of shards, read without the package."""

    folder: Path

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as JSON gives it."""
        tree: dict[str, Any] = json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))
        return tree

    def paths(self, split: str) -> list[Path]:
        """Return the shards of `split` in order."""
        return [self.folder / shard["path"] for shard in self.manifest["splits"][split]["shards"]]

    def tables(self, split: str) -> list[pa.Table]:
        """Return each shard of `split` as a table, in order."""
        return [pq.read_table(path) for path in self.paths(split)]

    def rows(self, split: str) -> list[tuple[Any, ...]]:
        """Return the records of `split` in order."""
        return [
            row
            for table in self.tables(split)
            for row in zip(*(column.to_pylist() for column in table.columns), strict=True)
        ]

    def all_rows(self) -> list[tuple[Any, ...]]:
        """Return the records of train, val and test, in this order."""
        return [row for split in ("train", "val", "test") for row in self.rows(split)]

    def column(self, name: str, *splits: str) -> list[Any]:
        """Return one column over all records of `splits`, in order; over all three when none is named."""
        return [
            value
            for split in splits or ("train", "val", "test")
            for table in self.tables(split)
            for value in table.column(name).to_pylist()
        ]

    def moments(self, name: str) -> dict[str, Any]:
        """Return the moments of a column as the manifest has them."""
        found: dict[str, Any] = next(c["moments"] for c in self.manifest["columns"] if c["name"] == name)
        return found

    def rejects(self) -> list[dict[str, Any]]:
        """Return the rows set aside, none where there is no such file."""
        path = self.folder / "rejects.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]

    def file_bytes(self) -> dict[str, bytes]:
        """Return the bytes of every file by its name."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}


def convert_text(
    text: str | bytes, folder: Path, options: ConvertOptions, *, packed: bool = False
) -> Dataset:
    """Write `text` to a file in a new `folder`, gzip-compressed if `packed`, and convert it."""
    folder.mkdir(parents=True)
    data = text.encode() if isinstance(text, str) else text
    source = folder / ("source.csv.gz" if packed else "source.csv")
    source.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    convert(source, folder / "shards", options)
    return Dataset(folder=folder / "shards")


def same_value(left: float, right: float) -> bool:
    """Whether two floats are the same, bit for bit but for the payload of a NaN."""
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right and math.copysign(1, left) == math.copysign(1, right)


def in_order_of(names: Sequence[str], rows: Sequence[tuple[Any, ...]], key: str) -> list[dict[str, Any]]:
    """Return the rows as dictionaries, sorted by the column `key`."""
    return sorted((dict(zip(names, row, strict=True)) for row in rows), key=lambda row: row[key])
