"""How many records a second come out of the loader, and what does reading cost a training?

Method: a dataset made beforehand with

    pipeline fetch simulated raw.csv --rows 1000000
    pipeline convert raw.csv shards --format parquet --format tfrecord

is read a whole epoch at a time, shuffled, into a Python loop: as NumPy batches and as tf.data, from Parquet
and from TFRecord, at batch 1,024 and 8,192, with and without checksums. Then the default network is trained
on a quarter of an epoch at batch 1,024, as one rank of four would, from the shards and from the same batches
held in memory. All contenders take turns in every round; the median of the rounds, their spread, and the
processor time, which says more on a machine that is shared.

Conclusion: at batch 1,024, 11 million records/s from Parquet as NumPy and 3.5 million through tf.data; from
TFRecord 3.9 and 2.0 million. Checksums cost a quarter of the rate from Parquet. Training from the shards is
as fast as from memory, within the spread of a shared machine, for 2 to 5 % more processor time.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.loader import batches, dataset
from pipeline.models import dense
from pipeline.models.target import Target
from pipeline.train.options import REPORT_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NUM_RANKS = 4  # a training reads the share of one of them: some 200 steps
SEED = 42
TWO_CLASSES = Target(units=1, activation="sigmoid", loss="binary_crossentropy", metric="accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One contender: rates of its rounds in records/s, and its processor time per record."""

    name: str
    median: float
    slowest: float
    fastest: float
    cpu_nanoseconds: float


def consumed(found: Iterable[tuple[np.ndarray, ...]]) -> int:
    """Take every batch and return the number of records."""
    return sum(batch[1].shape[0] for batch in found)


def readers(shards: Path, epoch: Iterable[int]) -> dict[str, Callable[[], int]]:
    """Return what reads one epoch, by name."""
    epochs = iter(epoch)

    def reading(read: Callable[..., object], batch_size: int, **options: object) -> int:
        return consumed(read(shards, "train", batch_size, seed=SEED, epoch=next(epochs), **options))

    found = {}
    for (kind, read), name, size in itertools.product(
        {"numpy": batches, "tf.data": dataset}.items(), ("parquet", "tfrecord"), (1024, 8192)
    ):
        found[f"{kind} {name} {size}"] = functools.partial(reading, read, size, shard_format=name)
    found["numpy parquet 1024, checksums"] = functools.partial(
        reading, batches, 1024, shard_format="parquet", verify_checksums=True
    )
    return found


def trainings(shards: Path, epoch: Iterable[int]) -> dict[str, Callable[[], int]]:
    """Return what trains on the share of one rank, from memory and from the shards."""
    tf = backend.tensorflow()
    epochs = iter(epoch)
    network = dense.build(
        len(next(batches(shards, "train", 1, seed=SEED))[0][0]),
        TWO_CLASSES,
        layers=REPORT_LAYERS,
        activation="relu",
        batch_norm=True,
        dropout=0.0,
    )
    network.compile(optimizer="adam", loss=TWO_CLASSES.loss, weighted_metrics=["accuracy"], jit_compile=False)
    share = {"seed": SEED, "world_size": NUM_RANKS, "drop_remainder": True}
    held = list(batches(shards, "train", 1024, **share))
    features, label = (np.stack(arrays) for arrays in zip(*held, strict=True))
    memory = tf.data.Dataset.from_tensor_slices((features, label)).prefetch(4)

    def fit(make: Callable[[], object]) -> int:
        network.fit(make(), verbose=0, shuffle=False)
        return len(held) * 1024

    return {
        "train from memory": functools.partial(fit, lambda: memory),
        "train from shards": functools.partial(
            fit, lambda: dataset(shards, "train", 1024, epoch=next(epochs), **share)
        ),
    }


def measure(contenders: dict[str, Callable[[], int]], rounds: int) -> list[Measured]:
    """Return the figures of every contender; a round in which everything is warmed up is not counted."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for counted in [False] + [True] * rounds:
        for name, work in contenders.items():
            wall, cpu = time.perf_counter(), time.process_time()
            num_records = work()
            if counted:
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                seconds[name].append((num_records / wall, cpu / num_records * 1e9))
    return [
        Measured(
            name=name,
            median=statistics.median(rate for rate, _ in found),
            slowest=min(rate for rate, _ in found),
            fastest=max(rate for rate, _ in found),
            cpu_nanoseconds=statistics.median(cpu for _, cpu in found),
        )
        for name, found in seconds.items()
    ]


def main() -> None:
    """Measure and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with backend.known_warnings_ignored():
        found = measure(readers(given.shards, itertools.count()), given.rounds)
        found += measure(trainings(given.shards, itertools.count()), given.rounds)
    if given.json:
        print(json.dumps([asdict(one) for one in found], indent=2))
        return
    print(f"{'':34}{'median/s':>12}{'slowest':>12}{'fastest':>12}{'cpu ns':>9}")
    for one in found:
        rates = f"{one.median:>12,.0f}{one.slowest:>12,.0f}{one.fastest:>12,.0f}"
        print(f"{one.name:34}{rates}{one.cpu_nanoseconds:>9,.0f}")


if __name__ == "__main__":
    main()
