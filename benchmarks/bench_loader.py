"""How many records a second come out of the loader, beside the loaders of others?

Method: the records of one simulated CSV, shuffled, in batches of 1,024 (also of 8,192, and for the report's
own way of 32) into a Python loop. Every contender is a process of its own, a script peers/load_*.py; all take
turns. A first epoch warms up; then whole epochs are timed, or as much as comes in `--seconds`. What counts is
the median of all epochs of all rounds. Everybody delivers the features as one matrix of float32, as a network
takes them. Peers read the shards that this package wrote, but for Streaming, which wants its own format, and
`make_csv_dataset`.

Peers that are not installed are left out. They need not be in the same environment, which they might not
tolerate: every build/bench/venv-*/bin/python is asked as well.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import finish, parser_of
from sources import FOLDER, Source, simulated

PEERS = Path(__file__).resolve().parent / "peers"
ROOT = PEERS.parents[1]
SHARDS = FOLDER / "shards"
FORMATS = ("parquet", "tfrecord")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A script with its arguments; `package` is what it must be able to import."""

    name: str
    script: str
    package: str
    batch_size: int = 1024
    options: tuple[str, ...] = ()


def ours(way: str, shard_format: str, batch_size: int = 1024, num_workers: int = 0) -> Contender:
    """Return a way to read with this package."""
    workers = f", {num_workers} workers" if num_workers else ""
    return Contender(
        name=f"ours, {way}, {shard_format}{workers}",
        script="load_ours",
        package={"numpy": "numpy", "tf.data": "tensorflow", "torch": "torch"}[way],
        batch_size=batch_size,
        options=(way, shard_format, str(num_workers)),
    )


CONTENDERS = (
    *(ours(way, name, size) for way in ("numpy", "tf.data") for name in FORMATS for size in (1024, 8192)),
    ours("torch", "parquet"),
    ours("torch", "parquet", num_workers=2),
    Contender(name="memmap, in order", script="load_memmap", package="numpy", options=("order",)),
    Contender(name="memmap, random rows", script="load_memmap", package="numpy", options=("random",)),
    Contender(name="plain TFRecord pipeline", script="load_plain_tfrecord", package="tensorflow"),
    Contender(name="make_csv_dataset", script="load_csv_dataset", package="tensorflow"),
    Contender(name="make_csv_dataset", script="load_csv_dataset", package="tensorflow", batch_size=32),
    Contender(name="Hugging Face Datasets", script="load_hugging_face", package="datasets"),
    Contender(name="Ray Data", script="load_ray_data", package="ray"),
    Contender(name="MosaicML Streaming", script="load_mosaic_streaming", package="streaming"),
)  # fmt: skip


def main() -> None:
    """Measure, and write JSON if asked to."""
    parser = parser_of(__doc__ or "", rows=1_000_000)
    parser.add_argument("--seconds", type=float, default=10, help="for each process (default: %(default)s)")
    parser.add_argument("--only", default="", help="only contenders whose names hold this")
    given = parser.parse_args()
    source = simulated(given.rows)
    make_shards(source)
    chosen = [contender for contender in CONTENDERS if given.only in contender.name]
    results = measured(chosen, source, rounds=given.rounds, seconds=given.seconds)
    finish(given, results, figures(results))


def make_shards(source: Source) -> None:
    """Convert the source to both formats, anew: an older dataset may be another one."""
    formats = ("--format", "parquet", "--format", "tfrecord")
    command = ("-m", "pipeline", "convert", source.path, SHARDS, *formats, "--overwrite", "--quiet")
    subprocess.run([sys.executable, *command], check=True)


def measured(
    contenders: list[Contender], source: Source, *, rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Return what each contender reported, the lists of all rounds joined; prints as it goes."""
    results = {}
    for round_index in range(rounds):
        for contender in contenders:
            python = interpreter_for(contender.package)
            if python is None:
                print(f"left out: {contender.name}, because {contender.package} is not installed")
                continue
            found = run(contender, python, source, seconds)
            if found is None:
                continue
            kept = results.setdefault(
                contender,
                {
                    "name": contender.name,
                    "batch_size": contender.batch_size,
                    "version": found["version"],
                    "rates": [],
                    "first_batch_seconds": [],
                    "cpu_nanoseconds": [],
                    "peak_rss_bytes": [],
                },
            )
            kept["rates"] += found["rates"]
            for name in ("first_batch_seconds", "cpu_nanoseconds", "peak_rss_bytes"):
                kept[name].append(found[name])
            rate = statistics.median(found["rates"])
            print(
                f"round {round_index + 1} of {rounds}  {rate:>12,.0f} records/s"
                f"  {contender.name}, batch {contender.batch_size}",
                flush=True,
            )
    return list(results.values())


def interpreter_for(package: str) -> str | None:
    """Return a Python that can import `package`: this one, or that of an environment in build/bench."""
    probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    for python in (sys.executable, *sorted(map(str, FOLDER.glob("venv-*/bin/python")))):
        if subprocess.run([python, "-c", probe], check=False, env=environment()).returncode == 0:
            return python
    return None


def run(contender: Contender, python: str, source: Source, seconds: float) -> dict[str, Any] | None:
    """Return what the script of a contender printed, or None, with a word, if it failed."""
    given = (SHARDS, source.path, FOLDER, contender.batch_size, seconds, *contender.options)
    command = [python, PEERS / f"{contender.script}.py", *map(str, given)]
    done = subprocess.run(command, check=False, capture_output=True, encoding="utf-8", env=environment())
    if done.returncode:
        print(f"failed: {contender.name}, exit status {done.returncode}\n{done.stderr}")
        return None
    # Not always the last line: Ray says goodbye.
    [*_, report] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    found: dict[str, Any] = json.loads(report)
    return found


def environment() -> dict[str, str]:
    """Return the environment of the scripts: they find this package, and are quiet."""
    return os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


def figures(results: list[dict[str, Any]]) -> dict[str, float]:
    """Return the rates that were aimed at, and how many times faster than each peer we are."""
    rates = {(r["name"], r["batch_size"]): statistics.median(r["rates"]) for r in results}
    found = {
        f"{name}, batch 1,024, records/s": rates[name, 1024]
        for name in ("ours, numpy, parquet", "ours, tf.data, parquet", "ours, tf.data, tfrecord")
        if (name, 1024) in rates
    }
    best = rates.get(("ours, tf.data, parquet", 1024), 0.0)
    for (name, size), rate in rates.items():
        if best and not name.startswith(("ours", "memmap")):
            found[f"ours, tf.data, parquet / {name}, batch {size:,}"] = best / rate
    for result in results:
        if (
            result["name"] in {"ours, numpy, parquet", "ours, tf.data, parquet"}
            and result["batch_size"] == 1024
        ):
            first = statistics.median(result["first_batch_seconds"])
            found[f"{result['name']}: first batch after, s"] = first
    return found


if __name__ == "__main__":
    main()
