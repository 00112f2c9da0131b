"""This package, as NumPy batches, a tf.data pipeline, or for PyTorch with and without worker processes.

Usage: as in rate.py, then numpy|tf.data|torch, parquet|tfrecord, and the number of workers of PyTorch.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from typing import TYPE_CHECKING, Any

import rate

from pipeline import loader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SEED = 42
WAYS = {"numpy": loader.batches, "tf.data": loader.dataset, "torch": loader.torch_dataset}


def main(way: str, shard_format: str, num_workers: str) -> None:
    """Measure."""
    given = rate.arguments()
    if way != "numpy":
        importlib.import_module({"tf.data": "tensorflow", "torch": "torch.utils.data"}[way])

    def epoch(index: int) -> Iterator[int]:
        found: Iterable[Any] = WAYS[way](
            given.shards, "train", given.batch_size, seed=SEED, epoch=index, shard_format=shard_format
        )
        if way == "torch":
            data = importlib.import_module("torch.utils.data")
            found = data.DataLoader(found, batch_size=None, num_workers=int(num_workers))
        for _features, label in found:
            yield label.shape[0]

    rate.report(given, epoch, "")


if __name__ == "__main__":
    main(*itertools.islice([*sys.argv[6:], "0"], 3))
