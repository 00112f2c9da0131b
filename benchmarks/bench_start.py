"""How long is it until something happens: `pipeline --help`, and the conversion of a small file?

Method: whole processes, taking turns, in the page cache; `--rows` records of the simulated data.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

import sys

import jobs
from measure import Job, finish, measure, median, parse_arguments
from sources import simulated


def main() -> None:
    """Measure, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000)
    source = simulated(given.rows)
    usage = Job(
        name="pipeline --help",
        command=(sys.executable, "-m", "pipeline", "--help"),
        output=jobs.OUTPUT,
        check=_check_usage,
        facts={},
    )
    results = measure([usage, jobs.ours(source, f"convert {given.rows:,} records")], rounds=given.rounds)
    finish(given, results, {f"{result['name']}, s": median(result, "seconds") for result in results})


def _check_usage(printed: str) -> None:
    if not printed.startswith("Usage: pipeline"):
        sys.exit(f"no usage: {printed}")


if __name__ == "__main__":
    main()
