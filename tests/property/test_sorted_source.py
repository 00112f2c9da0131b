"""Law: a source sorted by its label gives shards and row groups whose label share is what chance gives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from pipeline import plan
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.datasets import Dataset

NUM_RECORDS = 12_000
NUM_SIGNAL = 4_000
SIGMA = 5


def deviation(num_found: int, num_drawn: int, *, num_signal: int = NUM_SIGNAL) -> float:
    """Return how far `num_found` signals among `num_drawn` records are from chance, in standard deviations.

    Drawn without replacement: the hypergeometric distribution.
    """
    share = num_signal / NUM_RECORDS
    variance = num_drawn * share * (1 - share) * (NUM_RECORDS - num_drawn) / (NUM_RECORDS - 1)
    return abs(num_found - num_drawn * share) / math.sqrt(variance)


@pytest.fixture(scope="module", params=["ascending", "descending", "gzip"])
def dataset(fresh_folder: Callable[[], Path], request: pytest.FixtureRequest) -> Dataset:
    """12,000 records sorted by label, with small shards of several row groups."""
    labels = [0] * (NUM_RECORDS - NUM_SIGNAL) + [1] * NUM_SIGNAL
    if request.param == "descending":
        labels.reverse()
    text = "label,a\n" + "".join(f"{label},{index}\n" for index, label in enumerate(labels))
    options = make_options(range_bytes=4000, shard_bytes=12 * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "ROW_GROUP_BYTES", 12 * plan.MIN_ROW_GROUP_RECORDS)
        return convert_text(text, fresh_folder(), options, packed=request.param == "gzip")


def test_shards_have_the_label_share_of_chance(dataset: Dataset) -> None:
    """No shard's share of signal is further than five standard deviations from that of the source."""
    shards = [table for split in ("train", "val", "test") for table in dataset.tables(split)]
    assert len(shards) > 10
    for table in shards:
        assert deviation(sum(table.column("label").to_pylist()), table.num_rows) < SIGMA


def test_row_groups_have_the_label_share_of_chance(dataset: Dataset) -> None:
    """Nor is any row group's: a reader that takes them in any order sees shuffled records."""
    num_groups = 0
    for path in dataset.paths("train"):
        shard = pq.ParquetFile(path)
        assert shard.num_row_groups > 1
        for group in range(shard.num_row_groups):
            labels = shard.read_row_group(group).column("label").to_pylist()
            num_groups += 1
            assert deviation(sum(labels), len(labels)) < SIGMA
    assert num_groups > 30


def test_splits_have_the_label_share_of_chance(dataset: Dataset) -> None:
    """Train, val and test have it too, and the manifest counts the classes as they are."""
    for split in ("train", "val", "test"):
        labels = dataset.column("label", split)
        assert deviation(sum(labels), len(labels)) < SIGMA
        expected = [len(labels) - sum(labels), sum(labels)]
        assert dataset.manifest["label"]["counts"][split] == expected


def test_an_unshuffled_shard_would_fail() -> None:
    """A thousand records taken in the order of a sorted source are more than twenty deviations off."""
    assert deviation(0, 1000) > 20
    assert deviation(1000, 1000) > 20
