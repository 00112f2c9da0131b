"""How much memory and temporary disk does a conversion take, and does that grow with the file?

Method: files of 1, 2, 4 and 7 times `--rows` records, converted with `--memory` 256MiB and 1GiB, against
Polars, which holds everything in memory. Peak RSS is that of all processes together, the kernel's own count
where there is one process. Temporary disk is the size of the staging folder without the dataset in it,
looked at 50 times a second, against the size of the shards that come out.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

from typing import Any

import jobs
from measure import finish, measure, median, parse_arguments
from sources import simulated

SIZES = (1, 2, 4, 7)
BUDGETS = {"256MiB": 256 << 20, "1GiB": 1 << 30}
MEBIBYTE = 1 << 20


def main() -> None:
    """Measure, print peaks and ratios, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    results = []
    for size in SIZES:
        source = simulated(size * given.rows)
        contenders = [
            jobs.ours(source, f"ours, {budget}", "--memory", budget, extra={"memory_bytes": num_bytes})
            for budget, num_bytes in BUDGETS.items()
        ]
        polars = jobs.peer(jobs.POLARS_WHOLE, source)
        print(f"{source.num_records:,} records")
        results += measure([*contenders, *([polars] if polars else [])], rounds=given.rounds)
    finish(given, results, _figures(results))


def _figures(results: list[dict[str, Any]]) -> dict[str, float]:
    """Return what the aims are about: the largest peaks, and how the largest file compares."""
    largest = max(result["num_records"] for result in results)
    figures = {}
    seconds = {}
    for budget in BUDGETS:
        ours = [result for result in results if result["name"] == f"ours, {budget}"]
        figures[f"{budget}: peak RSS, MiB"] = max(max(result["peak_rss_bytes"]) for result in ours) / MEBIBYTE
        disk = [max(result["temporary_bytes"]) / max(result["output_bytes"]) for result in ours]
        figures[f"{budget}: temporary disk / shards"] = max(disk)
        seconds[budget] = next(median(r, "seconds") for r in ours if r["num_records"] == largest)
    figures[f"{largest:,} records: 256MiB / 1GiB, time"] = seconds["256MiB"] / seconds["1GiB"]
    return figures


if __name__ == "__main__":
    main()
