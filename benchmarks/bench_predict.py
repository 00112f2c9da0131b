"""How many records a second does `pipeline predict` take from a CSV, and how many the network alone?

Method: the default network (500-400-300-200-100), trained for an epoch on a few records; what it has
learned plays no part. Five ways, each a process of its own, taking turns; a first pass warms up, then whole
passes are timed for `--seconds`:

    products   the matrix products of the network and nothing else, on batches of float32 in memory
    network    the network on the same batches: also biases, relu, batch normalization
    predict    a CSV in the page cache to a Parquet file, in a process that has TensorFlow loaded
    bfloat16   the same with `--precision mixed_bfloat16`
    command    `pipeline predict` as a user starts it, everything included

No way that computes in float32 can be faster than the products. Conclusion: benchmarks/README.md, which is
rendered from the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import Job, finish, measure, parser_of
from sources import FOLDER, Source, simulated

from pipeline.predict import PredictOptions

RATES = Path(__file__).resolve().parent / "peers" / "predict_rates.py"
ROOT = Path(__file__).resolve().parents[1]
SHARDS, MODEL, OUTPUT = FOLDER / "few-shards", FOLDER / "model", FOLDER / "predictions.parquet"
FROM_TEXT = ("predict", "bfloat16")
WAYS = ("products", "network", *FROM_TEXT)
BATCH_SIZE = 8192  # of the network alone, which is fastest with it
TRAINING_ROWS = 10_000
QUIET = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


def main() -> None:
    """Measure, and write JSON if asked to."""
    parser = parser_of(__doc__ or "", rows=1_000_000)
    parser.add_argument("--seconds", type=float, default=10, help="for each process (default: %(default)s)")
    given = parser.parse_args()
    source = simulated(given.rows)
    make_model(simulated(TRAINING_ROWS))
    results = rates_of_ways(source, rounds=given.rounds, seconds=given.seconds)
    results.append(command_rates(source, rounds=given.rounds))
    found = {result["name"]: statistics.median(result["rates"]) for result in results}
    figures = {
        "predict, records/s": found["predict"],
        "predict in bfloat16, records/s": found["bfloat16"],
        "predict / network": found["predict"] / found["network"],
        "predict / products": found["predict"] / found["products"],
        "network / products": found["network"] / found["products"],
    }
    finish(given, results, figures)


def make_model(source: Source) -> None:
    """Convert the source and train on it for one epoch."""
    for command in (
        ("convert", source.path, SHARDS),
        ("train", SHARDS, "-o", MODEL, "--epochs", "1"),
    ):
        words = [sys.executable, "-m", "pipeline", *map(str, command), "--overwrite", "--quiet"]
        subprocess.run(words, check=True)


def rates_of_ways(source: Source, *, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Return what each way reported, the lists of all rounds joined; prints as it goes."""
    results: dict[str, dict[str, Any]] = {}
    for round_index in range(rounds):
        for way in WAYS:
            found = _run(way, source, seconds)
            kept = results.setdefault(
                way, {"name": way, "rates": [], "cpu_nanoseconds": [], "peak_rss_bytes": []}
            )
            kept["rates"] += found["rates"]
            for name in ("cpu_nanoseconds", "peak_rss_bytes"):
                kept[name].append(found[name])
            rate = statistics.median(found["rates"])
            print(f"round {round_index + 1} of {rounds}  {rate:>12,.0f} records/s  {way}", flush=True)
    return list(results.values())


def _run(way: str, source: Source, seconds: float) -> dict[str, Any]:
    batch_size = PredictOptions().batch_size if way in FROM_TEXT else BATCH_SIZE
    given = (MODEL, source.path, OUTPUT, batch_size, seconds, way)
    # As the command does: its threads ask the model each for itself.
    threads = {"TF_NUM_INTRAOP_THREADS": "1"} if way in FROM_TEXT else {}
    done = subprocess.run(
        [sys.executable, RATES, *map(str, given)],
        check=True,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | QUIET | threads,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def command_rates(source: Source, *, rounds: int) -> dict[str, Any]:
    """Return the rates of whole processes, in the same form."""

    def check(printed: str) -> None:
        if json.loads(printed)["records"]["written"] != source.num_records:
            sys.exit(f"not all records: {printed}")

    command = (
        sys.executable,
        "-m",
        "pipeline",
        "predict",
        str(MODEL),
        str(source.path),
        str(OUTPUT),
        "--json",
    )
    job = Job(name="command", command=command, output=OUTPUT, check=check, facts={})
    (found,) = measure([job], rounds=rounds)
    num_records = source.num_records
    return {
        "name": "command",
        "rates": [num_records / seconds for seconds in found["seconds"]],
        "cpu_nanoseconds": [1e9 * seconds / num_records for seconds in found["cpu_seconds"]],
        "peak_rss_bytes": found["peak_rss_bytes"],
    }


if __name__ == "__main__":
    main()
