"""How long does a conversion take, against the best that others can do with the same file?

Method: simulated records in the text format of HEPMASS, in the page cache. Every contender is a fresh
process, imports included, and they take turns; median and spread of the rounds. *Whole job* means: three
exact splits, a global shuffle, standardized by the train split, float32, Parquet files of 64 MiB,
uncompressed; it is checked after every run. Ours also hashes what it reads and writes and forces it to
disk, which no peer does. Peers that do less are there for the scale; the last one only parses, as ours
does, and is the floor for it.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

import jobs
from measure import finish, measure, median, parse_arguments
from sources import simulated

PARQUET, TFRECORD = "ours, Parquet", "ours, TFRecord"
RATIOS = (
    (PARQUET, jobs.POLARS_WHOLE.script),
    (PARQUET, jobs.DUCKDB_WHOLE.script),
    (PARQUET, jobs.POLARS_PARSE.script),
    (TFRECORD, PARQUET),
)


def main() -> None:
    """Measure, print the ratios, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    source = simulated(given.rows)
    contenders = [
        jobs.ours(source, PARQUET),
        jobs.ours(source, TFRECORD, formats=("tfrecord",)),
        jobs.ours(source, "ours, both", formats=("parquet", "tfrecord")),
        *(jobs.peer(peer, source) for peer in jobs.ALL_PEERS),
    ]
    results = measure([job for job in contenders if job], rounds=given.rounds)
    seconds = {result["name"]: median(result, "seconds") for result in results}
    ratios = {f"{a} / {b}": seconds[a] / seconds[b] for a, b in RATIOS if b in seconds}
    finish(given, results, ratios)


if __name__ == "__main__":
    main()
