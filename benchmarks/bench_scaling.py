"""How does the time of a conversion grow with the file, and shrink with workers; what does a cluster cost?

Method: files of 1, 2, 4 and 7 times `--rows` records with all cores; and the file of `--rows` records with
1, 2, 4, … workers as far as there are cores; both with threads and, at 1 and 7 times and for each number of
workers, with the processes of a Dask cluster, which exchange all records through files. Everything takes
turns; Parquet, `--memory` as it is by default. Efficiency is the speed-up divided by the number of workers.
Starting Python, its libraries and a cluster counts; a cluster that is there already has started before. The
largest worker says itself what memory it had.

Conclusion: benchmarks/README.md, which is rendered from the figures; docs/scaling.md for clusters.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dask
import jobs
from distributed import LocalCluster
from measure import finish, measure, median, parse_arguments
from sources import simulated

from pipeline.counted import counted
from pipeline.plan import DEFAULT_MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from measure import Job
    from sources import Source

SIZES = (1, 2, 4, 7)
DASK_SIZES = (1, 7)
WORKERS = (1, 2, 4, 8, 16)
DASK = ("--engine", "dask")


def main() -> None:
    """Measure, print the ratios, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    sources = {size: simulated(size * given.rows) for size in SIZES}
    workers = [count for count in WORKERS if count <= len(os.sched_getaffinity(0))]
    contenders = {
        f"records {size}": jobs.ours(
            source, f"{source.num_records:,} records", extra={"varied": "records", "size": size}
        )
        for size, source in sources.items()
    }
    contenders |= {f"workers {count}": of_workers(sources[1], count) for count in workers}
    contenders |= {f"dask {size}": on_dask(sources[size], size) for size in DASK_SIZES}
    contenders |= {f"processes {count}": of_workers(sources[1], count, *DASK) for count in workers}
    with running_cluster() as scheduler:
        contenders |= {
            f"there {size}": on_dask(sources[size], size, "--scheduler", scheduler) for size in DASK_SIZES
        }
        results = measure(list(contenders.values()), rounds=given.rounds)
    seconds = {name: median(result, "seconds") for name, result in zip(contenders, results, strict=True)}
    figures = {
        f"{size} times the records / time": seconds[f"records {size}"] / seconds["records 1"]
        for size in SIZES
    }
    figures |= {f"{n} workers, speed-up": seconds["workers 1"] / seconds[f"workers {n}"] for n in workers}
    figures |= {
        f"{n} processes of Dask, speed-up": seconds["processes 1"] / seconds[f"processes {n}"]
        for n in workers
    }
    figures |= {
        f"Dask / threads, {size} times the records": seconds[f"dask {size}"] / seconds[f"records {size}"]
        for size in DASK_SIZES
    }
    figures |= {
        f"a cluster that is there / threads, {size} times the records": seconds[f"there {size}"]
        / seconds[f"records {size}"]
        for size in DASK_SIZES
    }
    figures["memory of the largest Dask worker / --memory"] = largest_worker(sources[DASK_SIZES[-1]])
    finish(given, results, figures)


def of_workers(source: Source, count: int, *options: str) -> Job:
    """Return a conversion with `count` workers."""
    name = counted(count, "process" if options else "worker")
    varied = "processes" if options else "workers"
    return jobs.ours(
        source, name, "--workers", str(count), *options, extra={"varied": varied, "num_workers": count}
    )


def on_dask(source: Source, size: int, *options: str) -> Job:
    """Return a conversion by a cluster with a process for each core: one of its own, or as `options` say."""
    name = f"{source.num_records:,} records, {'a cluster that is there' if options else 'Dask'}"
    varied = "records, cluster" if options else "records, Dask"
    return jobs.ours(source, name, *DASK, *options, extra={"varied": varied, "size": size})


@contextmanager
def running_cluster() -> Iterator[str]:
    """Run a cluster with a process for each core, as docs/scaling.md says; yield its scheduler's address."""
    with (
        dask.config.set({"distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": None}),
        LocalCluster(
            n_workers=len(os.sched_getaffinity(0)),
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            env={"POLARS_MAX_THREADS": "1"},
        ) as cluster,
    ):
        yield cluster.scheduler_address


def largest_worker(source: Source) -> float:
    """Return how much of `--memory` the largest worker of a cluster takes."""
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "convert",
        str(source.path),
        str(jobs.OUTPUT),
        *DASK,
        "--json",
    ]
    shutil.rmtree(jobs.OUTPUT, ignore_errors=True)
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shutil.rmtree(jobs.OUTPUT)
    return float(json.loads(said)["peak_memory_bytes"]) / DEFAULT_MEMORY_BYTES


if __name__ == "__main__":
    main()
