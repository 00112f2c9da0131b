"""How does the time of a conversion grow with the file, and shrink with workers?

Method: files of 1, 2, 4 and 7 times `--rows` records with all cores; and the file of `--rows` records with
1, 2, 4, … workers as far as there are cores. Everything takes turns; Parquet, `--memory` as it is by
default. Efficiency is the speed-up divided by the number of workers. Starting Python and its libraries
counts.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

import os

import jobs
from measure import finish, measure, median, parse_arguments
from sources import simulated

SIZES = (1, 2, 4, 7)
WORKERS = (1, 2, 4, 8, 16)


def main() -> None:
    """Measure, print the ratios, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    sources = [simulated(size * given.rows) for size in SIZES]
    workers = [count for count in WORKERS if count <= len(os.sched_getaffinity(0))]
    contenders = [
        jobs.ours(source, f"{source.num_records:,} records", extra={"varied": "records", "size": size})
        for size, source in zip(SIZES, sources, strict=True)
    ] + [
        jobs.ours(
            sources[0],
            f"{count} worker{'s' * (count > 1)}",
            "--workers",
            str(count),
            extra={"varied": "workers", "num_workers": count},
        )
        for count in workers
    ]
    results = measure(contenders, rounds=given.rounds)
    seconds = [median(result, "seconds") for result in results]
    by_size, by_workers = seconds[: len(SIZES)], seconds[len(SIZES) :]
    figures = {
        f"{size} times the records / time": s / by_size[0] for size, s in zip(SIZES, by_size, strict=True)
    }
    figures |= {f"{n} workers, speed-up": by_workers[0] / s for n, s in zip(workers, by_workers, strict=True)}
    finish(given, results, figures)


if __name__ == "__main__":
    main()
