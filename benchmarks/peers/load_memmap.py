"""The limit: records copied out of one memory-mapped matrix, batch after batch, in order or by random rows.

The matrix is written once to FOLDER; that is not measured. In order no loader can be faster without giving
away memory that is not its own; by random rows is what a shuffle costs that takes each record where it lies.
Usage: as in rate.py, then order|random.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import rate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write(shards: Path, folder: Path) -> None:
    """Write features and labels of the train split as two .npy files."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = [pq.read_table(path) for path in sorted(shards.glob("train-*.parquet"))]
    names = [name for name in tables[0].column_names if name != "label"]
    features = [np.stack([table.column(name).to_numpy() for name in names], axis=1) for table in tables]
    np.save(folder / "features.npy", np.concatenate(features).astype(np.float32))
    np.save(folder / "label.npy", np.concatenate([table.column("label").to_numpy() for table in tables]))


def main(order: str) -> None:
    """Measure."""
    given = rate.arguments()
    folder = given.folder / "memmap"
    if not (folder / "label.npy").exists():
        write(given.shards, folder)
    features, label = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("features", "label"))
    size = given.batch_size

    def epoch(index: int) -> Iterator[int]:
        if order == "order":
            for begin in range(0, len(label), size):
                batch = np.array(features[begin : begin + size]), np.array(label[begin : begin + size])
                yield len(batch[1])
        else:
            rows = np.random.default_rng(index).permutation(len(label))
            for begin in range(0, len(label), size):
                batch = features[rows[begin : begin + size]], label[rows[begin : begin + size]]
                yield len(batch[1])

    rate.report(given, epoch, np.__version__)


if __name__ == "__main__":
    main(sys.argv[6])
