"""Times how fast batches come out of a loader into a Python loop; every script load_*.py here ends in it.

Usage of them all: load_NAME.py SHARDS SOURCE FOLDER BATCH_SIZE SECONDS, where SHARDS is a dataset in both
formats, SOURCE the CSV it was made from, FOLDER a place for what a library wants to have in a form of its
own, and SECONDS how long to read at most. Prints one line of JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST_EPOCHS = 7


@dataclass(frozen=True)
class Given:
    """The arguments of a script."""

    shards: Path
    source: Path
    folder: Path
    batch_size: int
    seconds: float


def arguments() -> Given:
    """Return the arguments of the script; what follows them is its own."""
    shards, source, folder, batch_size, seconds = sys.argv[1:6]
    return Given(Path(shards), Path(source), Path(folder), int(batch_size), float(seconds))


def report(given: Given, epoch: Callable[[int], Iterable[int]], version: str) -> None:
    """Read epochs and print the rates; `epoch(i)` yields the number of records of each batch of the i-th.

    The first epoch, of which the time to the first batch is told, warms up. Every epoch after it counts from
    the call to its last batch; one that does not end in the time given, from its first batch on.
    """
    begin = time.perf_counter()
    batches = iter(epoch(0))
    next(batches)
    first_batch_seconds = time.perf_counter() - begin
    for _ in batches:
        if time.perf_counter() - begin > given.seconds / 4:
            break
    del batches
    rates: list[float] = []
    cpu, spent, total = time.process_time(), 0.0, 0
    while spent < given.seconds and len(rates) < MOST_EPOCHS:
        begin = time.perf_counter()
        num_records, taken = _one_epoch(epoch(1 + len(rates)), given.seconds)
        rates.append(num_records / taken)
        spent, total = spent + time.perf_counter() - begin, total + num_records
    print(
        json.dumps(
            {
                "rates": rates,
                "first_batch_seconds": first_batch_seconds,
                "cpu_nanoseconds": (time.process_time() - cpu) / total * 1e9,
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
                "version": version,
            }
        )
    )


def _one_epoch(batches: Iterable[int], most_seconds: float) -> tuple[int, float]:
    """Return the number of records read, and the seconds that took."""
    begin = time.perf_counter()
    num_records = num_first = 0
    first_at = begin
    for num_here in batches:
        num_records += num_here
        now = time.perf_counter()
        if not num_first:
            num_first, first_at = num_here, now
        elif now - first_at > most_seconds:
            return num_records - num_first, now - first_at
    return num_records, time.perf_counter() - begin
