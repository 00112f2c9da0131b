"""Looks whether a measured command did its work: whoever does less than asked may not be compared.

The whole job is: three splits of exactly 8 : 1 : 1, features float32 with mean 0 and std 1 over the train
split, and another order than the source has.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from pipeline.formats.tf_example import TfField
from pipeline.formats.tf_example_decode import decode

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from sources import Source

TOLERANCE = 1e-3  # float32 features, summed up; a column that is not standardized is off by far more
LABELS = ("label", "# label")
TF_FIELDS = (TfField(name="features", kind="float", width=28), TfField(name="label", kind="int64"))


def require(*, fact: bool, otherwise: str) -> None:
    """Exit with the message `otherwise` unless `fact` holds."""
    if not fact:
        sys.exit(f"the work is not done: {otherwise}")


def check_printed_count(printed: str, source: Source) -> None:
    """Check that the command printed the number of records."""
    require(fact=int(printed) == source.num_records, otherwise=f"{printed.strip()} records")


def check_count(files: str, source: Source) -> None:
    """Check that the Parquet files of the pattern `files` hold all records."""
    found = pl.scan_parquet(files).select(pl.len()).collect().item()
    require(fact=found == source.num_records, otherwise=f"{found} records in {files}")


def check_parquet(folder: Path, source: Source) -> None:
    """Check that `folder` holds the whole job as Parquet files."""
    splits = {name: pl.scan_parquet(folder / f"{name}-*.parquet") for name in ("train", "val", "test")}
    _check_sizes([frame.select(pl.len()).collect().item() for frame in splits.values()], source)
    features = [name for name in splits["train"].collect_schema().names() if name not in LABELS]
    schema = splits["train"].collect_schema()
    require(fact=all(schema[name] == pl.Float32 for name in features), otherwise="features are not float32")
    numbers = pl.col(features).cast(pl.Float64)
    _check_moments(
        splits["train"].select(numbers.mean()).collect().to_numpy()[0],
        splits["train"].select(numbers.std(ddof=0)).collect().to_numpy()[0],
    )
    _check_order(splits["train"].select("f0").head(len(source.first)).collect().to_numpy()[:, 0], source)


def check_tfrecord(folder: Path, source: Source) -> None:
    """Check that `folder` holds the whole job as TFRecord files."""
    sizes, train = [], []
    for split in ("train", "val", "test"):
        shards = [_features(path) for path in sorted(folder.glob(f"{split}-*.tfrecord"))]
        sizes.append(sum(map(len, shards)))
        train += shards if split == "train" else []
    _check_sizes(sizes, source)
    numbers = np.concatenate(train)
    _check_moments(numbers.mean(axis=0, dtype=np.float64), numbers.std(axis=0, dtype=np.float64))
    _check_order(numbers[: len(source.first), 0], source)


def _features(path: Path) -> NDArray[np.float32]:
    features: NDArray[np.float32] = decode(path.read_bytes(), TF_FIELDS)[0].values
    return features


def _check_sizes(sizes: list[int], source: Source) -> None:
    total = source.num_records
    tenth = total // 10
    expected = [total - 2 * tenth, tenth, tenth]
    require(fact=sizes == expected, otherwise=f"splits of {sizes} records, not {expected}")


def _check_moments(mean: NDArray[np.float64], std: NDArray[np.float64]) -> None:
    require(fact=bool((np.abs(mean) < TOLERANCE).all()), otherwise=f"means of the train split: {mean}")
    require(fact=bool((np.abs(std - 1) < TOLERANCE).all()), otherwise=f"stds of the train split: {std}")


def _check_order(values: NDArray[np.float32], source: Source) -> None:
    """Check that the records do not come in the order of the source; scaling does not hide that."""
    same = np.argsort(values, kind="stable") == np.argsort(source.first[: len(values)], kind="stable")
    require(fact=bool(same.mean() < 0.5), otherwise="the records are in the order of the source")
