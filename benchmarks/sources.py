"""Makes the CSV files that benchmarks read: simulated collisions, once, below build/ and outside of git."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "build" / "bench"
FIRST_RECORDS = 1_000
READ_BYTES = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A CSV in the text format of HEPMASS; `first` are the values of `f0` in its first records."""

    path: Path
    num_records: int
    num_bytes: int
    first: tuple[float, ...]


def simulated(num_records: int) -> Source:
    """Return the source of `num_records` simulated records, made if need be, and in the page cache."""
    path = FOLDER / f"simulated-{num_records}.csv"
    if not path.exists():
        print(f"making {path.name} …", flush=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        command = ("-m", "pipeline", "fetch", "simulated", path, "--rows", str(num_records), "--quiet")
        subprocess.run([sys.executable, *command], check=True)
    warm(path)
    with path.open(encoding="ascii") as text:
        next(text)
        lines = itertools.islice(text, FIRST_RECORDS)
        first = tuple(float(line.split(",", 2)[1]) for line in lines)
    return Source(path=path, num_records=num_records, num_bytes=path.stat().st_size, first=first)


def warm(path: Path) -> None:
    """Read the file once, so that it is in the page cache as far as there is room."""
    with path.open("rb", buffering=0) as file:
        while file.read(READ_BYTES):
            pass
