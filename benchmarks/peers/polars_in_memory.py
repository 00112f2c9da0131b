"""The whole job with Polars, everything in memory: the best a person can do today where memory suffices.

Read, shuffle globally, split exactly, mean and std of the train split, standardize, float32, write as many
Parquet files as `pipeline convert` does. Usage: polars_in_memory.py SOURCE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

RECORDS_PER_FILE = (64 << 20) // (28 * 4 + 8)  # 64 MiB of 28 float32 features and an int64 label


def main(source: str, folder: Path) -> None:
    """Do the job."""
    folder.mkdir()
    frame = pl.read_csv(source).rename({"# label": "label"})
    frame = frame.sample(fraction=1.0, shuffle=True, seed=42)
    tenth = frame.height // 10
    num_train = frame.height - 2 * tenth
    features = pl.col([name for name in frame.columns if name != "label"])
    train = frame.slice(0, num_train)
    mean, std = train.select(features.mean()).row(0), train.select(features.std(ddof=0)).row(0)
    scaled = [
        ((pl.col(name) - m) / s).cast(pl.Float32)
        for name, m, s in zip(frame.columns[1:], mean, std, strict=True)
    ]
    frame = frame.select(pl.col("label").cast(pl.Int64), *scaled)
    begin = 0
    for split, size in (("train", num_train), ("val", tenth), ("test", tenth)):
        count = -(-size // RECORDS_PER_FILE)
        cuts = [begin + size * index // count for index in range(count + 1)]
        for index in range(count):
            path = folder / f"{split}-{index:05d}-of-{count:05d}.parquet"
            shard = frame.slice(cuts[index], cuts[index + 1] - cuts[index])
            shard.write_parquet(path, compression="uncompressed")
        begin += size


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
