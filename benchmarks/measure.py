"""Runs commands as whole processes, in turns, and measures each: the one way all benchmarks here do it.

A command gets a fresh process each time, so that imports, thread pools and caches count for everyone. Jobs
take turns (A B C A B C …), so that whatever else the machine does falls on all of them alike; before every
run the output of the last one is removed and what is dirty in the page cache is written out. After every
run, `check` must find the work done. Nothing here knows what the commands do. Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LAUNCH = Path(__file__).with_name("launch.py")
POLL_SECONDS = 0.02
MEASURED = ("seconds", "cpu_seconds", "peak_rss_bytes", "temporary_bytes", "output_bytes")
PACKAGES = ("dask", "duckdb", "keras", "numpy", "pandas", "polars", "pyarrow", "tensorflow")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A command to measure.

    It writes `output`, removed before and after. `check`, given what the command printed, exits if the work
    is not done. `temporary` is a folder to watch: its size, without the `dataset/` in it. `facts` go to the
    report.
    """

    name: str
    command: tuple[str, ...]
    output: Path
    check: Callable[[str], None]
    facts: dict[str, Any]
    temporary: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one process took; `peak_rss_bytes` is that of the process and all its descendants together."""

    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    temporary_bytes: int
    output_bytes: int


def measure(jobs: Sequence[Job], *, rounds: int) -> list[dict[str, Any]]:
    """Return, for each job, its facts and the list of what was measured in each round; prints as it goes.

    Raises:
        SystemExit: a command failed, or did not do its work.
    """
    runs: list[list[Run]] = [[] for _ in jobs]
    for round_index in range(rounds):
        for job, done in zip(jobs, runs, strict=True):
            done.append(run(job))
            print(f"round {round_index + 1} of {rounds}  {_line(job.name, done[-1])}", flush=True)
    return [
        {"name": job.name} | job.facts | {field: [getattr(r, field) for r in done] for field in MEASURED}
        for job, done in zip(jobs, runs, strict=True)
    ]


def run(job: Job) -> Run:
    """Run `job` once and return what it took.

    Raises:
        SystemExit: it failed, or did not do its work.
    """
    _remove(job)
    os.sync()
    with tempfile.TemporaryDirectory() as folder:
        report, stdout, stderr = (Path(folder) / name for name in ("report", "stdout", "stderr"))
        with stdout.open("wb") as out, stderr.open("wb") as err:
            command = (sys.executable, "-I", "-S", str(LAUNCH), str(report), *job.command)
            launcher = subprocess.Popen(command, stdout=out, stderr=err)
            watch = _Watch(launcher.pid, job.temporary)
            launcher.wait()
            polled_rss_bytes, temporary_bytes = watch.finish()
        taken = json.loads(report.read_text(encoding="ascii"))
        if taken["status"]:
            sys.exit(f"{job.name}: exit status {taken['status']}\n{stderr.read_text(encoding='utf-8')}")
        job.check(stdout.read_text(encoding="utf-8"))
    output_bytes = _folder_bytes(job.output)
    _remove(job)
    return Run(
        seconds=taken["seconds"],
        cpu_seconds=taken["cpu_seconds"],
        # The kernel's own peak is exact, but only of the largest process; the sum is polled.
        peak_rss_bytes=max(polled_rss_bytes, taken["peak_rss_bytes"]),
        temporary_bytes=temporary_bytes,
        output_bytes=output_bytes,
    )


class _Watch:
    """Polls the memory of all descendants of a process, and the size of a folder, until told to finish."""

    def __init__(self, process_id: int, folder: Path | None) -> None:
        self._process_id = process_id
        self._folder = folder
        self._peak_rss_bytes = self._peak_folder_bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def _poll(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            rss = sum(_rss_bytes(number) for number in _descendants(self._process_id))
            self._peak_rss_bytes = max(self._peak_rss_bytes, rss)
            if self._folder:
                num_bytes = _folder_bytes(self._folder, without="dataset")
                self._peak_folder_bytes = max(self._peak_folder_bytes, num_bytes)

    def finish(self) -> tuple[int, int]:
        """Return the peaks of memory and of the folder, in bytes."""
        self._over.set()
        self._thread.join()
        return self._peak_rss_bytes, self._peak_folder_bytes


def _descendants(process_id: int) -> Iterator[int]:
    """Yield the descendants of a process, as far as they still live."""
    try:
        tasks = list(Path(f"/proc/{process_id}/task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            children = (task / "children").read_text(encoding="ascii")
        except OSError:
            continue
        for child in map(int, children.split()):
            yield child
            yield from _descendants(child)


def _rss_bytes(process_id: int) -> int:
    try:
        fields = Path(f"/proc/{process_id}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _folder_bytes(folder: Path, *, without: str = "") -> int:
    """Return the size of the files in `folder`, but for what is in folders called `without`."""
    total = 0
    for path, folders, names in os.walk(folder):
        if without in folders:
            folders.remove(without)
        for name in names:
            try:
                total += (Path(path) / name).stat().st_size
            except OSError:
                continue
    return total


def _remove(job: Job) -> None:
    for path in (job.output, job.temporary):
        if path and path.is_dir():
            shutil.rmtree(path)
        elif path:
            path.unlink(missing_ok=True)


def _line(name: str, run: Run) -> str:
    mebibytes = run.peak_rss_bytes / (1 << 20)
    return f"{run.seconds:7.2f} s  {run.cpu_seconds:7.2f} s CPU  {mebibytes:7,.0f} MiB  {name}"


def median(result: dict[str, Any], field: str) -> float:
    """Return the median over the rounds of one of the measured fields."""
    return float(statistics.median(result[field]))


def parse_arguments(description: str, *, rows: int) -> argparse.Namespace:
    """Return `rows`, `rounds` and `json` from the command line, the same for every benchmark."""
    return parser_of(description, rows=rows).parse_args()


def parser_of(description: str, *, rows: int, rounds: int = 5) -> argparse.ArgumentParser:
    """Return the parser of that, for benchmarks that take more."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=_tens, default=rows, help="a multiple of 10 (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=rounds, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, help="write the results here, too")
    return parser


def _tens(text: str) -> int:
    """Return a number that 8 : 1 : 1 divides without a rest, as every contender's split is checked."""
    if int(text) % 10:
        raise argparse.ArgumentTypeError(f"{text} is not a multiple of 10")
    return int(text)


def machine() -> dict[str, Any]:
    """Return what must be known of the machine to judge figures, and nothing that names it."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def finish(
    given: argparse.Namespace,
    results: Sequence[dict[str, Any]],
    figures: dict[str, float],
    *,
    command: str = "",
) -> None:
    """Print `figures`, and write them with `results` and the machine as JSON if that is asked for.

    The `command` is that of all benchmarks, with rows and rounds, unless another is given.
    """
    for name, value in figures.items():
        print(f"{value:8.2f}  {name}")
    if not given.json:
        return
    script = Path(sys.argv[0]).name
    report = {
        "command": command or f"python benchmarks/{script} --rows {given.rows} --rounds {given.rounds}",
        "machine": machine(),
        "results": results,
        "figures": figures,
    }
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
