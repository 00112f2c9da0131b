"""Law: reading takes bounded memory, and no more of it in the fifth epoch than in the first."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.convert import convert
from pipeline.fetch import fetch_simulated
from pipeline.plan import ConvertOptions, Identity

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
NUM_RECORDS = 300_000
MEBIBYTE = 1 << 20
BLOCK_BYTES = 16 * MEBIBYTE
NUM_EPOCHS = 7  # two to warm up: caches of footers, the allocator, TensorFlow's own
# Reads epochs in a process of its own; prints its memory before, and the peak of each epoch.
READ = """\
import json, os, sys
from pathlib import Path
from pipeline import loader

def in_memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

way, shard_format, shards, num_epochs = sys.argv[1:]
read = {"numpy": loader.batches, "tf.data": loader.dataset, "torch": loader.torch_dataset}[way]
next(iter(read(Path(shards), "test", 1, seed=1, shard_format=shard_format)))  # imports what it needs
before, found = in_memory(), []
for epoch in range(int(num_epochs)):
    batches = read(Path(shards), "train", 1024, seed=1, epoch=epoch, shard_format=shard_format)
    found.append([in_memory() for _ in batches])
print(json.dumps([before, list(map(max, found))]))
"""


@pytest.fixture(scope="module")
def shards(fresh_folder: Callable[[], Path]) -> Path:
    """300,000 simulated records in both formats: 240,000 to train on, in two blocks an epoch."""
    folder = fresh_folder()
    folder.mkdir()
    fetch_simulated(folder / "source.csv", num_records=NUM_RECORDS, seed=1)
    identity = Identity(shard_bytes=4 * MEBIBYTE)
    options = ConvertOptions(identity=identity, formats=("parquet", "tfrecord"))
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


def resident(way: str, shard_format: str, shards: Path) -> tuple[int, list[int]]:
    """Return the bytes in memory before reading, and at the peak of each epoch."""
    done = subprocess.run(
        [sys.executable, "-c", READ, way, shard_format, str(shards), str(NUM_EPOCHS)],
        capture_output=True,
        check=False,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    before, peaks = json.loads(done.stdout)
    return before, peaks


@pytest.mark.slow
@pytest.mark.parametrize("shard_format", ["parquet", "tfrecord"])
@pytest.mark.parametrize("way", ["numpy", "tf.data", "torch"])
def test_memory_stays_level_over_five_epochs(shards: Path, way: str, shard_format: str) -> None:
    """The peak of each of five epochs is within 5 % of their median, give or take one block.

    How many of the blocks that are allowed exist at a time depends on who waits for whom.
    """
    if way == "torch":
        pytest.importorskip("torch")
    _, (_, _, *found) = resident(way, shard_format, shards)
    assert len(found) == 5
    level = statistics.median(found)
    assert all(abs(one - level) <= 0.05 * level + BLOCK_BYTES for one in found), found


def test_reading_takes_no_more_than_is_said(shards: Path) -> None:
    """With two threads: eight blocks of 16 MiB, and 12 MiB for each thread's row group."""
    before, peaks = resident("numpy", "parquet", shards)
    assert max(peaks) - before <= (3 * 2 + 2) * BLOCK_BYTES + 2 * 12 * MEBIBYTE
