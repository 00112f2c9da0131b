"""How fast does `pipeline verify` read a dataset, beside SHA-256 alone?

Method: a dataset of each format, without compression, in the page cache. Within this process, in turns: the
SHA-256 of all shards, as `hashlib` gives it and nothing else, then `verify` with one thread and with all
cores. A round in which everything is warmed up is not counted. Megabytes of shards per second, and per second
of processor time, which says more on a machine that is shared. The memory is that of the command as a process
of its own. After every run there must be no fault.

Conclusion: benchmarks/README.md. A verified byte costs about three times a hashed one, in either format, and
no memory beyond a row group for each thread.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from measure import Job, finish, measure, parse_arguments
from sources import FOLDER, READ_BYTES, simulated, warm

from pipeline.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMATS = ("parquet", "tfrecord")
HASHED = "SHA-256 alone"


def dataset(num_records: int, form: str) -> Path:
    """Return the folder of a dataset of that format, made anew and in the page cache."""
    folder = FOLDER / f"verified-{form}"
    source = simulated(num_records)
    command = ("-m", "pipeline", "convert", source.path, folder, "--format", form, "--overwrite", "--quiet")
    subprocess.run([sys.executable, *command], check=True)
    for path in shards_of(folder):
        warm(path)
    return folder


def shards_of(folder: Path) -> list[Path]:
    """Return the shards of a dataset."""
    return sorted(path for path in folder.iterdir() if path.suffix.removeprefix(".") in FORMATS)


def hash_all(folder: Path) -> None:
    """Take the SHA-256 of every shard."""
    for path in shards_of(folder):
        digest = hashlib.sha256()
        with path.open("rb", buffering=0) as file:
            while part := file.read(READ_BYTES):
                digest.update(part)


def verify_all(folder: Path, num_workers: int) -> None:
    """Verify the dataset; exit if it is not whole."""
    if faults := verify(folder, num_workers=num_workers).faults:
        sys.exit(f"{folder}: {faults[0]}")


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Return the seconds that some work takes, and its seconds of processor time."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def memory_of(folder: Path) -> int:
    """Return the most memory that the command takes."""
    command = (sys.executable, "-m", "pipeline", "verify", str(folder), "--quiet")
    job = Job(name="verify", command=command, output=FOLDER / "nothing", check=lambda _: None, facts={})
    return max(measure([job], rounds=1)[0]["peak_rss_bytes"])


def main() -> None:
    """Measure, print, and write JSON if asked to."""
    given = parse_arguments(__doc__ or "", rows=1_000_000)
    folders = {form: dataset(given.rows, form) for form in FORMATS}
    counts = sorted({1, len(os.sched_getaffinity(0))})
    work = {
        (form, name): (lambda folder=folder, run=run: run(folder))
        for form, folder in folders.items()
        for name, run in {
            HASHED: hash_all,
            **{f"verify, {n} threads": lambda folder, n=n: verify_all(folder, n) for n in counts},
        }.items()
    }
    taken: dict[tuple[str, str], list[tuple[float, float]]] = {key: [] for key in work}
    for counted in [False] + [True] * given.rounds:
        for key, run in work.items():
            found = timed(run)
            if counted:
                taken[key].append(found)
    results, figures = [], {}
    for (form, name), found in taken.items():
        megabytes = sum(path.stat().st_size for path in shards_of(folders[form])) / 1e6
        rates, cpu_rates = ([megabytes / each[column] for each in found] for column in (0, 1))
        print(f"{statistics.median(cpu_rates):7.0f} MB/CPU s  {form}: {name}")
        results.append({"name": f"{form}: {name}", "rates": rates, "cpu_rates": cpu_rates})
    by_name = {str(result["name"]): result["cpu_rates"] for result in results}
    for form, folder in folders.items():
        alone, whole = (statistics.median(by_name[f"{form}: {n}"]) for n in (HASHED, "verify, 1 threads"))
        figures |= {
            f"verify {form}, MB/CPU s": whole,
            f"verify {form} / SHA-256 alone, CPU": alone / whole,
            f"verify {form}: peak RSS, MiB": memory_of(folder) / (1 << 20),
        }
    finish(given, results, figures)


if __name__ == "__main__":
    main()
