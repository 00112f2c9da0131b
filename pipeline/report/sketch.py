"""Owns what a report must know of the records of a split, gathered in one pass over its shards.

Records lie in random order, so the first ones of a split are a fair sample of it: beyond `MAX_RECORDS`
nothing is read. Neighbours: `shuffle` judges the order by it, `dataset` shows it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.loader import batches

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.manifest import ColumnEntry, Manifest
    from pipeline.progress import Progress

NUM_BINS = 40
MAX_RECORDS = 4_000_000
MAX_CLASSES = 4  # told apart in a category; the last one stands for all further ones
BATCH_RECORDS = 1 << 15
CONSTANT = 1e-9  # of the variance in train: below it, there is nothing that could correlate
REACH = (
    4.0  # standard deviations on either side of the mean that a histogram shows; beyond is in its last bins
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sketch:
    """What is known of a split.

    edges        float64 (num_features, NUM_BINS + 1): in raw units
    histograms   int64 (num_classes or 1, num_features, NUM_BINS)
    products     float64 (num_features, num_features): mean of the products of standardized values
    lagged       float64 (num_features,): correlation of neighbouring records
    shard_counts int64 (num_shards, num_classes or 1): records read of each shard, by class
    places       for each category int64 (up to 4 classes or 1, 1 + size of its vocabulary): records
    num_runs     how often the class of a record is not that of the record before it, plus 1
    """

    num_records: int
    edges: NDArray[np.float64]
    histograms: NDArray[np.int64]
    products: NDArray[np.float64]
    lagged: NDArray[np.float64]
    shard_counts: NDArray[np.int64]
    places: tuple[NDArray[np.int64], ...]
    num_runs: int

    @property
    def class_counts(self) -> NDArray[np.int64]:
        """The records of each class, int64 (num_classes or 1,)."""
        counts: NDArray[np.int64] = self.shard_counts.sum(axis=0)
        return counts


def sketch_split(shards: Path, manifest: Manifest, split: str, progress: Progress) -> Sketch:
    """Return the sketch of a split; takes the memory of a few batches.

    Raises:
        ShardError: a shard is damaged.
    """
    features = manifest.features
    edges = np.array([_edges(column) for column in features]).reshape(-1, NUM_BINS + 1)
    scale = np.array([_scale(column) for column in features])
    mean = np.array([_moment(column, "mean") for column in features])
    num_classes = len(manifest.label.classes) or 1
    shard_ends = np.cumsum([s.records for s in manifest.splits[split].of_format(manifest.formats[0])])
    histograms = np.zeros((num_classes, len(features), NUM_BINS), np.int64)
    shard_counts = np.zeros((len(shard_ends), num_classes), np.int64)
    told_apart = min(num_classes, MAX_CLASSES)
    category_counts = tuple(
        np.zeros((told_apart, len(column.vocabulary or ()) + 1), np.int64) for column in manifest.categories
    )
    products = np.zeros((len(features), len(features)))
    lagged, totals = np.zeros(len(features)), np.zeros(len(features))
    num_records = num_runs = 0
    last: tuple[NDArray[np.float64], int] | None = None
    found = batches(shards, split, BATCH_RECORDS, seed=0, shuffle=False)
    for arrays in itertools.islice(found, MAX_RECORDS // BATCH_RECORDS):
        values = arrays[0][:, : len(features)].astype(np.float64)  # categories stand behind the numbers
        raw = values * scale + mean if manifest.standardized else values
        unit = values if manifest.standardized else (values - mean) / scale
        classes = arrays[1] if manifest.label.classes else np.zeros(len(values), np.int64)
        _count(histograms, raw, classes, edges)
        places = np.searchsorted(shard_ends, np.arange(num_records, num_records + len(values)), side="right")
        np.add.at(shard_counts, (places, classes), 1)
        _count_places(category_counts, arrays[0][:, len(features) :], classes)
        products += unit.T @ unit
        totals += unit.sum(axis=0)
        if last is not None:
            lagged += last[0] * unit[0]
            num_runs += int(last[1] != classes[0])
        lagged += np.einsum("ij,ij->j", unit[:-1], unit[1:])
        num_runs += int(np.count_nonzero(classes[1:] != classes[:-1]))
        last = (unit[-1], int(classes[-1]))
        num_records += len(values)
        progress.advance(len(values))
    return Sketch(
        num_records=num_records,
        edges=edges,
        histograms=histograms,
        products=products / max(num_records, 1),
        lagged=_correlation(lagged, totals, np.diag(products), num_records),
        shard_counts=shard_counts,
        places=category_counts,
        num_runs=num_runs + min(num_records, 1),
    )


def _count_places(
    counts: tuple[NDArray[np.int64], ...], places: NDArray[np.float32], classes: NDArray[np.int64]
) -> None:
    """Add the categories of a batch, (batch, num_categories); further classes count as the last one."""
    for index, of_column in enumerate(counts):
        num_classes, size = of_column.shape
        joined = np.minimum(classes, num_classes - 1) * size + places[:, index].astype(np.intp)
        np.add(
            of_column, np.bincount(joined, minlength=num_classes * size).reshape(num_classes, size), of_column
        )


def _correlation(
    lagged: NDArray[np.float64], totals: NDArray[np.float64], squares: NDArray[np.float64], num_records: int
) -> NDArray[np.float64]:
    """Return the correlation of neighbours from sums over a split, whose mean need not be that of train."""
    mean = totals / max(num_records, 1)
    variance = squares / max(num_records, 1) - mean * mean
    covariance = lagged / max(num_records - 1, 1) - mean * mean
    return np.where(variance > CONSTANT, covariance / np.maximum(variance, CONSTANT), 0.0)


def _moment(column: ColumnEntry, name: str) -> float:
    return float(getattr(column.moments, name) or 0.0) if column.moments else 0.0


def _scale(column: ColumnEntry) -> float:
    return _moment(column, "std") or 1.0


def _edges(column: ColumnEntry) -> NDArray[np.float64]:
    """Return the borders of the bins of a column, in raw units."""
    mean, reach = _moment(column, "mean"), REACH * _scale(column)
    low, high = max(_moment(column, "min"), mean - reach), min(_moment(column, "max"), mean + reach)
    if not low < high:
        low, high = mean - 0.5, mean + 0.5
    return np.linspace(low, high, NUM_BINS + 1)


def _count(
    histograms: NDArray[np.int64],
    raw: NDArray[np.float64],
    classes: NDArray[np.int64],
    edges: NDArray[np.float64],
) -> None:
    """Add the records of a batch, (batch, num_features), to the histograms; what lies outside to the ends."""
    num_classes = len(histograms)
    width = edges[:, 1] - edges[:, 0]
    bins = np.clip((raw - edges[:, 0]) / width, 0, NUM_BINS - 1).astype(np.int64)
    for index in range(raw.shape[1]):
        flat = np.bincount(classes * NUM_BINS + bins[:, index], minlength=num_classes * NUM_BINS)
        histograms[:, index] += flat.reshape(num_classes, NUM_BINS)
