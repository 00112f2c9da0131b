"""How much each class counts, against sums in NumPy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline import manifest as manifests
from pipeline.train import TrainOptions
from pipeline.train.balance import class_weights_of
from pipeline.train.feed import Feed
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = TrainOptions(class_weight="balanced")


def feed_of(folder: Path, weight: str | None) -> Feed:
    """Return the feed of 300 records of three classes, the weights of which are their index."""
    rows = "".join(f"{'abc'[min(2, i % 7)]},{i},{i}\n" for i in range(300))
    shards = convert_text("label,x,w\n" + rows, folder, make_options(weight=weight)).folder
    return Feed(shards=shards, manifest=manifests.load(shards), shard_format=None, batch_size=64, seed=1)


@pytest.mark.parametrize("weight", [None, "w"])
def test_balanced_classes_have_the_same_total(tmp_path: Path, weight: str | None) -> None:
    """Total / (3 * total of the class): times the totals they are all alike, and their mean weight is 1."""
    feed = feed_of(tmp_path / "data", weight)
    found = class_weights_of(feed, OPTIONS)
    reader = feed.reader("train")
    parts = [reader.read(index).arrays for index in range(len(reader.cuts))]
    labels = np.concatenate([part[1] for part in parts])
    amounts = np.concatenate([part[2] for part in parts]) if weight else np.ones(len(labels))
    totals = np.bincount(labels, amounts)
    assert found is not None
    assert np.array(found) * totals == pytest.approx(totals.sum() / 3)
    # Every worker comes to the same, whatever its share.
    assert class_weights_of(replace(feed, rank=1, world_size=3), OPTIONS) == found


def test_as_they_are_nothing_is_computed(tmp_path: Path) -> None:
    """The default asks for no weights at all."""
    assert class_weights_of(feed_of(tmp_path / "data", None), TrainOptions()) is None
