"""Owns the claims of a manifest: each is held against what the shards turned out to hold.

How far a found value may lie off follows from what was rounded: a value in a shard is a float32, off by at
most 2**-24 of itself, and mean and std move by no more than the largest of their values does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline import moments as moments_of
from pipeline.verify.shard import float_columns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.manifest import ColumnEntry, ColumnMoments, Manifest, ShardEntry
    from pipeline.moments import Moments
    from pipeline.verify.shard import Found

HALF_ULP = {"float32": 2.0**-24, "float64": 2.0**-53}
SUMMING = 1e-12  # how far two sums of the same numbers in another order may lie apart, with much to spare
SMALLEST = 2.0**-149  # the smallest float32: below it, values are rounded by more than a share of themselves

Shards = tuple[tuple["ShardEntry", "Found"], ...]


def wrong_claims(manifest: Manifest, found: Mapping[str, Found]) -> Iterator[str]:
    """Yield a sentence for every claim of the manifest that its shards, by path, do not bear out."""
    for form in manifest.formats:
        of_split = {
            name: tuple((entry, found[entry.path]) for entry in split.of_format(form))
            for name, split in manifest.splits.items()
        }
        for name, claimed in manifest.label.counts.items():
            counts = sum((own.class_counts for _, own in of_split[name]), np.zeros(len(claimed), np.int64))
            if counts.tolist() != list(claimed):
                yield f"{name}: the classes have other counts in the {form} shards: {counts.tolist()}"
        yield from _wrong_moments(manifest, of_split["train"], form)
    yield from _unlike_formats(manifest, found)


def _unlike_formats(manifest: Manifest, found: Mapping[str, Found]) -> Iterator[str]:
    first, *others = manifest.formats or ("",)
    for split in manifest.splits.values():
        for form in others:
            for one, other in zip(split.of_format(first), split.of_format(form), strict=True):
                if found[one.path].digest != found[other.path].digest:
                    yield f"{one.path} and {other.path} hold other records, or in another order"


def _wrong_moments(manifest: Manifest, train: Shards, form: str) -> Iterator[str]:
    by_name = {column.name: column for column in manifest.columns}
    columns = [*manifest.features, *(by_name[name] for name in float_columns(manifest))]
    found = moments_of.empty(len(columns))
    for _, own in train:
        found = moments_of.merge(found, own.moments)
    for row, column in enumerate(columns):
        if column.moments is None:
            continue
        dtype = "float32" if form == "tfrecord" else column.dtype
        expected = _Expected(column, column.moments, dtype, standardize=manifest.standardized)
        if difference := expected.difference(found, row):
            yield f"column {column.name!r}: {difference} in the {form} shards"


class _Expected:
    """What the moments of a column in raw units make of it in the shards."""

    def __init__(self, column: ColumnEntry, claimed: ColumnMoments, dtype: str, *, standardize: bool) -> None:
        self.is_feature = column.role == "feature"
        standardized = self.is_feature and standardize
        constant = claimed.min is None or claimed.min == claimed.max or claimed.std == 0
        self.claimed = claimed
        self.dtype = np.dtype(dtype)
        self.center = claimed.mean if standardized else 0.0
        self.scale = 1.0 if constant or not standardized else claimed.std
        # Missing values of a feature stand at the mean, so they draw its std towards 0.
        self.num_records = claimed.count + (claimed.missing if self.is_feature else 0)
        self.fill = self.stored(claimed.mean) if self.is_feature and claimed.missing else None

    def stored(self, raw: float) -> float:
        """Return what `raw` becomes in a shard: the same operations as those of the conversion."""
        with np.errstate(over="ignore"):
            return float(((np.float64(raw) - self.center) / self.scale).astype(self.dtype))

    def difference(self, found: Moments, row: int) -> str:
        """Return in what the moments found in `row` differ, or nothing."""
        count, missing = int(found.count[row]), int(found.missing[row])
        if (count, missing) != (self.num_records, 0 if self.is_feature else self.claimed.missing):
            return f"{count} values and {missing} missing, expected {self.num_records}"
        if not count:
            return ""
        low, high = self.extremes()
        if (found.min[row], found.max[row]) != (low, high):
            return (
                f"values from {found.min[row]:.9g} to {found.max[row]:.9g}, expected {low:.9g} to {high:.9g}"
            )
        mean, std = float(found.mean[row]), float(found.std()[row])
        expected_mean = (self.claimed.mean - self.center) / self.scale
        expected_std = self.claimed.std / self.scale * (self.claimed.count / count) ** 0.5
        slack = self.slack(max(abs(low), abs(high)))
        if abs(mean - expected_mean) > slack or abs(std - expected_std) > slack:
            return f"mean {mean:.9g} and std {std:.9g}, expected {expected_mean:.9g} and {expected_std:.9g}"
        return ""

    def extremes(self) -> tuple[float, float]:
        """Return the least and the greatest value in the shards."""
        values = [self.stored(raw) for raw in (self.claimed.min, self.claimed.max) if raw is not None]
        values += [] if self.fill is None else [self.fill]
        return min(values), max(values)

    def slack(self, largest: float) -> float:
        """Return how far mean and std may lie off, if no value is beyond `largest`."""
        # The mean in the manifest is rounded, too: at 1e15 by more than the std of what is added to it.
        of_mean = HALF_ULP["float64"] * abs(self.claimed.mean) / self.scale
        return (2 * HALF_ULP[self.dtype.name] + SUMMING) * largest + 4 * of_mean + SMALLEST
