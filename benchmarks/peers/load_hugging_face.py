"""Hugging Face Datasets over the same Parquet shards, streamed, as its pages recommend for training.

The shards are shuffled, and records by a buffer of 10,000; columns are stacked to one matrix. See rate.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import datasets
import numpy as np
import rate

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFER_RECORDS = 10_000


def main() -> None:
    """Measure."""
    given = rate.arguments()
    paths = sorted(map(str, given.shards.glob("train-*.parquet")))
    read = datasets.load_dataset("parquet", data_files={"train": paths}, split="train", streaming=True)

    def epoch(index: int) -> Iterator[int]:
        shuffled = read.shuffle(seed=index, buffer_size=BUFFER_RECORDS).with_format("numpy")
        for columns in shuffled.iter(batch_size=given.batch_size):
            label = columns.pop("label")
            np.stack(list(columns.values()), axis=1)
            yield len(label)

    rate.report(given, epoch, datasets.__version__)


if __name__ == "__main__":
    main()
