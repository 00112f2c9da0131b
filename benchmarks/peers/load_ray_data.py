"""Ray Data over the same Parquet shards: files shuffled, records by a local buffer; see rate.py.

Columns are stacked to one matrix, as a network takes them.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

import fsspec.implementations.http  # noqa: F401  # two threads of Ray would import it at once, and one fail
import numpy as np
import rate
import ray

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFER_RECORDS = 10_000


def main() -> None:
    """Measure."""
    given = rate.arguments()
    paths = sorted(map(str, given.shards.glob("train-*.parquet")))
    num_cores = len(os.sched_getaffinity(0))
    ray.init(num_cpus=num_cores, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)

    def epoch(index: int) -> Iterator[int]:
        read = ray.data.read_parquet(paths, shuffle="files")
        for columns in read.iter_batches(
            batch_size=given.batch_size,
            batch_format="numpy",
            local_shuffle_buffer_size=BUFFER_RECORDS,
            local_shuffle_seed=index,
            prefetch_batches=2,
        ):
            label = columns.pop("label")
            np.stack(list(columns.values()), axis=1)
            yield len(label)

    rate.report(given, epoch, ray.__version__)


if __name__ == "__main__":
    main()
